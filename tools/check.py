"""Prove every sample anew, by its checksums and against its clip; find orphans.

Example: tools/check.py --target clips --samples samples
"""

import sys

from fmrgb_tools.command import FAILED, OK, allowance, counter, run_tool, show

from fmrgb.options import CheckOptions

FEW = 20  # names of a kind that are printed


def work(options: CheckOptions) -> int:
    """Check; tell what is proved and what is not."""
    from fmrgb.check import check

    with counter("samples") as progress:
        found = check(
            options.target,
            samples=options.samples,
            workers=options.workers,
            allowance=allowance(options),
            progress=progress,
        )
    lines = [f"{len(found.proved)} samples proved: whole, and of the clip beside them"]
    kinds = {
        "whole, but its clip is not there": found.without_source,
        "no sample was made of it": found.without_sample,
        "not in the manifest": found.unlisted,
        "in the manifest, but not there": found.missing,
        "left half written by a killed run": found.leftovers,
    }
    lines += [f"fault: {name}: {why}" for name, why in found.faults.items()]
    for what, names in kinds.items():
        lines += [f"{name}: {what}" for name in names[:FEW]]
        if len(names) > FEW:
            lines.append(f"{len(names) - FEW} more: {what}")
    show(found.as_dict(), lines, as_json=options.json)
    return OK if found.is_sound else FAILED


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("check", CheckOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
