"""From a manifest to a run folder: split, train, judge on untouched clips, report."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fmrgb.audit import Audit, audit
from fmrgb.callbacks import diverged
from fmrgb.census import Census, count
from fmrgb.checkpoint import load_checkpoint
from fmrgb.evaluate import predict_rows
from fmrgb.learner import Settings
from fmrgb.lr_search import Found, Plan, search
from fmrgb.manifest import Row
from fmrgb.material import Material, parted
from fmrgb.metrics import Predictions, pool, score, spread
from fmrgb.ranks import from_first, join, n_processes
from fmrgb.report import Story, write_report
from fmrgb.run_folder import keep_audit, keep_choices, refuse_used
from fmrgb.splits import folds, sources
from fmrgb.trainer import Trained, train
from fmrgb.worth import REPEATS


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
        found: what the search for settings came to, if there was one.
    """

    scores: dict[str, dict[str, Any]]
    predictions: Predictions
    trained: Trained
    report: Path
    faults: dict[str, str]
    warnings: list[str]
    found: Found | None = None


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


def run(
    material: Material,
    settings: Settings,
    *,
    folder: Path,
    test_size: float = 0.2,
    val_size: float = 0.2,
    quiet: bool = False,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    plan: Plan | None = None,
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
        say: told what the data audit found, one line each, before the first step.
        plan: which settings to search first; None searches none.

    Raises:
        InputError: if the folder holds something already, or, to be resumed, was begun
            with other choices.
        ManifestError: if the clips cannot be split.
        TrainingError: if they cannot be trained on.
    """
    _begin(settings, folder, resume)
    shares: dict[str, Any] = {"test_size": test_size, "val_size": val_size}
    rows = from_first(lambda: parted(material, **shares, seed=settings.seed))
    if material.chosen["split"]:
        shares = {}
    how: dict[str, Any] = {"quiet": quiet, "resume": resume, "say": say, "plan": plan}
    return _run_split(material, settings, shares, rows, folder, **how)


def run_folds(
    material: Material,
    settings: Settings,
    *,
    folder: Path,
    n_folds: int,
    val_size: float = 0.2,
    quiet: bool = False,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    plan: Plan | None = None,
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
        say: told what the data audit found, one line each, before the first step.
        plan: which settings to search first; None searches none.

    Raises:
        InputError: if the folder holds something already, or, to be resumed, was begun
            with other choices.
        ManifestError: if the clips cannot be split.
        TrainingError: if they cannot be trained on.
    """
    _begin(settings, folder, resume)
    known = material.rows, n_folds
    cuts = from_first(lambda: folds(*known, val_size=val_size, seed=settings.seed))
    shares = {"folds": n_folds, "val_size": val_size}
    how: dict[str, Any] = {"quiet": quiet, "resume": resume, "say": say, "plan": plan}
    runs = []
    for k, rows in enumerate(cuts, start=1):
        into = folder / f"fold{k}"
        runs.append(_run_split(material, settings, shares, rows, into, **how))
        how["say"] = None  # the others are no different
    told = pool([done.predictions for done in runs])
    scores = {"test": score(told)}
    scores["test"]["folds"] = spread([done.scores["test"] for done in runs])
    scores |= {f"fold {k}": done.scores["test"] for k, done in enumerate(runs, start=1)}
    story = Story(
        title=f"{n_folds} folds of {settings.model} {settings.model_size} on "
        f"{material.data.name}",
        scores=scores,
        predictions=told,
        options=_choices(material, settings, shares, plan) | _found_by(runs, plan),
        facts=_facts(material, count(material.rows, sources(material.rows))),
        warnings=runs[0].warnings,
    )
    report = from_first(lambda: write_report(folder, story))
    return Folds(runs, scores["test"], report)


def _begin(settings: Settings, folder: Path, resume: bool) -> None:
    """Meet the other processes, if there are any; see that the folder may be used."""
    join(settings.devices, settings.nodes, settings.strategy)
    if not resume:
        from_first(lambda: refuse_used(folder))


def _run_split(
    material: Material,
    settings: Settings,
    shares: dict[str, Any],
    rows: Sequence[Row],
    folder: Path,
    *,
    quiet: bool,
    resume: bool,
    say: Callable[[str], None] | None,
    plan: Plan | None,
) -> Run:
    """Train and judge on rows that carry their splits.

    Of several processes the first one does all but the training.
    """
    how: dict[str, Any] = {"folder": folder, "recipe": material.recipe, "quiet": quiet}
    n = n_processes()

    def prepare() -> tuple[Audit, Found | None]:
        known = _audited(material, settings, rows, say, n)
        settled = replace(settings, precision=known.trial.precision)
        found = search(rows, material.view, settled, plan=plan, **how) if plan else None
        chosen = _choices(material, _with(settings, found), shares, plan)
        keep_choices(folder, rows, {**chosen, "samples": material.recipe})
        keep_audit(folder, known.as_dict())
        return known, found

    known, found = from_first(prepare)
    settings = _with(settings, found)
    settled = replace(settings, precision=known.trial.precision)
    trained = train(rows, material.view, settled, resume=resume, **how)
    chosen = _choices(material, settings, shares, plan)
    result = material, settings, rows, trained, chosen, known, found, folder
    return from_first(lambda: _judged(*result))


def _with(settings: Settings, found: Found | None) -> Settings:
    """Return the settings with what was found, if there was a search."""
    return replace(settings, **found.values) if found else settings


def _judged(
    material: Material,
    settings: Settings,
    rows: Sequence[Row],
    trained: Trained,
    chosen: dict[str, Any],
    known: Audit,
    found: Found | None,
    folder: Path,
) -> Run:
    """Ask the best weights about the clips that were kept back; write the report."""
    told = _judge(trained.best, rows, settings.batch_size)
    scores = {name: score(predictions) for name, predictions in told.items()}
    begun_with = trained.taken.lines() if trained.taken else []
    story = Story(
        title=f"{settings.model} {settings.model_size} on {material.data.name}",
        scores=scores,
        predictions=told["test"],
        history=trained.history,
        options={**chosen, **_measured(trained)},
        facts=_facts(material, known.census)
        + begun_with
        + (found.told if found else []),
        warnings=known.warnings + diverged(trained.history),
    )
    report = write_report(folder, story)
    faults, warnings = material.faults, story.warnings
    return Run(scores, told["test"], trained, report, faults, warnings, found)


def _measured(trained: Trained) -> dict[str, Any]:
    """Return what was settled while training."""
    return {"parameters": trained.parameters, "precision": trained.precision}


def _audited(
    material: Material,
    settings: Settings,
    rows: Sequence[Row],
    say: Callable[[str], None] | None,
    processes: int,
) -> Audit:
    """Look at the data and try a few steps; tell what was found."""
    how: dict[str, Any] = {"notes": material.notes, "processes": processes}
    known = audit(rows, material.view, settings, recipe=material.recipe, **how)
    if say:
        for line in known.short():
            say(line)
    return known


def _facts(material: Material, census: Census) -> list[str]:
    """Say what the samples are, and which were set aside."""
    told = census.facts()
    return told + [f"set aside: {reason}" for reason in material.faults.values()]


def _found_by(runs: Sequence[Run], plan: Plan | None) -> dict[str, Any]:
    """Return what each run's search found, by the name of the setting."""
    found = [run.found.values for run in runs if run.found]
    names = plan.names if plan else ()
    return {name: [values[name] for values in found] for name in names}


def _choices(
    material: Material, settings: Settings, shares: dict[str, Any], plan: Plan | None
) -> dict[str, Any]:
    """Return everything that was chosen, by name, for config.json and the report."""
    chosen: dict[str, Any] = {**material.chosen, **shares}
    chosen["search"] = plan.chosen() if plan else None
    return chosen | asdict(settings) | asdict(material.view)


def _judge(best: Path, rows: Sequence[Row], batch_size: int) -> dict[str, Predictions]:
    """Ask the best weights about the clips that stopped them and the untouched ones."""
    network = load_checkpoint(best)
    return {
        name: predict_rows(
            network,
            [r for r in rows if r.split == name],
            batch_size=batch_size,
            repeats=repeats,
        )
        for name, repeats in (("val", 0), ("test", REPEATS))
    }
