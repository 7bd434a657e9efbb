"""List the models and what they cost for clips of a given size.

Example: python tools/models.py --frames 16 --size 112
"""

import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, get_args

from fmrgb_tools.command import OK, run_tool, show

from fmrgb.train_options import ModelSize, ModelsOptions

if TYPE_CHECKING:
    from torch import nn

    from fmrgb.card import ClipShape

SIDE = 64  # pixels, where --size is not given
N_PASSES = 5  # forward passes of which the median is told


def work(options: ModelsOptions) -> int:
    """Build every model of the registry, count, print a table."""
    import torch

    from fmrgb.card import ClipShape
    from fmrgb.models import MODELS, build_model

    width, height = options.size or (SIDE, SIDE)
    clip = ClipShape(options.channels_count, options.frames, height, width)
    heard = range(clip.channels - options.sound_count, clip.channels)
    built: dict[str, Any] = {"sound": heard, "fusion": options.fusion}
    listed = []
    for name, entry in MODELS.items():
        for size in entry.sizes:
            with torch.device("meta"):
                model = build_model(name, size, clip, options.classes, **built)
            costs: dict[str, Any] = {
                "learnmethod": name,
                "model_size": size,
                "parameters": sum(p.numel() for p in model.parameters()),
                "gflops": forward_flops(model, clip) / 1e9,
            }
            if options.measure:
                model = build_model(name, size, clip, options.classes, **built)
                costs["ms_per_clip"] = forward_ms(model, clip)
            listed.append({**costs, "paper": entry.source})
    shape = {**clip._asdict(), "sound": len(heard), "classes": options.classes}
    result = {"clip": shape, "fusion": options.fusion, "models": listed}
    told = (
        f"a clip of {clip.channels} planes, {len(heard)} of them sound, {clip.frames} "
        f"frames of {width}x{height}; {options.classes} classes; fusion "
        f"{options.fusion}"
    )
    show(result, [told, *table(listed)], as_json=options.json)
    return OK


def forward_flops(model: "nn.Module", clip: "ClipShape") -> int:
    """Count the floating-point operations of one clip's way through a model.

    Two per multiply-add, of convolutions and matrix products (attention's too); what
    is done number by number (normalisation, activations) is left out, as in the
    literature.

    Args:
        model: on the meta device: on a processor attention is one operation, which
            torch's counter passes over.
        clip: sizes of the clip.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.eval()(torch.empty(1, *clip, device="meta"))
    return int(counter.get_total_flops())


def forward_ms(model: "nn.Module", clip: "ClipShape") -> float:
    """Measure the milliseconds of one clip's way through a model on this processor."""
    import torch

    clip_BCTHW = torch.rand(1, *clip)
    model.eval()
    seconds = []
    with torch.inference_mode():
        model(clip_BCTHW)  # the first pass also finds out how to work
        for _ in range(N_PASSES):
            start = time.perf_counter()
            model(clip_BCTHW)
            seconds.append(time.perf_counter() - start)
    return 1000 * median(seconds)


def table(listed: Sequence[dict[str, Any]]) -> list[str]:
    """Lay the costs out as lines with a heading."""
    timed = "ms_per_clip" in listed[0]
    heading = f"{'--learnmethod':15}{'--model_size':14}{'parameters':>12}{'GFLOPs':>10}"
    lines = [heading + (f"{'ms/clip':>10}" if timed else "") + "  paper"]
    for costs in listed:
        size = costs["model_size"]
        flag = size if size in get_args(ModelSize) else f"base ({size})"
        line = f"{costs['learnmethod']:15}{flag:14}"
        line += f"{costs['parameters']:>12,}{costs['gflops']:>10.2f}"
        line += f"{costs['ms_per_clip']:>10.1f}" if timed else ""
        lines.append(f"{line}  {costs['paper']}")
    if any(costs["model_size"] not in get_args(ModelSize) for costs in listed):
        lines.append("in brackets: what base becomes for the weights of --init FILE")
    return lines


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("models", ModelsOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
