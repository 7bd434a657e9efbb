"""Join pictures, sounds and texts by label to samples, some with gaps.

Example: fmrgb pair --pictures photos --sounds words --table names.csv --output pairs
"""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from fmrgb_tools.command import (
    FAILED,
    OK,
    allowance,
    counter,
    run_tool,
    show,
    tell_set_aside,
)

from fmrgb.pair_options import PairOptions

if TYPE_CHECKING:
    from fmrgb.collect import Collection

HOW = ("json", "debug", "log_file", "workers", "clip_timeout", "clip_memory", "output")


def work(options: PairOptions) -> int:
    """Read the collections, join them, write the pairs."""
    from fmrgb.alone import alone
    from fmrgb.files import shown
    from fmrgb.pair import Wish, join, joint_labels, patterns
    from fmrgb.pair_build import (
        begin,
        senses_of,
        write_archive,
        write_failed,
        write_pairs,
    )

    choices = {k: v for k, v in asdict(options).items() if k not in HOW}
    with alone(options.output):
        begin(options.output, choices)
        collections = read(options)
        n_failed = write_failed(options.output, collections)
        kept, notes = joint_labels(collections, options.table)
        names = ("missing", "pairs", "test_size", "val_size", "seed")
        pairs = join(kept, Wish(**{name: choices[name] for name in names}))
        senses = senses_of(kept, options.size)
        if options.format == "npz":
            written = write_archive(pairs, senses, options.output)
        else:
            with counter("pairs") as progress:
                written = write_pairs(pairs, senses, options.output, progress)
    for held in collections:
        tell_set_aside(held.failed)
    for note in notes:
        print(f"note: {shown(note)}", file=sys.stderr)
    splits = {s: sum(p.split == s for p in pairs) for s in ("train", "val", "test")}
    result = {
        "written": written,
        "pairs": len(pairs),
        "labels": sorted({pair.label for pair in pairs}),
        "items": {held.kind: len(held.items) for held in kept},
        "splits": splits,
        "patterns": patterns(pairs),
        "groups": len({pair.group for pair in pairs}),
        "failed": n_failed,
    }
    show(result, told(result), as_json=options.json)
    return FAILED if n_failed else OK


def read(options: PairOptions) -> "list[Collection]":
    """Read each collection that is given."""
    from fmrgb.collect import Reading, read_pictures, read_sounds
    from fmrgb.collect_texts import read_texts
    from fmrgb.recipe import Recipe, SoundLook

    look = SoundLook.of(options, options.soundpicture or ("logmel",), None)
    found = []
    with counter("files") as progress:
        how = Reading(
            workers=options.workers,
            allowance=allowance(options),
            outside=options.outside,
            progress=progress,
        )
        if options.pictures:
            found.append(read_pictures(options.pictures, options.size, how))
        if options.sounds:
            found.append(read_sounds(options.sounds, Recipe.of_sound(look), how))
        if options.texts:
            found.append(read_texts(options.texts))
    return found


def told(result: dict[str, object]) -> list[str]:
    """Say in lines what was made."""

    def counts(name: str) -> str:
        known = result[name]
        assert isinstance(known, dict)
        return ", ".join(f"{number} {what}" for what, number in known.items())

    return [
        f"{result['pairs']} pairs of {counts('items')} items: {counts('splits')}",
        f"senses that are there: {counts('patterns')}",
        f"{result['groups']} groups of pairs that share an item",
        f"written: {result['written']}",
    ]


def main(argv: list[str] | None = None) -> int:
    """Run the tool."""
    return run_tool("pair", PairOptions, work, argv)


if __name__ == "__main__":
    sys.exit(main())
