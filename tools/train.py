"""Train a classifier on samples; leave a run folder with weights and a report.

Example: python tools/train.py --data samples/manifest.csv --output run --lr 1e-3
"""

import sys
from contextlib import nullcontext
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from fmrgb_tools.command import FAILED, OK, run_tool, show

from fmrgb.files import shown
from fmrgb.train_options import TrainOptions

if TYPE_CHECKING:
    from fmrgb.learner import Settings
    from fmrgb.lr_search import Plan
    from fmrgb.material import Material
    from fmrgb.run import Run


def work(options: TrainOptions) -> int:
    """Train, in as many processes as are wanted; the first one speaks for all."""
    from fmrgb.errors import FmrgbError
    from fmrgb.ranks import FirstFailed, first_process, from_first, join, leave, or_lost
    from fmrgb.run_folder import refuse_used

    settings, failed = _settings(options), True
    try:
        if not options.dry_run:
            join(options.devices, options.nodes, options.strategy)
        with or_lost():
            if not (options.resume or options.dry_run):
                from_first(lambda: refuse_used(options.output))
            status = _work(options, settings)
        failed = False
        return status
    except FirstFailed:  # it has said why
        return OK
    except FmrgbError as error:
        if first_process():
            raise
        _say(f"another process of those that train together: {error}")
        return FAILED
    finally:
        leave(failed=failed)


def _work(options: TrainOptions, settings: "Settings") -> int:
    """Split, train, judge, report; print the scores."""
    from fmrgb.alone import alone
    from fmrgb.callbacks import diverged
    from fmrgb.material import gather
    from fmrgb.ranks import first_process, from_first
    from fmrgb.run import run, run_folds

    material = from_first(
        lambda: gather(
            options.data,
            labels=options.labels,
            label_column=options.label_column,
            given_split=options.split,
            channels=options.channels,
            frames=options.frames,
            size=options.size,
            outside=options.outside,
        )
    )
    if options.dry_run:
        return _dry_run(options, material, settings)
    result: dict[str, Any] = {}
    how: dict[str, Any] = {"folder": options.output, "val_size": options.val_size}
    how["resume"] = options.resume
    how["quiet"] = options.json or not sys.stderr.isatty()
    how["say"] = _say
    how["plan"] = _plan(options)
    # Of several processes that train together the first one speaks for all.
    with alone(options.output) if first_process() else nullcontext():
        if options.folds:
            folded = run_folds(material, settings, n_folds=options.folds, **how)
            runs, test, report = folded.runs, folded.scores, folded.report
        else:
            single = run(material, settings, test_size=options.test_size, **how)
            runs, test, report = [single], single.scores["test"], single.report
            result["val"] = single.scores["val"]
    if not first_process():
        return OK
    _say_faults(material)
    weights = [r.trained.best for r in runs]
    result |= {"report": report, "checkpoints": weights, "test": test}
    result["warnings"] = runs[0].warnings
    result["precision"] = runs[0].trained.precision
    taken = runs[0].trained.taken
    result["taken"] = vars(taken) if taken else None
    for run_done in runs:
        for line in diverged(run_done.trained.history):
            _say(f"warning: {line}")
    lines = taken.lines() if taken else []
    lines += [line for r in runs if r.found for line in r.found.told]
    lines += _told(test, runs) + [f"weights: {shown(w)}" for w in weights]
    lines.append(f"report: {shown(report)}")
    show(result, lines, as_json=options.json)
    return FAILED if material.faults else OK


def _settings(options: TrainOptions) -> "Settings":
    """Return the options that say how to train."""
    from fmrgb.augment import OFF, Augmentation
    from fmrgb.learner import Settings

    changes = {f.name: getattr(options, f.name) for f in fields(Augmentation)}
    other: dict[str, Any] = {
        "model": options.learnmethod,
        "usescheduler": options.usescheduler == "true",
        "augmentation": Augmentation(**changes) if options.augment == "true" else OFF,
    }
    same = {f.name for f in fields(Settings)} - set(other)
    return Settings(**other, **{name: getattr(options, name) for name in same})


def _plan(options: TrainOptions) -> "Plan | None":
    """Return what to search, if anything."""
    from fmrgb.lr_search import Plan

    if options.islearnrate_search == "false":
        return None
    return Plan(
        names=options.search,
        trials=options.trials,
        epochs=options.search_epochs,
        storage=options.storage,
    )


def _dry_run(options: TrainOptions, material: "Material", settings: "Settings") -> int:
    """Tell all that can be known before a training, and leave nothing behind."""
    from fmrgb.audit import audit
    from fmrgb.material import parted
    from fmrgb.splits import folds

    shares: dict[str, Any] = {"val_size": options.val_size, "seed": options.seed}
    if options.folds:
        rows = folds(material.rows, options.folds, **shares)[0]
    else:
        rows = parted(material, test_size=options.test_size, **shares)
    done = audit(
        rows, material.view, settings, recipe=material.recipe, notes=material.notes
    )
    lines = done.lines()
    if options.folds:
        lines.insert(0, f"fold 1 of {options.folds}:")
    _say_faults(material)
    show(done.as_dict(), lines, as_json=options.json)
    return FAILED if material.faults else OK


def _say(line: str) -> None:
    print(shown(line), file=sys.stderr, flush=True)


def _say_faults(material: "Material") -> None:
    for name, reason in material.faults.items():
        _say(f"set aside: {name}: {shown(reason)}")


def _told(test: dict[str, Any], runs: "list[Run]") -> list[str]:
    from fmrgb.verdict import on_tracks, printed

    low, high = test["interval"]
    lines = [
        f"test accuracy {test['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%}, "
        f"{test['right']} of {test['clips']} clips; commonest class "
        f"{test['majority']:.1%})"
    ]
    if "tracks" in test:
        lines.append(printed(on_tracks(test["tracks"])))
    if len(runs) > 1:
        each = ", ".join(f"{r.scores['test']['accuracy']:.1%}" for r in runs)
        lines.append(f"the folds: {each}")
    else:
        val = runs[0].scores["val"]["accuracy"]
        lines.append(f"validation accuracy {val:.1%}, which chose the epoch")
    epochs = sum(len(r.trained.history) for r in runs)
    seconds = sum(r.trained.seconds for r in runs)
    parameters = runs[0].trained.parameters
    lines.append(
        f"{epochs} epochs in {seconds:.0f} s, {parameters} parameters, precision "
        f"{runs[0].trained.precision}"
    )
    return lines


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("train", TrainOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
