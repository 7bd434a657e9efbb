"""manifest.py: a CSV that comes back as it was, and splits that do not leak."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import full_device

from fmrgb.errors import DiskFullError, InputError, ManifestError
from fmrgb.manifest import (
    COLUMNS,
    Row,
    read_csv,
    read_manifest,
    write_csv,
    write_manifest,
)
from fmrgb.names import sample_path
from fmrgb.splits import associations, split, split_groups

HALVES = {"test_size": 0.2, "val_size": 0.2}


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """Write a text to a file; return its path."""
    path.write_bytes(text.encode(encoding))
    return path


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


def test_what_is_written_is_read(tmp_path):
    rows = [
        Row(
            path=tmp_path / "dog" / 'a, "b"\n ü.pt',
            label="dög, big",
            group="tape 1",
            split="val",
            has_sound=True,
            silent=False,
            fps=29.97,
            frames=300,
            seconds=10.01,
            height=32,
            width=48,
            checksum="ab12",
        ),
        Row(path=tmp_path / os.fsdecode(b"\xff.pt"), label="cat", has_sound=False),
    ]
    write_manifest(tmp_path / "manifest.csv", rows)
    assert read_manifest(tmp_path / "manifest.csv") == rows
    assert os.listdir(tmp_path) == ["manifest.csv"]


def test_paths_are_relative_to_the_manifest(tmp_path, monkeypatch):
    (tmp_path / "lists").mkdir()
    (tmp_path / "samples").mkdir()
    monkeypatch.chdir(tmp_path)
    write_manifest(Path("lists/m.csv"), [Row(path=Path("samples/a.pt"), label="x")])
    (record,) = read_csv(Path("lists/m.csv"), ())
    assert record["path"] == "../samples/a.pt"
    (tmp_path / "lists").rename(tmp_path / "moved")
    (row,) = read_manifest(tmp_path / "moved" / "m.csv")
    assert row.path.resolve() == (tmp_path / "samples" / "a.pt").resolve()


def test_path_and_label_suffice(tmp_path):
    path = write(tmp_path / "m.csv", "label, path ,mood\ndog,x/a.pt,good\n")
    assert read_manifest(path) == [Row(path=tmp_path / "x/a.pt", label="dog")]


def test_other_programs_csvs_are_read(tmp_path):
    # Windows line ends, a mark at the start, blanks, short lines and an absolute path.
    text = "path,label,frames,has_sound\r\n a.pt , dog ,7,TRUE\r\n\r\n/b.pt,cat\r\n"
    rows = read_manifest(write(tmp_path / "m.csv", text, "utf-8-sig"))
    assert rows == [
        Row(path=tmp_path / "a.pt", label="dog", frames=7, has_sound=True),
        Row(path=Path("/b.pt"), label="cat"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "",
            r"needs the columns path, label; it lacks path, label \(it has: nothing\)",
        ),
        ("path,class\n", r"it lacks label \(it has: path, class\)"),
        ("path,label\n", r"m\.csv lists no sample"),
        ("path,label\na.pt,\n", "line 2: path and label must not be empty"),
        ("path,label\na.pt,x\n,y\n", "line 3: path and label must not be empty"),
        ("path,label\na.pt,x\n./a.pt,y\n", r"lists .*a\.pt more than once"),
        ("path,label,split\na.pt,x,dev\n", "split must be train, val, test, got 'dev'"),
        ("path,label,frames\na.pt,x,7.5\n", "line 2: frames cannot be '7.5'"),
        ("path,label,fps\na.pt,x,fast\n", "line 2: fps cannot be 'fast'"),
        ("path,label,silent\na.pt,x,maybe\n", "line 2: silent cannot be 'maybe'"),
        ('path,label\n"a.pt,x\n', r"m\.csv is not a CSV: "),
        ('path,label\n"a"b.pt,x\n', r"m\.csv is not a CSV: "),
    ],
)
def test_a_faulty_manifest_is_refused(tmp_path, text, said):
    with pytest.raises(ManifestError, match=said):
        read_manifest(write(tmp_path / "m.csv", text))


def test_lines_are_counted_as_an_editor_does(tmp_path):
    text = 'path,label,frames\n\n"a\n.pt",x,7\nb.pt,x,many\n'
    with pytest.raises(ManifestError, match="line 5: frames cannot be 'many'"):
        read_manifest(write(tmp_path / "m.csv", text))


def test_a_picture_is_no_csv(tmp_path):
    (tmp_path / "m.csv").write_bytes(np.random.default_rng(0).bytes(3000))
    with pytest.raises(ManifestError, match=r"m\.csv (needs the columns|is not a CSV)"):
        read_manifest(tmp_path / "m.csv")


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*gone\.csv: No such file"):
        read_manifest(tmp_path / "gone.csv")
    with pytest.raises(InputError, match=r"no \.pt file in "):
        read_manifest(tmp_path)


def test_a_folder_tree_serves(tmp_path):
    for name in ("dog/b.pt", "dog/a.pt", "cat/x.pt", "cat/note.txt", "cat/.hidden.pt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    rows = read_manifest(tmp_path)
    assert [(r.path.name, r.label) for r in rows] == [
        ("x.pt", "cat"),
        ("a.pt", "dog"),
        ("b.pt", "dog"),
    ]


def test_a_folder_with_a_manifest_is_that_manifest(tmp_path):
    (tmp_path / "a.pt").touch()
    write(tmp_path / "manifest.csv", "path,label\nb.pt,dog\n")
    assert read_manifest(tmp_path) == [Row(path=tmp_path / "b.pt", label="dog")]


def test_the_columns_are_those_of_the_contract(tmp_path):
    write_manifest(tmp_path / "m.csv", [])
    assert (tmp_path / "m.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert COLUMNS[:4] == ("path", "label", "group", "split")


def test_a_csv_on_a_full_disk_is_told_and_the_older_one_stays(tmp_path):
    full_device(tmp_path / "m.csv")
    write(tmp_path / "m.csv", "old")
    with pytest.raises(DiskFullError, match=r"no room left to write .*m\.csv"):
        write_csv(tmp_path / "m.csv", ("a",), ({"a": "x" * 1000} for _ in range(1000)))
    assert (tmp_path / "m.csv").read_text() == "old"
    assert os.listdir(tmp_path) == ["m.csv"]


def test_a_sample_lies_beside_its_clip_or_in_the_output_folder(tmp_path):
    (tmp_path / "clips" / "dog").mkdir(parents=True)
    clip = tmp_path / "clips" / "dog" / "a.b.mp4"
    clip.touch()
    target, output = tmp_path / "clips", tmp_path / "out"
    assert sample_path(clip, target, None) == clip.with_name("a.b.pt")
    assert sample_path(clip, target, output) == output / "dog" / "a.b.pt"
    assert sample_path(clip, clip, output) == output / "a.b.pt"


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
    with pytest.raises(ManifestError, match="group 'c' lies in train and test"):
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


def with_facts(n_without: tuple[int, int], n_silent: tuple[int, int]) -> list[Row]:
    """Return 40 rows of each of two labels, some without sound and some silent."""
    rows = []
    for label, without, silent in zip("ab", n_without, n_silent, strict=True):
        for i in range(40):
            has_sound = i >= without
            is_silent = not has_sound or i < without + silent
            row = Row(path=Path(f"{label}{i}"), label=label)
            rows.append(replace(row, has_sound=has_sound, silent=is_silent))
    return rows


def test_a_missing_sound_track_that_goes_with_the_label_is_found():
    (said,) = associations(with_facts((30, 5), (0, 0)))
    assert said.startswith("has no sound track: 30 of 40 a, 5 of 40 b (p = ")


def test_a_silent_track_that_goes_with_the_label_is_found():
    (said,) = associations(with_facts((0, 0), (3, 28)))
    assert said.startswith("has a silent sound track: 3 of 40 a, 28 of 40 b (p = ")


@pytest.mark.parametrize(
    ("without", "silent"),
    [((0, 0), (0, 0)), ((10, 10), (5, 6)), ((40, 40), (0, 0)), ((3, 0), (0, 3))],
)
def test_facts_that_do_not_go_with_the_label_are_not_told(without, silent):
    assert associations(with_facts(without, silent)) == []


def test_nothing_is_told_of_what_is_not_known_or_of_one_label():
    assert associations(make_rows(40, 40)) == []
    alone = [r for r in with_facts((20, 20), (5, 5)) if r.label == "a"]
    assert associations(alone) == []


def test_a_name_that_begins_with_a_space_comes_back(tmp_path):
    row = Row(path=tmp_path / " dog" / " a .pt", label="dog")
    write_manifest(tmp_path / "manifest.csv", [row])
    assert read_manifest(tmp_path / "manifest.csv") == [row]
