"""From the lines of a CSV about clips to the samples that were made from them.

A table names clips or samples by paths of its own: `clips/a.mp4` means the sample
`/data/samples/clips/a.pt`, and also `/data/samples/a.pt` where all samples lie in one
folder. Paths are compared from their ends, without suffixes.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from fmrgb.cells import read_csv
from fmrgb.errors import ManifestError
from fmrgb.files import shown
from fmrgb.manifest import Row, read_manifest
from fmrgb.names import TWIN

Parts = tuple[str, ...]


def relabelled(
    rows: Sequence[Row], table: Path, column: str
) -> tuple[list[Row], list[str]]:
    """Give samples the labels of a table's column; leave out those it does not label.

    Args:
        rows: samples.
        table: CSV with `path` and the column.
        column: name of the column to take labels from.

    Returns:
        the rows that have a label now, and a sentence on those left out, if any.

    Raises:
        ManifestError: if the table lacks the column or labels none of the samples.
        InputError: if there is no such file.
    """
    records = read_csv(table, ("path", column))
    lines = match(rows, [record["path"] for record in records], table)
    labels = ["" if line is None else records[line][column] for line in lines]
    named = zip(rows, labels, strict=True)
    kept = [replace(row, label=label) for row, label in named if label]
    if not kept:
        raise ManifestError(
            f"{shown(table)} labels none of the {len(rows)} samples: it has "
            f"{shown(records[0]['path']) if records else 'no line'}, the samples "
            f"{shown(rows[0].path)}; paths must end alike, whatever their suffix"
        )
    without = [row for row, label in zip(rows, labels, strict=True) if not label]
    notes = []
    if without:
        notes.append(
            f"{len(without)} of {len(rows)} samples have no {shown(column)} in "
            f"{shown(table)} and are left out; the first: {shown(without[0].path)}"
        )
    return kept, notes


def marked(rows: Sequence[Row], table: Path) -> tuple[list[Row], list[str]]:
    """Give samples the splits of another manifest, like the split.csv of a run.

    Args:
        rows: samples.
        table: manifest with a split column.

    Returns:
        the rows with their splits, and a sentence on lines without a sample, if any.

    Raises:
        ManifestError: if a sample has no split there.
        InputError: if there is no such file.
    """
    listed = read_manifest(table, outside=True)  # none of them is opened
    lines = match(rows, [os.path.abspath(row.path) for row in listed], table)
    splits = ["" if line is None else listed[line].split for line in lines]
    without = [row for row, split in zip(rows, splits, strict=True) if not split]
    if without:
        raise ManifestError(
            f"{len(without)} of {len(rows)} samples have no split in {shown(table)}; "
            f"the first: {shown(without[0].path)}; mark every sample train, val or "
            "test there, or leave it out of --data"
        )
    gone = sorted(set(range(len(listed))) - set(lines))
    notes = []
    if gone:
        notes.append(
            f"{len(gone)} of the {len(listed)} samples in {shown(table)} are not in "
            f"--data; the first: {shown(listed[gone[0]].path)}"
        )
    given = zip(rows, splits, strict=True)
    return [replace(row, split=split) for row, split in given], notes


def match(rows: Sequence[Row], listed: Sequence[str], table: Path) -> list[int | None]:
    """Find the line of each sample: the one whose path ends alike for longest.

    Args:
        rows: samples.
        listed: paths as the table writes them.
        table: where they stand, for errors.

    Returns:
        number of the line, from 0, or None, per row.

    Raises:
        ManifestError: if two lines fit a sample equally well.
    """
    lines = _Lines([_parts(path) for path in listed])
    paths = [Path(os.path.abspath(row.path)) for row in rows]
    home = Path(os.path.commonpath([path.parent for path in paths]))
    found: list[int | None] = []
    for path in paths:
        own, inside = _parts(path), _parts(path.relative_to(home))
        if not lines.ending_in(own[-1:]):  # the sample of a smaller copy
            own, inside = _original(own), _original(inside)
        best = lines.of(own, inside)
        if len(best) > 1:
            raise ManifestError(
                f"{shown(table)}: both {shown(listed[best[0]])} and "
                f"{shown(listed[best[1]])} could be {shown(path)}; keep one, or name "
                "the folder too"
            )
        found.append(best[0] if best else None)
    return found


class _Lines:
    """Lines of a table, found by how their paths end without looking at each."""

    def __init__(self, keys: Sequence[Parts]) -> None:
        self._keys = keys
        self._whole = defaultdict(list)
        for number, key in enumerate(keys):
            self._whole[key].append(number)
        self._ends: dict[int, dict[Parts, list[int]]] = {}

    def ending_in(self, end: Parts) -> Sequence[int]:
        """Return the numbers of the lines that end in these parts."""
        if len(end) not in self._ends:
            by_end = defaultdict(list)
            for number, key in enumerate(self._keys):
                by_end[key[-len(end) :]].append(number)
            self._ends[len(end)] = by_end
        return self._ends[len(end)].get(end, ())

    def of(self, own: Parts, inside: Parts) -> Sequence[int]:
        """Return the numbers of the lines that fit a sample best.

        Either the whole line is the end of the sample's path, or the sample's path
        inside the folder of all samples is the end of the line. The longer counts, of
        equals the former.
        """
        ends = (own[-n:] for n in range(len(own), 0, -1))
        whole = next((end for end in ends if end in self._whole), ())
        if len(whole) < len(inside) and (found := self.ending_in(inside)):
            return found
        return self._whole[whole] if whole else ()


def _parts(path: str | Path) -> Parts:
    pure = PurePath(path)
    steps = pure.with_suffix("").parts if pure.name else ()
    return tuple(step for step in steps if step not in ("..", pure.anchor))


def _original(parts: Parts) -> Parts:
    return (*parts[:-1], parts[-1].removeprefix(TWIN))
