"""Delete every mp4 whose resized copy is proved sound.

Example: python tools/delete_not_resized.py --target clips --dry_run
"""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from fmrgb_tools.command import FAILED, OK, allowance, counter, run_tool, show

from fmrgb.options import DeleteAllOptions, DeleteNotResizedOptions

if TYPE_CHECKING:
    from fmrgb.cleanup import CleanupResult


def work(options: DeleteNotResizedOptions) -> int:
    """Delete what is proved; tell what became of every mp4."""
    from fmrgb.cleanup import delete_not_resized

    with counter("clips") as progress:
        result = delete_not_resized(
            options.target,
            dry_run=options.dry_run,
            force=options.force,
            workers=options.workers,
            allowance=allowance(options),
            progress=progress,
        )
    return tell(result, options)


def tell(
    result: "CleanupResult", options: DeleteNotResizedOptions | DeleteAllOptions
) -> int:
    """Print what went and what was kept; return the exit status."""
    from fmrgb.files import shown

    went = "would delete" if options.dry_run else "deleted"
    lines = [f"{went} {shown(clip)}" for clip in result.gone]
    for clip, lack in result.forced.items():
        lines.append(f"{went} {shown(clip)} without proof: {shown(lack)}")
    for clip, reason in result.kept.items():
        print(f"kept {shown(clip)}: {shown(reason)}", file=sys.stderr)
    n_gone = len(result.gone) + len(result.forced)
    n_kept = len(result.kept)
    lines.append(f"{went} {n_gone} mp4s, {result.n_bytes:,} bytes; {n_kept} kept")
    facts = {**asdict(result), "dry_run": options.dry_run}
    for name in ("forced", "kept"):
        facts[name] = {str(clip): reason for clip, reason in facts[name].items()}
    show(facts, lines, as_json=options.json)
    return FAILED if result.kept else OK


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("delete_not_resized", DeleteNotResizedOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
