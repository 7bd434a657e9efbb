"""material.py: samples with the labels and splits that were asked for."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny

from fmrgb.cells import write_csv
from fmrgb.errors import ManifestError
from fmrgb.manifest import Row, read_manifest, write_manifest
from fmrgb.material import gather, parted
from fmrgb.sample import load_sample, save_sample

SHARES = {"test_size": 0.2, "val_size": 0.2, "seed": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a manifest of ten dark and ten bright samples."""
    return tiny.manifest(tmp_path_factory.mktemp("samples"), 10)


def test_a_column_of_the_manifest_can_be_trained_on(data, tmp_path):
    columns = ("path", "label", "mood")
    rows = read_manifest(data)
    records = [
        {"path": r.path, "label": r.label, "mood": ("calm", "wild")[i % 3 == 0]}
        for i, r in enumerate(rows)
    ]
    write_csv(tmp_path / "m.csv", columns, records)
    found = gather(tmp_path / "m.csv", label_column="mood", outside=True)
    assert [r.label for r in found.rows] == [r["mood"] for r in records]
    assert found.chosen["label_column"] == "mood"
    plain = gather(tmp_path / "m.csv", outside=True)
    assert plain.rows[0].label == rows[0].label
    with pytest.raises(ManifestError, match=r"lacks moods \(it has: path, label, mood"):
        gather(tmp_path / "m.csv", label_column="moods")


def test_another_table_can_give_the_labels(data, tmp_path):
    rows = read_manifest(data)
    # As the clips were called, before samples were made of them.
    records = [
        {"path": f"clips/{r.label}/{r.path.stem}.mp4", "colour": f"c{i % 2}"}
        for i, r in enumerate(rows[:-3])
    ]
    write_csv(tmp_path / "t.csv", ("path", "colour"), records)
    found = gather(data, labels=tmp_path / "t.csv", label_column="colour")
    assert [r.label for r in found.rows] == [r["colour"] for r in records]
    (note,) = found.notes
    assert note.startswith("3 of 20 samples have no colour in ")
    assert found.chosen == {
        "data": str(data),
        "labels": str(tmp_path / "t.csv"),
        "label_column": "colour",
        "split": None,
    }


def test_a_folder_has_no_other_column(data):
    with pytest.raises(
        ManifestError, match=r"no manifest with a column mood: .*labels"
    ):
        gather(data.parent / "dark", label_column="mood")


def test_what_no_manifest_tells_is_asked_of_the_samples(tmp_path):
    for number, label in enumerate(("dark", "bright")):
        (tmp_path / label).mkdir()
        made = tiny.sample(label=label, seed=number)
        source = {"name": "a.mp4", "bytes": 3, "sha256": f"sum{number}"}
        meta = {**made.meta, "fps": 12.5, "seconds": 2.25, "source": source}
        made = replace(made, silent=bool(number), meta=meta)
        save_sample(tmp_path / label / "a.pt", made)
    bright, dark = gather(tmp_path).rows
    assert dark == Row(
        path=tmp_path / "dark" / "a.pt",
        label="dark",
        has_sound=True,
        silent=False,
        fps=12.5,
        frames=tiny.N_FRAMES,
        seconds=2.25,
        height=tiny.HEIGHT,
        width=tiny.WIDTH,
        checksum="sum0",
    )
    assert (bright.silent, bright.checksum) == (True, "sum1")


def test_what_a_manifest_tells_is_believed(data, tmp_path):
    rows = [replace(r, has_sound=False, fps=7.0) for r in read_manifest(data)]
    write_manifest(tmp_path / "m.csv", rows)
    told = gather(tmp_path / "m.csv", outside=True).rows
    assert {(r.has_sound, r.fps) for r in told} == {(False, 7.0)}
    assert load_sample(rows[0].path).has_sound


def test_without_a_given_split_one_is_made(data):
    rows = parted(gather(data), **SHARES)
    assert [sum(r.split == s for r in rows) for s in ("train", "val", "test")] == [
        12,
        4,
        4,
    ]


def test_a_given_split_is_repeated_even_where_it_leaks(data, tmp_path):
    rows = read_manifest(data)
    splits = ["train", "train", "val", "val", "test", "test", *["train"] * 14]
    given = [
        replace(r, split=s, group="same") for r, s in zip(rows, splits, strict=True)
    ]
    write_manifest(tmp_path / "split.csv", given)
    write_manifest(tmp_path / "grouped.csv", [replace(r, split="") for r in given])
    grouped, split = tmp_path / "grouped.csv", tmp_path / "split.csv"
    found = gather(grouped, given_split=split, outside=True)
    assert [r.split for r in parted(found, **SHARES)] == splits
    assert found.chosen["split"] == str(tmp_path / "split.csv")
    # The same marks in --data itself are refused: nobody asked for them by name.
    with pytest.raises(ManifestError, match=r"one split \(train --split takes a CSV"):
        parted(gather(tmp_path / "split.csv", outside=True), **SHARES)


def test_a_given_split_without_a_label_is_refused(data, tmp_path):
    rows = read_manifest(data)
    given = [replace(r, split="train") for r in rows]
    write_manifest(tmp_path / "split.csv", given)
    found = gather(data, given_split=tmp_path / "split.csv")
    with pytest.raises(
        ManifestError, match="the val split has no clip of bright, dark"
    ):
        parted(found, **SHARES)
