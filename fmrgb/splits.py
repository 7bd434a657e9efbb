"""From labels and groups to splits that do not leak, and facts that go with labels."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from fmrgb import facts
from fmrgb.deal import Numbers, deal, numbered, sources_per_label
from fmrgb.errors import ManifestError
from fmrgb.files import shown
from fmrgb.manifest import SPLITS, Row

MAX_FOLDS = 10  # a share of the clips is taken as so many folds of at most ten


def split_groups(row: Row, number: int) -> str:
    """Return what must not be split: the group, else the same bytes, else the row."""
    return row.group or row.checksum or f"row {number}"


def sources(rows: Sequence[Row]) -> list[str]:
    """Name what must not be split, one word per row.

    That is the group, else the same bytes, else the row; groups that hold the same
    bytes count as one, under the first of their names.
    """
    names = [split_groups(row, number) for number, row in enumerate(rows)]
    places = numbered(names)
    holders: dict[str, int] = {}
    ties = []  # of a source that holds some bytes and the first that holds them
    for row, place in zip(rows, places.tolist(), strict=True):
        first = holders.setdefault(row.checksum, place) if row.checksum else place
        if first != place:
            ties.append((first, place))
    if not ties:
        return names
    return _tied(names, places, ties)


def _tied(
    names: Sequence[str], places: Numbers, ties: Sequence[tuple[int, int]]
) -> list[str]:
    """Give sources that are tied to each other the first of their names."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_sources = places.max() + 1
    graph = coo_array(
        (np.ones(len(ties)), np.array(ties).T), shape=(n_sources, n_sources)
    )
    _, parts = connected_components(graph, directed=False)
    # Places are in the order of the names.
    _, first = np.unique(parts, return_index=True)
    name_of = dict(zip(places.tolist(), names, strict=True))
    return [name_of[first[parts[place]]] for place in places.tolist()]


def split(
    rows: Sequence[Row], *, test_size: float, val_size: float, seed: int
) -> list[Row]:
    """Give every row its split; groups stay whole, labels keep their shares.

    Rows that already carry a split keep it, and then all must. Clips of the same bytes
    stay together, and so do groups that hold them.

    Raises:
        ManifestError: if the groups do not allow it, or only some rows carry a split.
    """
    marked = sum(bool(row.split) for row in rows)
    if marked == len(rows):
        _check_splits(rows)
        return list(rows)
    if marked:
        raise ManifestError(
            f"{marked} of {len(rows)} rows carry a split; fill the column or empty it"
        )
    labels, groups = [row.label for row in rows], numbered(sources(rows))
    names = np.full(len(rows), "train", dtype=object)
    every = np.arange(len(rows))
    names[_take(labels, groups, every, test_size, seed, needed=3)] = "test"
    rest = np.flatnonzero(names == "train")
    share = val_size / (1 - test_size)
    names[_take(labels, groups, rest, share, seed, needed=2)] = "val"
    result = [replace(row, split=s) for row, s in zip(rows, names, strict=True)]
    _check_splits(result)
    return result


def folds(
    rows: Sequence[Row], n_folds: int, *, val_size: float, seed: int
) -> list[list[Row]]:
    """Split `n_folds` times, so that every row is marked test in exactly one of them.

    Groups stay whole, labels keep their shares. Splits that rows carry do not count.

    Raises:
        ManifestError: if a label has fewer groups than folds.
    """
    labels, groups = [row.label for row in rows], numbered(sources(rows))
    numbers = numbered(labels)
    n_groups = sources_per_label(numbers, groups)
    if (n_groups < n_folds).any():
        few = int(np.argmax(n_groups < n_folds))
        raise ManifestError(
            f"label {sorted(set(labels))[few]!r} has {n_groups[few]} group(s) of clips,"
            f" too few for {n_folds} folds; give fewer --folds"
        )
    every = []
    for test in deal(numbers, groups, n_folds, seed=seed):
        names = np.full(len(rows), "train", dtype=object)
        names[test] = "test"
        rest = np.flatnonzero(names == "train")
        share = min(val_size * n_folds / (n_folds - 1), 0.5)
        names[_take(labels, groups, rest, share, seed, needed=2)] = "val"
        marked = [replace(row, split=s) for row, s in zip(rows, names, strict=True)]
        _check_splits(marked)
        every.append(marked)
    return every


