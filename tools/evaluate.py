"""Judge a trained model on labelled samples.

Example: tools/evaluate.py --model run/best.ckpt --data run/split.csv --split test
"""

import sys

from fmrgb_tools.command import FAILED, OK, run_tool, show

from fmrgb.train_options import EvaluateOptions


def work(options: EvaluateOptions) -> int:
    """Ask the model, print the scores, write the report where one is wanted."""
    from fmrgb.evaluate import evaluate
    from fmrgb.files import shown
    from fmrgb.report import report_evaluation
    from fmrgb.worth import REPEATS

    done = evaluate(
        options.model,
        options.data,
        split=options.split,
        batch_size=options.batch_size,
        repeats=REPEATS if options.output else 0,  # only the report tells of them
    )
    for name, reason in done.faults.items():
        print(f"set aside: {name}: {shown(reason)}", file=sys.stderr)
    for warning in done.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    scores = done.scores
    low, high = scores["interval"]
    lines = [
        f"accuracy {scores['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%}, "
        f"{scores['right']} of {scores['clips']} clips; commonest class "
        f"{scores['majority']:.1%})",
        f"macro F1 {scores['macro_f1']:.3f}, loss {scores['loss']:.3f}",
    ]
    result = {**scores, "model": options.model, "split": options.split}
    if options.output:
        page = report_evaluation(options.output, options.model, done)
        lines.append(f"report: {shown(page)}")
        result["report"] = page
    show(result, lines, as_json=options.json)
    return FAILED if done.faults else OK


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("evaluate", EvaluateOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
