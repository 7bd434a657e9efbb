"""How long the user waits before anything happens: imports, --help, the first clip.

Starts every command anew, in turn, and writes the part "startup" of
benchmarks/RESULTS.md. Run it by `make bench`.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from command_cost import Cost, cost_of
from fmrgb_tools.main import TOOLS
from results import machine, write_part

from fmrgb.ffmpeg_program import find_program

HELP_S, IMPORT_S = 0.5, 0.3  # goals, wall clock
OUT = "out"
WRONG = 2  # exit status of a wrong command line
FMRGB = str(Path(sys.executable).with_name("fmrgb"))


def make_clip(folder: Path) -> Path:
    """Draw one second of picture and sound."""
    path = folder / "label" / "clip.mp4"
    path.parent.mkdir(parents=True)
    program = [str(find_program().path), "-v", "error", "-nostdin"]
    picture = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=1"]
    sound = ["-f", "lavfi", "-i", "sine=frequency=700:duration=1"]
    subprocess.run([*program, *picture, *sound, str(path)], check=True)
    return path


def commands(folder: Path) -> dict[str, tuple[list[str], float | None, int]]:
    """Return each command with its goal in s, if it has one, and its exit status."""
    clip = make_clip(folder)
    every: dict[str, tuple[list[str], float | None, int]] = {
        "python, nothing": ([sys.executable, "-c", ""], None, 0),
        "import fmrgb": ([sys.executable, "-c", "import fmrgb"], IMPORT_S, 0),
        "fmrgb --help": ([FMRGB, "--help"], HELP_S, 0),
    }
    for tool in TOOLS:
        every[f"fmrgb {tool} --help"] = ([FMRGB, tool, "--help"], HELP_S, 0)
    wrong = [FMRGB, "train", "--data", "samples", "--epochs", "many"]
    every["a wrong command line (train)"] = (wrong, HELP_S, WRONG)
    make = [FMRGB, "create_fmrgbdata", "--target", str(clip), "--workers", "1"]
    out = ["--output", str(folder / OUT)]
    every["create_fmrgbdata, one clip of 1 s"] = ([*make, *out], None, 0)
    return every


def main() -> int:
    """Measure and write the part."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=9, help="timed turns")
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as name:
        every = commands(Path(name))
        costs: dict[str, list[Cost]] = {what: [] for what in every}
        for turn in range(repeats + 1):
            for what, (command, _, status) in every.items():
                shutil.rmtree(Path(name) / OUT, ignore_errors=True)
                cost = cost_of(command, status=status)
                if turn:  # the first turn warms caches
                    costs[what].append(cost)
    lines = [
        machine("numpy", "torch"),
        f"From the start of the program to its end, medians of {repeats} turns.",
        "",
        "| command | goal s | wall s | processor s | met |",
        "|---|---:|---:|---:|---|",
    ]
    for what, (_, goal, _) in every.items():
        wall = statistics.median(cost.wall_s for cost in costs[what])
        cpu = statistics.median(cost.cpu_s for cost in costs[what])
        met = "-" if goal is None else "yes" if wall < goal else "**no**"
        asked = "-" if goal is None else f"{goal:g}"
        lines.append(f"| {what} | {asked} | {wall:.2f} | {cpu:.2f} | {met} |")
    write_part("startup", lines)
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