def _take(
    labels: Sequence[str],
    groups: Numbers,
    among: Numbers,
    share: float,
    seed: int,
    *,
    needed: int,
) -> Numbers:
    """Choose about `share` of the rows `among` all: some of up to ten dealt parts.

    Every label needs `needed` groups: one for each split that is still to be filled.
    """
    part = Fraction(share).limit_denominator(MAX_FOLDS)
    part = min(max(part, Fraction(1, MAX_FOLDS)), Fraction(MAX_FOLDS - 1, MAX_FOLDS))
    words = [labels[n] for n in among]
    numbers, held = numbered(words), np.unique(groups[among], return_inverse=True)[1]
    per_label = sources_per_label(numbers, held)
    fewest = int(per_label.min())
    if fewest < needed:
        label = sorted(set(words))[int(per_label.argmin())]
        raise ManifestError(
            f"label {label!r} has {fewest} group(s) of clips; training, "
            "validation and test need one each: add clips or leave the label out"
        )
    n_parts = min(part.denominator, fewest)
    n_taken = max(1, min(n_parts - 1, round(float(part) * n_parts)))
    parts = [among[dealt] for dealt in deal(numbers, held, n_parts, seed=seed)]
    # By chance: the first parts always hold the groups with the fewest labels.
    chosen = np.random.default_rng(seed).permutation(n_parts)[:n_taken]
    return np.concatenate([parts[k] for k in chosen])


def _check_splits(rows: Sequence[Row]) -> None:
    """Raise ManifestError if a split lacks a label or a source lies in two splits."""
    check_labels(rows)
    if told := leaks(rows):
        raise ManifestError(
            f"{told[0]}; clips of one source must stay in one split (train --split "
            "takes a CSV as it is, and warns)"
        )


def check_labels(rows: Sequence[Row]) -> None:
    """Raise ManifestError if a split lacks a label."""
    labels = {row.label for row in rows}
    if len(labels) < 2:
        raise ManifestError(
            f"a classifier needs two labels or more, all clips have {labels.pop()!r}"
        )
    for name in SPLITS:
        lacking = labels - {row.label for row in rows if row.split == name}
        if lacking:
            raise ManifestError(
                f"the {name} split has no clip of {', '.join(sorted(lacking))}; add "
                "clips or change the shares"
            )


def leaks(rows: Sequence[Row]) -> list[str]:
    """Return one sentence for every group, and all same bytes, in several splits."""
    told = [
        f"group {name!r} lies in {_places(held)}"
        for name, held in _astride(rows, lambda row: row.group).items()
    ]
    for held in _astride(rows, lambda row: row.checksum).values():
        clips = " and ".join(shown(row.path.name) for row in held[:2])
        told.append(f"{clips} come from the same bytes and lie in {_places(held)}")
    return told


def _astride(
    rows: Sequence[Row], name_of: Callable[[Row], str]
) -> dict[str, list[Row]]:
    """Return the rows of every name that lies in several splits."""
    homes: dict[str, str] = {}
    strays = set()
    for row in rows:
        name = name_of(row)
        if name and row.split and homes.setdefault(name, row.split) != row.split:
            strays.add(name)
    held: dict[str, list[Row]] = defaultdict(list)
    for row in rows if strays else ():
        if row.split and name_of(row) in strays:
            held[name_of(row)].append(row)
    return held


def _places(rows: Sequence[Row]) -> str:
    """Name the splits of rows."""
    return " and ".join(p for p in SPLITS if any(row.split == p for row in rows))


def warn_of_shortcuts(rows: Sequence[Row]) -> list[str]:
    """Return one sentence for every fact that goes with the label."""
    return facts.warnings(facts.find(rows, sources(rows)))


def associations(rows: Sequence[Row]) -> list[str]:
    """Say which facts beside the content go with the label."""
    found = facts.find(rows, sources(rows))
    return [one.sentence for one in found if one.is_shortcut]
