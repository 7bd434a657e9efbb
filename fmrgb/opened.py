"""From the file of a trained network to something that answers.

Axes: B batch, C channels, T frames, H height, W width, K classes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fmrgb.card import Card
from fmrgb.errors import ProgramMissingError
from fmrgb.files import shown

if TYPE_CHECKING:
    from fmrgb.checkpoint import Network

ONNX = ".onnx"


class Opened(Protocol):
    """A trained network, whatever file it came from and whatever computes it."""

    @property
    def card(self) -> Card:
        """What the network is and what it expects."""

    def logits(self, levels_BCTHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Ask about clips, uint8 [B, C, T, H, W]: float32 [B, K].

        The temperature, or the trust in each answer, is in them already.
        """


class Checkpoint:
    """A checkpoint of torch; on the graphics card if there is one."""

    def __init__(self, network: "Network") -> None:
        """Make the network ready to answer."""
        import torch

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.to(self._device).eval()

    @property
    def card(self) -> Card:
        """What the network is and what it expects."""
        return self.network.card

    def logits(self, levels_BCTHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Ask about clips, uint8 [B, C, T, H, W]: float32 [B, K]."""
        import torch

        with torch.inference_mode():
            levels = torch.from_numpy(levels_BCTHW).to(self._device)
            answer: NDArray[np.float32] = self.network(levels).float().cpu().numpy()
        return answer


def open_model(path: Path) -> Opened:
    """Open the `.ckpt` of a run, or the `.onnx` that `export` made of it.

    Raises:
        TrainingError: if it is neither, is damaged or would run code.
        ProgramMissingError: if the package that computes it is not installed.
    """
    if path.suffix.lower() == ONNX:
        from fmrgb.onnx_model import open_onnx

        return open_onnx(path)
    try:
        from fmrgb.checkpoint import load_checkpoint
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ProgramMissingError(
            f"{shown(path)} needs torch, which is not installed: pip install torch, or "
            "give a model that was exported as .onnx"
        ) from None
    return Checkpoint(load_checkpoint(path))


def probabilities(logits_BK: NDArray[np.float32]) -> NDArray[np.float64]:
    """Turn logits [B, K] into probabilities float64 [B, K] that sum to 1."""
    told: NDArray[np.float64] = softmax(logits_BK.astype(np.float64), axis=1)
    return told
