"""From a manifest to a run folder: split, train, judge on untouched clips, report."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from fmrgb.checkpoint import load_checkpoint
from fmrgb.errors import InputError
from fmrgb.evaluate import predict_rows
from fmrgb.files import make_folder, shown, whole_file
from fmrgb.learner import Settings
from fmrgb.loader import View, choose_view, readable
from fmrgb.manifest import Row, read_manifest, write_manifest
from fmrgb.metrics import Predictions, pool, score
from fmrgb.report import Story, write_report
from fmrgb.sample import load_sample
from fmrgb.splits import folds, split, warn_of_shortcuts
from fmrgb.trainer import Trained, train


@dataclass(frozen=True)
class Material:
    """Samples that can be read, and how a network looks at them."""

    data: Path  # where they are listed
    rows: list[Row]
    faults: dict[str, str]  # samples set aside and why, by name
    view: View
    recipe: dict[str, Any]  # how the samples were built


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        scores: from `metrics.score`, for val and test.
        predictions: of the test clips.
        trained: what the training left.
        report: the page.
        faults: samples set aside and why, by name.
        warnings: facts that make the score mean less than it seems.
    """

    scores: dict[str, dict[str, Any]]
    predictions: Predictions
    trained: Trained
    report: Path
    faults: dict[str, str]
    warnings: list[str]


@dataclass(frozen=True)
class Folds:
    """Several runs over the same clips, each clip tested once.

    Attributes:
        runs: one per fold.
        scores: of all folds' test clips together, from `metrics.score`.
        report: the page on them all.
    """

    runs: list[Run]
    scores: dict[str, Any]
    report: Path


def gather(
    data: Path,
    *,
    channels: str = "all",
    frames: int | None = None,
    size: tuple[int, int] | None = None,
) -> Material:
    """Find the samples and settle what a network sees of them.

    Args:
        data: manifest, or folder `<label>/<sample>.pt`.
        channels: planes the network sees: all, picture, sound, or names with commas.
        frames: how many it sees of each sample; None shows all.
        size: (width, height) it sees, in pixels; None keeps the samples' own.

    Raises:
        TrainingError: if no sample can be read or a plane is missing.
    """
    rows, faults = readable(read_manifest(data))
    first = load_sample(rows[0].path)
    view = choose_view(first, channels=channels, frames=frames, size=size)
    return Material(data, rows, faults, view, first.meta.get("options", {}))


def run(
    material: Material,
    settings: Settings,
    *,
    folder: Path,
    test_size: float = 0.2,
    val_size: float = 0.2,
    quiet: bool = False,
    resume: bool = False,
) -> Run:
    """Train on one part of the samples, stop by another, report on a third.

    Args:
        material: from `gather`.
        settings: how to train.
        folder: run folder to write; new or empty.
        test_size: share of the clips kept for the final score; groups stay whole.
        val_size: share of the clips that decides when to stop; groups stay whole.
        quiet: show no progress bar.
        resume: go on with what a killed run left in the folder.

    Raises:
        InputError: if the folder holds something already, or, to be resumed, was begun
            with other choices.
        ManifestError: if the clips cannot be split.
        TrainingError: if they cannot be trained on.
    """
    if not resume:
        refuse_used(folder)
    seed = settings.seed
    rows = split(material.rows, test_size=test_size, val_size=val_size, seed=seed)
    shares = {"test_size": test_size, "val_size": val_size}
    return _run_split(material, settings, shares, quiet, resume, rows, folder)


def run_folds(
    material: Material,
    settings: Settings,
    *,
    folder: Path,
    n_folds: int,
    val_size: float = 0.2,
    quiet: bool = False,
    resume: bool = False,
) -> Folds:
    """Train `n_folds` times; every clip is judged once, by a network that never saw it.

    Leaves a run folder `fold1`, `fold2`, ... for each and a report on all of them.

    Args:
        material: from `gather`.
        settings: how to train.
        folder: folder to write; new or empty.
        n_folds: how many times.
        val_size: share of the clips that decides when to stop.
        quiet: show no progress bar.
        resume: go on with what a killed run left in the folder.

    Raises:
        InputError: if the folder holds something already, or, to be resumed, was begun
            with other choices.
        ManifestError: if the clips cannot be split.
        TrainingError: if they cannot be trained on.
    """
    if not resume:
        refuse_used(folder)
    cuts = folds(material.rows, n_folds, val_size=val_size, seed=settings.seed)
    shares = {"folds": n_folds, "val_size": val_size}
    runs = [
        _run_split(material, settings, shares, quiet, resume, rows, folder / f"fold{k}")
        for k, rows in enumerate(cuts, start=1)
    ]
    told = pool([done.predictions for done in runs])
    scores = {"test": score(told)}
    each = [done.scores["test"]["accuracy"] for done in runs]
    scores |= {f"fold {k}": done.scores["test"] for k, done in enumerate(runs, start=1)}
    spread = f"mean of the folds {mean(each):.1%}, standard deviation {stdev(each):.1%}"
    story = Story(
        title=f"{n_folds} folds of {settings.model} {settings.model_size} on "
        f"{material.data.name}",
        scores=scores,
        predictions=told,
        options=_choices(material, settings, shares),
        facts=[*describe(material.rows, material.faults), spread],
        warnings=runs[0].warnings,
    )
    return Folds(runs, scores["test"], write_report(folder, story))


