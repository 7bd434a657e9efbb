"""From split samples to the best weights: one model, one learning rate, early stopping.

Axes: B batch, C channels, T frames, H height, W width.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
)
from lightning.pytorch.loggers import TensorBoardLogger

from fmrgb.arena import freed_memory_is_kept
from fmrgb.blocks import blocks_of
from fmrgb.callbacks import (
    Bar,
    History,
    InEpoch,
    SeedOfEpoch,
    WholeFiles,
    only_our_words,
)
from fmrgb.card import Card, View
from fmrgb.errors import TrainingError
from fmrgb.learner import Learner, Settings
from fmrgb.loader import ClipSet, batches, class_weights, statistics, untrimmed
from fmrgb.manifest import Row
from fmrgb.precision import choose_precision
from fmrgb.pretrained import Taken
from fmrgb.ranks import explained, from_first, join, n_processes
from fmrgb.resume import Begun, is_over, resumable
from fmrgb.trial import ctrl_c_goes_on, or_what_would_fit

CLIP_GRADIENT = 1.0  # largest norm of a step's gradient
AVERAGED_EPOCHS = 3  # how far back the weights reach that are judged and kept


@dataclass(frozen=True)
class Trained:
    """What a training left behind."""

    best: Path  # the checkpoint with the lowest validation loss
    history: list[dict[str, float]]  # one dict per epoch, keys as in callbacks.HISTORY
    seconds: float
    parameters: int
    taken: Taken | None  # what it began with
    precision: str  # that it was trained in


def train(
    rows: Sequence[Row],
    view: View,
    settings: Settings,
    *,
    folder: Path,
    recipe: dict[str, Any] | None = None,
    quiet: bool = False,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Trained:
    """Train one model on the rows marked train, stopping by those marked val.

    Normalisation comes from the training rows alone; test rows are not touched. Several
    processes train on the same rows, batch by batch, each on its part of a batch.

    Args:
        rows: samples, each with its split.
        view: which planes, frames and size the network sees.
        settings: how to train.
        folder: run folder; gets best.ckpt, last.ckpt, metrics.csv and events.
        recipe: how the samples were built; kept in the checkpoint.
        quiet: show no progress bar.
        resume: go on where a killed training in `folder` stopped, in the midst of an
            epoch too, to the same numbers that it would have come to.
        callbacks: who else is told of its epochs.

    Raises:
        TrainingError: if a split is empty, the loss is no number, or memory runs out.
    """
    join(settings.devices, settings.nodes, settings.strategy)
    parts = _parts(rows, view)
    L.seed_everything(settings.seed, workers=True, verbose=False)
    # Numbers near zero make some processors a hundred times slower.
    torch.set_flush_denormal(True)
    start = time.perf_counter()
    card = from_first(lambda: make_card(parts["train"], settings, recipe or {}))
    weights = class_weights(parts["train"]) if settings.balance else None
    last = folder / "last.ckpt"
    begun = from_first(lambda: resumable(last) if resume and last.is_file() else None)
    if begun:
        settings = replace(settings, precision=begun.precision)
    learner = Learner(card, settings, weights)
    if begun and is_over(begun.history, settings):
        best, history = folder / "best.ckpt", begun.history
    else:
        best, history = or_what_would_fit(
            lambda: _fit(learner, parts, folder, quiet, begun, callbacks),
            lambda: Learner(card, settings, weights),
            settings.batch_size,
        )
    return _trained(learner, best, history, time.perf_counter() - start)


def _trained(
    learner: Learner, best: Path, history: list[dict[str, float]], seconds: float
) -> Trained:
    return Trained(
        best,
        history,
        seconds,
        parameters=sum(p.numel() for p in learner.parameters()),
        taken=learner.taken,
        precision=learner.settings.precision,
    )


def _parts(rows: Sequence[Row], view: View) -> dict[str, ClipSet]:
    """Return the clips to train on and those to stop by."""
    classes = tuple(sorted({row.label for row in rows}))
    parts = {
        name: ClipSet([r for r in rows if r.split == name], classes, view)
        for name in ("train", "val")
    }
    if empty := [name for name, part in parts.items() if not len(part)]:
        raise TrainingError(f"no clip is marked {' or '.join(empty)}")
    if len(parts["train"]) < 2:
        raise TrainingError("one clip is too few to train on")
    return parts


def make_card(clips: ClipSet, settings: Settings, recipe: dict[str, Any]) -> Card:
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
        **_usual(clips.rows, recipe),
    )


def _usual(rows: Sequence[Row], recipe: dict[str, Any]) -> dict[str, Any]:
    """Say what is known of the clips themselves, by the names of a card's fields."""
    seconds = [row.seconds for row in rows if row.seconds]
    rates = [row.fps for row in rows if row.fps]
    sides = [(row.source_width, row.source_height) for row in rows]
    ratios = [width / height for width, height in sides if width and height]
    return {
        "seconds": median(seconds) if seconds else None,
        "longest": max([*seconds, *untrimmed(rows, recipe)], default=None),
        "fps": (min(rates), max(rates)) if rates else None,
        "ratio": (min(ratios), max(ratios)) if ratios else None,
    }


