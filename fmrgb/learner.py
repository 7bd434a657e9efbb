"""What is done with one batch: loss, optimiser, learning rate, running accuracy.

Axes: B batch, C channels, T frames, H height, W width.
"""

from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from fmrgb.checkpoint import KEY, Card, Network

WARM_UP = 0.1  # share of the steps in which the learning rate rises


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train; what the samples look like is told by the view."""

    model: str = "conv3d"
    model_size: str = "tiny"
    epochs: int = 60
    patience: int = 15
    lr: float = 3e-3
    weight_decay: float = 0.01
    batch_size: int = 20
    seed: int = 0
    workers: int = 0


class Learner(L.LightningModule):
    """A network with its loss, optimiser and running accuracy."""

    def __init__(self, card: Card, settings: Settings) -> None:
        super().__init__()
        self.net = Network(card)
        self.settings = settings
        n_classes = len(card.classes)
        self.loss = nn.CrossEntropyLoss()
        self.accuracy = nn.ModuleDict(
            {
                part: MulticlassAccuracy(n_classes, average="micro")
                for part in ("train_", "val_")  # a ModuleDict refuses the word "train"
            }
        )

    def _step(self, batch: tuple[Tensor, Tensor, Tensor], part: str) -> Tensor:
        levels_BCTHW, truth_B, _ = batch
        logits = self.net(levels_BCTHW)
        loss: Tensor = self.loss(logits, truth_B)
        accuracy = self.accuracy[f"{part}_"]
        assert isinstance(accuracy, MulticlassAccuracy)  # for the type checker
        accuracy(logits, truth_B)
        told: dict[str, Any] = {"on_epoch": True, "on_step": False, "prog_bar": True}
        self.log(f"{part}_loss", loss, batch_size=len(truth_B), **told)
        self.log(f"{part}_accuracy", accuracy, batch_size=len(truth_B), **told)
        return loss

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        return self._step(batch, "train")

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log loss and accuracy of one batch."""
        self._step(batch, "val")

    def configure_optimizers(self) -> Any:
        """AdamW; the rate rises for a tenth of the steps, then falls as a cosine.

        Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
        """
        optimiser = torch.optim.AdamW(
            self.parameters(),
            lr=self.settings.lr,
            weight_decay=self.settings.weight_decay,
        )
        steps = max(int(self.trainer.estimated_stepping_batches), 2)
        # OneCycleLR divides by zero where the rise takes one step, or all of them.
        rise = max(WARM_UP, 1.5 / steps)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, self.settings.lr, total_steps=steps, pct_start=rise
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put what the network is beside its weights."""
        checkpoint[KEY] = self.net.card.as_dict()
