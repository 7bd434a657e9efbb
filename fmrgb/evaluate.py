"""From a checkpoint and labelled samples to predictions.

Axes: N clips, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fmrgb.census import count
from fmrgb.checkpoint import Card, Network, load_checkpoint
from fmrgb.errors import TrainingError
from fmrgb.loader import ClipSet, batches, readable
from fmrgb.manifest import Row, read_manifest
from fmrgb.metrics import Predictions, score
from fmrgb.sample import load_sample
from fmrgb.splits import sources, warn_of_shortcuts
from fmrgb.worth import ALL_SOUND, REPEATS, try_planes


@dataclass(frozen=True)
class Evaluation:
    """What a model made of labelled samples.

    Attributes:
        card: what the model is.
        split: which clips were asked for.
        predictions: of every clip.
        scores: from `metrics.score`.
        faults: samples set aside and why, by name.
        facts: sentences on what the samples are.
        warnings: facts that make the score mean less than it seems.
    """

    card: Card
    split: str
    predictions: Predictions
    scores: dict[str, Any]
    faults: dict[str, str]
    facts: list[str]
    warnings: list[str]


def predict_rows(
    network: Network, rows: Sequence[Row], *, batch_size: int = 20, repeats: int = 0
) -> Predictions:
    """Ask the network about labelled samples.

    Args:
        network: from a checkpoint.
        rows: the samples.
        batch_size: clips per step.
        repeats: how many times the network is asked again, for each plane, about clips
            that have this plane of other clips; see `fmrgb.worth`.

    Raises:
        TrainingError: if there are none, or one has a label the network does not know.
        SampleError: if a sample cannot be read.
    """
    if not rows:
        raise TrainingError("no clip to judge; check --data and --split")
    card = network.card
    clips = ClipSet(rows, card.classes, card.view)
    told, truth = [], []
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device).eval()
    with torch.inference_mode():
        for levels, labels, _ in batches(clips, batch_size=batch_size, shuffle=False):
            logits = network(levels.to(device))
            told.append(logits.double().softmax(dim=1).cpu().numpy())
            truth.append(np.asarray(labels))
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
    split: str = "all",
    batch_size: int = 20,
    repeats: int = REPEATS,
) -> Evaluation:
    """Judge a checkpoint on the samples of a manifest or folder.

    Args:
        model: checkpoint of a run.
        data: manifest, or folder `<label>/<sample>.pt`.
        split: all, or the split that a column of the manifest must name.
        batch_size: clips per step.
        repeats: tries for what each plane is worth; 0 leaves it out and is far quicker.

    Raises:
        TrainingError: if no clip has that split, or a label is not the model's.
    """
    network = load_checkpoint(model)
    rows = [r for r in read_manifest(data) if split in ("all", r.split)]
    if not rows:
        raise TrainingError(
            f"no clip is marked {split}; give a run's split.csv, or --split all"
        )
    good, faults = readable(rows)
    told = predict_rows(network, good, batch_size=batch_size, repeats=repeats)
    census = count(good, sources(good))
    return Evaluation(
        card=network.card,
        split=split,
        predictions=told,
        scores=score(told),
        faults=faults,
        facts=census.facts(),
        warnings=census.warnings() + warn_of_shortcuts(good),
    )
