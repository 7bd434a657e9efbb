"""Show which planes, moments and regions of a clip a model's answer rests on.

Example: python tools/explain.py --model run/best.ckpt --target clips/fight/fi001.mp4
"""

import sys

from fmrgb_tools.command import OK, run_tool, show

from fmrgb.explain_options import ExplainOptions


def work(options: ExplainOptions) -> int:
    """Explain the answer, name what counts most and the files."""
    from fmrgb.explain import explain, numbers
    from fmrgb.files import shown

    target = options.target
    done = explain(
        options.model,
        target,
        options.output or target.parent / f"{target.stem}_explained",
        label=options.label,
        steps=options.steps,
        windows=options.windows,
        source=options.source,
    )
    for note in done.notes:
        print(f"{shown(target)}: {shown(note)}", file=sys.stderr)
    told = numbers(done.heated)
    if not done.told.exact:
        print(
            f"warning: integrated gradients left {told['missing']:+.2f} log-odds out; "
            f"--steps {4 * options.steps} is more exact",
            file=sys.stderr,
        )
    label, guess = told["label"], told["predicted"]
    odds = told["probabilities"]
    lines = [
        f"predicted {shown(guess)} ({odds[guess]:.1%}); explained {shown(label)} "
        f"({odds[label]:.1%}), log-odds {told['log_odds']:+.2f}, of a usual clip "
        f"{told['baseline_log_odds']:+.2f}",
        f"{'worth in log-odds':20} {'gradients':>9} {'occlusion':>9}",
        *(
            f"{name:20} {worth['gradients']:+9.2f} {worth['occlusion']:+9.2f}"
            for name, worth in told["planes"].items()
        ),
        *(shown(path) for path in done.files),
    ]
    show({**told, "files": done.files}, lines, as_json=options.json)
    return OK


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("explain", ExplainOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
