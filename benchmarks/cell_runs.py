"""What benchmarks of many cells share: their options, their folder, one after another.

A cell is one training or search, and what it gave is kept, so that a run that was
stopped goes on where it was.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fmrgb.errors import FmrgbError
from fmrgb.files import make_folder

HERE = Path(__file__).parent
DATA = HERE.parent.parent / "shared" / "data"
CORES = os.cpu_count() or 1


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """The name that --only matches."""
        ...


OneCell = TypeVar("OneCell", bound=Named)


def parser_of(doc: str | None, folders: str) -> argparse.ArgumentParser:
    """Return a parser of the options that all of them have.

    Args:
        doc: of the script.
        folders: that its data has.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, default=DATA, help=f"folder with {folders}")
    add("--work", type=Path, help="where cells and samples are kept [benchmarks/.work]")
    add("--only", action="append", metavar="PATTERN", help="cells to run, as in --list")
    add("--list", action="store_true", help="show the cells, run none")
    add("--tables", action="store_true", help="only write the tables anew")
    add("--again", action="store_true", help="run also what is kept already")
    add("--minutes", type=float, help="start no cell after so many minutes")
    add("--threads", type=int, default=CORES, help="of every training")
    add("--workers", type=int, default=CORES, help="processes that make samples")
    add("--quick", action="store_true", help="few clips, one epoch, work folder apart")
    return parser


def work_folder(options: argparse.Namespace) -> Path:
    """Return where cells and samples are kept."""
    usual = HERE / ".work" / ("quick" if options.quick else "full")
    return options.work or usual  # type: ignore[no-any-return]


def page_folder(options: argparse.Namespace) -> Path:
    """Return where the page of tables goes; one of a trial goes beside its cells."""
    return work_folder(options) if options.quick or options.work else HERE


def chosen(cells: Sequence[OneCell], options: argparse.Namespace) -> list[OneCell]:
    """Return the cells that --only names, or all; none where it matches none."""
    patterns = options.only or ["*"]
    found = [c for c in cells if any(fnmatch(c.name, p) for p in patterns)]
    if not found:
        print(f"no cell matches {options.only}; see --list", file=sys.stderr)
    return found


def make_work_folder(work: Path) -> None:
    """Make the folder, which git is not to see but for the cells of the usual one."""
    make_folder(work)
    with suppress(FileExistsError), (work / ".gitignore").open("x") as file:
        is_usual = work == HERE / ".work" / "full"
        # Cells are what the tables are made of: small, and hours of work.
        file.write("*\n" + "!/cells/\n!/cells/**\n" * is_usual)


def in_turn(
    cells: Sequence[OneCell],
    minutes: float | None,
    is_done: Callable[[OneCell], bool],
    run: Callable[[OneCell], str],
) -> int:
    """Run the cells that are not done, in order; return how many failed.

    Args:
        cells: of the plan.
        minutes: after which none is begun.
        is_done: whether one need not be run.
        run: runs one and keeps what it gives; returns that in a few words.
    """
    most_minutes = float("inf") if minutes is None else minutes
    start, failed = time.perf_counter(), 0
    for number, cell in enumerate(cells, start=1):
        if is_done(cell):
            continue
        if time.perf_counter() - start >= 60 * most_minutes:
            print(f"stopped after {most_minutes:g} minutes; run again to go on")
            break
        print(f"[{number} of {len(cells)}] {cell.name}", end=" ", flush=True)
        try:
            told = run(cell)
        except FmrgbError as error:
            failed += 1
            told = f"failed: {error}"
        print(told, flush=True)
    return failed


def show_list(cells: Iterable[tuple[str, str, float]]) -> int:
    """Print the cells in order: state, minutes, minutes of all open ones so far.

    Args:
        cells: name, state and minutes of each.
    """
    total = 0.0
    print(f"{'state':<15}{'minutes':>8}{'to here':>9}  cell")
    for name, state, minutes in cells:
        total += minutes if state in ("open", "other settings") else 0.0
        print(f"{state:<15}{minutes:8.1f}{total:9.0f}  {name}")
    return 0


def machines_told(results: Iterable[dict[str, Any]]) -> list[str]:
    """Say on what cells ran; one sentence per kind of machine."""
    kinds: dict[str, int] = {}
    for result in results:
        versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
        device = f", device {result['device']}" if "device" in result else ""
        told = (
            f"{result['processor']}, {result['cores']} cores, {result['threads']} "
            f"thread(s){device}; {versions}"
        )
        kinds[told] = kinds.get(told, 0) + 1
    return [f"{n} cells on {told}." for told, n in kinds.items()]
