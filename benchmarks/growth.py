"""How time and memory grow with the number of clips, and with the rows of a manifest.

Cuts seconds from real clips, writes each under as many names as are asked for (a box
that holds a number makes their bytes differ), and measures every step in a program of
its own: building, opening, auditing, splitting and loading 10 to 10,000 clips, then a
manifest of a million rows. What is measured is kept in the work folder; a run that was
stopped goes on where it was. Writes the part "growth" of benchmarks/RESULTS.md.

    python benchmarks/growth.py --most 1000 --rows 100000
"""

import argparse
import hashlib
import json
import math
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from growth_steps import AFTER, CLIP_STEPS, ROW_STEPS
from results import machine, write_part

from fmrgb.cells import write_csv
from fmrgb.ffmpeg_program import find_program
from fmrgb.files import whole_file

CLIPS = Path(__file__).parents[2] / "shared" / "data" / "fights"
N_CUTS = 8  # seconds cut from as many clips
PER_SOURCE = 20  # clips
SMALLEST = 10  # clips
REPEATS = 3  # of what is small
SMALL = 1000  # clips; more are measured once
MOST_MIB = 2048  # for any step on all rows of a manifest
STEEP = 1.1  # an exponent above it is worse than linear
COLUMNS = ("path", "label", "group", "has_sound", "silent", "fps", "frames", "seconds")
FACTS = ("height", "width", "checksum", "source_width", "source_height")
Cost = dict[str, float]


