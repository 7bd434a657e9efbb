"""From a command line to options, and from a fault to one line and an exit status."""

import difflib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from argparse_dataclass import ArgumentParser
from fmrgb_tools import stopping

from fmrgb.address import Remote, looks_remote
from fmrgb.cache import BOUND_VARIABLE, FOLDER_VARIABLE
from fmrgb.errors import FmrgbError, InputError
from fmrgb.files import shown, special
from fmrgb.log import to_file

Options = TypeVar("Options")

OK, FAILED, WRONG_COMMAND, INTERRUPTED = 0, 1, 2, 130
WRITTEN = (
    "output",
    "events",
    "log_file",
)  # options that name what is written, not read


class Parser(ArgumentParser[Options]):
    """argparse with the seed's underscores, one-line errors, and a guess at typos."""

    def add_argument(self, *names: str, **settings: Any) -> Any:
        """Add an option under its name with underscores."""
        spelt = ["--" + n[2:].replace("-", "_") if n[:2] == "--" else n for n in names]
        return super().add_argument(*spelt, **settings)

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong and leave with exit status 2."""
        for word in message.split() if "unrecognized" in message else []:
            known = [flag for flag in self._option_string_actions if flag[:2] == "--"]
            near = difflib.get_close_matches(word.partition("=")[0], known, 1)
            message += f" (did you mean {near[0]}?)" if near else ""
        line = shown(" ".join(message.split()))
        self.exit(WRONG_COMMAND, f"{self.prog}: {line}; see {self.prog} --help\n")


def _underscored(word: str) -> str:
    flag, equals, value = word.partition("=")
    if flag[:2] != "--" or flag == "--":
        return word
    return "--" + flag[2:].replace("-", "_") + equals + value


def run_tool(
    name: str,
    options_class: type[Options],
    work: Callable[[Options], int],
    argv: list[str] | None = None,
) -> int:
    """Parse the command line, do the work, and turn every fault into one line.

    Args:
        name: the tool's name, as the user types it.
        options_class: dataclass of its options.
        work: does it, prints, returns the exit status.
        argv: words behind the tool's name; None takes the process's own.

    Returns:
        exit status: 0 done, 1 some work failed, 2 wrong command line, 130 Ctrl-C,
        143 SIGTERM.
    """
    if argv is None:  # else the caller's process is not ours to guard
        stopping.listen(name)
        return stopping.done(_run(name, options_class, work, sys.argv[1:]))
    return _run(name, options_class, work, argv)


def _run(
    name: str,
    options_class: type[Options],
    work: Callable[[Options], int],
    argv: list[str],
) -> int:
    words = [_underscored(word) for word in argv]
    options: Options | None = None
    try:
        parser = Parser(
            options_class,
            prog=name,
            description=options_class.__doc__,
            allow_abbrev=False,
        )
        try:
            options = parser.parse_args(words)
        except ValueError as error:  # from the options' own __post_init__
            parser.error(str(error))
        for flag, value in vars(options).items():
            if isinstance(value, Path) and _is_foreign(value):
                parser.error(
                    f"--{flag} takes a path of this machine's disk, and no address"
                )
        _use_cache(options)
        _refuse_pipes(options)
        log_file = getattr(options, "log_file", None)
        with stopping.answered(), to_file(log_file, name):
            return work(options)
    except KeyboardInterrupt:
        return stopping.tell(name)
    except BaseException as error:
        if stopping.was_stopped():  # a fault that comes of being stopped
            return stopping.tell(name)
        if not isinstance(error, FmrgbError | OSError):
            raise
        if getattr(options, "debug", False):
            raise
        print(f"{name}: {shown(' '.join(str(error).split()))}", file=sys.stderr)
        return FAILED


def _is_foreign(path: Path) -> bool:
    """Tell whether an address was read as a path, by an option that takes none."""
    return looks_remote(path) and not isinstance(path, Remote)


def _use_cache(options: object) -> None:
    """Keep copies where the options say; other processes learn it as this one does."""
    if folder := getattr(options, "cache", None):
        os.environ[FOLDER_VARIABLE] = os.path.abspath(folder)
    if most := getattr(options, "cache_gb", None):
        os.environ[BOUND_VARIABLE] = str(most)


def _refuse_pipes(options: object) -> None:
    """Raise InputError if an option names what might be read for ever."""
    for name, value in vars(options).items():
        if not isinstance(value, Path) or isinstance(value, Remote):
            continue
        if (kind := special(value)) and name not in WRITTEN:
            raise InputError(
                f"--{name}: {shown(value)} is a {kind}; give a file or a folder"
            )


@contextmanager
def counter(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on stderr; give the function that moves it."""
    from tqdm import tqdm

    with tqdm(unit=f" {what}", file=sys.stderr, leave=False, disable=None) as bar:

        def move(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield move


def show(result: dict[str, Any], lines: list[str], *, as_json: bool) -> None:
    """Print a result on stdout: lines for people, or one JSON object for programs."""
    print(json.dumps(result, default=str) if as_json else "\n".join(map(shown, lines)))


def tell_set_aside(failed: Mapping[Path, str]) -> None:
    """Name on stderr the files that were set aside, and why."""
    for path, reason in sorted(failed.items()):
        # Most reasons name their file themselves.
        where = "" if shown(path) in reason else f"{shown(path)}: "
        print(f"set aside: {where}{shown(reason)}", file=sys.stderr)


def allowance(options: Any) -> Any:
    """Return what every file of a run may take, by the tool's options."""
    from fmrgb.limits import Allowance

    return Allowance(options.clip_timeout, options.clip_memory, options.workers)
