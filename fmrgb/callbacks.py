"""What happens around the epochs: history, seeds, whole checkpoints, quiet."""

import logging
import math
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.plugins.io import TorchCheckpointIO
from tqdm import tqdm

from fmrgb.cells import write_csv
from fmrgb.files import whole_file
from fmrgb.log import event
from fmrgb.order import seed_of_epoch

HISTORY = (
    "epoch",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "seconds",
)


class WholeFiles(TorchCheckpointIO):
    """Lightning's checkpoints, written whole or not at all and read without pickles."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write beside and rename."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(Path(path)) as part, open(part, "wb") as file:
            try:
                # Given a file, not a name, which torch would put into the bytes.
                torch.save(checkpoint, file)
            except RuntimeError as error:
                # torch hides the system's word (a full disk, say) behind its own.
                raise error.__context__ if error.__context__ else error from error


class History(Callback):
    """Keeps the numbers of each epoch and writes them to metrics.csv as they come."""

    def __init__(self, path: Path) -> None:
        self.rows: list[dict[str, float]] = []
        self._path = path
        self._start = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """Go into every checkpoint."""
        return {"rows": self.rows, "seconds": time.perf_counter() - self._start}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Come back from a checkpoint, maybe from the midst of an epoch."""
        self.rows = list(state_dict["rows"])
        self._start = time.perf_counter() - state_dict.get("seconds", 0.0)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Start the epoch's clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Add one row."""
        told = {
            k: float(v) for k, v in trainer.callback_metrics.items() if k in HISTORY
        }
        seconds = time.perf_counter() - self._start
        self.rows.append({"epoch": trainer.current_epoch, **told, "seconds": seconds})
        if not trainer.is_global_zero:
            return
        event(f"epoch {trainer.current_epoch}", seconds=seconds)
        records = [{k: f"{v:.6g}" for k, v in row.items()} for row in self.rows]
        write_csv(self._path, HISTORY, records)


def diverged(history: Sequence[dict[str, float]]) -> list[str]:
    """Say in which epoch the loss became no number, if it did."""
    odd = [n for n, row in enumerate(history) if not math.isfinite(row["val_loss"])]
    if not odd:
        return []
    return [
        f"the loss became no number in epoch {odd[0]}: training ended there and the "
        "best weights from before it are kept; a smaller --lr may do better"
    ]


class Bar(TQDMProgressBar):
    """Lightning's bar with loss, clips per second, and the time left for all epochs.

    The time left takes validation in. It is the most it can be: a training may stop
    early.
    """

    def __init__(self) -> None:
        super().__init__(leave=False)
        self._begun = self._epoch_begun = time.perf_counter()
        self._batches_before = 0  # a resumed training was begun with
        self._clips = 0  # of this epoch, in all processes
        self._told: dict[str, str] = {}

    def on_train_start(self, *args: Any) -> None:
        """Start the clock of the whole."""
        super().on_train_start(*args)
        self._begun = time.perf_counter()
        self._batches_before = self.trainer.fit_loop.total_batch_idx + 1

    def on_train_epoch_start(self, *args: Any) -> None:
        """Start the clock of the epoch."""
        super().on_train_epoch_start(*args)
        self._epoch_begun, self._clips = time.perf_counter(), 0

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count and time the clips."""
        now = time.perf_counter()
        self._clips += len(batch[0]) * trainer.world_size
        done = trainer.fit_loop.total_batch_idx + 1
        ahead = int(trainer.num_training_batches) * (trainer.max_epochs or 0) - done
        pace = (now - self._begun) / max(done - self._batches_before, 1)
        self._told = {
            "loss": f"{float(outputs['loss']):.3f}",
            "clips/s": f"{self._clips / (now - self._epoch_begun):.3g}",
            "left": tqdm.format_interval(ahead * pace),
        }
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: L.Trainer, pl_module: Any) -> dict[str, Any]:
        """Return what stands behind the bar."""
        told = super().get_metrics(trainer, pl_module)
        told.pop("v_num", None)  # here it is the name of a folder
        return {**told, **self._told}


class SeedOfEpoch(Callback):
    """Gives every epoch a chance of its own, so that a resumed one is no different."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Seed what the network leaves out by chance."""
        seed, epoch = self._seed, trainer.current_epoch
        # Where processes draw for themselves, each has chances of its own.
        torch.manual_seed(seed_of_epoch(seed, epoch, trainer.global_rank))
        if pl_module.share.dice:
            pl_module.share.dice.manual_seed(seed_of_epoch(seed, epoch))


class InEpoch(Callback):
    """Writes last.ckpt in the midst of long epochs, and has them go on from there."""

    def __init__(self, path: Path, settings: Any) -> None:
        """Write to `path`.

        Args:
            path: the checkpoint.
            settings: `fmrgb.learner.Settings`: checkpoint_minutes, accumulate, seed.
        """
        self._path, self._settings = path, settings
        self._written = time.monotonic()
        self._chances: dict[str, Any] = {}  # states of them, to be kept or taken up

    def state_dict(self) -> dict[str, Any]:
        """Go into a checkpoint."""
        return self._chances

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Come back from a checkpoint."""
        self._chances = state_dict

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clock: at the end of an epoch all is written anyway."""
        self._written, self._chances = time.monotonic(), {}

    def on_train_batch_start(self, trainer: L.Trainer, module: Any, *_: Any) -> None:
        """Go on with the chances of an epoch that was broken off."""
        known, self._chances = self._chances, {}
        if not known:
            return
        dice = module.share.dice
        # Those that all processes draw alike are what one process draws alone.
        common = known["torch"] if known["shared"] is None else known["shared"]
        if dice:
            dice.set_state(common)
        if trainer.is_global_zero:
            torch.set_rng_state(known["torch"] if dice else common)
            if known["cuda"] is not None and module.device.type == "cuda":
                torch.cuda.set_rng_state(known["cuda"])
        else:  # nobody has written down the others' own
            place = trainer.current_epoch, trainer.global_rank, trainer.global_step
            torch.manual_seed(seed_of_epoch(self._settings.seed, *place))

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, number: int
    ) -> None:
        """Write, if it is time; not at the end of an epoch, which is judged first."""
        done = number + 1
        if done >= trainer.num_training_batches or done % self._settings.accumulate:
            return
        spent = time.monotonic() - self._written
        due = spent >= 60 * self._settings.checkpoint_minutes
        if not trainer.strategy.reduce_boolean_decision(due, all=False):
            return
        dice = pl_module.share.dice
        on_gpu = pl_module.device.type == "cuda"
        self._chances = {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if on_gpu else None,
            "shared": dice.get_state() if dice else None,
        }
        trainer.save_checkpoint(self._path)
        self._written, self._chances = time.monotonic(), {}


@contextmanager
def only_our_words() -> Iterator[None]:
    """Keep Lightning from advertising and from advice that does not hold here.

    What it does say, its bar too, goes to stderr: stdout is for results.
    """
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        for text in (
            ".*does not have many workers.*",  # memory-mapped samples need none
            ".*Checkpoint directory .* exists and is not empty.*",  # split.csv is there
            ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
            ".*lr_scheduler.step.*before.*optimizer.step.*",
            ".*checkpoint that ended before the epoch ended.*",  # fmrgb.order goes on
            ".*logging on epoch level in distributed setting.*",  # all know the same
            "(?s).*Grad strides do not match bucket view strides.*",
        ):
            warnings.filterwarnings("ignore", text)
        try:
            yield
        finally:
            logger.setLevel(level)