def cut_seconds(folder: Path) -> list[Path]:
    """Cut one second from some of the real clips, 160 pixels wide, with its sound."""
    folder.mkdir(parents=True, exist_ok=True)
    program = [str(find_program().path), "-v", "error", "-nostdin", "-y"]
    every = sorted(CLIPS.glob("*/*.mp4"))
    small = ["-vf", "scale=160:-2", "-c:v", "libx264", "-c:a", "aac"]
    made = []
    for clip in every[:: len(every) // N_CUTS][:N_CUTS]:
        path = folder / f"{clip.parent.name}-{clip.name}"
        if not path.exists():
            with whole_file(path) as part:
                words = ["-ss", "1", "-t", "1", "-i", str(clip), *small, str(part)]
                subprocess.run([*program, *words], check=True)
        made.append(path)
    return made


def spread(cuts: Sequence[Path], folder: Path, n: int) -> None:
    """Write n clips of different bytes in two labels, and what source each is from."""
    texts = [cut.read_bytes() for cut in cuts]
    records = []
    for number in range(n):
        clip = folder / "clips" / "ab"[number % 2] / f"{number:06d}.mp4"
        clip.parent.mkdir(parents=True, exist_ok=True)
        # A box of 16 bytes that players skip (ISO/IEC 14496-12, 8.1.2).
        box = struct.pack(">I4sQ", 16, b"free", number)
        clip.write_bytes(texts[number % len(texts)] + box)
        group = f"source {number // PER_SOURCE}" if n > SMALLEST else f"{number}"
        records.append({"path": clip.relative_to(folder), "group": group})
    write_csv(folder / "groups.csv", ("path", "group"), records)


def write_rows(path: Path, n: int, samples: Path) -> None:
    """Write a manifest of n rows; links lead to the same samples by as many paths."""
    found = sorted(p.relative_to(samples) for p in samples.glob("*/*.pt"))
    links = path.with_name("links")
    links.mkdir(exist_ok=True)
    for link in range(-(-n // len(found))):
        (links / f"{link:05d}").unlink(missing_ok=True)
        (links / f"{link:05d}").symlink_to(samples)

    def records() -> Iterator[dict[str, Any]]:
        for number in range(n):
            link, place = divmod(number, len(found))
            cells: tuple[Any, ...] = (
                f"links/{link:05d}/{found[place].as_posix()}",
                found[place].parent.name,
                f"source {number // PER_SOURCE}",
                str(number % 17 > 0).lower(),
                "false",
                (25, 29.97, 30)[number % 3],
                8,
                1 + number * 7919 % 5000 / 1000,
                *(32, 32),
                hashlib.sha256(str(number).encode()).hexdigest(),
                *((640, 360), (480, 270), (1280, 720))[number * 31 % 7 % 3],
            )
            yield dict(zip(COLUMNS + FACTS, cells, strict=True))

    write_csv(path, COLUMNS + FACTS, records())


def cost_of(step: str, where: Path) -> Cost:
    """Measure a step in a program of its own."""
    script = Path(__file__).with_name("growth_steps.py")
    done = subprocess.run(
        [sys.executable, str(script), step, str(where)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    cost: Cost = json.loads(done.stdout.splitlines()[-1])
    return cost


class Kept:
    """Costs by step and number, in a file, so that nothing is measured twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.costs: dict[str, Cost] = {}
        if path.exists():
            self.costs = json.loads(path.read_text())

    def of(self, step: str, n: int, where: Path) -> Cost:
        """Return what a step takes; measure it if that is not known."""
        key = f"{step} {n}"
        if key not in self.costs:
            turns = range(REPEATS if n <= SMALL else 1)
            costs = [cost_of(step, where) for _ in turns]
            self.costs[key] = {
                name: statistics.median(cost[name] for cost in costs)
                for name in costs[0]
            }
            with whole_file(self._path) as part:
                part.write_text(json.dumps(self.costs, indent=1))
            print(key, self.costs[key], file=sys.stderr)
        return self.costs[key]


def exponent(numbers: Sequence[int], costs: Sequence[Cost]) -> float:
    """Return by which power of the number time grows, at its steepest."""
    told = list(zip(numbers, costs, strict=True))
    return max(
        math.log(b["cpu_s"] / a["cpu_s"]) / math.log(m / n)
        for (n, a), (m, b) in pairwise(told)
    )


def goals(kept: Kept, clips: dict[int, Path], rows: dict[int, Path]) -> list[str]:
    """Say which goals are met, from what is known."""
    slopes = {}
    for steps, places in ((CLIP_STEPS, clips), (ROW_STEPS, rows)):
        for step in steps:
            costs = [kept.of(step, n, where) for n, where in places.items()]
            slopes[step] = exponent(list(places), costs)
    steepest = max(slopes, key=lambda step: slopes[step])
    linear = "yes" if slopes[steepest] <= STEEP else "**no**"
    most = max(rows)
    peak = max(kept.of(step, most, rows[most])["peak_mib"] for step in ROW_STEPS)
    return [
        "| goal | figure | met |",
        "|---|---|---|",
        f"| no step worse than linear | steepest: {steepest}, exponent "
        f"{slopes[steepest]:.2f} | {linear} |",
        f"| a manifest of {most:,} rows is split and sampled in bounded memory | "
        f"{peak:,.0f} MiB at most, program included, under {MOST_MIB:,} | "
        f"{'yes' if peak <= MOST_MIB else '**no**'} |",
    ]


def table(kept: Kept, steps: Iterable[str], places: dict[int, Path]) -> list[str]:
    """Write a row per step: time and memory at each number, and how they grow."""
    numbers = list(places)
    heads = [f"{n:,}: s (MiB)" for n in numbers]
    rows = [
        f"| step | {' | '.join(heads)} | steepest exponent | bytes each | linear |",
        f"|---|{'---:|' * len(heads)}---:|---:|---|",
    ]
    for step in steps:
        costs = [kept.of(step, n, where) for n, where in places.items()]
        cells = [f"{c['cpu_s']:.2f} ({c['peak_mib']:.0f})" for c in costs]
        steepest = exponent(numbers, costs)
        more = (costs[-1]["peak_mib"] - costs[0]["peak_mib"]) * 2**20
        each = max(0.0, more / (numbers[-1] - numbers[0]))
        linear = "yes" if steepest <= STEEP else "**no**"
        cells += [f"{steepest:.2f}", f"{each:,.0f}", linear]
        rows.append(f"| {step} | {' | '.join(cells)} |")
    return rows


def main() -> int:
    """Measure what is not known yet and write the part."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--most", type=int, default=10_000, help="clips")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of a manifest")
    default = Path(tempfile.gettempdir()) / "fmrgb-growth"
    parser.add_argument("--work", type=Path, default=default, help="folder for it all")
    asked = parser.parse_args()
    kept = Kept(asked.work / "costs.json")
    cuts = cut_seconds(asked.work / "cuts")
    exponents = range(1, round(math.log10(asked.most)) + 1)
    of_clips = {10**e: asked.work / f"clips{10**e}" for e in exponents}
    for n, folder in of_clips.items():
        if not (folder / "groups.csv").exists():
            spread(cuts, folder, n)
    for n, folder in of_clips.items():  # rows lead to the samples
        kept.of("build", n, folder)
    samples = of_clips[asked.most] / "samples"
    counts = (asked.rows // 100, asked.rows // 10, asked.rows)
    of_rows = {n: asked.work / f"rows{n}.csv" for n in counts}
    for n, path in of_rows.items():
        if not path.exists():
            write_rows(path, n, samples.resolve())
    lines = [
        machine("av", "torch", "scikit-learn"),
        "",
        *goals(kept, of_clips, of_rows),
        "",
        f"Every step runs in a program of its own, one process; processor s without "
        f"imports, and in brackets the most memory the program held (medians of "
        f"{REPEATS} up to {SMALL:,}). The exponent is the largest between neighbouring "
        f"numbers; {STEEP} and below counts as linear. `bytes each` is "
        "what a clip adds to the memory.",
        "",
        "Clips of 1 s, 160 pixels wide, as samples of 8 frames of 32x32x5:",
        "",
        *table(kept, CLIP_STEPS, of_clips),
    ]
    lines += ["", f"A manifest, {PER_SOURCE} clips to a source:", ""]
    lines += [*table(kept, ROW_STEPS, of_rows), "", *AFTER]
    write_part("growth", lines)
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
