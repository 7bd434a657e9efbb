"""Turn a folder of labelled clips with sound into samples (.pt) and a manifest.

Example: python tools/create_fmrgbdata.py --target clips --size 64 --frames 32
"""

import sys
from pathlib import Path

from fmrgb_tools.command import FAILED, OK, allowance, counter, run_tool, show

from fmrgb.options import BuildOptions


def work(options: BuildOptions) -> int:
    """Survey the clips, print the table, build what can be built."""
    from fmrgb.alone import alone
    from fmrgb.build import Recipe, build
    from fmrgb.files import shown
    from fmrgb.preflight import survey, table
    from fmrgb.splits import associations

    output = options.output
    with counter("headers") as progress:
        surveyed = survey(
            options.target,
            output=output,
            groups=options.groups,
            workers=options.workers,
            allowance=allowance(options),
            progress=progress,
        )
    print("\n".join(table(surveyed)), file=sys.stderr if options.json else sys.stdout)
    recipe = Recipe(
        audiomethod=options.audiomethod,
        samples_per_frame=options.frequency_param,
        n_channels=options.fmrgb,
        scale=options.scale,
        frames=options.frames,
        skip=options.skip,
        size=options.size,
    )
    folder = output or _own_folder(options.target)
    with alone(folder), counter("clips") as progress:
        built = build(
            surveyed,
            recipe,
            folder=folder,
            workers=options.workers,
            allowance=allowance(options),
            progress=progress,
        )
    for clip, reason in sorted(built.failed.items()):
        # Most reasons name their clip themselves.
        where = "" if shown(clip) in reason else f"{shown(clip)}: "
        print(f"set aside: {where}{shown(reason)}", file=sys.stderr)
    for fact in associations(built.rows):
        print(f"warning: this goes with the label, a shortcut: {fact}", file=sys.stderr)
    kept, n_silent = (
        len(built.rows) - built.made,
        sum(bool(r.silent) for r in built.rows),
    )
    n_mute = sum(not r.has_sound for r in built.rows)
    result = {
        "manifest": built.manifest,
        "samples": len(built.rows),
        "made": built.made,
        "failed": len(built.failed),
        "frames": built.frames,
        "no_sound": n_mute,
        "silent": n_silent - n_mute,
    }
    lines = [
        f"{len(built.rows)} samples of {built.frames} frames ({built.made} made, "
        f"{kept} kept), "
        f"{n_mute} without a sound track, {n_silent - n_mute} with a silent one",
        f"{len(built.failed)} clips set aside"
        + (f", see {shown(folder / 'failed.csv')}" if built.failed else ""),
        f"manifest: {shown(built.manifest)}",
    ]
    show(result, lines, as_json=options.json)
    return FAILED if built.failed else OK


def _own_folder(target: Path) -> Path:
    return target if target.is_dir() else target.parent


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("create_fmrgbdata", BuildOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
