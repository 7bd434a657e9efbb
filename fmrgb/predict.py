"""From clips that nobody has prepared to what a trained network makes of them.

Axes: C channels, T frames, H height, W width, K classes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fmrgb import engine
from fmrgb.build import prepare
from fmrgb.card import Card
from fmrgb.errors import NoPictureError, TrainingError
from fmrgb.events import label_of
from fmrgb.files import shown
from fmrgb.limits import Allowance, limits_of
from fmrgb.media import read_clip, read_sound, sound_rate
from fmrgb.names import SAMPLE
from fmrgb.opened import Opened, probabilities
from fmrgb.recipe import Recipe
from fmrgb.sample import Sample, load_sample
from fmrgb.seen import view_of
from fmrgb.soundclip import whole_sample
from fmrgb.stillclip import still_sample
from fmrgb.stills import STILL_SUFFIXES
from fmrgb.tracks import Clip, Sound
from fmrgb.unlike import missing_senses, notes_on, silence, usual_fps


@dataclass(frozen=True, eq=False)
class Prepared:
    """A clip as a network sees it.

    Attributes:
        levels: uint8 [C, T, H, W].
        has_sound: whether it has a sound track.
        silent: whether there is nothing to hear.
        seconds: how long it lasts.
        notes: what is unlike the clips of the training, as sentences without a name.
    """

    levels: NDArray[np.uint8]
    has_sound: bool
    silent: bool
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Answer:
    """What a network makes of one clip.

    Attributes:
        name: of the clip's file.
        classes: names of the K classes.
        probabilities: float64 [K], sum 1.
        label: the likeliest class, or "unsure" where it is below the threshold.
        has_sound: whether the clip has a sound track.
        silent: whether there is nothing to hear.
        seconds: how long it lasts.
        notes: what is unlike the clips of the training.
    """

    name: str
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    label: str
    has_sound: bool
    silent: bool
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """A clip that could not be judged, and why."""

    name: str
    reason: str


def predict_one(opened: Opened, path: Path, threshold: float = 0.0) -> Answer:
    """Judge one clip.

    Args:
        opened: the network.
        path: a video, a sound file where the network uses sound, or a `.pt` sample.
        threshold: a lower probability of the likeliest class makes it "unsure".

    Raises:
        MediaError: if the clip cannot be read, or lacks what the network judges by.
        SampleError: if the sample cannot be read.
        TrainingError: if the network does not say how its clips were prepared.
    """
    return _judged(opened, path, prepare_clip(path, opened.card), threshold)


def predict_many(
    opened: Opened,
    paths: Sequence[Path],
    *,
    workers: int = 1,
    threshold: float = 0.0,
    allowance: Allowance | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Answer | Failure]:
    """Judge many clips; yield each as it is done, in any order.

    Args:
        opened: the network; it answers here, while processes prepare the next clips.
        paths: what `predict_one` takes.
        workers: processes that prepare clips.
        threshold: a lower probability of the likeliest class makes it "unsure".
        allowance: what the preparation of a clip may take; None means anything.
        progress: called with how many of how many clips are done.
    """
    jobs = [(path, opened.card) for path in paths]
    limits = limits_of(allowance, lambda job: job[0])
    outcomes = engine.run(_prepared, jobs, workers=workers, limits=limits)
    for done, outcome in enumerate(outcomes, start=1):
        path = outcome.job[0]
        if outcome.result is None:
            yield Failure(str(path), str(outcome.fault))
        else:
            yield _judged(opened, path, outcome.result, threshold)
        if progress:
            progress(done, len(jobs))


def _prepared(job: tuple[Path, Card]) -> Prepared:
    # One thread per process: the processes are what works side by side.
    cv2.setNumThreads(1)
    return prepare_clip(*job)


def _judged(opened: Opened, path: Path, clip: Prepared, threshold: float) -> Answer:
    """Ask about one clip alone: batches would tinge its logits by their size."""
    told_K = probabilities(opened.logits(clip.levels[None]))[0]
    return Answer(
        name=str(path),
        classes=opened.card.classes,
        probabilities=told_K,
        label=label_of(opened.card.classes, told_K, threshold),
        has_sound=clip.has_sound,
        silent=clip.silent,
        seconds=clip.seconds,
        notes=clip.notes,
    )


def prepare_clip(path: Path, card: Card) -> Prepared:
    """Make of a clip what the network saw of those it learned from.

    A raw clip goes the way of `build` and then of `loader`, by the same functions and
    options, so that it comes out as its sample would, level for level.

    Args:
        path: a video, a sound file where the network uses sound, or a `.pt` sample.
        card: what the network expects.

    Raises:
        MediaError: if the clip cannot be read, or lacks what the network judges by.
        SampleError: if the sample cannot be read.
        TrainingError: if the card does not say how clips were prepared.
    """
    sample, notes = prepare_sample(path, card)
    return seen_by(sample, card, shown(path), notes)


def seen_by(
    sample: Sample, card: Card, name: str, notes: Sequence[str] = ()
) -> Prepared:
    """Cut what the network sees out of a sample."""
    seconds = sample.meta.get("seconds")
    if not isinstance(seconds, int | float):
        seconds = float(sample.times[-1] - sample.times[0])
    return Prepared(
        levels=view_of(sample, card.view, name),
        has_sound=sample.has_sound,
        silent=sample.silent,
        seconds=seconds,
        notes=tuple(notes),
    )


def prepare_sample(path: Path, card: Card) -> tuple[Sample, tuple[str, ...]]:
    """Make the sample of a clip, as `build` would; return it and notes on the clip.

    Args:
        path: a video, a sound file where the network uses sound, or a `.pt` sample.
        card: what the network expects.

    Raises:
        MediaError: if the clip cannot be read, or lacks what the network judges by.
        SampleError: if the sample cannot be read.
        TrainingError: if the card does not say how clips were prepared.
    """
    if path.suffix.lower() == SAMPLE:
        sample = load_sample(path)
        notes = missing_senses(sample.has_sound, True, card, shown(path))
        return sample, notes + silence(sample.has_sound, sample.silent, card)
    recipe = recipe_of(card)
    source = {"name": path.name}
    if recipe.soundpicture:
        is_still = path.suffix.lower() in STILL_SUFFIXES
        notes = missing_senses(not is_still, is_still, card, shown(path))
        if is_still:
            return still_sample(path, recipe, source=source), notes
        sound = read_sound(path, rate=recipe.soundpicture.rate)
        sample = whole_sample(sound, recipe, source=source)
        return sample, notes + silence(True, sample.silent, card)
    try:
        clip = read_clip(
            path,
            size=recipe.size,
            skip=recipe.skip,
            samples_per_frame=recipe.samples_per_frame,
        )
        notes = notes_on(clip, card, shown(path))
    except NoPictureError:
        if not card.view.sound:
            raise
        clip = _blank(path, card, recipe)
        notes = missing_senses(True, False, card, shown(path))
    sample = prepare(clip, recipe, source=source)
    return sample, notes + silence(sample.has_sound, sample.silent, card)


def recipe_of(card: Card) -> Recipe:
    """Return how the network's samples were built.

    Raises:
        TrainingError: if the card does not say, or says what this version cannot do.
    """
    try:
        return Recipe.from_options(card.recipe)
    except (TypeError, ValueError, KeyError):
        raise TrainingError(
            "the model does not say in a way that this version knows how its samples "
            "were built, so raw clips cannot be prepared; give samples (.pt), or train "
            "on samples that create_fmrgbdata made"
        ) from None


def _blank(path: Path, card: Card, recipe: Recipe) -> Clip:
    """Read sound alone, beside black pictures at the pace of the training clips."""
    fps = usual_fps(card)
    sound = read_sound(path, rate=sound_rate(fps, recipe.samples_per_frame))
    n_frames = max(1, round(len(sound.samples) / sound.rate * fps))
    return blank_clip(card, recipe, sound, n_frames, fps)


def blank_clip(
    card: Card, recipe: Recipe, sound: Sound, n_frames: int, fps: float
) -> Clip:
    """Put black pictures, uint8 [T, H, W, 3], beside a sound."""
    width, height = recipe.size or (card.view.width, card.view.height)
    edges = sound.start_s + np.arange(n_frames + 1) / fps
    black = np.zeros((n_frames, height, width, 3), np.uint8)
    return Clip(black, edges[:-1], edges[1:], fps, sound)
