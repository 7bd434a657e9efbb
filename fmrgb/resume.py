"""From a run's last checkpoint to where its training goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmrgb.callbacks import History
from fmrgb.errors import TrainingError
from fmrgb.files import shown
from fmrgb.learner import Settings
from fmrgb.plain import load_plain


@dataclass(frozen=True)
class Begun:
    """What a training had come to when it was last written down.

    Attributes:
        history: of the epochs that are done.
        precision: that it is trained in.
        epoch: the one to go on with.
        batches: that were done of it, of all processes together.
    """

    history: list[dict[str, float]]
    precision: str
    epoch: int
    batches: int


def is_over(history: Sequence[dict[str, float]], settings: Settings) -> bool:
    """Tell whether a training with this history would not go on."""
    losses = [row["val_loss"] for row in history]
    if not losses:
        return False
    since_best = len(losses) - 1 - losses.index(min(losses))
    return len(losses) >= settings.epochs or since_best >= settings.patience


def resumable(checkpoint: Path) -> Begun:
    """Return what a checkpoint of a run holds to go on with.

    Raises:
        TrainingError: if it is damaged, would run code, or holds none of a run.
    """
    try:
        content = load_plain(checkpoint)
        rows = content["callbacks"][History.__qualname__]["rows"]
        history = [{str(k): float(v) for k, v in row.items()} for row in rows]
        if not all("val_loss" in row for row in history):
            raise ValueError("its history names no val_loss")
        epoch, batches = _place(content["loops"]["fit_loop"])
        return Begun(history, str(content["precision"]), epoch, batches)
    except Exception as error:  # damaged bytes make the unpickler raise anything at all
        raise TrainingError(
            f"{shown(checkpoint)} cannot be resumed from: {error}; train anew"
        ) from error


def _place(loop: dict[str, Any]) -> tuple[int, int]:
    """Return the epoch to go on with, and the batches done of it."""
    epochs = loop["epoch_progress"]["current"]
    batches = loop["epoch_loop.batch_progress"]["current"]
    in_midst = epochs["started"] > epochs["processed"]
    return int(epochs["processed"]), int(batches["processed"]) if in_midst else 0
