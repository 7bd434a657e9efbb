"""From a list of raw clips with their labels to what networks see of them.

Axes: N clips, C channels, T frames, H height, W width.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fmrgb import engine
from fmrgb.card import Card
from fmrgb.errors import InputError, ManifestError
from fmrgb.files import room, sha256, shown
from fmrgb.limits import Allowance, limits_of
from fmrgb.manifest import Row, read_manifest
from fmrgb.predict import prepare_sample, recipe_of, seen_by
from fmrgb.sample import Sample
from fmrgb.seen import size_on_screen
from fmrgb.unlike import NO_PICTURE, NO_SOUND

Levels = NDArray[np.uint8]
Job = tuple[int, Row, tuple[Card, ...]]


@dataclass(frozen=True)
class RawClips:
    """Clips that can be judged, and those that cannot.

    Attributes:
        rows: the clips, with what is now known of them.
        ready: for each network, what it sees of each clip, uint8 [C, T, H, W]; None
            where it is read from samples.
        faults: clips set aside and why, by name.
        notes: sentences on what is unlike the clips of the training, with how many
            clips that holds for.
    """

    rows: list[Row]
    ready: Sequence[Sequence[Levels] | None]
    faults: dict[str, str]
    notes: list[str]


def list_clips(path: Path, *, outside: bool = False) -> list[Row]:
    """Read a CSV of clips: path (relative to the CSV), label, and perhaps group, split.

    With `outside` the paths may lead out of the CSV's folder; see `fmrgb.fence`.

    Raises:
        ManifestError: if a column or label is missing or a path stands twice.
        InputError: if there is no such file, or it is a folder.
    """
    if path.is_dir():
        raise InputError(
            f"expected a CSV with the columns path and label, got the folder "
            f"{shown(path)}"
        )
    return read_manifest(path, outside=outside)


def prepare_clips(
    rows: Sequence[Row],
    cards: Sequence[Card],
    *,
    workers: int = 1,
    allowance: Allowance | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RawClips:
    """Prepare every clip for every network, as `predict` does.

    A clip that cannot be prepared for one of them is set aside for all, so that they
    are judged on the same clips.

    Args:
        rows: the clips.
        cards: what the networks expect.
        workers: processes that work side by side.
        allowance: what a clip may take; None means anything.
        progress: called with how many of how many clips are done.

    Raises:
        TrainingError: if a card does not say how clips were prepared.
        ManifestError: if none can be prepared.
    """
    for card in cards:
        recipe_of(card)  # said once, not of every clip
    # In an unnamed file where memory would not do.
    levels = [room((len(rows), *card.view.shape)) for card in cards]
    known: dict[int, Row] = {}
    faults: dict[str, str] = {}
    notes: Counter[str] = Counter()
    limits = limits_of(allowance, lambda job: job[1].path)
    jobs: list[Job] = [(n, row, tuple(cards)) for n, row in enumerate(rows)]
    outcomes = engine.run(_prepared, jobs, workers=workers, limits=limits)
    for done, outcome in enumerate(outcomes, start=1):
        number, row, _ = outcome.job
        if outcome.result is None:
            faults[str(row.path)] = str(outcome.fault)
        else:
            known[number], seen, said = outcome.result
            notes.update(said)
            for place, clip_CTHW in zip(levels, seen, strict=True):
                place[number] = clip_CTHW
        if progress:
            progress(done, len(jobs))
    if not known:
        raise ManifestError(
            f"no clip can be judged; the first: {next(iter(faults.values()))}"
        )
    numbers = sorted(known)
    return RawClips(
        rows=[known[n] for n in numbers],
        ready=[[place[n] for n in numbers] for place in levels],
        faults=dict(sorted(faults.items())),
        notes=[f"{n} of {len(known)} clips: {said}" for said, n in notes.items()],
    )


def all_planes(card: Card) -> Card:
    """Return the card of a network that sees every plane of its samples.

    A clip without the one sense that a network judges by is refused by `predict`, but
    counts in a score, as its sample does in the score of training.
    """
    recipe = recipe_of(card)
    view = replace(card.view, channels=recipe.channels, sound=recipe.sound_planes)
    return replace(card, view=view)


def _prepared(job: Job) -> tuple[Row, list[Levels], set[str]]:
    """Prepare one clip for every network, once where they expect the same."""
    # One thread per process: the processes are what works side by side.
    cv2.setNumThreads(1)
    _, row, cards = job
    name = shown(row.path)
    samples: dict[str, tuple[Sample, tuple[str, ...]]] = {}
    seen, notes = [], set[str]()
    for card in cards:
        expected = str((card.recipe, card.fps, card.ratio))
        if expected not in samples:
            samples[expected] = prepare_sample(row.path, all_planes(card))
        sample, said = samples[expected]
        seen.append(seen_by(sample, card, name).levels)
        notes |= set(said)
    # The census counts missing senses.
    notes -= {NO_SOUND, NO_PICTURE}
    first, _ = next(iter(samples.values()))
    n_frames, height, width, _ = first.shape
    known = replace(
        row,
        has_sound=first.has_sound,
        silent=first.silent,
        fps=first.meta.get("fps"),
        seconds=first.meta.get("seconds"),
        frames=n_frames,
        height=height,
        width=width,
        checksum=sha256(row.path),
    )
    return _with_size(known, first), seen, notes


def _with_size(row: Row, sample: Sample) -> Row:
    width, height = size_on_screen(sample)
    return replace(row, source_width=width, source_height=height)
