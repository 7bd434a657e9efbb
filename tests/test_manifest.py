"""manifest.py: a CSV that comes back as it was."""

import os
from pathlib import Path

import numpy as np
import pytest
from clips import full_device

from fmrgb.cells import read_csv, write_csv
from fmrgb.errors import DiskFullError, InputError, ManifestError
from fmrgb.manifest import COLUMNS, Row, read_manifest, write_manifest
from fmrgb.names import sample_path


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """Write a text to a file; return its path."""
    path.write_bytes(text.encode(encoding))
    return path


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
            source_width=640,
            source_height=480,
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
    (row,) = read_manifest(tmp_path / "moved" / "m.csv", outside=True)
    assert row.path.resolve() == (tmp_path / "samples" / "a.pt").resolve()


def test_path_and_label_suffice(tmp_path):
    path = write(tmp_path / "m.csv", "label, path ,mood\ndog,x/a.pt,good\n")
    assert read_manifest(path) == [Row(path=tmp_path / "x/a.pt", label="dog")]


def test_other_programs_csvs_are_read(tmp_path):
    # Windows line ends, a mark at the start, blanks, short lines and an absolute path.
    text = "path,label,frames,has_sound\r\n a.pt , dog ,7,TRUE\r\n\r\n/b.pt,cat\r\n"
    rows = read_manifest(write(tmp_path / "m.csv", text, "utf-8-sig"), outside=True)
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


def test_a_name_that_begins_with_a_space_comes_back(tmp_path):
    row = Row(path=tmp_path / " dog" / " a .pt", label="dog")
    write_manifest(tmp_path / "manifest.csv", [row])
    assert read_manifest(tmp_path / "manifest.csv") == [row]


def test_a_name_that_is_a_link_is_written_as_what_it_means(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.pt").touch()
    (tmp_path / "folder").symlink_to(tmp_path / "real")
    (tmp_path / "b.pt").symlink_to(tmp_path / "real" / "a.pt")
    paths = ("folder/a.pt", "b.pt", "real/a.pt", "gone/a.pt", "c.pt")
    rows = [Row(path=tmp_path / name, label="x") for name in paths]
    write_manifest(tmp_path / "m.csv", rows)
    told = [record["path"] for record in read_csv(tmp_path / "m.csv", ())]
    assert told == ["real/a.pt", "real/a.pt", "real/a.pt", "gone/a.pt", "c.pt"]


def test_a_row_takes_little_memory_for_there_may_be_a_million(tmp_path):
    lines = "".join(f"{i}.pt,one label,one group\n" for i in range(3))
    one, two, three = read_manifest(
        write(tmp_path / "m.csv", f"path,label,group\n{lines}")
    )
    assert not hasattr(one, "__dict__")
    assert one.label is two.label is three.label
    assert one.group is two.group is three.group
