"""How long training takes, beside the plain way, the first version and others.

Every way takes its steps in a process of its own, in turn with the others, so that what
else the machine does meets all alike; times are the processor's. Run by `make bench`;
`--only conv3d` measures one model anew and keeps what was measured of the others.
"""

import argparse
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fmrgb_tools.models import forward_flops
from results import measure, write_part
from torch.nn import functional
from training_tables import page
from training_ways import LARGE, VIEW

from fmrgb.models import MODELS, build_model

HERE = Path(__file__).parent
KEPT = HERE / ".work" / "training"
WAYS = {
    model: [f"{model}/{fusion}/{kind}" for fusion in ("senses", "stack")
            for kind in ("plain/32", "ours/32", "ours/bf16")]
    for model in MODELS
}  # fmt: skip
WAYS["conv3d"] += ["conv3d/stack/first/32"]
WAYS["vivit"] += ["vivit/stack/vit-pytorch/32"]
WAYS["peers"] = ["conv3d/stack/r2plus1d/32", "conv3d/stack/base/32"]
SEEDS = {f"seeds-{model}": model for model in MODELS}
PARTS = [*WAYS, "loader", "peak", "curves", *SEEDS]


class Way:
    """A process that takes a step when it is asked to."""

    def __init__(self, name: str) -> None:
        """Start it and wait until it is ready."""
        program = [sys.executable, str(HERE / "training_ways.py"), name]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(program, text=True, **pipes)
        self.answer = self._heard()

    def _heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def step(self) -> float:
        """Return the milliseconds of one step."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._heard())

    def end(self) -> float:
        """Return its peak memory, in MiB."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        peak = float(self._heard())
        self.process.wait()
        return peak


def steps(model: str, turns: int) -> dict[str, Any]:
    """Time all ways of one model in turn: milliseconds, peak MiB."""
    told: dict[str, Any] = {"ms": {}, "mib": {}, "missing": {}}
    ways = {}
    for name in WAYS[model]:
        way = Way(name)
        if way.answer == "ready":
            ways[name] = way
        else:
            told["missing"][name] = way.answer
    for turn in range(turns + 1):
        for name, way in ways.items():
            took = way.step()
            if turn:  # the first turn warms up
                told["ms"].setdefault(name, []).append(took)
    told["mib"] = {name: way.end() for name, way in ways.items()}
    told["flops"] = {
        name: flops_of(*name.split("/")[:3])
        for name in ways
        if "/ours/" in name or "/base/" in name
    }
    return told


def flops_of(model: str, fusion: str, kind: str) -> int:
    """Count one clip's operations forward and back, back as twice forward."""
    size = "base" if kind in LARGE else "tiny"
    with torch.device("meta"):
        network = build_model(
            model, size, VIEW.shape, 2, sound=VIEW.sound_places, fusion=fusion
        )
    return 3 * forward_flops(network, VIEW.shape)


def peaks() -> dict[str, float]:
    """Measure GFLOP/s of products and convolutions at their best sizes, one thread."""
    torch.set_num_threads(1)
    told = {}
    for kind in (torch.float32, torch.bfloat16):
        name = str(kind).removeprefix("torch.")
        square = torch.randn(2048, 2048).to(kind)
        maps = torch.randn(20, 64, 64, 64).to(kind)
        maps = maps.contiguous(memory_format=torch.channels_last)
        kernel = torch.randn(128, 64, 3, 3).to(kind)
        solid = torch.randn(4, 16, 16, 32, 32).to(kind)
        solid_kernel = torch.randn(32, 16, 3, 3, 3).to(kind)
        ways = {
            "product": partial(torch.matmul, square, square),
            "conv2d": partial(functional.conv2d, maps, kernel, padding=1),
            "conv3d": partial(functional.conv3d, solid, solid_kernel, padding=1),
        }
        counts = {
            "product": 2 * 2048**3,
            "conv2d": 2 * 20 * 64 * 64 * kernel.numel(),
            "conv3d": 2 * 4 * 16 * 32 * 32 * solid_kernel.numel(),
        }
        times = measure(ways, 5, time.process_time)
        for way, all_ms in times.items():
            told[f"{way}/{name}"] = counts[way] / min(all_ms) / 1e6
    return told


def asked(script: str, *words: str) -> Any:
    """Return what another script prints as JSON."""
    program = [sys.executable, str(HERE / script), *words]
    said = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    return json.loads(said.splitlines()[-1])


def part(name: str, turns: int) -> Any:
    """Measure one part."""
    if name in WAYS:
        told = steps(name, turns)
        if name in MODELS:
            told["epoch"] = asked("training_loading.py", name, "bf16-mixed")
        return told
    if name == "loader":
        return asked("training_loading.py", "loader")
    if name == "peak":
        return peaks()
    if name == "curves":
        return {model: asked("training_parity.py", model) for model in MODELS}
    clips = sorted((HERE / ".work" / "full" / "samples").glob("fights-*"))
    if not clips:
        return {}  # `make accuracy` builds them
    return asked("training_parity.py", SEEDS[name], str(clips[0] / "manifest.csv"))


def main() -> None:
    """Measure, keep, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=PARTS, help="measure these anew")
    parser.add_argument("--turns", type=int, default=5, help="timed steps of each way")
    options = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / ".gitignore").write_text("*\n")
    for name in PARTS if options.only is None else options.only:
        found = part(name, options.turns)
        (KEPT / f"{name}.json").write_text(json.dumps(found))
    known = {f.stem: json.loads(f.read_text()) for f in sorted(KEPT.glob("*.json"))}
    write_part("training", page(known))


if __name__ == "__main__":
    main()
