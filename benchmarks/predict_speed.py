"""How long prediction takes, beside the floor: decoding its clips and keeping nothing.

Judges real clips one after the other, an hour that is one clip over and over, and one
clip from a cold start, and writes the part "prediction" of benchmarks/RESULTS.md.
Needs a model that was trained on clips like them:

    python benchmarks/predict_speed.py --model run/best.ckpt --onnx run/best.onnx
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import torch
from build_speed import floor
from command_cost import Cost, cost_of
from results import machine, measure, write_part

from fmrgb.errors import FmrgbError
from fmrgb.ffmpeg_program import find_program
from fmrgb.opened import Opened, open_model
from fmrgb.predict import predict_one, prepare_clip

HERE = Path(__file__).parent
CLIPS = HERE.parent.parent / "shared" / "data" / "fights"
LOOPED = CLIPS / "fight" / "fi015.mp4"  # 640x360 at 30 fps with sound
HOUR = 3600  # s


def predict(model: Path, target: Path, output: Path, *words: str) -> list[str]:
    """Return the command that a user would type."""
    tool = [sys.executable, str(HERE.parent / "tools" / "predict.py")]
    asked = ["--model", str(model), "--target", str(target), "--output", str(output)]
    return [*tool, *asked, *words]


def of_clips(opened: Opened, clips: list[Path], repeats: int) -> list[str]:
    """Time every clip alone, one thread: floor, preparing, whole answer."""
    sums: dict[str, float] = {}
    n_clips = 0
    for clip in clips:
        try:
            predict_one(opened, clip)
        except FmrgbError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        n_clips += 1
        ways: dict[str, Callable[[], object]] = {
            "floor: decode, keep nothing": partial(floor, clip),
            "decode and prepare": partial(prepare_clip, clip, opened.card),
            "decode, prepare and judge": partial(predict_one, opened, clip),
        }
        for name, times_ms in measure(ways, repeats, time.process_time).items():
            sums[name] = sums.get(name, 0.0) + statistics.median(times_ms)
    base = sums["floor: decode, keep nothing"]
    rows = [
        f"| {name} | {ms / n_clips:.1f} | {1e3 * n_clips / ms:.1f} | {ms / base:.2f} |"
        for name, ms in sums.items()
    ]
    heads = [
        "| way | processor ms per clip | clips/s per core | x floor |",
        "|---|---:|---:|---:|",
    ]
    said = f"{n_clips} clips, each alone in one thread, medians of {repeats} turns:"
    return [said, "", *heads, *rows]


def make_hour(folder: Path) -> Path:
    """Write one clip over and over until it makes an hour."""
    path = folder / "hour.mp4"
    program = [str(find_program().path), "-v", "error", "-nostdin", "-y"]
    words = ["-stream_loop", "-1", "-i", str(LOOPED), "-c", "copy", "-t", str(HOUR)]
    subprocess.run([*program, *words, str(path)], check=True)
    return path


def of_hour(model: Path, folder: Path) -> list[str]:
    """Judge an hour in one program; and decode it, keeping nothing."""
    hour = make_hour(folder)
    with av.open(str(hour)) as container:
        video = container.streams.video[0]
        what = f"{video.width}x{video.height}, {float(video.average_rate or 0):g} fps"
        seconds = float((container.duration or 0) / av.time_base)
    start, cpu = time.perf_counter(), time.process_time()
    floor(hour)
    decoded = Cost(time.perf_counter() - start, time.process_time() - cpu, 0)
    rows = [_hour("floor: decode, keep nothing", decoded, seconds)]
    command = predict(model, hour, folder / "out", "--workers", "1")
    rows.append(_hour("predict --workers 1", cost_of(command), seconds))
    heads = [
        "| way | processor s | x real time per core | wall s | peak memory MiB |",
        "|---|---:|---:|---:|---:|",
    ]
    return [f"One recording of {seconds:.0f} s, {what}, with sound:", "", *heads, *rows]


def _hour(name: str, cost: Cost, seconds: float) -> str:
    peak = f"{cost.peak_mib:.0f}" if cost.peak_mib else "-"
    cells = (name, f"{cost.cpu_s:.0f}", f"{seconds / cost.cpu_s:.0f}")
    return f"| {' | '.join(cells)} | {cost.wall_s:.0f} | {peak} |"


def of_start(models: list[Path], folder: Path, repeats: int) -> list[str]:
    """Judge one short clip from a cold start."""
    rows = []
    for model in models:
        command = predict(model, LOOPED, folder / "one")
        costs = [cost_of(command) for _ in range(repeats)]
        wall = statistics.median(cost.wall_s for cost in costs)
        cpu = statistics.median(cost.cpu_s for cost in costs)
        rows.append(f"| {model.suffix} | {cpu:.2f} | {wall:.2f} |")
    heads = [
        "| model | processor s | wall s |",
        "|---|---:|---:|",
    ]
    said = f"From the command to the answer for one clip, medians of {repeats}:"
    return [said, "", *heads, *rows]


def main() -> int:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a checkpoint")
    parser.add_argument("--onnx", type=Path, help="the same model, exported")
    parser.add_argument("--clips", type=int, default=60, help="how many clips")
    parser.add_argument("--repeats", type=int, default=5, help="timed turns")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    opened = open_model(asked.model)
    card = opened.card
    every = sorted(CLIPS.glob("*/*.mp4"))
    clips = every[:: max(1, len(every) // asked.clips)][: asked.clips]
    lines = [
        f"{machine('av', 'torch')} {card.model} {card.model_size} on "
        f"{card.view.frames} frames of "
        f"{card.view.width}x{card.view.height}x{len(card.view.channels)}.",
        "`floor` decodes picture and sound of the same file and keeps nothing. "
        "Processor time is what counts: other work on the machine lengthens only the "
        "wall clock.",
        "",
        *of_clips(opened, clips, asked.repeats),
        "",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines += of_hour(asked.model, folder)
        models = [asked.model, *([asked.onnx] if asked.onnx else [])]
        lines += ["", *of_start(models, folder, asked.repeats)]
    write_part("prediction", lines)
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
