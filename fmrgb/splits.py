"""From labels and groups to splits that do not leak, and facts that go with labels."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrgb.errors import ManifestError
from fmrgb.manifest import SPLITS, Row

MAX_FOLDS = 10  # a share of the clips is taken as so many folds of at most ten
MIN_EXPECTED = 5  # clips; below, a test of association means nothing
P_ASSOCIATION = 0.01


def split_groups(row: Row, number: int) -> str:
    """Return what must not be split: the group, else the same bytes, else the row."""
    return row.group or row.checksum or f"row {number}"


def split(
    rows: Sequence[Row], *, test_size: float, val_size: float, seed: int
) -> list[Row]:
    """Give every row its split; groups stay whole, labels keep their shares.

    Rows that already carry a split keep it, and then all must. Clips without a group
    whose sources are the same bytes count as one group.

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
    groups = np.array([split_groups(row, i) for i, row in enumerate(rows)])
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
    groups = np.array([split_groups(row, i) for i, row in enumerate(rows)])
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
    return np.concatenate(parts[:n_taken])


def _check_splits(rows: Sequence[Row]) -> None:
    """Raise ManifestError if a split lacks a label or a group lies in two splits."""
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
    home: dict[str, str] = {}
    for number, row in enumerate(rows):
        group = split_groups(row, number)
        if home.setdefault(group, row.split) != row.split:
            raise ManifestError(
                f"group {group!r} lies in {home[group]} and {row.split}; clips of one "
                "source must stay in one split"
            )


def warn_of_shortcuts(rows: Sequence[Row]) -> list[str]:
    """Return one sentence for every fact that goes with the label."""
    return [f"This goes with the label, a shortcut: {f}" for f in associations(rows)]


def associations(rows: Sequence[Row]) -> list[str]:
    """Say which facts beside the content go with the label (chi-squared, p < 1 %).

    A network will learn such a fact instead of what is seen and heard.
    """
    from scipy.stats import chi2_contingency

    found = []
    facts: dict[str, Callable[[Row], bool]] = {
        "has no sound track": lambda row: row.has_sound is False,
        "has a silent sound track": lambda row: bool(row.has_sound and row.silent),
    }
    for fact, holds in facts.items():
        counts = Counter((row.label, holds(row)) for row in rows)
        labels = sorted({row.label for row in rows})
        table = np.array([[counts[k, True], counts[k, False]] for k in labels])
        if len(labels) < 2 or (table.sum(axis=0) == 0).any():
            continue
        outcome: Any = chi2_contingency(table)
        if (
            outcome.pvalue < P_ASSOCIATION
            and outcome.expected_freq.min() >= MIN_EXPECTED
        ):
            shares = ", ".join(
                f"{have} of {have + lack} {label}"
                for label, (have, lack) in zip(labels, table, strict=True)
            )
            found.append(f"{fact}: {shares} (p = {outcome.pvalue:.2g})")
    return found
