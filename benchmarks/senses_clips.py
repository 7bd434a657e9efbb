"""From the media to the samples of a cell, each with its split: by the library's tools.

Digits and words are built as create_fmrgbdata does it, pairs joined as pair does it.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from accuracy_grid import digest, thinned
from senses_plan import (
    BOTH,
    GAPS,
    JOINED,
    LOOKS,
    PICTURE,
    PICTURE_SIZE,
    QUICK_PER_LABEL,
    RATES,
    SEED,
    SOUND,
    TEST_SHARE,
    TRIM_DB,
    VAL_SHARE,
    Bench,
    Cell,
)

from fmrgb.build import build
from fmrgb.collect import Collection, Reading, read_pictures, read_sounds
from fmrgb.errors import InputError
from fmrgb.files import make_folder
from fmrgb.manifest import Row, read_manifest
from fmrgb.pair import Joined, Wish, join, joint_labels, patterns
from fmrgb.pair_build import senses_of, write_pairs
from fmrgb.preflight import survey
from fmrgb.recipe import Recipe, SoundLook
from fmrgb.splits import folds, split

FOLDERS = {"digits": "fsdd", "words": "keywords"}


def rows_of(cell: Cell, bench: Bench) -> list[Row]:
    """Return the samples of a cell, with label and split; make what is missing.

    Those of pairs are the training and validation pairs and the test pairs with gaps.

    Raises:
        InputError: if something cannot be read.
    """
    if cell.data == "pairs":
        return list(pairs_of(bench).rows[cell.variant])
    rows = _sounds(cell.data, cell.look, cell.variant == "trimmed", bench)
    if cell.data == "words":
        val_size = VAL_SHARE["words"] * (1 - 1 / cell.n_folds)
        return folds(rows, cell.n_folds, val_size=val_size, seed=SEED)[cell.fold - 1]
    alone = [replace(row, group="") for row in rows]
    if cell.variant == "random":
        sizes = {"test_size": TEST_SHARE["digits"], "val_size": VAL_SHARE["digits"]}
        return split(alone, **sizes, seed=SEED)
    return _one_speaker_out(rows, cell.fold)


def _one_speaker_out(rows: Sequence[Row], fold: int) -> list[Row]:
    """Test one speaker; of the others' clips a share, by chance, chooses the epoch."""
    speaker = sorted({row.group for row in rows})[fold - 1]
    others = [replace(row, group="") for row in rows if row.group != speaker]
    # What would be tested of the others goes back to training.
    sizes = {"test_size": VAL_SHARE["digits"], "val_size": VAL_SHARE["digits"]}
    cut = split(others, **sizes, seed=SEED)
    known = [replace(r, split="train") if r.split == "test" else r for r in cut]
    test = [replace(row, split="test") for row in rows if row.group == speaker]
    return known + test


@lru_cache(maxsize=4)
def _sounds(data: str, drawn: str, trim: bool, bench: Bench) -> tuple[Row, ...]:
    """Build the samples of a folder of sounds by the library's own build."""
    how = dict(LOOKS[drawn])
    scale = how.pop("scale", "absolute")
    look = SoundLook(**how, trim_db=TRIM_DB if trim else None)
    recipe = Recipe.of_sound(look, scale)
    folder = bench.work / "samples" / f"senses-{data}-{digest(recipe.options())}"
    source = bench.data / FOLDERS[data]
    found = survey(source, output=folder, groups=source / "labels.csv", by_sound=True)
    if bench.quick:
        few = thinned(
            found.found, lambda item: (item.label, item.group), QUICK_PER_LABEL
        )
        found = replace(found, found=few)
    built = build(found, recipe, folder=folder, workers=bench.workers)
    if built.failed:
        raise InputError(f"sounds that cannot be read: {built.failed}")
    return tuple(built.rows)


@dataclass(frozen=True)
class Pairs:
    """Joined pairs.

    Attributes:
        rows: by missing rate, all pairs with gaps.
        tests: by pattern BOTH, PICTURE and SOUND, the test pairs with just these.
        counts: by missing rate, how many pairs have which senses.
        sizes: how many items of each kind there are.
    """

    rows: dict[str, tuple[Row, ...]]
    tests: dict[str, tuple[Row, ...]]
    counts: dict[str, dict[str, int]]
    sizes: dict[str, int]


@lru_cache(maxsize=1)
def pairs_of(bench: Bench) -> Pairs:
    """Join pictures and words; write the pairs with gaps and the test pairs without."""
    folder = bench.work / "samples" / "senses-pairs"
    make_folder(folder)
    collections = _collections(folder, bench)
    senses = senses_of(collections, PICTURE_SIZE)
    rows, counts = {}, {}
    whole: list[Joined] = []
    for name, missing in RATES.items():
        wish = Wish(
            missing=missing,
            test_size=TEST_SHARE["pairs"],
            val_size=VAL_SHARE["pairs"],
            seed=SEED,
        )
        pairs = join(collections, wish)
        rows[name] = _written(pairs, senses, folder / name)
        counts[name] = patterns(pairs)
        whole = whole if missing else [pair for pair in pairs if pair.split == "test"]
    tests = {
        pattern: _written(
            [_with(pair, pattern) for pair in whole], senses, folder / pattern
        )
        for pattern in (BOTH, PICTURE, SOUND)
    }
    return Pairs(rows, tests, counts, {c.kind: len(c.items) for c in collections})


def _collections(folder: Path, bench: Bench) -> list[Collection]:
    """Read both collections, their labels joined by a table."""
    table = folder / "table.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(
            [("label", "picture", "sound"), *((p, p, s) for p, s in JOINED.items())]
        )
    how = Reading(workers=bench.workers)
    recipe = Recipe.of_sound(SoundLook(**LOOKS["pairs"]))
    read = [
        read_pictures(bench.data / "caltech" / "labels.csv", PICTURE_SIZE, how),
        read_sounds(bench.data / "keywords" / "labels.csv", recipe, how),
    ]
    if failed := {path: why for held in read for path, why in held.failed.items()}:
        raise InputError(f"items that cannot be read: {failed}")
    kept, _ = joint_labels(read, table)
    if bench.quick:
        kept = [
            replace(c, items=thinned(c.items, lambda i: i.label, QUICK_PER_LABEL))
            for c in kept
        ]
    return kept


def _written(pairs: Sequence[Joined], senses: Any, folder: Path) -> tuple[Row, ...]:
    make_folder(folder)
    return tuple(read_manifest(write_pairs(pairs, senses, folder)))


def _with(pair: Joined, pattern: str) -> Joined:
    """Take from a pair what the pattern does not name."""
    kept = {k: i if k in pattern.split("+") else None for k, i in pair.items.items()}
    return replace(pair, items=kept)


def test_rows(cell: Cell, rows: Sequence[Row], bench: Bench) -> dict[str, list[Row]]:
    """Return the clips that a cell is tested on, by condition."""
    test = [row for row in rows if row.split == "test"]
    if cell.data != "pairs":
        return {"test": test}
    each = {pattern: list(told) for pattern, told in pairs_of(bench).tests.items()}
    return {**each, GAPS: test}
