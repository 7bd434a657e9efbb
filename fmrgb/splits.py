"""From labels and groups to splits that do not leak, and facts that go with labels."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrgb import facts
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
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = [split_groups(row, number) for number, row in enumerate(rows)]
    place = {name: i for i, name in enumerate(sorted(set(names)))}
    holders = defaultdict(list)
    for row, name in zip(rows, names, strict=True):
        holders[row.checksum or name].append(place[name])
    # Each bytes' first holder is tied to its others.
    ties = [(have[0], other) for have in holders.values() for other in have]
    ones = np.ones(len(ties))
    graph = coo_array((ones, np.array(ties).T), shape=(len(place), len(place)))
    _, parts = connected_components(graph, directed=False)
    first: dict[int, str] = {}
    for name, i in place.items():
        first.setdefault(parts[i], name)
    return [first[parts[place[name]]] for name in names]


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
    labels = np.array([row.label for row in rows])
    groups = np.array(sources(rows))
    names = np.full(len(rows), "train", dtype=object)
    test = _take(labels, groups, test_size, seed, needed=3)
    names[test] = "test"
    rest = np.flatnonzero(names == "train")
    share = val_size / (1 - test_size)
    val = _take(labels[rest], groups[rest], share, seed, needed=2)
    names[rest[val]] = "val"
    result = [replace(row, split=str(s)) for row, s in zip(rows, names, strict=True)]
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
    from sklearn.model_selection import StratifiedGroupKFold

    labels = np.array([row.label for row in rows])
    groups = np.array(sources(rows))
    for label in sorted(set(labels)):
        n_groups = len(set(groups[labels == label]))
        if n_groups < n_folds:
            raise ManifestError(
                f"label {str(label)!r} has {n_groups} group(s) of clips, too few for "
                f"{n_folds} folds; give fewer --folds"
            )
    cut = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    every = []
    for _, test in cut.split(labels, labels, groups):
        names = np.full(len(rows), "train", dtype=object)
        names[test] = "test"
        rest = np.flatnonzero(names == "train")
        share = val_size * n_folds / (n_folds - 1)
        val = _take(labels[rest], groups[rest], min(share, 0.5), seed, needed=2)
        names[rest[val]] = "val"
        marked = [
            replace(row, split=str(s)) for row, s in zip(rows, names, strict=True)
        ]
        _check_splits(marked)
        every.append(marked)
    return every


def _take(
    labels: NDArray[Any], groups: NDArray[Any], share: float, seed: int, *, needed: int
) -> NDArray[np.int64]:
    """Choose about `share` of the rows: some of up to ten group-aware folds.

    Every label needs `needed` groups: one for each split that is still to be filled.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    part = Fraction(share).limit_denominator(MAX_FOLDS)
    part = min(max(part, Fraction(1, MAX_FOLDS)), Fraction(MAX_FOLDS - 1, MAX_FOLDS))
    per_label = {str(k): len(set(groups[labels == k])) for k in sorted(set(labels))}
    fewest = min(per_label, key=lambda k: per_label[k])
    n_folds = part.denominator
    if per_label[fewest] < needed:
        raise ManifestError(
            f"label {fewest!r} has {per_label[fewest]} group(s) of clips; training, "
            "validation and test need one each: add clips or leave the label out"
        )
    if n_folds > per_label[fewest]:
        n_folds = per_label[fewest]
    n_taken = max(1, min(n_folds - 1, round(float(part) * n_folds)))
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    parts = [taken for _, taken in folds.split(labels, labels, groups)]
    # By chance: the first parts always hold the groups with the fewest labels.
    chosen = np.random.default_rng(seed).permutation(n_folds)[:n_taken]
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
    groups, copies = defaultdict(list), defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
        copies[row.checksum].append(row)
    told = []
    for name, held in groups.items():
        if name and (places := _places(held)):
            told.append(f"group {name!r} lies in {places}")
    for name, held in copies.items():
        if name and (places := _places(held)):
            clips = " and ".join(shown(row.path.name) for row in held[:2])
            told.append(f"{clips} come from the same bytes and lie in {places}")
    return told


def _places(rows: Sequence[Row]) -> str:
    """Name the splits of rows, or nothing if it is one."""
    found = [name for name in SPLITS if any(row.split == name for row in rows)]
    return " and ".join(found) if len(found) > 1 else ""


def warn_of_shortcuts(rows: Sequence[Row]) -> list[str]:
    """Return one sentence for every fact that goes with the label."""
    return facts.warnings(facts.find(rows, sources(rows)))


def associations(rows: Sequence[Row]) -> list[str]:
    """Say which facts beside the content go with the label."""
    found = facts.find(rows, sources(rows))
    return [one.sentence for one in found if one.is_shortcut]
