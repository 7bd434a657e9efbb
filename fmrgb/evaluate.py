"""From a checkpoint and labelled samples, or raw clips, to predictions.

Axes: N clips, K classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fmrgb.card import Card
from fmrgb.census import count
from fmrgb.checkpoint import Network, load_checkpoint
from fmrgb.comparison import compare
from fmrgb.errors import TrainingError
from fmrgb.files import shown
from fmrgb.limits import Allowance
from fmrgb.loader import ClipSet, batches, readable
from fmrgb.manifest import Row, read_manifest
from fmrgb.metrics import SENSES, Predictions, score
from fmrgb.ondisk import fetch_ahead
from fmrgb.predict import prepare_sample
from fmrgb.rawclips import RawClips, all_planes, list_clips, prepare_clips
from fmrgb.sample import Sample, load_sample
from fmrgb.splits import sources, warn_of_shortcuts
from fmrgb.worth import ALL_SOUND, REPEATS, try_planes


@dataclass(frozen=True)
class Evaluation:
    """What a model made of labelled samples or clips.

    Attributes:
        card: what the model is.
        split: which clips were asked for.
        predictions: of every clip.
        scores: from `metrics.score`; with another model, `against` is what
            `comparison.compare` makes of the two.
        faults: samples or clips set aside and why, by name.
        facts: sentences on what the samples are.
        warnings: facts that make the score mean less than it seems.
        other: what the other model said of the same clips, if there is one.
        read: makes a sample of the path of a prediction.
    """

    card: Card
    split: str
    predictions: Predictions
    scores: dict[str, Any]
    faults: dict[str, str]
    facts: list[str]
    warnings: list[str]
    other: Predictions | None = None
    read: Callable[[Path], Sample] = load_sample


def predict_rows(
    network: Network,
    rows: Sequence[Row],
    *,
    batch_size: int = 20,
    repeats: int = 0,
    ready: Sequence[NDArray[np.uint8]] | None = None,
) -> Predictions:
    """Ask the network about labelled samples.

    Args:
        network: from a checkpoint.
        rows: the samples.
        batch_size: clips per step.
        repeats: how many times the network is asked again, for each plane, about clips
            that have this plane of other clips; see `fmrgb.worth`.
        ready: what the network sees of each, [C, T, H, W], if that is at hand.

    Raises:
        TrainingError: if there are none, or one has a label the network does not know.
        SampleError: if a sample cannot be read.
    """
    if not rows:
        raise TrainingError("no clip to judge; check --data and --split")
    card = network.card
    clips = ClipSet(rows, card.classes, card.view, ready)
    told, truth, kinds = [], [], []
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device).eval()
    with torch.inference_mode():
        for levels, labels, _ in batches(clips, batch_size=batch_size, shuffle=False):
            logits = network(levels.to(device))
            told.append(logits.double().softmax(dim=1).cpu().numpy())
            truth.append(np.asarray(labels))
            kinds += network.kinds(levels).tolist()
    groups = sources(rows)
    how: dict[str, Any] = {"batch_size": batch_size, "repeats": repeats}
    return Predictions(
        classes=card.classes,
        truth=np.concatenate(truth),
        probabilities=np.concatenate(told),
        paths=tuple(str(row.path) for row in rows),
        groups=tuple(groups),
        sounds=tuple(sound_of(row) for row in rows),
        without=try_planes(network, clips, groups, **how) if repeats else {},
        heard=(*card.view.sound, ALL_SOUND),
        senses=tuple(SENSES[kind] for kind in kinds),
        tracks=tuple(row.track for row in rows) if any(r.track for r in rows) else (),
    )


def sound_of(row: Row) -> str:
    """Return one of `metrics.SOUNDS`; where the row is silent on it, ask the sample.

    Raises:
        SampleError: if the sample is asked and cannot be read.
    """
    has_sound, silent = row.has_sound, row.silent
    if has_sound is None or (has_sound and silent is None):
        sample = load_sample(row.path)
        has_sound, silent = sample.has_sound, sample.silent
    if not has_sound:
        return "none"
    return "silent" if silent else "audible"


def evaluate(
    model: Path,
    data: Path,
    *,
    raw: bool = False,
    against: Path | None = None,
    split: str = "all",
    batch_size: int = 20,
    repeats: int = REPEATS,
    workers: int = 1,
    allowance: Allowance | None = None,
    outside: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Judge a checkpoint on labelled samples, or on clips that nobody has prepared.

    Args:
        model: checkpoint of a run.
        data: manifest, or folder `<label>/<sample>.pt`; with `raw`, a CSV of clips.
        raw: prepare the clips as `predict` does.
        against: checkpoint of another run, to compare with on the same clips.
        split: all, or the split that a column of the manifest must name.
        batch_size: clips per step.
        repeats: tries for what each plane is worth; 0 leaves it out and is far quicker.
        workers: processes that prepare raw clips.
        allowance: what the preparation of a clip may take; None means anything.
        outside: let paths of `data` lead out of its folder; see `fmrgb.fence`.
        progress: called with how many of how many raw clips are prepared.

    Raises:
        TrainingError: if no clip has that split, or a label is not the model's.
        ManifestError: if the CSV is not sound, or no clip can be prepared.
    """
    models = [path for path in (model, against) if path]
    networks = [load_checkpoint(path) for path in models]
    cards = [network.card for network in networks]
    rows = _listed(data, raw, split, outside)
    _check_labels(rows, dict(zip(models, cards, strict=True)))
    how: dict[str, Any] = dict(workers=workers, allowance=allowance, progress=progress)
    clips = _clips(rows, cards, raw, how)
    told, *others = [
        predict_rows(network, clips.rows, batch_size=batch_size, repeats=n, ready=ready)
        for network, n, ready in zip(networks, (repeats, 0), clips.ready, strict=False)
    ]
    census = count(clips.rows, sources(clips.rows))
    scores = score(told)
    if others:
        scores["against"] = compare(told, others[0])
    return Evaluation(
        card=cards[0],
        split=split,
        predictions=told,
        scores=scores,
        faults=clips.faults,
        facts=census.facts() + clips.notes,
        warnings=census.warnings() + warn_of_shortcuts(clips.rows),
        other=others[0] if others else None,
        read=partial(_sample_of, card=cards[0]) if raw else load_sample,
    )


