"""List the models and what they cost for clips of a given size.

Example: python tools/models.py --frames 16 --size 112
"""

import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, get_args

from fmrgb_tools.command import OK, run_tool, show

from fmrgb.model_options import TIMM, ModelSize, ModelsOptions

if TYPE_CHECKING:
    from torch import nn

    from fmrgb.card import ClipShape

SIDE = 64  # pixels, where --size is not given
SMALL_GFLOPS = 0.1  # if any costs less, one more digit is told
N_PASSES = 5  # forward passes of which the median is told


def work(options: ModelsOptions) -> int:
    """Build every model of the registry, count, print a table."""
    from fmrgb.card import ClipShape
    from fmrgb.errors import FmrgbError
    from fmrgb.models import MODELS, TWO_BRANCHES, entry_of

    width, height = options.size or (SIDE, SIDE)
    clip = ClipShape(options.channels_count, options.frames, height, width)
    heard = range(clip.channels - options.sound_count, clip.channels)
    names = [options.learnmethod] if options.learnmethod else [*MODELS, *TWO_BRANCHES]
    listed, left_out = [], []
    for name in names:
        entry = entry_of(name)
        for size in entry.sizes:
            try:
                costs = costs_of(name, size, clip, heard, options)
            except FmrgbError as error:
                if options.learnmethod:
                    raise
                left_out.append(f"{name} {size}: {error}")
                continue
            listed.append({**costs, "paper": entry.source})
    shape = {**clip._asdict(), "sound": len(heard), "classes": options.classes}
    result: dict[str, Any] = {"clip": shape, "fusion": options.fusion}
    result |= {"models": listed, "left_out": left_out}
    told = (
        f"a clip of {clip.channels} planes, {len(heard)} of them sound, {clip.frames} "
        f"frame{'s' * (clip.frames > 1)} of {width}x{height}; {options.classes} "
        f"classes; fusion {options.fusion}"
    )
    lines = [told, *table(listed), *(f"left out: {line}" for line in left_out)]
    if not options.learnmethod:
        lines.append(f"{TIMM}<name>: any of timm's; --learnmethod {TIMM}<name> tells")
    show(result, lines, as_json=options.json)
    return OK


def costs_of(
    name: str, size: str, clip: "ClipShape", heard: range, options: ModelsOptions
) -> dict[str, Any]:
    """Build one model and say what it costs.

    Args:
        name: as --learnmethod takes it.
        size: one of its sizes.
        clip: sizes of one clip.
        heard: places of its sound planes; for a model of two branches the last plane
            is the one with numbers.
        options: the user's.

    Raises:
        FmrgbError: if it cannot take such clips.
    """
    import torch

    from fmrgb.models import TWO_BRANCHES, build_model
    from fmrgb.names import FEATURES

    planes = [f"plane{c}" for c in range(clip.channels)]
    if name in TWO_BRANCHES and heard:
        planes[-1] = FEATURES
    built: dict[str, Any] = {"sound": heard, "fusion": options.fusion, "planes": planes}
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
    return costs


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
    timed = any("ms_per_clip" in costs for costs in listed)
    wide = max(15, *(len(costs["learnmethod"]) + 2 for costs in listed))
    heading = f"{'--learnmethod':{wide}}{'--model_size':14}"
    heading += f"{'parameters':>12}{'GFLOPs':>10}"
    lines = [heading + (f"{'ms/clip':>10}" if timed else "") + "  paper"]
    digits = 3 if min(costs["gflops"] for costs in listed) < SMALL_GFLOPS else 2
    for costs in listed:
        size = costs["model_size"]
        flag = size if size in get_args(ModelSize) else f"base ({size})"
        flag = "" if costs["learnmethod"].startswith(TIMM) else flag
        line = f"{costs['learnmethod']:{wide}}{flag:14}"
        line += f"{costs['parameters']:>12,}{costs['gflops']:>10.{digits}f}"
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
