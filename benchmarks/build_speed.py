"""How long a sample takes, beside the floor: decoding its clip and keeping nothing.

Makes its own clips (5 s, 30 fps, H.264 and AAC, moving pictures with grain), times each
way in turn so that whatever else the machine does meets all of them alike, and writes
benchmarks/RESULTS.md. Run it by `make bench`.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path

import av

from fmrgb.build import Recipe, make_sample
from fmrgb.ffmpeg_program import find_program
from fmrgb.preflight import Found, survey

SECONDS, FPS = 5, 30
CLIPS = {"480x270": "1M", "640x360": "1500k", "1280x720": "4M"}  # size -> bit rate
RESULTS = Path(__file__).parent / "RESULTS.md"


def make_clip(folder: Path, size: str, rate: str) -> Path:
    """Draw one clip with ffmpeg's own sources."""
    path = folder / f"clip{size}.mp4"
    picture = f"testsrc2=size={size}:rate={FPS}:duration={SECONDS},noise=alls=12:allf=t"
    sound = f"sine=frequency=700:beep_factor=3:sample_rate=44100:duration={SECONDS}"
    sources = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound]
    video = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-b:v", rate]
    audio = ["-c:a", "aac", "-b:a", "128k"]
    program = [str(find_program().path), "-v", "error", "-nostdin", "-y"]
    subprocess.run([*program, *sources, *video, *audio, str(path)], check=True)
    return path


def floor(clip: Path) -> None:
    """Decode picture and sound once, one thread, and keep nothing."""
    with av.open(str(clip)) as container:
        container.streams.video[0].thread_type = "NONE"
        tracks = [container.streams.video[0], *container.streams.audio[:1]]
        for _ in container.decode(*tracks):
            pass


def builder(found: Found, recipe: Recipe) -> Callable[[], None]:
    """Return the making of one sample, from nothing each time."""

    def make() -> None:
        found.sample.unlink(missing_ok=True)
        make_sample((found, recipe))

    return make


def measure(
    ways: Mapping[str, Callable[[], object]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time every way `repeats` times, in turn, by a clock in s; milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            start = clock()
            way()
            if turn:  # the first turn warms caches
                times[name].append(1e3 * (clock() - start))
    return times


def table(
    size: str, times: dict[str, list[float]], n_bytes: dict[str, int]
) -> list[str]:
    """Write one size's rows."""
    base = statistics.median(times["floor"])
    rows = []
    for name, all_ms in times.items():
        middle = statistics.median(all_ms)
        spread = f"{min(all_ms):.0f} to {max(all_ms):.0f}"
        kept = f"{n_bytes[name]:,}" if name in n_bytes else "-"
        cells = [size, name, f"{middle:.0f}", spread, f"{middle / base:.2f}", kept]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def main() -> int:
    """Measure all sizes and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15, help="timed turns")
    repeats = parser.parse_args().repeats
    lines = [
        "# Speed of building samples",
        "",
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, PyAV {version('av')}. One process, one thread; "
        f"clips of {SECONDS} s at {FPS} fps with sound; medians of {repeats} turns.",
        "`floor` decodes picture and sound of the same clip and keeps nothing.",
        "",
        "| clip | way | median ms | spread ms | x floor | bytes kept |",
        "|---|---|---:|---:|---:|---:|",
    ]
    recipes = {
        "simple, 64 frames of 64x64x5": Recipe(frames=64, size=(64, 64)),
        "mel, 64 frames of 64x64x5": Recipe(
            frames=64, size=(64, 64), audiomethod="mel"
        ),
        "simple, all frames, full size": Recipe(),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size, rate in CLIPS.items():
            clip = make_clip(folder, size, rate)
            found = survey(clip).found[0]
            ways: dict[str, Callable[[], None]] = {"floor": lambda c=clip: floor(c)}  # type: ignore[misc]
            n_bytes = {}
            for what, recipe in recipes.items():
                ways[what] = builder(found, recipe)
                ways[what]()
                n_bytes[what] = found.sample.stat().st_size
            lines += table(size, measure(ways, repeats), n_bytes)
    RESULTS.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
