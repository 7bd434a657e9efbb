"""votes.py: windows of one recording speak together; and where that is told."""

import csv
import json
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import tiny
from fmrgb_tools import evaluate as tool

from fmrgb.evaluate import evaluate, predict_rows
from fmrgb.intervals import share_interval, wilson
from fmrgb.manifest import write_manifest
from fmrgb.metrics import Predictions, pool, score
from fmrgb.report import Story, write_report
from fmrgb.verdict import on_tracks
from fmrgb.votes import vote

# Three windows of "a" (label 0), of which two are wrong by a little and one is right by
# much; two of "b" (label 1), both wrong; and two whole clips, right and wrong.
TRACKS = ("a", "b", "a", "", "a", "b", "")
TRUTH = np.array([0, 1, 0, 2, 0, 1, 2])
ODDS = np.array(
    [
        [0.40, 0.45, 0.15],
        [0.70, 0.20, 0.10],
        [0.40, 0.45, 0.15],
        [0.10, 0.10, 0.80],
        [0.90, 0.05, 0.05],
        [0.50, 0.40, 0.10],
        [0.60, 0.20, 0.20],
    ]
)
ALONE = np.arange(7)


def told(tracks: tuple[str, ...] = TRACKS) -> Predictions:
    """Return what is said of the seven windows."""
    paths = tuple(f"{n}.pt" for n in range(7))
    return Predictions(("ant", "bee", "cat"), TRUTH, ODDS, paths, tracks=tracks)


def test_the_mean_of_its_windows_judges_a_recording():
    votes = vote(TRACKS, TRUTH, ODDS, ALONE)
    assert votes == {
        "tracks": 4,
        "windows": 7,
        "mixed": 0,
        "sources": 4,
        "right": 2,  # one whole clip, and "a", though two of its windows are wrong
        "accuracy": 0.5,
        "majority": 0.5,
        "interval": list(wilson(2, 4)),
    }


def test_windows_do_not_count_as_recordings():
    many = vote(("a", "b") * 50, np.array([0, 1] * 50), np.eye(2)[[0, 1] * 50], ALONE)
    assert many is not None
    assert (many["tracks"], many["windows"]) == (2, 100)
    assert many["interval"] == list(wilson(2, 2))


def test_recordings_of_one_source_count_for_less():
    tracks, truth = tuple("aabbccdd"), np.zeros(8, int)
    odds = np.eye(2)[[0, 0, 0, 0, 1, 1, 1, 1]]  # of "a" and "b" right, "c" and "d" not
    speakers = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    votes = vote(tracks, truth, odds, speakers)
    assert votes is not None
    assert (votes["tracks"], votes["sources"]) == (4, 2)
    right = np.array([True, True, False, False])
    assert votes["interval"] == list(share_interval(right, np.array([0, 0, 1, 1])))


def test_a_recording_with_several_labels_is_left_out_and_counted():
    labels = TRUTH.copy()
    labels[4] = 1
    votes = vote(TRACKS, labels, ODDS, ALONE)
    assert votes is not None
    assert (votes["tracks"], votes["mixed"], votes["windows"]) == (3, 1, 4)
    assert "1 recordings whose windows have several labels" in on_tracks(votes)
    assert vote(("a",) * 7, labels, ODDS, ALONE) is None


def test_without_tracks_there_is_nothing_to_vote():
    assert vote((), TRUTH, ODDS, ALONE) is None
    assert vote(("",) * 7, TRUTH, ODDS, ALONE) is None
    assert "tracks" not in score(told(tracks=()))
    assert score(told())["tracks"]["right"] == 2


def test_folds_keep_the_recordings_of_their_parts():
    whole = replace(told(tracks=()), groups=tuple("tuvwxyz"))
    parts = replace(told(), groups=tuple("tuvwxyz"))
    assert pool([whole, parts]).tracks == ("",) * 7 + TRACKS
    assert pool([whole, whole]).tracks == ()


def test_the_report_tells_of_recordings(tmp_path):
    predictions = told()
    page = write_report(tmp_path, Story("t", {"all": score(predictions)}, predictions))
    html = unescape(page.read_text(encoding="utf-8"))
    assert "Whole recordings" in html
    assert on_tracks(score(predictions)["tracks"]) in html
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["all"]["tracks"]["accuracy"] == 0.5
    with open(tmp_path / "predictions.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["track"] for line in lines] == list(TRACKS)
    assert lines[3]["p_cat"] == "0.800000"


def test_whole_clips_get_no_column_of_tracks(tmp_path):
    predictions = told(tracks=())
    page = write_report(tmp_path, Story("t", {"all": score(predictions)}, predictions))
    assert "Whole recordings" not in page.read_text(encoding="utf-8")
    head = (tmp_path / "predictions.csv").read_text().splitlines()[0]
    assert head == "path,label,predicted,right,p_ant,p_bee,p_cat"


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return an untrained network and a manifest of eight windows of four tracks."""
    folder = tmp_path_factory.mktemp("windows")
    rows = tiny.dark_and_bright(folder, [""] * 4)
    rows = [
        replace(
            row, track=f"{row.label}{n // 4}.wav", start=float(n), group=f"g{n % 4}"
        )
        for n, row in enumerate(rows)
    ]
    write_manifest(folder / "manifest.csv", rows)
    return tiny.untrained(folder / "net.ckpt", seconds=2), folder / "manifest.csv"


def test_evaluate_takes_tracks_from_the_manifest(windows, capsys):
    model, data = windows
    judged = evaluate(model, data, repeats=0)
    assert sorted(set(judged.predictions.tracks)) == [
        *("bright0.wav", "bright1.wav"),
        *("dark0.wav", "dark1.wav"),
    ]
    votes = judged.scores["tracks"]
    assert (votes["tracks"], votes["windows"]) == (4, 8)
    assert tool.main(["--model", str(model), "--data", str(data)]) == 0
    said = capsys.readouterr().out
    assert "recordings are judged right by the mean" in said
    assert "\\xa0" not in said
    assert tool.main(["--model", str(model), "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tracks"] == votes


def test_the_network_is_asked_about_rows_without_tracks_as_ever(windows):
    from fmrgb.checkpoint import load_checkpoint
    from fmrgb.manifest import read_manifest

    model, data = windows
    rows = [replace(row, track="") for row in read_manifest(data)]
    assert predict_rows(load_checkpoint(model), rows).tracks == ()
