"""Write a smaller copy, resized_<name>.mp4, beside every mp4.

Example: python tools/resize_video.py --target clips --mag 3
"""

import sys
from dataclasses import asdict

from fmrgb_tools.command import FAILED, OK, allowance, counter, run_tool, show

from fmrgb.options import ResizeOptions


def work(options: ResizeOptions) -> int:
    """Resize what is not resized yet; tell what became of every mp4."""
    from fmrgb.files import shown
    from fmrgb.resize import resize

    with counter("clips") as progress:
        result = resize(
            options.target,
            mag=options.mag,
            crf=options.crf,
            workers=options.workers,
            allowance=allowance(options),
            progress=progress,
        )
    for reason in result.failed.values():
        print(f"failed: {shown(reason)}", file=sys.stderr)
    lines = [
        f"{len(result.done)} made, {len(result.skipped)} skipped (done before), "
        f"{len(result.failed)} failed",
        f"{result.bytes_before:,} bytes -> {result.bytes_after:,} bytes",
    ]
    if result.left_alone and not (result.done or result.skipped or result.failed):
        lines.append(f"{len(result.left_alone)} mp4s are resized copies already")
    facts = asdict(result)
    facts["failed"] = {str(clip): reason for clip, reason in result.failed.items()}
    show(facts, lines, as_json=options.json)
    return FAILED if result.failed else OK


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("resize_video", ResizeOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
