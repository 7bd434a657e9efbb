"""Atheris, which learns what bytes reach new code, at what reads a stranger's files.

Run as `python fuzz.py pt|csv|options FOLDER SECONDS`; ends with status 0 if nothing but
a refusal in a sentence ever came.
"""

import sys
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from pathlib import Path

import atheris

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS), str(TESTS.parent), str(Path(__file__).parent)]

import torch  # noqa: F401, E402  before what is instrumented

with atheris.instrument_imports(include=["fmrgb", "fmrgb_tools"]):
    from fmrgb_tools.command import Parser

    from fmrgb.cells import read_csv
    from fmrgb.errors import FmrgbError
    from fmrgb.manifest import read_manifest
    from fmrgb.options import BuildOptions
    from fmrgb.predict_options import PredictOptions
    from fmrgb.sample import load_sample
    from fmrgb.train_options import TrainOptions

MOST_BYTES = 5000  # of an input
OPTIONS = (BuildOptions, TrainOptions, PredictOptions)
NEEDED = (["--target", "a"], ["--data", "a"], ["--model", "a", "--target", "b"])
WORDS = (
    b"--frames\0max\0--size\00064x64\0--fmrgb\0true\0--skip\0002",
    b"--lr\0001e-3\0--epochs\0003\0--channels\0R,G\0--usescheduler\0false",
    b"--threshold\0000.5\0--window\0002.5\0--render",
)


def seeds(kind: str, folder: Path) -> None:
    """Write inputs to begin with."""
    import tiny
    import traps

    folder.mkdir(exist_ok=True)
    if kind == "pt":
        traps.saved(traps.content(), folder / "whole")
        traps.saved(traps.content(), folder / "legacy", legacy=True)
    elif kind == "csv":
        tiny.manifest(folder.parent / "samples", 2)
        data = (folder.parent / "samples" / "manifest.csv").read_bytes()
        (folder / "manifest").write_bytes(data)
    else:
        for at, words in enumerate(WORDS):
            (folder / str(at)).write_bytes(bytes([at]) + words)


def reads_pt(folder: Path) -> Callable[[bytes], None]:
    """Return what reads bytes as a sample."""
    path = folder / "a.pt"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with suppress(FmrgbError):
            assert load_sample(path).clip.size < 10**7

    return read


def reads_csv(folder: Path) -> Callable[[bytes], None]:
    """Return what reads bytes as a manifest and as a table."""
    path = folder / "m.csv"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        for reader in (read_manifest, lambda p: read_csv(p, ("path",))):
            with suppress(FmrgbError):
                reader(path)

    return read


def reads_options(folder: Path) -> Callable[[bytes], None]:
    """Return what reads bytes as a command line, words parted by zeros."""
    parsers = [Parser(one, prog="tool", allow_abbrev=False) for one in OPTIONS]

    def read(data: bytes) -> None:
        words = data[1:].decode("utf-8", "surrogateescape").split("\0")
        which = (data[0] if data else 0) % len(parsers)
        # As the tools expect them; help is said often.
        with suppress(SystemExit, ValueError), redirect_stderr(sys.stdout):
            parsers[which].parse_args([*NEEDED[which], *words])

    return read


READERS = {"pt": reads_pt, "csv": reads_csv, "options": reads_options}


def main() -> None:
    """Fuzz one kind."""
    kind, folder, seconds = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    seeds(kind, folder / "seeds")
    sys.stdout = open(folder / "said", "w")  # noqa: SIM115  help is said often
    words = [sys.argv[0], f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}"]
    words += ["-rss_limit_mb=4096", "-timeout=20", f"-artifact_prefix={folder}/"]
    atheris.Setup([*words, str(folder / "seeds")], READERS[kind](folder))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
