"""One page of what was measured: every script writes its part, and the page is all.

A part is a file in benchmarks/results; benchmarks/RESULTS.md is their sum, in the order
of PARTS. A part may be measured anew without the others.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE / "RESULTS.md"
# Name of each part -> its heading.
PARTS = {
    "build": "Building samples",
    "training": "Training",
    "prediction": "Prediction",
    "startup": "Start-up",
    "growth": "Growth",
    "pack": "Packed samples",
}
# Pages of their own, where they have been written -> what they hold.
PAGES = {
    "SEARCH.md": "what the learning-rate search costs beside a full grid, and its rate",
    "ACCURACY.md": "accuracy on real clips, with baselines",
    "SENSES.md": "sound alone, and pairs of picture and sound with gaps",
}
Times = dict[str, list[float]]


def write_part(name: str, lines: Sequence[str], parts: Path = HERE / "results") -> None:
    """Keep what one script measured, and put the page together anew.

    Args:
        name: a key of PARTS.
        lines: Markdown below the part's heading.
        parts: where the parts are kept.
    """
    parts.mkdir(exist_ok=True)
    (parts / f"{name}.md").write_text("\n".join(lines).rstrip() + "\n")
    told = ["# What was measured", ""]
    for part, heading in PARTS.items():
        if (parts / f"{part}.md").exists():
            told += [f"## {heading}", "", (parts / f"{part}.md").read_text()]
    page = parts.parent / PAGE.name
    there = {
        name: what for name, what in PAGES.items() if page.with_name(name).exists()
    }
    links = [f"- [{name}]({name}): {what}" for name, what in there.items()]
    told += ["## On pages of their own", "", *links, ""] if links else []
    page.write_text("\n".join(told))


def machine(*packages: str) -> str:
    """Say when, on what and with which versions of packages something was measured."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    models = [line.split(":")[1].strip() for line in lines if "model name" in line]
    model = models[0] if models else platform.machine()
    return (
        f"{date.today()}, {model}, {os.cpu_count()} cores (load "
        f"{os.getloadavg()[0]:.1f}), Python {platform.python_version()}, {versions}."
    )


def measure(
    ways: Mapping[str, Callable[[], object]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Time every way `repeats` times, in turn, by a clock in s; milliseconds.

    In turn, so that whatever else the machine does meets all ways alike.
    """
    times: Times = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            start = clock()
            way()
            if turn:  # the first turn warms caches
                times[name].append(1e3 * (clock() - start))
    return times


def ratio(times: Times, of: str, to: str) -> tuple[float, float, float]:
    """Return median, lowest and highest ratio of two ways, turn by turn."""
    ratios = [a / b for a, b in zip(times[of], times[to], strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)
