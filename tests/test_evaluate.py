"""evaluate.py and its tool: a trained model judged on other clips, or on its own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from fmrgb_tools import evaluate as tool

from fmrgb.checkpoint import load_checkpoint
from fmrgb.errors import TrainingError
from fmrgb.evaluate import evaluate, predict_rows, sound_of
from fmrgb.learner import Settings
from fmrgb.manifest import Row, read_manifest, write_manifest
from fmrgb.metrics import score
from fmrgb.run import Run
from fmrgb.sample import save_sample


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run on samples that are dark and bright, so short that it errs."""
    folder = tmp_path_factory.mktemp("done")
    data = tiny.manifest(folder / "samples", 12)
    settings = Settings(epochs=2, batch_size=4)
    return tiny.run_on(data, settings, folder=folder / "run", quiet=True)


def assert_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Compare scores: the counts to the last clip, probabilities to rounding."""
    rough = ("loss", "calibration", "planes")
    counts = {name: told for name, told in one.items() if name not in rough}
    assert counts == {name: told for name, told in other.items() if name not in rough}
    assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
    for name in ("ece", "brier", "confidence"):
        wanted = pytest.approx(other["calibration"][name], abs=1e-4)
        assert one["calibration"][name] == wanted


@pytest.fixture(scope="module")
def split(done: Run) -> Path:
    """Return the run's own split.csv."""
    return done.report.with_name("split.csv")


def test_the_runs_own_test_clips_get_the_runs_own_score(done, split):
    for name in ("test", "val"):
        judged = evaluate(done.trained.best, split, split=name)
        assert_alike(judged.scores, done.scores[name])
        assert judged.split == name
        assert (judged.faults, judged.warnings) == ({}, [])
        assert judged.facts[0].startswith(f"{done.scores[name]['clips']} clips: ")


def test_all_clips_are_judged_unless_a_split_is_named(done, split):
    judged = evaluate(done.trained.best, split)
    rows = read_manifest(split)
    assert judged.predictions.paths == tuple(str(row.path) for row in rows)
    names = judged.predictions.classes
    assert [names[k] for k in judged.predictions.truth] == [row.label for row in rows]
    parts = [
        evaluate(done.trained.best, split, split=s) for s in ("train", "val", "test")
    ]
    assert judged.scores["right"] == sum(part.scores["right"] for part in parts)
    assert judged.scores["clips"] == 24


def test_the_size_of_batches_changes_nothing(done, split):
    network, rows = load_checkpoint(done.trained.best), read_manifest(split)
    first = predict_rows(network, rows, batch_size=1)
    for batch_size in (5, 100):
        other = predict_rows(network, rows, batch_size=batch_size)
        np.testing.assert_allclose(other.probabilities, first.probabilities, atol=1e-5)
    np.testing.assert_allclose(first.probabilities.sum(axis=1), 1, atol=1e-9)


def test_labels_that_the_model_does_not_know_are_refused(done, tmp_path):
    save_sample(tmp_path / "grey.pt", tiny.sample())
    write_manifest(tmp_path / "m.csv", [Row(path=tmp_path / "grey.pt", label="grey")])
    with pytest.raises(
        TrainingError, match=r"does not know: grey; it knows bright, dark"
    ):
        evaluate(done.trained.best, tmp_path / "m.csv")


def test_a_split_that_no_clip_has_is_refused(done, tmp_path):
    data = tiny.manifest(tmp_path, 1)
    with pytest.raises(TrainingError, match=r"no clip is marked test; .*--split all"):
        evaluate(done.trained.best, data, split="test")
    with pytest.raises(TrainingError, match="no clip to judge"):
        predict_rows(load_checkpoint(done.trained.best), [])


def test_clips_of_other_sizes_and_lengths_are_fitted(done, tmp_path):
    sample = tiny.sample(tiny.LEVELS["dark"], "dark")
    longer = replace(
        sample,
        visual=np.repeat(sample.visual, 2, axis=0).repeat(3, axis=2),
        sound={name: np.repeat(plane, 2) for name, plane in sample.sound.items()},
        times=np.arange(12, dtype=np.float32),
    )
    save_sample(tmp_path / "long.pt", longer)
    save_sample(tmp_path / "own.pt", sample)
    network = load_checkpoint(done.trained.best)
    rows = [Row(path=tmp_path / f"{n}.pt", label="dark") for n in ("long", "own")]
    told = predict_rows(network, rows).probabilities
    assert told[0] == pytest.approx(told[1], abs=0.05)


def test_samples_built_otherwise_are_refused(done, tmp_path):
    mute = replace(tiny.sample(), sound={}, channels=("R", "G", "B"))
    save_sample(tmp_path / "mute.pt", mute)
    rows = [Row(path=tmp_path / "mute.pt", label="dark")]
    with pytest.raises(
        TrainingError, match=r"mute\.pt lacks the plane amplitude, frequency"
    ):
        predict_rows(load_checkpoint(done.trained.best), rows)


def test_facts_that_go_with_the_label_are_told(done, split, tmp_path):
    rows = read_manifest(split)
    told = [replace(row, has_sound=row.label == "dark") for row in rows]
    write_manifest(tmp_path / "m.csv", told)
    (warning,) = evaluate(done.trained.best, tmp_path / "m.csv", outside=True).warnings
    assert "no sound track: 12 of 12 bright, 0 of 12 dark" in warning


