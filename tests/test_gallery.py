"""gallery.py: which clips of a manifest a search finds, by known answers."""

from pathlib import Path

import pytest

from fmrgb.cells import write_csv
from fmrgb.errors import ManifestError
from fmrgb.gallery import Entry, read_gallery, run_of, search

TOLD = [  # name, label, predicted, probability of what was predicted
    ("cat/a.pt", "cat", "cat", 0.9),
    ("cat/b.pt", "cat", "dog", 0.6),
    ("dog/c.pt", "dog", "dog", 0.7),
    ("dog/d.pt", "dog", "cat", 0.8),
]


def run(folder: Path, *, paths: str = "") -> Path:
    """Write a run of five clips, of which four were judged; return its folder."""
    made = folder / "run"
    made.mkdir()
    rows = [{"path": f"../{name}", "label": label} for name, label, *_ in TOLD]
    for row, split in zip(rows, ("val", "test", "test", "test"), strict=True):
        row["split"] = split
    rows.append({"path": "../cat/e.pt", "label": "cat", "split": "train"})
    write_csv(made / "split.csv", ("path", "label", "split"), rows)
    records = [
        {
            "path": f"{paths}{name}",
            "label": label,
            "predicted": predicted,
            f"p_{predicted}": p,
            f"p_{'dog' if predicted == 'cat' else 'cat'}": round(1 - p, 3),
        }
        for name, label, predicted, p in TOLD
    ]
    columns = ("path", "label", "predicted", "p_cat", "p_dog")
    write_csv(made / "predictions.csv", columns, records)
    return made


def names(entries: list[Entry], places: list[int]) -> str:
    """Return the names of the found clips, in order."""
    return "".join(entries[place].path.stem for place in places)


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    """Return the clips of a run."""
    return read_gallery(None, run(tmp_path))


def test_the_surest_mistakes_come_first(entries):
    assert names(entries, search(entries)) == "dbace"
    assert [e.answer for e in entries] == [
        *("wrong", "wrong", "right", "right", "not judged"),
    ]


@pytest.mark.parametrize(
    ("wishes", "found"),
    [
        ({"label": "cat"}, "bae"),
        ({"answer": "wrong"}, "db"),
        ({"answer": "right"}, "ac"),
        ({"answer": "not judged"}, "e"),
        ({"split": "test"}, "dbc"),
        ({"lowest": 0.7}, "dac"),
        ({"highest": 0.7}, "bc"),
        ({"lowest": 0.7, "highest": 0.85}, "dc"),
        ({"lowest": 0.95}, ""),
        ({"name": "DOG"}, "dc"),
        ({"name": "cat b"}, "b"),
        ({"label": "dog", "answer": "wrong", "split": "test", "name": "d"}, "d"),
        ({"label": "dog", "answer": "wrong", "split": "val"}, ""),
    ],
)
def test_a_search_finds_what_fits_all_wishes(entries, wishes, found):
    assert names(entries, search(entries, **wishes)) == found


def test_predictions_are_found_from_whatever_folder_they_were_written(tmp_path):
    made = run(tmp_path, paths="../../somewhere/../")
    entries = read_gallery(None, made)
    assert names(entries, search(entries, answer="wrong")) == "db"


def test_a_name_that_two_predictions_end_with_takes_neither(tmp_path):
    made = run(tmp_path)
    text = (made / "predictions.csv").read_text()
    more = "../cat/a.pt,cat,dog,0.1,0.9\nx/../cat/a.pt,cat,dog,0.1,0.9\n"
    (made / "predictions.csv").write_text(text + more)
    entries = read_gallery(None, made)
    assert names(entries, search(entries, answer="not judged")) == "ae"


def test_a_manifest_stands_in_for_the_split(tmp_path):
    made = run(tmp_path)
    rows = [{"path": "dog/c.pt", "label": "dog"}]
    write_csv(tmp_path / "some.csv", ("path", "label"), rows)
    entries = read_gallery(tmp_path / "some.csv", made)
    assert [(e.path.stem, e.predicted, e.probability) for e in entries] == [
        ("c", "dog", 0.7)
    ]


def test_without_a_manifest_the_predictions_are_the_clips(tmp_path):
    made = run(tmp_path, paths="x/")
    (made / "split.csv").unlink()
    assert [e.path.stem for e in read_gallery(None, made)] == list("dbac")
    assert read_gallery(None, None) == []


@pytest.mark.parametrize("odd", ["", "1.5", "nan", "much"])
def test_a_probability_that_is_none_is_refused(tmp_path, odd):
    made = run(tmp_path)
    text = (made / "predictions.csv").read_text().replace("0.8", odd)
    (made / "predictions.csv").write_text(text)
    with pytest.raises(ManifestError, match="must be 0 to 1, got"):
        read_gallery(None, made)


def test_the_model_s_folder_is_the_run_if_it_looks_like_one(tmp_path):
    made = run(tmp_path)
    assert run_of(made / "best.ckpt", None) == made
    assert run_of(tmp_path / "best.ckpt", None) is None
    assert run_of(tmp_path / "best.ckpt", made) == made
