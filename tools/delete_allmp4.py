"""Delete every mp4 whose sample is proved sound.

Example: python tools/delete_allmp4.py --target clips --samples samples --dry_run
"""

import sys

from fmrgb_tools.command import allowance, counter, run_tool
from fmrgb_tools.delete_not_resized import tell

from fmrgb.options import DeleteAllOptions


def work(options: DeleteAllOptions) -> int:
    """Delete what is proved; tell what became of every mp4."""
    from fmrgb.cleanup import delete_allmp4

    with counter("clips") as progress:
        result = delete_allmp4(
            options.target,
            samples=options.samples,
            dry_run=options.dry_run,
            force=options.force,
            workers=options.workers,
            allowance=allowance(options),
            progress=progress,
        )
    return tell(result, options)


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("delete_allmp4", DeleteAllOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
