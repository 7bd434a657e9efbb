"""What is done with one batch: loss, optimiser, learning rate, running accuracy.

Axes: B batch, C channels, T frames, H height, W width, N clips of the validation part,
A answers, S kinds of clip, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fmrgb.augment import USUAL, Augmentation, augment, fitting, floor_of
from fmrgb.begin import begin
from fmrgb.card import Card
from fmrgb.checkpoint import KEY
from fmrgb.models.shared import share_layers
from fmrgb.order import Order, seed_of_epoch
from fmrgb.ranks import n_processes
from fmrgb.share import Share, gathered, summed
from fmrgb.trust import equal_trust, fit_trust

WARM_UP = 0.1  # share of the steps in which the learning rate rises


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train; what the samples look like is told by the view."""

    model: str = "conv3d"
    model_size: str = "tiny"
    fusion: str = "senses"  # how the senses meet; see `fmrgb.models.build_model`
    init: str | None = None  # weights to begin with; see `fmrgb.begin`
    epochs: int = 120
    patience: int = 30
    lr: float = 3e-3
    weight_decay: float = 0.01
    batch_size: int = 20
    seed: int = 0
    workers: int = 0
    usescheduler: bool = True  # let the rate rise and fall; False keeps it as it is
    accumulate: int = 1  # batches per step of the optimiser
    balance: bool = False  # let all classes count the same, however many their clips
    precision: str = "32"  # a word of Lightning's, or auto; see `choose_precision`
    devices: str = "1"  # this and the next two as Lightning's Trainer takes them
    nodes: int = 1
    strategy: str = "auto"
    checkpoint_minutes: float = 10.0  # between two last.ckpt in the midst of an epoch
    augmentation: Augmentation = USUAL


