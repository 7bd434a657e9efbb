"""Make one manifest of those that the shares of a build left.

Example: python tools/merge.py --target samples
"""

import sys

from fmrgb_tools.command import FAILED, OK, run_tool, show

from fmrgb.options import MergeOptions


def work(options: MergeOptions) -> int:
    """Merge the lists; say what they hold."""
    from fmrgb.alone import alone
    from fmrgb.files import shown
    from fmrgb.shards import merge
    from fmrgb.splits import associations

    with alone(options.target):
        merged = merge(options.target)
    for fact in associations(merged.rows):
        print(f"warning: this goes with the label, a shortcut: {fact}", file=sys.stderr)
    result = {
        "manifest": merged.manifest,
        "shards": merged.shards,
        "samples": len(merged.rows),
        "failed": len(merged.failed),
    }
    lines = [
        f"{len(merged.rows)} samples of {merged.shards} shares",
        f"{len(merged.failed)} clips set aside"
        + (f", see {shown(options.target / 'failed.csv')}" if merged.failed else ""),
        f"manifest: {shown(merged.manifest)}",
    ]
    show(result, lines, as_json=options.json)
    return FAILED if merged.failed else OK


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("merge", MergeOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
