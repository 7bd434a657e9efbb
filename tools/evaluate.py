"""Judge a trained model on labelled samples or clips; compare it with another.

Example: tools/evaluate.py --model run/best.ckpt --data run/split.csv --split test
"""

import sys
from typing import TYPE_CHECKING

from fmrgb_tools.command import FAILED, OK, allowance, counter, run_tool, show

from fmrgb.train_options import EvaluateOptions

if TYPE_CHECKING:
    from fmrgb.evaluate import Evaluation


def work(options: EvaluateOptions) -> int:
    """Ask the model, print the scores, write the report where one is wanted."""
    from fmrgb.files import shown
    from fmrgb.report import report_evaluation

    done = judged(options)
    for name, reason in done.faults.items():
        print(f"set aside: {shown(name)}: {shown(reason)}", file=sys.stderr)
    if done.faults:
        n_all = len(done.faults) + done.scores["clips"]
        print(f"{len(done.faults)} of {n_all} clips set aside", file=sys.stderr)
    for warning in done.warnings:
        print(f"warning: {shown(warning)}", file=sys.stderr)
    lines = told(done)
    result = {**done.scores, "model": options.model, "split": options.split}
    result["set_aside"] = done.faults
    if options.output:
        page = report_evaluation(options.output, options.model, done, options.against)
        lines.append(f"report: {shown(page)}")
        result["report"] = page
    show(result, lines, as_json=options.json)
    return FAILED if done.faults else OK


def judged(options: EvaluateOptions) -> "Evaluation":
    """Ask the model, and the other one, about samples or raw clips."""
    from fmrgb.evaluate import evaluate
    from fmrgb.worth import REPEATS

    data = options.raw or options.data
    assert data is not None  # the options see to it
    with counter("clips") as progress:
        return evaluate(
            options.model,
            data,
            raw=options.raw is not None,
            against=options.against,
            split=options.split,
            batch_size=options.batch_size,
            repeats=REPEATS if options.output else 0,  # only the report tells of them
            workers=options.workers,
            allowance=allowance(options),
            outside=options.outside,
            progress=progress,
        )


def told(done: "Evaluation") -> list[str]:
    """Say the scores in lines."""
    from fmrgb.verdict import on_comparison, on_tracks, printed

    scores = done.scores
    low, high = scores["interval"]
    lines = [
        f"accuracy {scores['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%}, "
        f"{scores['right']} of {scores['clips']} clips; commonest class "
        f"{scores['majority']:.1%})",
        f"macro F1 {scores['macro_f1']:.3f}, loss {scores['loss']:.3f}",
    ]
    if "tracks" in scores:
        lines.append(printed(on_tracks(scores["tracks"])))
    if "against" in scores:
        compared = printed(on_comparison(scores["against"]))
        lines.append(f"A is --model, B is --against: {compared}")
    return lines


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("evaluate", EvaluateOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
