"""What happens around the epochs: history, seeds, whole checkpoints, quiet."""

import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO

from fmrgb.files import whole_file
from fmrgb.loader import seed_of_epoch
from fmrgb.manifest import write_csv

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
        with whole_file(Path(path)) as part:
            torch.save(checkpoint, part)


class History(Callback):
    """Keeps the numbers of each epoch and writes them to metrics.csv as they come."""

    def __init__(self, path: Path) -> None:
        self.rows: list[dict[str, float]] = []
        self._path = path
        self._start = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """Go into every checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Come back from a checkpoint."""
        self.rows = list(state_dict["rows"])

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
        records = [{k: f"{v:.6g}" for k, v in row.items()} for row in self.rows]
        write_csv(self._path, HISTORY, records)


class SeedOfEpoch(Callback):
    """Gives every epoch a chance of its own, so that a resumed one is no different."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Seed what the network leaves out by chance."""
        torch.manual_seed(seed_of_epoch(self._seed, trainer.current_epoch))


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
        ):
            warnings.filterwarnings("ignore", text)
        try:
            yield
        finally:
            logger.setLevel(level)
