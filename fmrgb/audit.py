"""From split samples to all that should be known before the first step of a training.

Axes: B batch, C channels, T frames, H height, W width.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import lightning as L

from fmrgb import facts
from fmrgb.card import View
from fmrgb.census import Census, count
from fmrgb.facts import Finding
from fmrgb.learner import Learner, Settings
from fmrgb.likeness import alike_clips
from fmrgb.loader import CACHE_BYTES, ClipSet, batches
from fmrgb.manifest import Row
from fmrgb.memory import in_bytes
from fmrgb.splits import leaks, sources
from fmrgb.trainer import make_card
from fmrgb.trial import (
    Trial,
    clips_that_fit,
    first,
    or_what_would_fit,
    too_many,
    try_steps,
)

FAR_LOSS = 2.0  # beyond guessing; where a fresh network comes out, its input runs off
MANY_LEAKS = 3  # are named one by one
WHAT_TO_DO = (
    "a shortcut is worth what the score loses without it: leave such clips out, or "
    "keep as many of every label; --channels picture and --channels sound tell how "
    "much of a score comes from where"
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a training will take, as far as a few steps can tell.

    Attributes:
        steps_per_epoch: batches of training clips.
        seconds_per_epoch: training and validation, once the clips are in memory.
        seconds_at_most: for all epochs; early stopping may end it before.
        cached_bytes: clips that are kept in memory, uint8.
        peak_bytes: the most memory it will hold: this process with its clips on a CPU,
            tensors on a GPU.
    """

    steps_per_epoch: int
    seconds_per_epoch: float
    seconds_at_most: float
    cached_bytes: int
    peak_bytes: int