class Learner(L.LightningModule):
    """A network with its loss, optimiser and running accuracy."""

    def __init__(
        self,
        card: Card,
        settings: Settings,
        weights: Sequence[float] | None = None,
    ) -> None:
        """Build the network.

        Args:
            card: what it is.
            settings: how to train it.
            weights: what a clip of each class counts, 1 on average; None is 1 for all.
        """
        super().__init__()
        self.net, self.taken = begin(card, settings.init)
        self.settings = settings
        self.augmentation = fitting(settings.augmentation, card.recipe)
        weights_K = None if weights is None else torch.tensor(weights)
        # Unreduced: torch would divide by the weights of the batch, and a batch of one
        # class would count in full.
        self.loss = nn.CrossEntropyLoss(weights_K, reduction="none")
        self.share = Share()
        self.order: Order | None = None  # of the clips, where processes share them
        # In this epoch, of all processes: sum of losses, clips judged right, clips.
        self._learnt = torch.zeros(3, dtype=torch.float64)
        self._judged: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def share_with(self, order: Order) -> None:
        """Learn together with other processes, of which each holds a part of a batch.

        Args:
            order: tells which part.
        """
        self.order = order
        self.share.dice = torch.Generator()
        share_layers(self.net, self.share)

    def on_train_epoch_start(self) -> None:
        """Forget the epoch before; one that is gone on with does not come here."""
        self._learnt = torch.zeros(3, dtype=torch.float64)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of one batch: the mean over every answer that can judge.

        Of several processes each returns so much that the mean of what they return is
        the loss of the whole batch, and so is the mean of their gradients.
        """
        levels_BCTHW, truth_B, _ = batch
        share, n_clips = self.share, len(truth_B)
        share.whole, share.first, share.last = (
            self.order.part(batch_idx) if self.order else (n_clips, 0, n_clips)
        )
        levels_BCTHW = self._augmented(levels_BCTHW, batch_idx)
        kinds_B = self.net.kinds(levels_BCTHW)
        logits_BAK = self.net.answers(levels_BCTHW).float()
        n_answers = logits_BAK.shape[1]
        can_SA = torch.from_numpy(equal_trust(n_answers) > 0)
        can_BA = can_SA[kinds_B.cpu()].to(logits_BAK.device)
        truth_BA = truth_B[:, None].expand(-1, n_answers)
        loss_BA = self.loss(logits_BAK.flatten(0, 1), truth_BA.flatten())
        loss = (loss_BA.view_as(can_BA) * can_BA).sum()
        said_B = self.net.weigh(logits_BAK.detach(), kinds_B).argmax(dim=1)
        right = (said_B == truth_B).sum()
        # Left where they are: reading them would wait for a GPU at every step.
        exact = torch.float32 if loss.device.type == "mps" else torch.float64
        every = torch.stack((loss.detach(), can_BA.sum(), right)).to(exact)
        whole_loss, n_judged, n_right = summed(every)
        n_judged = n_judged.clamp(min=1)
        whole = torch.full_like(n_judged, share.whole)
        told = torch.stack((whole_loss / n_judged * whole, n_right, whole))
        self._learnt = self._learnt.to(told) + told
        n_parts = n_processes() if self.order else 1
        mean: Tensor = loss * n_parts / n_judged.to(loss.dtype)
        return mean

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log what the epoch came to, after its last step."""
        if batch_idx + 1 < self.trainer.num_training_batches:
            return
        loss, right, n_clips = self._learnt.tolist()
        told: dict[str, Any] = {"on_epoch": True, "on_step": False, "prog_bar": True}
        told |= {"batch_size": 1, "sync_dist": True}  # all processes know the same
        self.log("train_loss", loss / n_clips, **told)
        self.log("train_accuracy", right / n_clips, **told)

    def _augmented(self, levels_BCTHW: Tensor, step: int) -> Tensor:
        """Change the clips by chances that nothing before this step decides."""
        number = seed_of_epoch(self.settings.seed, self.current_epoch, step + 1, 1)
        dice = torch.Generator().manual_seed(number)
        card = self.net.card
        how: dict[str, Any] = {"floor": floor_of(card.recipe), "share": self.share}
        return augment(levels_BCTHW, card.view, self.augmentation, dice, **how)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Keep what every answer says of one batch."""
        levels_BCTHW, truth_B, numbers_B = batch
        kinds_B = self.net.kinds(levels_BCTHW).to(truth_B.device)
        logits_BAK = self.net.answers(levels_BCTHW).float()
        self._judged.append((logits_BAK, kinds_B, truth_B, numbers_B))

    def on_validation_epoch_end(self) -> None:
        """Settle how much each answer counts; log loss and accuracy of the whole."""
        every = (torch.cat(part) for part in zip(*self._judged, strict=True))
        if self.order:
            every = (gathered(part) for part in every)
        *judged, numbers_N = (part.cpu() for part in every)
        # Processes hold clips from all over; the sums below go by their order.
        logits_NAK, kinds_N, truth_N = (part[numbers_N.argsort()] for part in judged)
        self._judged.clear()
        if logits_NAK.isfinite().all():
            said = logits_NAK.double().cpu().numpy()
            self.net.trust_SA = fit_trust(said, kinds_N.numpy(), truth_N.numpy())
        logits_NK = self.net.weigh(logits_NAK, kinds_N)
        right = (logits_NK.argmax(dim=1) == truth_N).float().mean()
        weights_K = self.loss.weight
        weights_K = weights_K if weights_K is None else weights_K.cpu()
        loss = functional.cross_entropy(logits_NK, truth_N, weights_K)
        # Every process has gathered the same numbers; their mean is no other.
        self.log("val_loss", loss, prog_bar=True, sync_dist=True)
        self.log("val_accuracy", right, prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW; the rate rises for a tenth of the steps, then falls as a cosine.

        Without the scheduler it stays. Source: Loshchilov and Hutter 2019,
        arXiv:1711.05101.
        """
        optimiser = torch.optim.AdamW(
            self.parameters(),
            lr=self.settings.lr,
            weight_decay=self.settings.weight_decay,
        )
        if not self.settings.usescheduler:
            return optimiser
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
        checkpoint[KEY] = self.net.card.as_dict() | {
            "trust": self.net.trust_SA.tolist()
        }
        checkpoint["precision"] = self.settings.precision
        checkpoint["learnt"] = self._learnt.tolist()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back how much each answer counts, which is no weight."""
        trust: Any = checkpoint[KEY]["trust"]
        self.net.trust_SA = np.array(trust).reshape(self.net.trust_SA.shape)
        self._learnt = torch.tensor(
            checkpoint.get("learnt", [0.0, 0.0, 0.0]), dtype=torch.float64
        )
