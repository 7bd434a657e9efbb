"""The models, by the name that `--learnmethod` gives them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from fmrgb.card import ClipShape
from fmrgb.errors import TrainingError
from fmrgb.models import conv3d, convlstm, vivit
from fmrgb.models.classifier import Classifier
from fmrgb.models.conv3d import Conv3DNet
from fmrgb.models.convlstm import ConvLSTMNet
from fmrgb.models.senses import ANSWERS, FUSIONS, Sense, Senses
from fmrgb.models.vivit import ViViT

__all__ = [
    "ANSWERS",
    "FUSIONS",
    "MODELS",
    "ModelEntry",
    "Sense",
    "Senses",
    "build_model",
]


class ModelEntry(NamedTuple):
    """An architecture: its class, its sizes by name, where it was published."""

    make: Callable[..., Classifier]
    sizes: Mapping[str, Mapping[str, Any]]
    source: str


MODELS: dict[str, ModelEntry] = {
    "conv3d": ModelEntry(Conv3DNet, conv3d.SIZES, "Tran et al. 2018, arXiv:1711.11248"),
    "convlstm": ModelEntry(
        ConvLSTMNet, convlstm.SIZES, "Shi et al. 2015, arXiv:1506.04214"
    ),
    "vivit": ModelEntry(ViViT, vivit.SIZES, "Arnab et al. 2021, arXiv:2103.15691"),
}


def build_model(
    name: str,
    size: str,
    clip: ClipShape,
    n_classes: int,
    *,
    sound: Sequence[int] = (),
    fusion: str = "senses",
) -> Classifier | Senses:
    """Build the model that `name` and `size` stand for.

    It takes [B, C, T, H, W] and gives logits. Planes of both senses with `fusion`
    "senses" make a `Senses` of two networks, which gives [B, 3, K]; anything else makes
    a `Classifier`, which gives [B, K].

    Args:
        name: key of MODELS.
        size: key of its sizes.
        clip: sizes of one clip.
        n_classes: K.
        sound: which of the planes are sound.
        fusion: "senses" or "stack".

    Raises:
        TrainingError: if there is no such model or size, or the clip has an empty axis.
    """
    if name not in MODELS:
        raise TrainingError(
            f"no model is called {name!r}; there are: {', '.join(MODELS)}"
        )
    entry = MODELS[name]
    if size not in entry.sizes:
        sizes = ", ".join(entry.sizes)
        raise TrainingError(f"{name} has no size {size!r}; there are: {sizes}")
    if fusion not in FUSIONS:
        raise TrainingError(f"no fusion {fusion!r}; there are: {', '.join(FUSIONS)}")
    if min(clip) < 1 or n_classes < 2:
        raise TrainingError(
            "expected a clip with no empty axis and two classes or more, got "
            f"{clip} and {n_classes}"
        )
    make = partial(entry.make, **entry.sizes[size])
    if fusion == "senses" and 0 < len(sound) < clip.channels:
        return Senses(clip, n_classes, sound, make)
    if fusion == "senses":
        return Sense(clip, n_classes, make, sound=bool(sound))
    return make(clip, n_classes)