def _fit(
    learner: Learner,
    parts: dict[str, ClipSet],
    folder: Path,
    quiet: bool,
    begun: Begun | None,
    others: Sequence[Callback],
) -> tuple[Path, list[dict[str, float]]]:
    settings = learner.settings = _settled(learner)
    history = History(folder / "metrics.csv")
    best = ModelCheckpoint(
        folder, "best", monitor="val_loss", enable_version_counter=False
    )
    last = ModelCheckpoint(
        folder, "last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    stopper = EarlyStopping("val_loss", patience=settings.patience, check_finite=True)
    loaders = _loaders(parts, settings, begun)
    if n_processes() > 1:
        learner.share_with(loaders["train"].batch_sampler)
    mean = _averaging(math.ceil(len(loaders["train"]) / settings.accumulate))
    seeds = SeedOfEpoch(settings.seed)
    within = InEpoch(folder / "last.ckpt", settings)
    callbacks = [seeds, mean, history, stopper, *others, within, best, last]
    with only_our_words(), ctrl_c_goes_on(), freed_memory_is_kept():
        trainer = _trainer(settings, folder, callbacks + ([] if quiet else [Bar()]))
        trainer.fit(
            learner,
            loaders["train"],
            loaders["val"],
            ckpt_path=folder / "last.ckpt" if begun else None,
            weights_only=True,
        )
    if best.best_model_score is None or not best.best_model_score.isfinite():
        for name in ("best.ckpt", "last.ckpt"):
            (folder / name).unlink(missing_ok=True)
        raise TrainingError(
            "the loss became no number in the first epoch; try a smaller --lr"
        )
    return Path(best.best_model_path), history.rows


def _settled(learner: Learner) -> Settings:
    """Return the settings with a precision that no longer has to be found out."""
    known = learner.settings
    precision = choose_precision(
        known.precision,
        learner.net,
        known.batch_size,
        alone=n_processes() == 1,
    )
    return replace(known, precision=precision)


def _trainer(
    settings: Settings, folder: Path, callbacks: Sequence[Callback]
) -> L.Trainer:
    """Return Lightning's loop.

    Raises:
        TrainingError: if there are no such devices or there is no such strategy.
    """
    precision: Any = settings.precision  # Lightning lists the words it takes
    with explained(settings.devices, settings.nodes, settings.strategy):
        return L.Trainer(
            max_epochs=settings.epochs,
            callbacks=list(callbacks),
            logger=TensorBoardLogger(folder, name="", version="events"),
            plugins=[WholeFiles()],
            gradient_clip_val=CLIP_GRADIENT,
            accumulate_grad_batches=settings.accumulate,
            precision=precision,
            devices=settings.devices,
            num_nodes=settings.nodes,
            strategy=settings.strategy,
            use_distributed_sampler=False,  # our loaders know their part
            enable_progress_bar=any(isinstance(c, Bar) for c in callbacks),
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            deterministic="warn",
        )


def _averaging(steps_per_epoch: int) -> EMAWeightAveraging:
    """Judge and keep weights averaged over some epochs: those of one step are luck.

    Source: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by
    Averaging", here with exponentially falling shares.
    """
    return EMAWeightAveraging(decay=1 - 1 / (AVERAGED_EPOCHS * steps_per_epoch))


def _loaders(
    parts: dict[str, ClipSet], settings: Settings, begun: Begun | None
) -> dict[str, Any]:
    loaders = {
        name: batches(
            clips,
            batch_size=settings.batch_size,
            shuffle=name == "train",
            seed=settings.seed,
            workers=settings.workers,
            blocks=blocks_of(clips.rows) if name == "train" else (),
        )
        for name, clips in parts.items()
    }
    if begun:
        order: Any = loaders["train"].batch_sampler
        order.go_on(begun.epoch, begun.batches)
    return loaders