@dataclass(frozen=True, kw_only=True)
class Audit:
    """All that is known before the first step.

    Attributes:
        census: what the samples are.
        findings: how each fact beside the content goes with the label.
        guessed_from_facts: share of labels of clips of other sources that all of these
            facts together guess, every label counting the same; None if not known.
        trial: the first steps of a fresh network.
        cost: time and memory of the training.
        warnings: what may make the score mean less than it seems.
    """

    census: Census
    findings: list[Finding]
    guessed_from_facts: float | None
    trial: Trial
    cost: Cost
    warnings: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for audit.json."""
        return asdict(self)

    def short(self) -> list[str]:
        """Say the most important: what there is, what it costs, what to beware of."""
        return [self.census.short(), *self._of_cost(), *self._of_warnings()]

    def lines(self) -> list[str]:
        """Say all of it."""
        told = [*self.census.table(), *self.census.sentences()]
        free = [one for one in self.findings if not one.is_shortcut]
        told += [f"does not go with the label: {one.sentence}" for one in free]
        if self.guessed_from_facts is not None:
            told.append(
                "sound track, size, frame rate and length together guess "
                f"{self.guessed_from_facts:.0%} of the labels of sources not seen, "
                f"chance {1 / len(self.census.labels):.0%}; a score near that says "
                "nothing"
            )
        if any(one.is_shortcut for one in self.findings):
            told.append(WHAT_TO_DO)
        trial = self.trial
        told.append(
            f"one batch {list(trial.shape)} through the untrained network: loss "
            f"{trial.loss:.3f}, guessing has {trial.loss_of_guessing:.3f}"
        )
        return [*told, *self._of_cost(), *self._of_warnings()]

    def _of_warnings(self) -> list[str]:
        return [f"warning: {warning}" for warning in self.warnings]

    def _of_cost(self) -> list[str]:
        cost, trial = self.cost, self.trial
        return [
            f"{trial.parameters:,} parameters; {cost.steps_per_epoch} steps of "
            f"{trial.seconds:.2g} s make an epoch of about "
            f"{in_time(cost.seconds_per_epoch)}, all epochs at most "
            f"{in_time(cost.seconds_at_most)} ({trial.device}, precision "
            f"{trial.precision})",
            f"{in_bytes(cost.peak_bytes)} of memory, {in_bytes(cost.cached_bytes)} of "
            "it clips",
        ]


def audit(
    rows: Sequence[Row],
    view: View,
    settings: Settings,
    *,
    recipe: dict[str, Any],
    notes: Sequence[str] = (),
    processes: int = 1,
) -> Audit:
    """Look at the samples, and try a few steps of the training.

    Args:
        rows: samples, each with its split.
        view: which planes, frames and size the network sees.
        settings: how it will be trained.
        recipe: how the samples were built.
        notes: what was seen on the way here, to stand among the warnings.
        processes: how many train together; each takes its part of every batch.

    Raises:
        TrainingError: if the clips cannot be trained on or do not fit into memory.
    """
    own = sources(rows)
    findings = facts.find(rows, own)
    census = count(rows, own)
    # Of a batch of two at least: normalisation needs more than one.
    of_one = max(
        math.ceil(settings.batch_size / processes), min(2, settings.batch_size)
    )
    part = replace(settings, batch_size=of_one)
    trial = try_out(rows, view, part, recipe)
    cost = estimate(rows, view, settings, trial, processes)
    return Audit(
        census=census,
        findings=findings,
        guessed_from_facts=facts.guess_from_all(rows, own),
        trial=trial,
        cost=cost,
        warnings=[
            *_in_few(leaks(rows)),
            *census.warnings(),
            *alike_clips(rows),
            *facts.warnings(findings),
            *_of_trial(trial, cost),
            *_of_room(rows, view, part, trial),
            *notes,
        ],
    )


def try_out(
    rows: Sequence[Row], view: View, settings: Settings, recipe: dict[str, Any]
) -> Trial:
    """Train a fresh network for a few steps on one batch of the training clips.

    Raises:
        TrainingError: if a batch does not fit into memory; it says how many clips do.
    """
    train = [row for row in rows if row.split == "train"]
    # From all over the list, which is often sorted by label.
    apart = max(1, len(train) // settings.batch_size)
    classes = tuple(sorted({row.label for row in rows}))
    clips = ClipSet(train[::apart][: settings.batch_size], classes, view)
    batch = next(iter(batches(clips, batch_size=settings.batch_size, shuffle=False)))
    card = make_card(clips, settings, recipe)

    def make(precision: str = settings.precision) -> Learner:
        L.seed_everything(settings.seed, workers=True, verbose=False)
        return Learner(card, replace(settings, precision=precision))

    def try_what_fits() -> Trial:
        fits = clips_that_fit(lambda: make("32"), batch)  # takes the most memory
        return try_steps(make(), first(batch, fits))

    return or_what_would_fit(try_what_fits, make, settings.batch_size)


def estimate(
    rows: Sequence[Row],
    view: View,
    settings: Settings,
    trial: Trial,
    processes: int = 1,
) -> Cost:
    """Reckon time and memory of a training from its first steps."""
    n_train, n_val = (sum(r.split == part for r in rows) for part in ("train", "val"))
    per_epoch = n_train * trial.seconds + n_val * trial.seconds_to_judge
    per_epoch /= trial.shape[0] * processes
    parts = [math.prod(view.shape) * n for n in (n_train, n_val)]
    cached = sum(n_bytes for n_bytes in parts if n_bytes <= CACHE_BYTES)
    on_cpu = trial.device == "cpu"
    return Cost(
        steps_per_epoch=math.ceil(n_train / settings.batch_size),
        seconds_per_epoch=per_epoch,
        seconds_at_most=per_epoch * settings.epochs,
        cached_bytes=cached,
        peak_bytes=trial.peak_bytes + (cached if on_cpu else 0),
    )


def _in_few(leaks: list[str]) -> list[str]:
    """Name the first leaks and count the others."""
    if not leaks:
        return []
    told = [f"{each}: a leak" for each in leaks[:MANY_LEAKS]]
    if len(leaks) > MANY_LEAKS:
        told.append(f"{len(leaks) - MANY_LEAKS} more leaks of this kind")
    return [*told, "with a leak, the score says too much: it rewards known sources"]


def _of_room(
    rows: Sequence[Row], view: View, settings: Settings, trial: Trial
) -> list[str]:
    """Say how many clips would fit, if fewer than a batch were tried for that."""
    n_train = sum(row.split == "train" for row in rows)
    tried = trial.shape[0]
    fits = tried >= min(settings.batch_size, n_train)
    return [] if fits else [too_many(settings, view, tried)]


def _of_trial(trial: Trial, cost: Cost) -> list[str]:
    """Say what is wrong with the first steps."""
    told = []
    if not abs(trial.loss - trial.loss_of_guessing) < FAR_LOSS:
        told.append(
            f"the untrained network has a loss of {trial.loss:.3g}, guessing has "
            f"{trial.loss_of_guessing:.3g}: look at the samples with fmrgb visualize"
        )
    free = trial.free_bytes
    if trial.device == "cpu" and free is not None and cost.cached_bytes > free:
        told.append(
            f"{in_bytes(cost.cached_bytes)} of clips are kept in memory, "
            f"{in_bytes(free)} are free: give a smaller --size or fewer --frames"
        )
    return told


def in_time(seconds: float) -> str:
    """Write a time for people."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
