"""Turn a folder of labelled clips with sound into samples (.pt) and a manifest.

Example: python tools/create_fmrgbdata.py --target clips --size 64 --frames 32
Example: python tools/create_fmrgbdata.py --target sounds --soundpicture logmel,mfcc
Example: python tools/create_fmrgbdata.py --target clips --frames 32 --shard 3/8
Example: python tools/create_fmrgbdata.py --target clips --engine ray --address auto
"""

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmrgb_tools.command import (
    FAILED,
    OK,
    allowance,
    counter,
    run_tool,
    show,
    tell_set_aside,
)

from fmrgb.options import BuildOptions

if TYPE_CHECKING:
    from fmrgb.build import Built
    from fmrgb.names import Shard
    from fmrgb.preflight import Survey
    from fmrgb.ray_engine import Cluster
    from fmrgb.recipe import Recipe


def work(options: BuildOptions) -> int:
    """Survey the clips, print the table, build what can be built."""
    with _cluster(options) as cluster:
        return _build(options, cluster)


def _cluster(options: BuildOptions) -> "AbstractContextManager[Cluster | None]":
    """Join the Ray cluster that is asked for, if any."""
    if options.engine == "local":
        return nullcontext()
    from fmrgb.ray_engine import joined

    memory = options.clip_memory and options.clip_memory << 20
    return joined(options.address, workers=options.workers, memory=memory)


def _build(options: BuildOptions, cluster: "Cluster | None") -> int:
    from fmrgb.alone import alone
    from fmrgb.build import build
    from fmrgb.files import shown
    from fmrgb.names import Shard
    from fmrgb.splits import associations
    from fmrgb.surveyed import table

    output = options.output
    recipe = recipe_of(options)
    shard = Shard(*options.shard) if options.shard else None
    surveyed = survey_of(options, recipe, shard, cluster)
    print("\n".join(table(surveyed)), file=sys.stderr if options.json else sys.stdout)
    folder = output or _own_folder(options.target)
    if cluster:
        cluster.needs(folder)
    with alone(folder, shard), counter("clips") as progress:
        built = build(
            surveyed,
            recipe,
            folder=folder,
            shard=shard,
            workers=options.workers,
            allowance=_allowance(options, cluster),
            cluster=cluster,
            progress=progress,
        )
    tell_set_aside(built.failed)
    for fact in associations(built.rows) if shard is None else ():
        print(f"warning: this goes with the label, a shortcut: {fact}", file=sys.stderr)
    result, lines = told(built, recipe)
    if shard:
        lines.append(f"share {shard.number} of {shard.of}: when all are made, run")
        lines.append(f"    fmrgb merge --target {shown(folder)}")
    show(result, lines, as_json=options.json)
    return FAILED if built.failed else OK


def survey_of(
    options: BuildOptions,
    recipe: "Recipe",
    shard: "Shard | None",
    cluster: "Cluster | None",
) -> "Survey":
    """Read the headers of all clips, or of those of a set of spoken words."""
    from fmrgb.keywords import read_keywords
    from fmrgb.preflight import survey, survey_items

    how: dict[str, Any] = {"output": options.output, "workers": options.workers}
    how |= {"shard": shard, "cluster": cluster}
    if cluster:
        cluster.needs(options.target)
    with counter("headers") as progress:
        how |= {"allowance": _allowance(options, cluster), "progress": progress}
        if options.words:
            drawn: dict[str, Any] = {"noisy": options.noisy, "seed": options.seed}
            items = read_keywords(options.target, options.words, **drawn)
            return survey_items(items, options.target, **how)
        by_sound = recipe.soundpicture is not None
        groups = options.groups
        return survey(options.target, groups=groups, by_sound=by_sound, **how)


def _allowance(options: BuildOptions, cluster: "Cluster | None") -> Any:
    """Return what every clip may take on the machine that works on it."""
    known = allowance(options)
    if known and cluster and cluster.elsewhere:  # where --workers says nothing
        return replace(known, workers=None)
    return known


def recipe_of(options: BuildOptions) -> "Recipe":
    """Return what samples will look like; sound files alone become logmel pictures.

    Raises:
        InputError: if videos with their pictures are to be cut as sounds are, or sounds
            are to be drawn as videos.
    """
    from fmrgb.errors import InputError
    from fmrgb.keywords import SILENCE_S
    from fmrgb.preflight import sounds_only
    from fmrgb.recipe import Recipe, SoundLook

    pictures = options.soundpicture
    if pictures is None and (options.words or sounds_only(options.target)):
        pictures = ("logmel",)
    if pictures is None:
        if options.asks_for_sound:
            raise InputError(
                "--window, --seconds and --trim are for sound alone, and there are "
                "videos; give --soundpicture logmel to take those by their sound"
            )
        if options.shard and options.frames is None:
            raise InputError(
                "--shard needs --frames N: a share does not know the longest of all "
                "clips, which sets the number of frames otherwise"
            )
        return Recipe(
            audiomethod=options.audiomethod,
            samples_per_frame=options.frequency_param,
            n_channels=options.fmrgb,
            scale=options.scale,
            frames=options.frames,
            skip=options.skip,
            size=options.size,
        )
    if options.asks_for_pictures:
        raise InputError(
            "--frames, --skip, --size, --fmrgb and --frequency_param are for the "
            "pictures of videos; of sound alone --bands and --columns set the size"
        )
    # Words are of one length in the set; some clips are a little shorter.
    look = SoundLook.of(options, pictures, SILENCE_S if options.words else None)
    return Recipe.of_sound(look, options.scale)


def told(built: "Built", recipe: "Recipe") -> tuple[dict[str, Any], list[str]]:
    """Say what a build left behind, for programs and in lines."""
    from fmrgb.files import shown

    n_mute = sum(not row.has_sound for row in built.rows)
    n_silent = sum(bool(row.silent) for row in built.rows) - n_mute
    result = {
        "manifest": built.manifest,
        "samples": len(built.rows),
        "made": built.made,
        "failed": len(built.failed),
        "frames": built.frames,
        "no_sound": n_mute,
        "silent": n_silent,
    }
    made = f"({built.made} made, {len(built.rows) - built.made} kept)"
    if recipe.soundpicture:
        width, height = recipe.soundpicture.sides
        first = (
            f"{len(built.rows)} samples of {height} x {width}, "
            f"{', '.join(recipe.channels)} {made}, {n_silent} silent"
        )
    else:
        first = (
            f"{len(built.rows)} samples of {built.frames} frames {made}, "
            f"{n_mute} without a sound track, {n_silent} with a silent one"
        )
    set_aside = f"{len(built.failed)} clips set aside"
    if built.failed:
        set_aside += f", see {shown(built.reasons)}"
    lines = [first, set_aside, f"manifest: {shown(built.manifest)}"]
    if built.features:
        lines.append(f"features: {shown(built.features)}")
        result["features"] = built.features
    return result, lines


def _own_folder(target: Path) -> Path:
    return target if target.is_dir() else target.parent


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("create_fmrgbdata", BuildOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
