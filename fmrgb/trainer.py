"""From split samples to the best weights: one model, one learning rate, early stopping.

Axes: B batch, C channels, T frames, H height, W width.
"""

import pickle
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import (
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import TensorBoardLogger

from fmrgb.callbacks import History, SeedOfEpoch, WholeFiles, only_our_words
from fmrgb.checkpoint import Card
from fmrgb.errors import TrainingError
from fmrgb.files import shown
from fmrgb.learner import Learner, Settings
from fmrgb.loader import ClipSet, View, batches, statistics
from fmrgb.manifest import Row

CLIP_GRADIENT = 1.0  # largest norm of a step's gradient
AVERAGED_EPOCHS = 3  # how far back the weights reach that are judged and kept


@dataclass(frozen=True)
class Trained:
    """What a training left behind."""

    best: Path  # the checkpoint with the lowest validation loss
    history: list[dict[str, float]]  # one dict per epoch, keys as in callbacks.HISTORY
    seconds: float
    parameters: int


def train(
    rows: Sequence[Row],
    view: View,
    settings: Settings,
    *,
    folder: Path,
    recipe: dict[str, Any] | None = None,
    quiet: bool = False,
    resume: bool = False,
) -> Trained:
    """Train one model on the rows marked train, stopping by those marked val.

    Normalisation comes from the training rows alone; test rows are not touched.

    Args:
        rows: samples, each with its split.
        view: which planes, frames and size the network sees.
        settings: how to train.
        folder: run folder; gets best.ckpt, last.ckpt, metrics.csv and events.
        recipe: how the samples were built; kept in the checkpoint.
        quiet: show no progress bar.
        resume: go on where a killed training in `folder` stopped, to the same numbers
            that it would have come to.

    Raises:
        TrainingError: if a split is empty or the loss is no number.
    """
    classes = tuple(sorted({row.label for row in rows}))
    parts = {
        name: ClipSet([r for r in rows if r.split == name], classes, view)
        for name in ("train", "val")
    }
    if empty := [name for name, part in parts.items() if not len(part)]:
        raise TrainingError(f"no clip is marked {' or '.join(empty)}")
    if len(parts["train"]) < 2:
        raise TrainingError("one clip is too few to train on")
    L.seed_everything(settings.seed, workers=True, verbose=False)
    # Numbers near zero make some processors a hundred times slower.
    torch.set_flush_denormal(True)
    start = time.perf_counter()
    learner = Learner(_card(parts["train"], settings, recipe or {}), settings)
    last = folder / "last.ckpt"
    begun = _rows_of(last) if resume and last.is_file() else []
    if begun and is_over(begun, settings):
        best, history = folder / "best.ckpt", begun
    else:
        start_from = last if begun else None
        best, history = _fit(learner, parts, settings, folder, quiet, start_from)
    parameters = sum(p.numel() for p in learner.parameters())
    return Trained(best, history, time.perf_counter() - start, parameters)


def _card(clips: ClipSet, settings: Settings, recipe: dict[str, Any]) -> Card:
    """Describe the network to be; normalisation comes from the training clips."""
    mean, std = statistics(clips)
    return Card(
        model=settings.model,
        model_size=settings.model_size,
        classes=clips.classes,
        view=clips.view,
        mean=mean,
        std=std,
        fusion=settings.fusion,
        recipe=recipe,
    )


def _fit(
    learner: Learner,
    parts: dict[str, ClipSet],
    settings: Settings,
    folder: Path,
    quiet: bool,
    start_from: Path | None,
) -> tuple[Path, list[dict[str, float]]]:
    history = History(folder / "metrics.csv")
    best = ModelCheckpoint(
        folder, "best", monitor="val_loss", enable_version_counter=False
    )
    last = ModelCheckpoint(
        folder, "last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    stopper = EarlyStopping("val_loss", patience=settings.patience, check_finite=True)
    loaders = _loaders(parts, settings)
    mean = _averaging(len(loaders["train"]))
    callbacks = [SeedOfEpoch(settings.seed), mean, history, stopper, best, last]
    with only_our_words():
        trainer = L.Trainer(
            max_epochs=settings.epochs,
            callbacks=callbacks + ([] if quiet else [TQDMProgressBar(leave=False)]),
            logger=TensorBoardLogger(folder, name="", version="events"),
            plugins=[WholeFiles()],
            gradient_clip_val=CLIP_GRADIENT,
            enable_progress_bar=not quiet,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            deterministic="warn",
        )
        fit_or_stop(trainer, learner, loaders, start_from)
    if best.best_model_score is None or not best.best_model_score.isfinite():
        for name in ("best.ckpt", "last.ckpt"):
            (folder / name).unlink(missing_ok=True)
        raise TrainingError(
            "the loss became no number in the first epoch; try a smaller --lr"
        )
    return Path(best.best_model_path), history.rows


def _averaging(steps_per_epoch: int) -> EMAWeightAveraging:
    """Judge and keep weights averaged over some epochs: those of one step are luck.

    Source: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by
    Averaging", here with exponentially falling shares.
    """
    return EMAWeightAveraging(decay=1 - 1 / (AVERAGED_EPOCHS * steps_per_epoch))


def fit_or_stop(
    trainer: L.Trainer,
    learner: Learner,
    loaders: dict[str, Any],
    start_from: Path | None,
) -> None:
    """Run the epochs; Ctrl-C comes out as KeyboardInterrupt.

    Raises:
        KeyboardInterrupt: if Ctrl-C was pressed.
    """
    try:
        trainer.fit(
            learner,
            loaders["train"],
            loaders["val"],
            ckpt_path=start_from,
            weights_only=True,
        )
    except SystemExit:  # Lightning's answer to Ctrl-C, which it then switches off
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from None


def is_over(history: Sequence[dict[str, float]], settings: Settings) -> bool:
    """Tell whether a training with this history would not go on."""
    losses = [row["val_loss"] for row in history]
    since_best = len(losses) - 1 - losses.index(min(losses))
    return len(losses) >= settings.epochs or since_best >= settings.patience


def _rows_of(checkpoint: Path) -> list[dict[str, float]]:
    """Return the history that a checkpoint of a run holds."""
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        return list(content["callbacks"][History.__qualname__]["rows"])
    except (pickle.UnpicklingError, OSError, RuntimeError, KeyError, EOFError) as error:
        raise TrainingError(
            f"{shown(checkpoint)} cannot be resumed from: {error}; train anew"
        ) from error


def _loaders(parts: dict[str, ClipSet], settings: Settings) -> dict[str, Any]:
    return {
        name: batches(
            clips,
            batch_size=settings.batch_size,
            shuffle=name == "train",
            seed=settings.seed,
            workers=settings.workers,
        )
        for name, clips in parts.items()
    }