def test_what_is_not_said_of_the_sound_the_samples_are_asked(done, split, tmp_path):
    mute = replace(tiny.sample(label="dark"), has_sound=False, silent=True)
    for place, (kind, sample) in enumerate(
        {
            "none": mute,
            "silent": replace(mute, has_sound=True),
            "audible": tiny.sample(label="dark"),
        }.items()
    ):
        path = tmp_path / f"{place}.pt"
        save_sample(path, sample)
        known = Row(path=path, label="dark")
        assert sound_of(known) == kind
        told = replace(known, path=tmp_path / "gone.pt", has_sound=sample.has_sound)
        assert sound_of(replace(told, silent=sample.silent)) == kind
    told = evaluate(done.trained.best, split, split="test", repeats=0).scores
    assert list(told["sounds"]["kinds"]) == ["audible"]
    assert "planes" not in told


def test_every_clip_is_counted_by_the_senses_that_the_network_was_shown(done, tmp_path):
    whole = tiny.sample(label="dark")
    quiet = {name: np.zeros_like(plane) for name, plane in whole.sound.items()}
    black = np.zeros_like(whole.visual)
    kinds = {
        "both": whole,
        "picture": replace(whole, sound=quiet),
        "sound": replace(whole, visual=black),
        "neither": replace(whole, visual=black, sound=quiet),
    }
    rows = []
    for name, sample in kinds.items():
        save_sample(tmp_path / f"{name}.pt", sample)
        rows.append(Row(path=tmp_path / f"{name}.pt", label="dark"))
    told = predict_rows(load_checkpoint(done.trained.best), rows)
    assert told.senses == tuple(kinds)
    assert {n: k["clips"] for n, k in score(told)["senses"]["kinds"].items()} == {
        name: 1 for name in kinds
    }


def test_clips_of_one_source_count_as_such(done, split, tmp_path):
    rows = read_manifest(split)
    grouped = [replace(row, group=f"{n % 6}") for n, row in enumerate(rows)]
    write_manifest(tmp_path / "m.csv", grouped)
    told = evaluate(done.trained.best, tmp_path / "m.csv", repeats=1, outside=True)
    assert told.scores["sources"] == 6
    alone = evaluate(done.trained.best, split, repeats=1).scores
    assert alone["sources"] == 24
    assert np.ptp(told.scores["interval"]) > np.ptp(alone["interval"])


def words(done: Run, data: Path, *more: str) -> list[str]:
    """Return a command line of the tool."""
    return ["--model", str(done.trained.best), "--data", str(data), *more]


def test_the_tool_prints_the_runs_own_test_score(done, split, capsys):
    assert tool.main(words(done, split, "--split", "test")) == 0
    said = capsys.readouterr()
    test = done.scores["test"]
    assert f"accuracy {test['accuracy']:.1%}" in said.out
    assert f"{test['right']} of {test['clips']} clips" in said.out
    assert said.err == ""


def test_the_tool_speaks_json(done, split, capsys):
    assert tool.main(words(done, split, "--split", "test", "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["confusion"] == done.scores["test"]["confusion"]
    assert (told["split"], told["model"]) == ("test", str(done.trained.best))


def test_the_tool_writes_a_report_and_names_what_it_set_aside(
    done, split, tmp_path, capsys
):
    broken = tmp_path / "broken.pt"
    broken.write_text("no sample")
    rows = [*read_manifest(split), Row(path=broken, label="dark", split="test")]
    write_manifest(tmp_path / "m.csv", rows)
    output = tmp_path / "judged"
    data = words(
        done,
        tmp_path / "m.csv",
        "--outside",
        "--split",
        "test",
        "--output",
        str(output),
    )
    assert tool.main(data) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 2
    assert said.err.startswith(f"set aside: {broken}: ")
    assert said.err.endswith("1 of 6 clips set aside\n")
    assert str(output / "report.html") in said.out
    wrong = done.scores["test"]["right"] < done.scores["test"]["clips"]
    assert {path.name for path in output.iterdir()} == {
        "confusion.png",
        "failed.csv",
        "metrics.json",
        "planes.png",
        "predictions.csv",
        "probabilities.png",
        "report.html",
    } | ({"mistakes.png"} if wrong else set())
    scores = json.loads((output / "metrics.json").read_text())
    assert_alike(scores["test"], done.scores["test"])
    assert set(scores["test"]["planes"]) == set(done.scores["test"]["planes"])
    assert "set aside: " in (output / "report.html").read_text()


def test_the_tool_says_in_one_line_what_is_wrong(done, split, tmp_path, capsys):
    (tmp_path / "bad.ckpt").write_bytes(b"no checkpoint")
    for model, data, reason in (
        (tmp_path / "none.ckpt", split, "no such checkpoint"),
        (tmp_path / "bad.ckpt", split, "not a whole checkpoint"),
        (done.trained.best, tmp_path / "none.csv", "none.csv"),
    ):
        assert tool.main(["--model", str(model), "--data", str(data)]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("evaluate: ")
        assert said.err.count("\n") == 1
        assert reason in said.err