def _listed(data: Path, raw: bool, split: str, outside: bool) -> list[Row]:
    """Return the samples or raw clips that have the split."""
    listed = (list_clips if raw else read_manifest)(data, outside=outside)
    rows = [row for row in listed if split in ("all", row.split)]
    if not rows:
        raise TrainingError(
            f"no clip is marked {split}; give a run's split.csv, or --split all"
        )
    if not raw:
        fetch_ahead((row.path for row in rows), data)
    return rows


def _check_labels(rows: Sequence[Row], cards: Mapping[Path, Card]) -> None:
    """Raise TrainingError, before any work, if a model does not know a label."""
    for path, card in cards.items():
        if strange := sorted({row.label for row in rows} - set(card.classes)):
            raise TrainingError(
                f"labels that {shown(path)} does not know: {', '.join(strange)}; it "
                f"knows {', '.join(card.classes)}"
            )


def _clips(
    rows: Sequence[Row],
    cards: Sequence[Card],
    raw: bool,
    how: dict[str, Any],
) -> RawClips:
    """Return the clips that can be judged, and what each network sees of raw ones."""
    if raw:
        return prepare_clips(rows, cards, **how)
    good, faults = readable(rows)
    return RawClips(good, [None] * len(cards), faults, [])


def _sample_of(path: Path, card: Card) -> Sample:
    """Make the sample of a raw clip, for a picture of it."""
    return prepare_sample(path, all_planes(card))[0]
