"""The models, by the name that `--learnmethod` gives them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from fmrgb.card import ClipShape
from fmrgb.errors import TrainingError
from fmrgb.model_options import TIMM
from fmrgb.models import cnn2d, conv3d, convlstm, fusion, vivit
from fmrgb.models.classifier import Classifier
from fmrgb.models.cnn2d import CNN2D
from fmrgb.models.conv3d import Conv3DNet
from fmrgb.models.convlstm import ConvLSTMNet
from fmrgb.models.fusion import FusionNet
from fmrgb.models.senses import ANSWERS, FUSIONS, Sense, Senses
from fmrgb.models.timm_net import TimmNet
from fmrgb.models.vivit import ViViT
from fmrgb.names import FEATURES

__all__ = [
    "ANSWERS",
    "FUSIONS",
    "MODELS",
    "TWO_BRANCHES",
    "ModelEntry",
    "Sense",
    "Senses",
    "build_model",
    "entry_of",
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
    "cnn2d": ModelEntry(CNN2D, cnn2d.SIZES, "Chollet et al. 2015, Keras' mnist_cnn.py"),
}
# These tell one plane from the others by its name, and are no network of one sense.
TWO_BRANCHES: dict[str, ModelEntry] = {
    "fusion": ModelEntry(
        FusionNet, fusion.SIZES, "ours; late fusion, arXiv:1705.09406, section 6"
    ),
}


def entry_of(name: str) -> ModelEntry:
    """Return the architecture that a name stands for, one of timm's too.

    Raises:
        TrainingError: if there is none of this name.
    """
    if name.startswith(TIMM):
        make = partial(TimmNet, name=name.removeprefix(TIMM))
        return ModelEntry(
            make, {"tiny": {}}, "Wightman 2019, doi:10.5281/zenodo.4414861"
        )
    known = MODELS | TWO_BRANCHES
    if name not in known:
        raise TrainingError(
            f"no model is called {name!r}; there are: {', '.join(known)}, {TIMM}<name>"
        )
    return known[name]


def build_model(
    name: str,
    size: str,
    clip: ClipShape,
    n_classes: int,
    *,
    sound: Sequence[int] = (),
    fusion: str = "senses",
    planes: Sequence[str] = (),
) -> Classifier | Senses:
    """Build the model that `name` and `size` stand for.

    It takes [B, C, T, H, W] and gives logits. Planes of both senses with `fusion`
    "senses" make a `Senses` of two networks, which gives [B, 3, K]; anything else makes
    a `Classifier`, which gives [B, K]. Those of TWO_BRANCHES are always one network.

    Args:
        name: key of MODELS or TWO_BRANCHES, or timm:<name>.
        size: key of its sizes; timm's architectures have the first alone.
        clip: sizes of one clip.
        n_classes: K.
        sound: which of the planes are sound.
        fusion: "senses" or "stack".
        planes: names of the C planes; TWO_BRANCHES need them.

    Raises:
        TrainingError: if there is no such model or size, the clip has an empty axis, or
            the model cannot take such planes.
        ProgramMissingError: if it is one of timm's, which is not installed.
    """
    entry = entry_of(name)
    if name.startswith(TIMM) and size not in entry.sizes:
        raise TrainingError(f"{name} takes no --model_size: its name tells the size")
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
    if name in TWO_BRANCHES:
        if FEATURES not in planes:
            raise TrainingError(
                f"{name} needs the plane {FEATURES} among --channels: make samples "
                f"with create_fmrgbdata --soundpicture logmel,{FEATURES}"
            )
        return make(clip, n_classes, features=list(planes).index(FEATURES))
    if fusion == "senses" and 0 < len(sound) < clip.channels:
        return Senses(clip, n_classes, sound, make)
    if fusion == "senses":
        return Sense(clip, n_classes, make, sound=bool(sound))
    return make(clip, n_classes)
