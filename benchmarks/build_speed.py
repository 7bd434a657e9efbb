"""What a sample costs, beside the floor: decoding its clip and keeping nothing.

Makes its own clips (see build_clips.py), takes some real ones where they are at hand,
and times all ways in turn. Measurements are kept in benchmarks/.work, so that some can
be taken anew (`--only 480x270 --only workers`) and the page holds all. Run by
`make bench`; `make bench-peers` installs torchcodec and decord for the comparison.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import build_peers
from build_clips import CLIPS, floor, make_clip, picture_rate, real_clips, spent_s
from build_cost import bytes_on_disk, of_workers, peaks_mib, startup_s
from build_first import first_version
from build_tables import page
from results import Times, machine, measure, ratio, write_part

from fmrgb.build import Recipe, make_sample
from fmrgb.preflight import Found, survey

WORK = Path(__file__).parent / ".work" / "build"
SMALL = (64, 64)
RECIPES = {
    "simple": Recipe(frames=64, size=SMALL),
    "mel": Recipe(frames=64, size=SMALL, audiomethod="mel"),
    "full size": Recipe(),
}
IN_A_ROW = 3  # clips per turn and way, as a folder has many
Measured = dict[str, Any]


def timed(ways: dict[str, Callable[[], object]], repeats: int) -> Times:
    """Measure processor time in ms per clip, several in a row, the ways in turn."""

    def row(way: Callable[[], object]) -> None:
        for _ in range(IN_A_ROW):
            way()

    rows = {name: partial(row, way) for name, way in ways.items()}
    times = measure(rows, repeats, spent_s)
    return {n: [ms / IN_A_ROW for ms in all_ms] for n, all_ms in times.items()}


def maker(clip: Path, folder: Path, recipe: Recipe) -> Callable[[], None]:
    """Return the making of one sample, from nothing each time."""
    found: Found = survey(clip, output=folder).found[0]

    def make() -> None:
        found.sample.unlink(missing_ok=True)
        make_sample((found, recipe))

    return make


def told(times: Times) -> Measured:
    """Return, for every way, its median in ms and its ratios to the floor."""
    return {
        name: {"ms": statistics.median(all_ms), "ratio": ratio(times, name, "floor")}
        for name, all_ms in times.items()
    }


def of_size(name: str, folder: Path, repeats: int) -> Measured:
    """Measure the floor and every recipe on one clip."""
    clip = make_clip(folder, name)
    ways = {kind: maker(clip, folder, recipe) for kind, recipe in RECIPES.items()}
    times = timed({"floor": partial(floor, clip), **ways}, repeats)
    return {"kb/s": picture_rate(clip), "ways": told(times)}


def of_peers(folder: Path, repeats: int) -> Measured:
    """Measure the same sample, made with other decoders."""
    clip = make_clip(folder, "480x270")
    found = build_peers.peers(clip, folder, RECIPES["simple"])
    here = {"fmrgb": maker(clip, folder, RECIPES["simple"])}
    ways = here | {name: way for name, way in found.items() if way}
    times = timed({"floor": partial(floor, clip), **ways}, repeats)
    missing = [name for name, way in found.items() if not way]
    return {"ways": told(times), "missing": missing}


def of_first(folder: Path, repeats: int) -> Measured:
    """Measure the first version's way, which keeps all frames at full size."""
    clip, sample = make_clip(folder, "480x270"), folder / "first.pt"
    ways = {
        "floor": partial(floor, clip),
        "simple": partial(first_version, clip, sample, mel=False),
        "mel": partial(first_version, clip, sample, mel=True),
    }
    times = measure(ways, repeats, spent_s)
    n_bytes = sample.stat().st_size
    sample.unlink()
    return {"ways": told(times), "bytes": n_bytes}


def of_real(folder: Path, repeats: int) -> Measured | None:
    """Measure the floor and the recipes on real clips, all of them as one."""
    clips = real_clips()
    if not clips:
        return None

    def all_of(ways: list[Callable[[], object]]) -> None:
        for way in ways:
            way()

    ways: dict[str, Callable[[], object]] = {
        "floor": partial(all_of, [partial(floor, clip) for clip in clips])
    }
    for kind in ("simple", "mel"):
        makers = [maker(clip, folder, RECIPES[kind]) for clip in clips]
        ways[kind] = partial(all_of, makers)
    return {"clips": len(clips), "ways": told(measure(ways, repeats, spent_s))}


def main() -> int:
    """Measure what is asked for, and write the page of all."""
    folder = WORK / "clips"
    sections: dict[str, Callable[[int], object]] = {
        **{n: lambda r, n=n: of_size(n, folder, r) for n in CLIPS},
        "fights": lambda r: of_real(folder, max(1, r // 3)),
        "peers": lambda r: of_peers(folder, max(1, r // 2)),
        "first": lambda _: of_first(folder, 2),
        "startup": lambda r: startup_s(make_clip(folder, "480x270"), folder, r),
        "workers": lambda _: of_workers(make_clip(folder, "480x270"), folder, 3),
        "memory": lambda _: peaks_mib(
            {n: make_clip(folder, n) for n in ("480x270", "1280x720")}, folder
        ),
        "disk": lambda _: bytes_on_disk(make_clip(folder, "480x270"), folder),
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=11, help="timed turns")
    parser.add_argument("--only", action="append", choices=list(sections))
    parser.add_argument("--install", action="store_true", help="the peers, and end")
    asked = parser.parse_args()
    if asked.install:
        build_peers.install()
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    (WORK / ".gitignore").write_text("*\n")
    kept = WORK / "measured.json"
    measured: Measured = json.loads(kept.read_text()) if kept.exists() else {}
    for name in asked.only or sections:
        print(name, file=sys.stderr)
        measured[name] = sections[name](asked.repeats)
        measured["machine"] = machine("av", "numpy", "torch")
        kept.write_text(json.dumps(measured, indent=1))
    lines = page(measured)
    write_part("build", lines)
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
