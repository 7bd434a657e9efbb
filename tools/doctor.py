"""Tell versions, codecs, machine and disk, and whether one clip goes through.

Example: tools/doctor.py --target clips
"""

import sys

from fmrgb_tools.command import FAILED, OK, run_tool, show

from fmrgb.options import DoctorOptions


def work(options: DoctorOptions) -> int:
    """Look, and print what a report of a fault should say."""
    from fmrgb.doctor import examine, is_well, lines

    found = examine(options.target)
    show(found, lines(found), as_json=options.json)
    return OK if is_well(found) else FAILED


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("doctor", DoctorOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
