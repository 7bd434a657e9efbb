"""join.py: the line of a table that means a sample is found, wherever both lie."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from fmrgb.cells import write_csv
from fmrgb.errors import InputError, ManifestError
from fmrgb.join import marked, match, relabelled
from fmrgb.manifest import Row, write_manifest


def rows_at(*paths: str, label: str = "old") -> list[Row]:
    """Return a row for each path."""
    return [Row(path=Path(path), label=label) for path in paths]


def table(folder: Path, columns: str, *lines: str) -> Path:
    """Write a CSV; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "table.csv"
    names = columns.split(",")
    records = [dict(zip(names, line.split(","), strict=True)) for line in lines]
    write_csv(path, names, records)
    return path


@pytest.mark.parametrize(
    ("samples", "listed", "lines"),
    [
        # As create_fmrgbdata leaves them: the same tree, another suffix.
        (("s/a/x.pt", "s/b/x.pt"), ("b/x.mp4", "a/x.mp4"), [1, 0]),
        # The table knows more folders than the samples have, and the other way round.
        (("s/x.pt", "s/y.pt"), ("clips/y.mp4", "clips/x.mp4"), [1, 0]),
        (("s/clips/x.pt", "s/clips/y.pt"), ("y.mp4", "x.mp4"), [1, 0]),
        # Absolute paths of clips, or of samples that have moved since.
        (("s/a/x.pt", "s/b/y.pt"), ("/far/b/y.mp4", "/far/a/x.mp4"), [1, 0]),
        # Out of another folder, as a run's split.csv names its samples.
        (("s/a/x.pt", "s/b/y.pt"), ("../s/b/y.pt", "../s/a/x.pt"), [1, 0]),
        # The longer agreement wins.
        (("s/a/x.pt", "s/x.pt"), ("x.mp4", "a/x.mp4"), [1, 0]),
        # Samples of smaller copies.
        (("s/a/resized_x.pt", "s/a/y.pt"), ("a/x.mp4", "a/y.mp4"), [0, 1]),
        (("s/resized_x.pt", "s/x.pt"), ("x.mp4", "resized_x.mp4"), [1, 0]),
        # Names with dots, without suffix, and not listed at all.
        (("s/a/x.1.pt", "s/a/y.pt", "s/a/z.pt"), ("a/x.1.mp4", "a/y"), [0, 1, None]),
        # Another folder of the same depth is another clip.
        (("s/a/x.pt", "s/b/y.pt"), ("c/x.mp4", "b/y.mp4"), [None, 1]),
    ],
)
def test_the_line_of_each_sample_is_found(samples, listed, lines):
    assert match(rows_at(*samples), listed, Path("t.csv")) == lines


@pytest.mark.parametrize(
    "listed", [("a/x.mp4", "a/x.avi"), ("b/a/x.mp4", "c/a/x.mp4"), ("a/x.mp4",) * 2]
)
def test_two_lines_that_fit_as_well_are_refused(listed):
    with pytest.raises(ManifestError, match=r"t\.csv: both .*x\..* could be .*x\.pt"):
        match(rows_at("s/a/x.pt", "s/b/y.pt"), listed, Path("t.csv"))


def colours(folder: Path, *lines: str) -> Path:
    """Write a table of colours."""
    return table(folder, "path,label,colour", *lines)


def test_labels_of_another_column_replace_the_old_ones(tmp_path):
    path = colours(tmp_path, "clips/x.mp4,old,red", "clips/y.mp4,old,blue")
    rows, notes = relabelled(rows_at("s/y.pt", "s/x.pt"), path, "colour")
    assert [(row.path.name, row.label) for row in rows] == [
        ("y.pt", "blue"),
        ("x.pt", "red"),
    ]
    assert notes == []


