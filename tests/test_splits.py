"""splits.py: every split has its share of every label, and no source lies in two."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fmrgb.errors import ManifestError
from fmrgb.manifest import Row
from fmrgb.splits import folds, leaks, sources, split, split_groups

HALVES = {"test_size": 0.2, "val_size": 0.2}


def make_rows(
    *numbers: int, clips_per_group: int = 1, labels: str = "abcdef"
) -> list[Row]:
    """Return as many rows of each label as the numbers say."""
    return [
        Row(
            path=Path(f"{label}{i}.pt"),
            label=label,
            group=f"{label} group {i // clips_per_group}",
        )
        for label, number in zip(labels, numbers, strict=False)
        for i in range(number)
    ]


def shares(rows: list[Row]) -> dict[str, float]:
    """Return the share of the rows in each split."""
    counts = Counter(row.split for row in rows)
    return {name: n / len(rows) for name, n in counts.items()}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("numbers", [(50, 50), (90, 30, 60), (40, 200)])
@pytest.mark.parametrize(
    ("test_size", "val_size"), [(0.2, 0.2), (0.1, 0.3), (0.5, 0.25)]
)
def test_splits_have_their_shares_of_every_label(numbers, test_size, val_size, seed):
    rows = split(make_rows(*numbers), test_size=test_size, val_size=val_size, seed=seed)
    wanted = {"test": test_size, "val": val_size, "train": 1 - test_size - val_size}
    assert shares(rows) == pytest.approx(wanted, abs=0.03)
    for label in {row.label for row in rows}:
        own = [row for row in rows if row.label == label]
        assert shares(own) == pytest.approx(wanted, abs=0.06)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("per_group", [2, 5])
def test_groups_stay_whole(per_group, seed):
    rows = split(make_rows(60, 90, clips_per_group=per_group), **HALVES, seed=seed)
    homes = {(row.group, row.split) for row in rows}
    assert len(homes) == len({row.group for row in rows})
    wanted = {"test": 0.2, "val": 0.2, "train": 0.6}
    assert shares(rows) == pytest.approx(wanted, abs=0.07)


def test_groups_that_hold_several_labels_stay_whole():
    rows = [replace(r, group=f"day {i % 12}") for i, r in enumerate(make_rows(60, 84))]
    result = split(rows, **HALVES, seed=1)
    assert len({(r.group, r.split) for r in result}) == 12
    assert len({(r.label, r.split) for r in result}) == 6


def test_clips_of_the_same_bytes_are_one_group():
    rows = [
        replace(r, group="", checksum=f"{r.label}{i // 2}")
        for i, r in enumerate(make_rows(40, 40))
    ]
    result = split(rows, **HALVES, seed=0)
    assert len({(r.checksum, r.split) for r in result}) == 40


def test_what_must_not_be_split_is_the_group_or_the_bytes_or_the_row():
    row = Row(path=Path("a"), label="x", group="g", checksum="c")
    assert split_groups(row, 3) == "g"
    assert split_groups(replace(row, group=""), 3) == "c"
    assert split_groups(Row(path=Path("a"), label="x"), 3) == "row 3"


def test_groups_that_hold_the_same_bytes_are_one_source():
    known = {"label": "x", "path": Path("a")}
    rows = [
        Row(**known, group="two", checksum="c"),
        Row(**known, group="two", checksum="d"),
        Row(**known, group="one", checksum="c"),
        Row(**known, group="four"),
        Row(**known, checksum="d"),
        Row(**known, checksum="e"),
        Row(**known),
        Row(**known),
    ]
    named = ["d", "d", "d", "four", "d", "e", "row 6", "row 7"]
    assert sources(rows) == named


def test_sources_are_groups_where_no_bytes_tie_them():
    rows = make_rows(9, 7, clips_per_group=3)
    assert sources(rows) == [row.group for row in rows]


@pytest.mark.parametrize("seed", range(3))
def test_same_bytes_in_two_groups_stay_on_one_side_of_split_and_folds(seed):
    rows = [
        replace(r, checksum=f"{r.label}{i // 2}")
        for i, r in enumerate(make_rows(48, 48, clips_per_group=3))
    ]
    many = folds(rows, 4, val_size=0.2, seed=seed)
    for result in (split(rows, **HALVES, seed=seed), *many):
        for of in (lambda r: r.checksum, lambda r: r.group):
            assert len({(of(r), r.split) for r in result}) == len({of(r) for r in rows})
    tested = [r.path for result in many for r in result if r.split == "test"]
    assert sorted(tested) == sorted(r.path for r in rows)


def test_every_leak_is_told_once():
    known = {"label": "x", "path": Path("k.pt")}
    rows = [
        Row(**known, group="g", split="train"),
        Row(**known, group="g", split="test"),
        Row(**known, group="g", split="val"),
        Row(**known, group="h", split="val", checksum="c"),
        Row(label="x", path=Path("l.pt"), group="i", split="test", checksum="c"),
        Row(**known, group="j", split="val", checksum="d"),
        Row(**known, group="j", split="val", checksum="d"),
    ]
    assert leaks(rows) == [
        "group 'g' lies in train and val and test",
        "k.pt and l.pt come from the same bytes and lie in val and test",
    ]


def test_a_large_group_of_one_label_falls_into_each_split_by_its_share():
    rows = [
        replace(r, group="large") if r.label == "b" and i % 60 < 20 else r
        for i, r in enumerate(make_rows(60, 60, clips_per_group=2))
    ]
    homes = Counter(
        next(r.split for r in split(rows, **HALVES, seed=seed) if r.group == "large")
        for seed in range(40)
    )
    assert homes["train"] > 15
    assert min(homes["val"], homes["test"]) > 2


def test_the_seed_decides_and_nothing_else():
    rows = make_rows(30, 40)
    one = split(rows, **HALVES, seed=5)
    np.random.default_rng().random()
    assert split(rows, **HALVES, seed=5) == one
    assert split(rows, **HALVES, seed=6) != one
    assert [replace(r, split="") for r in one] == rows


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n_groups", [3, 4, 5, 7])
def test_few_groups_give_each_split_every_label(n_groups, seed):
    rows = make_rows(n_groups * 4, n_groups * 4, clips_per_group=4)
    result = split(rows, **HALVES, seed=seed)
    assert len({(r.label, r.split) for r in result}) == 6


@pytest.mark.parametrize("number", [1, 2])
def test_fewer_groups_than_splits_are_refused(number):
    said = rf"label 'b' has {number} group\(s\) of clips; .* need one each"
    with pytest.raises(ManifestError, match=said):
        split(make_rows(30, number), **HALVES, seed=0)
    with pytest.raises(ManifestError, match=said):
        split(make_rows(30, number * 9, clips_per_group=9), **HALVES, seed=0)


def test_one_label_is_refused():
    with pytest.raises(ManifestError, match="two labels or more, all clips have 'a'"):
        split(make_rows(30), **HALVES, seed=0)


def marked() -> list[Row]:
    """Return rows with a sound split column."""
    names = ["train", "train", "val", "test"] * 3
    return [
        replace(row, split=name)
        for row, name in zip(make_rows(12, 12), names * 2, strict=True)
    ]


def test_a_split_column_is_kept():
    assert split(marked(), **HALVES, seed=0) == marked()


def test_a_split_column_that_is_half_empty_is_refused():
    rows = [replace(marked()[0], split=""), *marked()[1:]]
    with pytest.raises(ManifestError, match="23 of 24 rows carry a split; fill"):
        split(rows, **HALVES, seed=0)


def test_a_group_in_two_splits_is_refused():
    rows = [
        replace(r, group="g" if i in (1, 2) else r.group)
        for i, r in enumerate(marked())
    ]
    with pytest.raises(
        ManifestError, match="group 'g' lies in train and val; clips of one"
    ):
        split(rows, **HALVES, seed=0)
    same = [
        replace(r, group="", checksum="c" if i in (0, 3) else "")
        for i, r in enumerate(marked())
    ]
    with pytest.raises(ManifestError, match=r"a0\.pt and a3\.pt come from the same by"):
        split(same, **HALVES, seed=0)


def test_a_split_column_that_leaves_a_label_out_is_refused():
    rows = [r for r in marked() if (r.label, r.split) != ("b", "val")]
    with pytest.raises(
        ManifestError, match="the val split has no clip of b; add clips"
    ):
        split(rows, **HALVES, seed=0)
    one = [r for r in marked() if r.label == "a"]
    with pytest.raises(ManifestError, match="two labels or more, all clips have 'a'"):
        split(one, **HALVES, seed=0)
