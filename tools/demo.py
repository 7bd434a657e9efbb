"""Draw labelled clips with sound and walk the whole road with them.

Example: python tools/demo.py --output demo
Example: python tools/demo.py --kind keywords --output words
"""

import sys
import time

from fmrgb_tools.command import OK, counter, run_tool, show

from fmrgb.fields import default_workers
from fmrgb.options import DemoOptions

HEADS = {"video": "trained on", "keywords": "picture, test speakers"}
NAMES = {"all": "picture and sound", "picture": "picture alone", "sound": "sound alone"}


def work(options: DemoOptions) -> int:
    """Run the demo, telling each step; end with the table of the three trainings."""
    from fmrgb.demo import demo
    from fmrgb.demo_keywords import demo_keywords
    from fmrgb.files import shown

    walk = demo if options.kind == "video" else demo_keywords
    start = time.perf_counter()

    def say(line: str) -> None:
        print(
            f"[{time.perf_counter() - start:4.0f} s] {line}",
            file=sys.stderr,
            flush=True,
        )

    done = walk(
        options.output,
        n_clips=options.clips,
        epochs=options.epochs,
        seed=options.seed,
        workers=default_workers(),
        say=say,
        progress=counter,
    )
    say("done")
    head = f"{HEADS[options.kind]:24}{'test accuracy':>15}{'95 % interval':>22}"
    lines = ["", f"{head}{'clips':>8}"]
    result = {}
    for name, run in done.runs.items():
        test = run.scores["test"]
        low, high = test["interval"]
        span = f"{low:.1%} to {high:.1%}"
        share = f"{test['accuracy']:.1%}"
        said = NAMES.get(name, name)
        lines.append(f"{said:24}{share:>15}{span:>22}{test['clips']:>8}")
        result[name] = {**test, "report": run.report}
    pictures = [p for p in done.pictures if p.suffix == ".png"]
    lines += ["", "The test clips chose nothing: neither weights nor when to stop.", ""]
    lines += [f"what the network sees and hears: {shown(p)}" for p in pictures]
    first, *_ = done.runs.values()
    lines += [f"report: {shown(first.report)}"]
    show(result, lines, as_json=options.json)
    return OK


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("demo", DemoOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
