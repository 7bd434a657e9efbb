"""From torchvision's video networks, as state dicts, to conv3d with their weights.

They are r2plus1d_18, mc3_18 and r3d_18 (Tran et al. 2018, arXiv:1711.11248), trained on
16 frames of 112 x 112 of Kinetics-400; our conv3d has the same layers under names of
its own. Nothing here needs torchvision.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fmrgb.card import Card, View
from fmrgb.models import build_model
from fmrgb.models.classifier import Classifier

NETWORKS = {"base": "r2plus1d_18", "mc3": "mc3_18", "r3d": "r3d_18"}  # by conv3d's size
VIEW = View(("R", "G", "B"), 16, 112, 112)  # frames, height, width
# Of the clips they were trained on, in levels; torchvision's own numbers are of 0 to 1.
MEAN = [255 * level for level in (0.43216, 0.394666, 0.37645)]
STD = [255 * level for level in (0.22803, 0.22145, 0.216989)]

_STEM = re.compile(r"stem\.(\d)\.(\w+)")
_BLOCK = re.compile(r"layer(\d)\.(\d)\.(conv1|conv2|downsample)\.([\d.]+)\.(\w+)")
_STEM_PLACES = {"0": "0.0", "1": "0.1", "3": "2.0", "4": "2.1"}
_HALVES = {"conv1": "first", "conv2": "second", "downsample": "shortcut"}
_PAIR_PLACES = {"0.3": "2.0", "1": "2.1"}  # 0.0 and 0.1 are called so here too


def from_torchvision(content: Any) -> tuple[Card, Classifier] | None:
    """Build the conv3d whose layers a state dict has, and give it the weights.

    The classifier stays fresh: the file does not name its classes, and people replace
    that layer first.

    Args:
        content: what the file holds; torchvision's names and shapes are looked for.

    Returns:
        card (of no classes) and model; None if no network's names and shapes fit.
    """
    if not isinstance(content, Mapping):
        return None
    body = {k: v for k, v in content.items() if not str(k).startswith("fc.")}
    if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in body.items()):
        return None
    for size in NETWORKS:
        theirs = {our_name(k, pairs=size == "base"): v for k, v in body.items()}
        with torch.device("meta"):
            ours = _build(size).state_dict()
        if not _fits(theirs, ours):
            continue
        model = _build(size)
        fitting = {k: v.reshape(ours[k].shape) for k, v in theirs.items()}
        model.load_state_dict(fitting, strict=False)
        return _card(size), model.eval()
    return None


def _build(size: str) -> Classifier:
    model = build_model("conv3d", size, VIEW.shape, 2, fusion="stack")
    assert isinstance(model, Classifier)  # one network
    return model


def our_name(name: str, *, pairs: bool) -> str:
    """Return what conv3d calls what torchvision calls `name`.

    Args:
        name: like layer2.0.conv1.0.3.weight.
        pairs: whether the network is of (2+1)D pairs, not of whole convolutions.
    """
    if found := _STEM.fullmatch(name):
        place, what = found.groups()
        return f"stem.{_STEM_PLACES.get(place, place)}.{what}"
    if found := _BLOCK.fullmatch(name):
        stage, number, half, place, what = found.groups()
        if pairs and half != "downsample":
            place = _PAIR_PLACES.get(place, place)
        row = 2 * (int(stage) - 1) + int(number)
        return f"stages.{row}.{_HALVES[half]}.{place}.{what}"
    return name


def _fits(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> bool:
    """Tell whether the layers are the same, the classifier aside."""
    wanted = {k for k in ours if not k.startswith("classify.")}
    # Files of before 2018 do not count batches, and nothing depends on the count.
    needed = {k for k in wanted if not k.endswith("num_batches_tracked")}
    return needed <= set(theirs) <= wanted and all(
        _sides(v) == _sides(ours[k]) for k, v in theirs.items()
    )


def _sides(values: Tensor) -> list[int]:
    """Return the axes longer than 1: our 3 x 3 kernels are their 1 x 3 x 3 ones."""
    return [n for n in values.shape if n > 1]


def _card(size: str) -> Card:
    return Card(
        model="conv3d",
        model_size=size,
        classes=(),
        view=VIEW,
        mean=MEAN,
        std=STD,
        recipe={},
    )
