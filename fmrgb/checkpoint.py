"""Weights together with everything needed to use them on new clips."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fmrgb.card import Card
from fmrgb.errors import TrainingError
from fmrgb.files import shown
from fmrgb.loader import not_empty
from fmrgb.models import ANSWERS, Senses, build_model
from fmrgb.plain import load_plain
from fmrgb.trust import PICTURE, SOUND, equal_trust

KEY = "fmrgb"  # where our part lies in a Lightning checkpoint
PREFIX = "net.model."  # of the weights in a Lightning checkpoint


class Network(nn.Module):
    """A model behind its normalisation: levels in, logits out.

    A sense of which all levels are 0 is not there: no answer that needs it counts, and
    a network of both senses is shown the mean of the training clips in its place. As
    levels, nothing at all would be the loudest of signals where no clip is silent.

    Shape:
        - Input: uint8 [B, C, T, H, W], levels 0 to 255
        - Output: [B, n_classes] logits
    """

    def __init__(self, card: Card) -> None:
        """Build the model that the card describes, with fresh weights."""
        super().__init__()
        self.card = card
        self.model = _model_of(card)
        shape = (1, card.view.shape.channels, 1, 1, 1)
        # No buffers: those are averaged in training, and these must stay as they are.
        self._mean = torch.tensor(card.mean).reshape(shape)
        self._std = torch.tensor(card.std).reshape(shape)
        self._heard = torch.tensor([c in card.view.sound for c in card.view.channels])
        n_answers = len(ANSWERS) if isinstance(self.model, Senses) else 1
        self.trust_SA: NDArray[np.float64] = equal_trust(n_answers)

    def answers(self, levels_BCTHW: Tensor) -> Tensor:
        """Normalise on the device the levels are on; ask the model: [B, A, K]."""
        mean, std = (
            self._mean.to(levels_BCTHW.device),
            self._std.to(levels_BCTHW.device),
        )
        picture_B1, sound_B1 = self._senses(levels_BCTHW)
        heard_C = self._heard.to(levels_BCTHW.device)
        # Not torch.where, which onnxruntime has not for bool.
        there_BC = (heard_C & sound_B1) | (~heard_C & picture_B1)
        there = there_BC[..., None, None, None]
        logits: Tensor = self.model((levels_BCTHW.float() - mean) * (there / std))
        return logits if isinstance(self.model, Senses) else logits[:, None]

    def kinds(self, levels_BCTHW: Tensor) -> Tensor:
        """Tell which senses are there, int64 [B]: 1 for picture, plus 2 for sound."""
        picture_B1, sound_B1 = self._senses(levels_BCTHW)
        return (PICTURE * picture_B1.long() + SOUND * sound_B1.long())[:, 0]

    def _senses(self, levels_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Tell whether there is a picture, and whether there is sound: bool [B, 1]."""
        alive_BC = not_empty(levels_BCTHW)
        heard_C = self._heard.to(levels_BCTHW.device)
        # Masks, not places: what a network of one sense is exported to may not know
        # whether any of no planes is there.
        picture_B1 = (alive_BC & ~heard_C).any(dim=1, keepdim=True)
        return picture_B1, (alive_BC & heard_C).any(dim=1, keepdim=True)

    def weigh(self, logits_BAK: Tensor, kinds_B: Tensor) -> Tensor:
        """Sum the answers, each times its trust for the kind of clip: [B, K]."""
        trust_SA = torch.from_numpy(self.trust_SA).to(logits_BAK)
        trust_BA = trust_SA[kinds_B.to(logits_BAK.device)]
        logits: Tensor = (trust_BA[..., None] * logits_BAK).sum(dim=1)
        return logits

    def forward(self, levels_BCTHW: Tensor) -> Tensor:
        """Ask every answer, and weigh them."""
        return self.weigh(self.answers(levels_BCTHW), self.kinds(levels_BCTHW))


def _model_of(card: Card) -> nn.Module:
    return build_model(
        card.model,
        card.model_size,
        card.view.shape,
        len(card.classes),
        sound=card.view.sound_places,
        fusion=card.fusion,
        planes=card.view.channels,
    )


def load_checkpoint(path: Path) -> Network:
    """Build the network of a checkpoint, in evaluation mode, on the CPU.

    Raises:
        TrainingError: if it is not a checkpoint of this toolkit or would run code.
    """
    name = shown(path)
    content = read_weights(
        path,
        missing=f"no such checkpoint: {name}",
        unfit=f"{name} is not a whole checkpoint, or holds code that would run when "
        "opened; it was not opened: give the best.ckpt of a run",
    )
    if not is_ours(content):
        raise TrainingError(
            f"{name} was not written by fmrgb; give the best.ckpt of a run"
        )
    return network_of(content, name)


def read_weights(path: Path, *, missing: str, unfit: str) -> Any:
    """Read a file of weights to the CPU, running none of its code.

    Args:
        path: the file.
        missing: what to say if there is none.
        unfit: what to say if it is damaged or would run code.

    Raises:
        TrainingError: with one of these words.
    """
    try:
        return load_plain(path)
    except FileNotFoundError:
        raise TrainingError(missing) from None
    except Exception as error:  # damaged bytes make the unpickler raise anything at all
        raise TrainingError(unfit) from error


def is_ours(content: object) -> bool:
    """Tell whether what a file held is a checkpoint of this toolkit."""
    return isinstance(content, dict) and KEY in content


def network_of(content: dict[str, Any], name: str) -> Network:
    """Build the network of a checkpoint's content, in evaluation mode.

    Raises:
        TrainingError: if it does not fit this version; `name` says which file.
    """
    try:
        network = _rebuild(dict(content[KEY]), content["state_dict"])
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


def _rebuild(known: dict[str, Any], state: dict[str, Tensor]) -> Network:
    """Build a network from its part of a checkpoint and its weights."""
    trust = known.pop("trust")
    card = Card.from_dict(known)
    weights = {k.removeprefix(PREFIX): v for k, v in state.items() if PREFIX in k}
    # First without memory: a card may promise a network larger than the machine.
    with torch.device("meta"):
        _model_of(card).load_state_dict(weights, assign=True)
    if odd := [k for k, v in weights.items() if not v.isfinite().all()]:
        raise ValueError(f"it holds values that are no numbers, in {odd[0]}")
    network = Network(card)
    network.model.load_state_dict(weights)
    trust_SA = np.array(trust, np.float64).reshape(network.trust_SA.shape)
    if not np.isfinite(trust_SA).all():
        raise ValueError("it trusts its answers by values that are no numbers")
    network.trust_SA = trust_SA
    return network
