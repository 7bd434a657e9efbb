"""Train a classifier on samples; leave a run folder with weights and a report.

Example: python tools/train.py --data samples/manifest.csv --output run --epochs 60
"""

import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from fmrgb_tools.command import FAILED, OK, run_tool, show

from fmrgb.files import shown
from fmrgb.train_options import TrainOptions

if TYPE_CHECKING:
    from fmrgb.run import Run


def work(options: TrainOptions) -> int:
    """Split, train, judge, report; print the scores."""
    from fmrgb.learner import Settings
    from fmrgb.run import gather, refuse_used, run, run_folds

    if not options.resume:
        refuse_used(options.output)
    chosen = {
        f.name: getattr(options, f.name) for f in fields(Settings) if f.name != "model"
    }
    settings = Settings(model=options.learnmethod, **chosen)
    material = gather(
        options.data,
        channels=options.channels,
        frames=options.frames,
        size=options.size,
    )
    result: dict[str, Any] = {}
    how: dict[str, Any] = {"folder": options.output, "val_size": options.val_size}
    how["resume"] = options.resume
    how["quiet"] = options.json or not sys.stderr.isatty()
    if options.folds:
        folded = run_folds(material, settings, n_folds=options.folds, **how)
        runs, test, report = folded.runs, folded.scores, folded.report
    else:
        single = run(material, settings, test_size=options.test_size, **how)
        runs, test, report = [single], single.scores["test"], single.report
        result["val"] = single.scores["val"]
    for name, reason in material.faults.items():
        print(f"set aside: {name}: {shown(reason)}", file=sys.stderr)
    for warning in runs[0].warnings:
        print(f"warning: {warning}", file=sys.stderr)
    weights = [r.trained.best for r in runs]
    result |= {"report": report, "checkpoints": weights, "test": test}
    lines = _told(test, runs) + [f"weights: {shown(w)}" for w in weights]
    lines.append(f"report: {shown(report)}")
    show(result, lines, as_json=options.json)
    return FAILED if material.faults else OK


def _told(test: dict[str, Any], runs: "list[Run]") -> list[str]:
    low, high = test["interval"]
    lines = [
        f"test accuracy {test['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%}, "
        f"{test['right']} of {test['clips']} clips; commonest class "
        f"{test['majority']:.1%})"
    ]
    if len(runs) > 1:
        each = ", ".join(f"{r.scores['test']['accuracy']:.1%}" for r in runs)
        lines.append(f"the folds: {each}")
    else:
        val = runs[0].scores["val"]["accuracy"]
        lines.append(f"validation accuracy {val:.1%}, which chose the epoch")
    epochs = sum(len(r.trained.history) for r in runs)
    seconds = sum(r.trained.seconds for r in runs)
    parameters = runs[0].trained.parameters
    lines.append(f"{epochs} epochs in {seconds:.0f} s, {parameters} parameters")
    return lines


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("train", TrainOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
