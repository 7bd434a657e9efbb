"""Draw a sample: a grey mp4 per channel, a contact sheet, and an mp4 with its sound.

Example: python tools/visualize.py --target samples/fight/fi001.pt --source fi001.mp4
"""

import sys

from fmrgb_tools.command import OK, run_tool, show

from fmrgb.options import VisualizeOptions


def work(options: VisualizeOptions) -> int:
    """Draw the sample and name the files."""
    from fmrgb.files import shown
    from fmrgb.packed import shard_of
    from fmrgb.visualise import draw

    target = options.target
    packed = shard_of(target)  # beside the shard
    home = packed[0].parent if packed else target.parent
    folder = options.output or home / f"{target.stem}_view"
    written = draw(target, folder, options.source)
    show({"files": written}, [shown(path) for path in written], as_json=options.json)
    return OK


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("visualize", VisualizeOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