def test_samples_without_a_label_are_left_out_and_told(tmp_path):
    path = colours(tmp_path, "c/x.mp4,old,red", "c/y.mp4,old,", "c/w.mp4,old,red")
    rows, notes = relabelled(rows_at("s/x.pt", "s/y.pt", "s/z.pt"), path, "colour")
    assert [row.path.name for row in rows] == ["x.pt"]
    (note,) = notes
    assert "2 of 3 samples have no colour in" in note
    assert note.endswith("the first: s/y.pt")


def test_a_table_that_labels_nothing_is_refused(tmp_path):
    path = colours(tmp_path, "c/x.mp4,old,red")
    said = r"labels none of the 1 samples: it has c/x\.mp4, the samples s/y\.pt"
    with pytest.raises(ManifestError, match=said):
        relabelled(rows_at("s/y.pt"), path, "colour")
    with pytest.raises(ManifestError, match="it has no line, the samples"):
        relabelled(rows_at("s/y.pt"), colours(tmp_path), "colour")


def test_a_missing_column_is_told_with_those_there_are(tmp_path):
    path = colours(tmp_path, "c/x.mp4,old,red")
    with pytest.raises(ManifestError, match=r"lacks color \(it has: path, label, colo"):
        relabelled(rows_at("s/x.pt"), path, "color")
    with pytest.raises(InputError, match=r"cannot read .*gone\.csv"):
        relabelled(rows_at("s/x.pt"), tmp_path / "gone.csv", "color")


def split_of(folder: Path, names: Sequence[str], splits: Sequence[str]) -> Path:
    """Write a split.csv of samples that lie in the folder's neighbour `s`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        Row(path=folder.parent / "s" / name, label="x", split=split)
        for name, split in zip(names, splits, strict=True)
    ]
    write_manifest(folder / "split.csv", rows)
    return folder / "split.csv"


def test_a_given_split_comes_back(tmp_path):
    names = ["a/x.pt", "a/y.pt", "b/x.pt"]
    path = split_of(tmp_path / "run", names, ["train", "val", "test"])
    for home in (tmp_path / "s", tmp_path / "moved" / "elsewhere"):
        rows = rows_at(*(str(home / name) for name in reversed(names)))
        given, notes = marked(rows, path)
        assert [row.split for row in given] == ["test", "val", "train"]
        assert [row.path for row in given] == [row.path for row in rows]
        assert notes == []


def test_a_given_split_stands_over_the_one_the_samples_carry(tmp_path):
    path = split_of(tmp_path / "run", ["x.pt"], ["val"])
    (row,), _ = marked([Row(path=tmp_path / "s/x.pt", label="x", split="test")], path)
    assert row.split == "val"


@pytest.mark.parametrize("splits", [["train", ""], ["train"]])
def test_a_sample_without_a_split_is_an_error(tmp_path, splits):
    path = split_of(tmp_path / "run", ["x.pt", "y.pt"][: len(splits)], splits)
    rows = rows_at(*(str(tmp_path / "s" / name) for name in ("x.pt", "y.pt")))
    said = r"1 of 2 samples have no split in .*split\.csv; the first: .*y\.pt; mark"
    with pytest.raises(ManifestError, match=said):
        marked(rows, path)


def test_lines_without_a_sample_are_told(tmp_path):
    names = ["x.pt", "y.pt", "z.pt"]
    path = split_of(tmp_path / "run", names, ["train", "val", "test"])
    rows, notes = marked(rows_at(str(tmp_path / "s" / "y.pt")), path)
    assert [row.split for row in rows] == ["val"]
    (note,) = notes
    assert note.startswith("2 of the 3 samples in ")
    assert "are not in --data; the first: " in note
    assert note.endswith("x.pt")


def test_samples_of_one_name_take_no_more_than_others():
    # 20,000 names that are alike: looked at pair by pair, these would take an hour.
    rows = rows_at(*(f"s/{n}/clip.pt" for n in range(20_000)))
    listed = [f"{n}/clip.mp4" for n in reversed(range(20_000))]
    assert match(rows, listed, Path("t.csv")) == list(reversed(range(20_000)))