def _run_split(
    material: Material,
    settings: Settings,
    shares: dict[str, Any],
    quiet: bool,
    resume: bool,
    rows: Sequence[Row],
    folder: Path,
) -> Run:
    """Train and judge on rows that carry their splits."""
    chosen = _choices(material, settings, shares)
    _keep_choices(folder, rows, {**chosen, "samples": material.recipe})
    trained = train(
        rows,
        material.view,
        settings,
        folder=folder,
        recipe=material.recipe,
        quiet=quiet,
        resume=resume,
    )
    told = _judge(trained.best, rows, settings.batch_size)
    scores = {name: score(predictions) for name, predictions in told.items()}
    warnings = warn_of_shortcuts(rows)
    story = Story(
        title=f"{settings.model} {settings.model_size} on {material.data.name}",
        scores=scores,
        predictions=told["test"],
        history=trained.history,
        options={**chosen, "parameters": trained.parameters},
        facts=describe(rows, material.faults),
        warnings=warnings,
    )
    report = write_report(folder, story)
    return Run(scores, told["test"], trained, report, material.faults, warnings)


def _choices(
    material: Material, settings: Settings, shares: dict[str, Any]
) -> dict[str, Any]:
    """Return everything that was chosen, by name, for config.json and the report."""
    chosen: dict[str, Any] = {"data": str(material.data), **shares}
    return chosen | asdict(settings) | asdict(material.view)


def refuse_used(folder: Path) -> None:
    """Raise InputError if a folder to be written holds something already."""
    if folder.is_file():
        raise InputError(f"{shown(folder)} is a file; name a new folder as --output")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(
            f"{shown(folder)} is not empty; name a new --output, so nothing is lost"
        )


def _keep_choices(folder: Path, rows: Sequence[Row], chosen: dict[str, Any]) -> None:
    """Write config.json and split.csv; a run to be resumed must have the same ones."""
    make_folder(folder)
    known = folder / "config.json"
    if known.is_file():
        before = json.loads(known.read_text())
        now = json.loads(json.dumps(chosen))
        if other := [k for k in now if before.get(k) != now[k]]:
            told = ", ".join(f"{k} {before.get(k)} there, {now[k]} now" for k in other)
            raise InputError(
                f"{shown(folder)} was begun with other choices: {told}; repeat them to "
                "resume, or name a new --output"
            )
    write_manifest(folder / "split.csv", rows)
    with whole_file(folder / "config.json") as part:
        part.write_text(json.dumps(chosen, indent=1))


def _judge(best: Path, rows: Sequence[Row], batch_size: int) -> dict[str, Predictions]:
    """Ask the best weights about the clips that stopped them and the untouched ones."""
    network = load_checkpoint(best)
    return {
        name: predict_rows(
            network, [r for r in rows if r.split == name], batch_size=batch_size
        )
        for name in ("val", "test")
    }


def describe(rows: Sequence[Row], faults: dict[str, str]) -> list[str]:
    """Say in a few lines what the data are."""
    labels = Counter(row.label for row in rows)
    lines = [
        ", ".join(f"{n} {label}" for label, n in sorted(labels.items())) + " clips"
    ]
    for name in ("train", "val", "test"):
        part = [row for row in rows if row.split == name]
        if part:
            groups = len({row.group for row in part if row.group})
            sources = f", {groups} named groups" if groups else ""
            lines.append(f"{name}: {len(part)} clips{sources}")
    mute = sum(row.has_sound is False for row in rows)
    silent = sum(bool(row.has_sound and row.silent) for row in rows)
    lines.append(f"{mute} clips have no sound track, {silent} a silent one")
    lines += [f"set aside: {reason}" for reason in faults.values()]
    return lines
