"""Any image architecture of the package timm, asked about each frame by itself.

Source: Wightman 2019, "PyTorch Image Models", doi:10.5281/zenodo.4414861. Weights begin
fresh. Of a clip with several frames the features of the frames are averaged.

Most architectures halve the picture five times: sides below 32 pixels are enlarged to
32, at the same proportions. Those made for one size of picture alone (most
transformers) are fed pictures enlarged to that size. Both by linear interpolation.

Axes: B batch, C channels, T frames, H height, W width, N frames of all clips,
D features.
"""

import difflib
import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmrgb.card import ClipShape
from fmrgb.errors import ProgramMissingError, TrainingError
from fmrgb.files import shown
from fmrgb.model_options import TIMM
from fmrgb.models.classifier import Classifier, working_type

LEAST = 32  # pixels
NEAR = 5  # names that are offered in place of an unknown one


def find(name: str) -> Any:
    """Return the package timm if it has an architecture of this name.

    Raises:
        ProgramMissingError: if timm, or what it needs, is not installed.
        TrainingError: if it has no such architecture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what timm itself has yet to mend
            import timm
    except (ImportError, RuntimeError) as error:
        # RuntimeError: its torchvision was built for another torch.
        raise ProgramMissingError(
            f"--learnmethod {TIMM}{shown(name)} needs timm and the torchvision that "
            f"belongs to this torch ({str(error).partition(chr(10))[0]}): pip install "
            "'fmrgb[timm]'"
        ) from None
    # Never names like hf-hub:..., which would be fetched from the network.
    names = timm.list_models()
    if name not in names:
        near = difflib.get_close_matches(name, names, NEAR) or [
            known for known in names if known.startswith(name.partition(".")[0])
        ]
        told = f"; near it: {', '.join(near[:NEAR])}" if near else ""
        raise TrainingError(
            f"timm has no architecture {shown(name)!r}{told}; timm.list_models() "
            f"names all {len(names)}"
        )
    return timm


class TimmNet(Classifier):
    """An architecture of timm, its last layer replaced by one for our classes."""

    def __init__(self, clip: ClipShape, n_classes: int, *, name: str) -> None:
        super().__init__()
        timm = find(name)
        made: dict[str, Any] = {"pretrained": False, "in_chans": clip.channels}
        sides = (clip.height, clip.width)
        try:
            self.network: nn.Module = timm.create_model(name, num_classes=0, **made)
            self._size = _fed(self.network, sides)
            self.n_features = _width(self.network, clip.channels, self._size or sides)
        except Exception as error:  # whatever an architecture makes of such pictures
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise TrainingError(
                f"{TIMM}{name} cannot take {clip.channels} planes of "
                f"{clip.width}x{clip.height}: {reason}; try a larger --size, or "
                "another architecture"
            ) from error
        self.classify = nn.Linear(self.n_features, n_classes)

    @property
    def first_layer(self) -> str:
        """Name of the weights that meet the planes; see `fmrgb.inflate`.

        Raises:
            TrainingError: if the architecture does not tell.
        """
        known: dict[str, Any] = getattr(self.network, "pretrained_cfg", None) or {}
        if not isinstance(name := known.get("first_conv"), str):
            raise TrainingError("--init: this architecture names no first layer")
        return f"network.{name}.weight"

    def features(self, clip_BCTHW: Tensor) -> Tensor:
        """Return what the last layer is given, [B, D]."""
        frames = clip_BCTHW.shape[2]
        clip_BCTHW = clip_BCTHW.to(working_type(clip_BCTHW))
        frames_NCHW = clip_BCTHW.transpose(1, 2).flatten(0, 1)
        if self._size:
            frames_NCHW = functional.interpolate(
                frames_NCHW, self._size, mode="bilinear"
            )
        seen_ND = self.network(frames_NCHW)
        seen: Tensor = seen_ND.reshape(-1, frames, self.n_features).mean(dim=1)
        return seen


def _fed(network: nn.Module, sides: tuple[int, int]) -> tuple[int, int] | None:
    """Return the height and width that pictures are enlarged to; None leaves them."""
    known: dict[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    if known.get("fixed_input_size"):
        _, height, width = known["input_size"]
        return None if (height, width) == sides else (height, width)
    if min(sides) >= LEAST:
        return None
    factor = LEAST / min(sides)
    height, width = (max(LEAST, math.ceil(n * factor)) for n in sides)
    return height, width


def _width(network: nn.Module, channels: int, sides: tuple[int, int]) -> int:
    """Try a picture of nothing; return the number of features D that come out."""
    training = network.training
    with torch.no_grad():
        out = network.eval()(torch.zeros(1, channels, *sides))
    network.train(training)
    if not isinstance(out, Tensor) or out.ndim != 2:
        raise ValueError("it gives no single row of features")
    return out.shape[1]
