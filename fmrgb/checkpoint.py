"""Weights together with everything needed to use them on new clips."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fmrgb import __version__
from fmrgb.errors import TrainingError
from fmrgb.files import shown
from fmrgb.loader import View
from fmrgb.models import build_model

KEY = "fmrgb"  # where our part lies in a Lightning checkpoint
PREFIX = "net.model."  # of the weights in a Lightning checkpoint


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a network is and what it expects; plain values, kept beside the weights."""

    model: str
    model_size: str
    classes: tuple[str, ...]
    view: View
    mean: list[float]  # of each channel, in levels, over the training clips
    std: list[float]
    recipe: dict[str, Any]  # how the samples it learned from were built
    version: str = __version__

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return {**asdict(self), "classes": list(self.classes)}


class Network(nn.Module):
    """A model behind its normalisation: levels in, logits out.

    Shape:
        - Input: uint8 [B, C, T, H, W], levels 0 to 255
        - Output: [B, n_classes] logits
    """

    def __init__(self, card: Card) -> None:
        """Build the model that the card describes, with fresh weights."""
        super().__init__()
        self.card = card
        self.model = build_model(
            card.model, card.model_size, card.view.shape, len(card.classes)
        )
        shape = (1, card.view.shape.channels, 1, 1, 1)
        # No buffers: those are averaged in training, and these must stay as they are.
        self._mean = torch.tensor(card.mean).reshape(shape)
        self._std = torch.tensor(card.std).reshape(shape)

    def forward(self, levels_BCTHW: Tensor) -> Tensor:
        """Normalise on the device the levels are on, then run the model."""
        mean, std = (
            self._mean.to(levels_BCTHW.device),
            self._std.to(levels_BCTHW.device),
        )
        logits: Tensor = self.model((levels_BCTHW.float() - mean) / std)
        return logits


def load_checkpoint(path: Path) -> Network:
    """Build the network of a checkpoint, in evaluation mode, on the CPU.

    Raises:
        TrainingError: if it is not a checkpoint of this toolkit or would run code.
    """
    name = shown(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(f"no such checkpoint: {name}") from None
    except Exception as error:  # damaged bytes make the unpickler raise anything at all
        raise TrainingError(
            f"{name} is not a whole checkpoint, or holds code that would run when "
            "opened; it was not opened: give the best.ckpt of a run"
        ) from error
    if not isinstance(content, dict) or KEY not in content:
        raise TrainingError(
            f"{name} was not written by fmrgb; give the best.ckpt of a run"
        )
    try:
        known = dict(content[KEY])
        view = dict(known.pop("view"))
        view["channels"] = tuple(view["channels"])
        known["classes"] = tuple(known["classes"])
        network = Network(Card(view=View(**view), **known))
        state = content["state_dict"]
        weights = {k.removeprefix(PREFIX): v for k, v in state.items() if PREFIX in k}
        network.model.load_state_dict(weights)
    except (
        TrainingError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        AttributeError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"{name} does not fit this version of fmrgb: {reason}"
        ) from error
    return network.eval()
