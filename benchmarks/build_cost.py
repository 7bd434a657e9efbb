"""What building takes besides time per clip: start-up, memory, workers, disk."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from build_clips import FIGHTS, SECONDS, lengthen

from fmrgb.build import Recipe, build
from fmrgb.preflight import survey
from fmrgb.sample import load_sample

TOOL = Path(__file__).parents[1] / "tools" / "create_fmrgbdata.py"
SMALL = ("--size", "64", "--frames", "64")
COPIES = 80  # of one clip, where there are no real ones
LONG = 20  # minutes
# Says when a clip is opened for the second time: the first is for its header alone.
HOOK = """
import runpy, sys, time
opened = 0
def heed(event, words):
    global opened
    if event == "open" and str(words[0]).endswith(".mp4"):
        opened += 1
        if opened == 2:
            print(time.time(), flush=True)
sys.addaudithook(heed)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# Its own program: the peak counts from the start of the process.
PEAK = """
import json, sys
from pathlib import Path
from fmrgb.build import Recipe, make_sample
from fmrgb.preflight import survey
size = (64, 64)
recipes = {
    "simple": Recipe(frames=64, size=size),
    "mel": Recipe(frames=64, size=size, audiomethod="mel"),
    "all frames": Recipe(size=size),
    "full size": Recipe(),
}
found = survey(Path(sys.argv[1]), output=Path(sys.argv[2])).found[0]
make_sample((found, recipes[sys.argv[3]]))
found.sample.unlink()
status = Path("/proc/self/status").read_text().splitlines()
print(json.dumps([line.split()[1] for line in status if line[:5] == "VmHWM"]))
"""


def startup_s(clip: Path, folder: Path, repeats: int) -> float:
    """Return the time from the command to its first clip, in s, at the median."""
    words = ["--target", str(clip), *SMALL, "--json"]
    times = []
    for turn in range(repeats + 1):
        output = folder / f"start{turn}"
        command = [sys.executable, "-c", HOOK, str(TOOL), *words]
        start = time.time()
        done = subprocess.run(
            [*command, "--workers", "1", "--output", str(output)],
            capture_output=True,
            check=True,
        )
        if turn:  # the first one brings the files into memory
            times.append(float(done.stdout.split()[0]) - start)
        shutil.rmtree(output)
    return statistics.median(times)


def peaks_mib(clips: dict[str, Path], folder: Path) -> dict[str, float]:
    """Return the largest memory of a worker, in MiB, by clip and recipe."""
    longest = lengthen(clips["480x270"], LONG)
    asked = [(n, c, k) for n, c in clips.items() for k in ("simple", "full size")]
    asked.append(("480x270", clips["480x270"], "mel"))
    kinds = ("simple", "mel", "all frames")
    asked += [(f"480x270, {LONG} min", longest, kind) for kind in kinds]
    found = {}
    for name, clip, kind in asked:
        command = [sys.executable, "-c", PEAK, str(clip), str(folder / "peak"), kind]
        done = subprocess.run(command, capture_output=True, check=True)
        found[f"{name}, {kind}"] = int(json.loads(done.stdout)[0]) / 1024
    return found


def of_workers(clip: Path, folder: Path, repeats: int) -> list[dict[str, float]]:
    """Return wall times in s of one and two workers, and clips/s between clips.

    The first include start-up; the latter count from an eighth of the clips to the
    last one, which is what a large folder comes to.
    """
    target = FIGHTS
    if not target.exists():
        target = folder / "copies"
        target.mkdir(exist_ok=True)
        for n in range(COPIES):
            if not (target / f"{n}.mp4").exists():
                os.link(clip, target / f"{n}.mp4")
    found = []
    for _ in range(repeats):
        turn: dict[str, float] = {}
        for workers in (1, 2):
            output = folder / f"workers{workers}"
            words = ["--target", str(target), "--output", str(output), *SMALL]
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, str(TOOL), *words, "--workers", str(workers)],
                capture_output=True,
                check=True,
            )
            turn[f"{workers} s"] = time.perf_counter() - start
            done_s = sorted(p.stat().st_mtime for p in output.rglob("*.pt"))
            late = done_s[len(done_s) // 8 :]
            turn[f"{workers} clips/s"] = (len(late) - 1) / (late[-1] - late[0])
            turn["clips"] = len(done_s)
            shutil.rmtree(output)
        found.append(turn)
    return found


def bytes_on_disk(clip: Path, folder: Path) -> dict[str, float]:
    """Return bytes per pixel and frame of samples of one clip, by recipe."""
    recipes = {
        "simple": Recipe(frames=64, size=(64, 64)),
        "mel": Recipe(frames=64, size=(64, 64), audiomethod="mel"),
        "full size": Recipe(frames=SECONDS * 30),
    }
    found = {}
    for name, recipe in recipes.items():
        output = folder / "disk"
        built = build(survey(clip, output=output), recipe, folder=output)
        sample = built.rows[0].path
        n_frames, height, width, _ = load_sample(sample).shape
        found[name] = sample.stat().st_size / (n_frames * height * width)
        shutil.rmtree(output)
    return found
