"""From the epochs of one trial to its study, and to its end when others did better."""

import math
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from optuna.trial import Trial
from tqdm import tqdm


class Watch(Callback):
    """Tells a trial's losses to its study; stops it when others did better by then."""

    def __init__(self, trial: Trial, length: int, bar: "tqdm[Any]") -> None:
        self.state = "complete"  # or pruned, or diverged: the loss became no number
        self.epochs = 0
        self._trial, self._length, self._bar = trial, length, bar
        # One that goes on after a kill may have told an epoch that was not kept.
        before = trial.study.get_trials(deepcopy=False)[trial.number]
        self._told = set(before.intermediate_values)
        bar.set_postfix(trial.params)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Report the loss that decides which weights are kept."""
        self.epochs = trainer.current_epoch + 1
        self._bar.update(1)
        loss = float(trainer.callback_metrics["val_loss"])
        if not math.isfinite(loss):
            self.state = "diverged"  # the training ends by itself
            return
        if self.epochs not in self._told:
            self._trial.report(loss, self.epochs)
        if self.epochs < self._length and self._trial.should_prune():
            self.state = "pruned"
            trainer.should_stop = True
