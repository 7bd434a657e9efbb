"""run.py: split, train, judge and report, so that the run can be understood later."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import tiny

from fmrgb import run as run_module
from fmrgb.card import View
from fmrgb.cells import read_csv
from fmrgb.checkpoint import load_checkpoint
from fmrgb.errors import InputError, ManifestError, TrainingError
from fmrgb.learner import Settings
from fmrgb.loader import ClipSet, statistics
from fmrgb.manifest import SPLITS, Row, read_manifest, write_manifest
from fmrgb.material import gather
from fmrgb.run import Run, run_folds
from fmrgb.run_folder import refuse_used
from fmrgb.sample import load_sample, save_sample

QUICK = Settings(epochs=8, batch_size=4, lr=0.02)
ONCE = replace(QUICK, epochs=1)
N_PAIRS = 12


def listed(folder: Path, rows: Sequence[Row]) -> Path:
    """Write a manifest of the rows beside their samples."""
    write_manifest(folder / "manifest.csv", rows)
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Return 24 rows of dark and bright samples, two of each source."""
    folder = tmp_path_factory.mktemp("samples")
    rows = tiny.dark_and_bright(folder, [""] * N_PAIRS)
    return [
        replace(row, group=f"{row.label} {number // 4}")
        for number, row in enumerate(rows)
    ]


@pytest.fixture(scope="module")
def done(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a finished run on the rows."""
    data = listed(tmp_path_factory.mktemp("listed"), rows)
    folder = tmp_path_factory.mktemp("run") / "new" / "folder"
    return tiny.run_on(data, QUICK, folder=folder, quiet=True)


def test_dark_and_bright_are_told_apart_on_untouched_clips(done):
    assert list(done.scores) == ["val", "test"]
    assert done.scores["test"]["accuracy"] == 1
    assert done.scores["test"]["clips"] >= 4
    assert (done.faults, done.warnings) == ({}, [])


def test_the_run_folder_holds_all_that_is_promised(done):
    names = {path.name for path in done.report.parent.iterdir()}
    assert names == {
        "audit.json",
        "best.ckpt",
        "config.json",
        "confusion.png",
        "curves.png",
        "events",
        "last.ckpt",
        "metrics.csv",
        "metrics.json",
        "planes.png",
        "predictions.csv",
        "probabilities.png",
        "report.html",
        "split.csv",
    }


def test_split_csv_has_every_clip_with_its_split_and_whole_groups(done, rows):
    kept = read_manifest(done.report.with_name("split.csv"))
    assert {row.path.resolve(): row.label for row in kept} == {
        row.path.resolve(): row.label for row in rows
    }
    assert len(kept) == len(rows)
    counts = {name: [r for r in kept if r.split == name] for name in SPLITS}
    assert sum(map(len, counts.values())) == len(rows)
    for part in counts.values():
        assert {row.label for row in part} == {"dark", "bright"}
    homes = {(row.group, row.split) for row in kept}
    assert len(homes) == len({row.group for row in rows}) == 12
    for name in ("val", "test"):
        assert done.scores[name]["clips"] == len(counts[name])


def test_the_validation_score_is_that_of_the_epoch_kept(done):
    lowest = min(row["val_loss"] for row in done.trained.history)
    assert done.scores["val"]["loss"] == pytest.approx(lowest, rel=1e-3, abs=1e-6)


def test_normalisation_comes_from_the_training_part_of_split_csv(done):
    kept = read_manifest(done.report.with_name("split.csv"))
    train = [row for row in kept if row.split == "train"]
    card = load_checkpoint(done.trained.best).card
    mean, std = statistics(ClipSet(train, card.classes, card.view))
    assert (card.mean, card.std) == (mean, std)


def test_every_choice_is_kept(done):
    config = json.loads(done.report.with_name("config.json").read_text())
    assert config["lr"] == QUICK.lr
    assert config["channels"] == list(tiny.CHANNELS)
    assert (config["frames"], config["height"], config["width"]) == (6, 10, 14)
    assert config["samples"] == {"audiomethod": "simple"}
    assert load_checkpoint(done.trained.best).card.recipe == config["samples"]


def test_the_same_seed_gives_the_same_run(done, rows, tmp_path):
    again = tiny.run_on(
        listed(tmp_path, rows), QUICK, folder=tmp_path / "run", quiet=True
    )
    assert again.scores == done.scores
    one, other = (
        [(row.path.name, row.split) for row in read_manifest(p)]
        for p in (done.report.with_name("split.csv"), tmp_path / "run" / "split.csv")
    )
    assert one == other


def test_a_folder_that_holds_something_is_refused_and_left_alone(rows, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"run is not empty; name a new --output"):
        tiny.run_on(listed(tmp_path, rows), ONCE, folder=tmp_path / "run", quiet=True)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["notes.txt"]
    with pytest.raises(InputError, match=r"notes\.txt is a file"):
        refuse_used(tmp_path / "run" / "notes.txt")


def test_an_empty_folder_will_do(tmp_path):
    refuse_used(tmp_path)
    refuse_used(tmp_path / "new")


def test_a_missing_sound_track_that_goes_with_the_label_is_a_warning(rows, tmp_path):
    told = [replace(row, has_sound=row.label == "dark") for row in rows]
    done = tiny.run_on(
        listed(tmp_path, told), ONCE, folder=tmp_path / "run", quiet=True
    )
    (warning,) = done.warnings
    assert "has no sound track: 12 of 12 bright, 0 of 12 dark" in warning
    assert "12 of 12 bright, 0 of 12 dark" in done.report.read_text()


def test_broken_samples_are_set_aside_named_and_reported(rows, tmp_path):
    broken = tmp_path / "broken.pt"
    broken.write_bytes(rows[0].path.read_bytes()[:700])
    data = listed(tmp_path, [*rows, Row(path=broken, label="dark")])
    done = tiny.run_on(data, ONCE, folder=tmp_path / "run", quiet=True)
    assert list(done.faults) == [str(broken)]
    assert len(read_manifest(tmp_path / "run" / "split.csv")) == len(rows)
    assert "set aside: " + str(broken) in done.report.read_text()


def test_a_split_that_the_manifest_names_is_kept(rows, tmp_path):
    names = ["train"] * 12 + ["test"] * 8 + ["val"] * 4
    marked = [replace(row, split=s) for row, s in zip(rows, names, strict=True)]
    tiny.run_on(listed(tmp_path, marked), ONCE, folder=tmp_path / "run", quiet=True)
    kept = read_manifest(tmp_path / "run" / "split.csv")
    assert [row.split for row in kept] == names


def test_the_view_is_what_was_asked_for(rows, tmp_path):
    done = tiny.run_on(
        listed(tmp_path, rows),
        ONCE,
        folder=tmp_path / "run",
        channels="sound",
        frames=3,
        size=(7, 5),
        quiet=True,
    )
    view = load_checkpoint(done.trained.best).card.view
    assert view == View(("amplitude", "frequency"), 3, 5, 7, tiny.CHANNELS[3:])


def test_loud_and_quiet_are_told_apart_by_the_sound_alone(tmp_path):
    loudness = {"quiet": 40, "loud": 200}
    rows = []
    for seed in range(2 * N_PAIRS):
        label = ("quiet", "loud")[seed % 2]
        path = tmp_path / label / f"{seed}.pt"
        path.parent.mkdir(exist_ok=True)
        save_sample(path, tiny.sample(label=label, loudness=loudness[label], seed=seed))
        rows.append(Row(path=path, label=label))
    data = listed(tmp_path, rows)
    heard = tiny.run_on(
        data, QUICK, folder=tmp_path / "a", channels="sound", quiet=True
    )
    assert heard.scores["test"]["accuracy"] == 1
    seen = tiny.run_on(
        data, QUICK, folder=tmp_path / "b", channels="picture", quiet=True
    )
    assert seen.scores["test"]["loss"] > heard.scores["test"]["loss"]


def test_a_folder_of_samples_needs_no_manifest(rows, tmp_path):
    for row in rows:
        copy = tmp_path / "samples" / row.label / row.path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        save_sample(copy, load_sample(row.path))
    done = tiny.run_on(tmp_path / "samples", ONCE, folder=tmp_path / "run", quiet=True)
    assert set(done.scores["test"]["classes"]) == {"dark", "bright"}


def test_what_cannot_be_trained_on_leaves_no_weights(rows, tmp_path):
    dark = [row for row in rows if row.label == "dark"]
    with pytest.raises(ManifestError, match="two labels or more"):
        tiny.run_on(listed(tmp_path, dark), ONCE, folder=tmp_path / "run", quiet=True)
    with pytest.raises(TrainingError, match="no plane"):
        tiny.run_on(
            listed(tmp_path, rows),
            ONCE,
            folder=tmp_path / "run",
            channels="x",
            quiet=True,
        )
    assert not (tmp_path / "run").exists()


def test_predictions_csv_lists_the_test_clips(done):
    kept = read_manifest(done.report.with_name("split.csv"))
    told = read_csv(done.report.with_name("predictions.csv"), ("path", "label"))
    wanted = {(row.path.name, row.label) for row in kept if row.split == "test"}
    assert {(Path(t["path"]).name, t["label"]) for t in told} == wanted


def test_metrics_json_holds_the_scores(done):
    told = json.loads(done.report.with_name("metrics.json").read_text())
    assert told == done.scores


def test_folds_judge_every_clip_once_by_a_network_that_never_saw_its_group(
    rows, tmp_path
):
    grouped = [replace(r, group=f"g{n // 2 % 8}{r.label}") for n, r in enumerate(rows)]
    material = gather(listed(tmp_path, grouped), outside=True)
    done = run_folds(material, QUICK, folder=tmp_path / "run", n_folds=3, quiet=True)
    assert len(done.runs) == 3
    assert done.scores["clips"] == len(rows)
    tested = [path for one in done.runs for path in one.predictions.paths]
    assert sorted(tested) == sorted(str(row.path) for row in material.rows)
    for k in (1, 2, 3):
        kept = read_manifest(tmp_path / "run" / f"fold{k}" / "split.csv")
        homes = {(row.group, row.split) for row in kept}
        assert len(homes) == len({row.group for row in kept})
    pooled = json.loads((tmp_path / "run" / "metrics.json").read_text())
    right = sum(pooled[f"fold {k}"]["right"] for k in (1, 2, 3))
    assert pooled["test"]["right"] == right == done.scores["right"]
    assert "standard deviation" in done.report.read_text()


def test_too_many_folds_are_refused(rows, tmp_path):
    material = gather(listed(tmp_path, rows), outside=True)
    with pytest.raises(ManifestError, match=r"too few for 50 folds; give fewer"):
        run_folds(material, ONCE, folder=tmp_path / "run", n_folds=50, quiet=True)


def test_the_audit_is_kept_and_told_before_the_first_step(rows, tmp_path, monkeypatch):
    said = []

    def no_training(*_: object, **__: object) -> None:
        said.append("training begins")
        raise TrainingError("enough")

    monkeypatch.setattr(run_module, "train", no_training)
    folder, how = tmp_path / "run", {"quiet": True, "say": said.append}
    with pytest.raises(TrainingError, match="enough"):
        tiny.run_on(listed(tmp_path, rows), ONCE, folder=folder, **how)
    kept = json.loads((folder / "audit.json").read_text())
    assert kept["census"]["clips"] == len(rows)
    assert said[0].startswith("24 clips of 12 sources: 12 bright, 12 dark; ")
    assert said[-1] == "training begins"
    again = {"folder": tmp_path / "folds", "n_folds": 2, "quiet": True}
    said.clear()
    monkeypatch.undo()
    run_folds(
        gather(listed(tmp_path, rows), outside=True), ONCE, **again, say=said.append
    )
    assert sum(line.startswith("24 clips") for line in said) == 1
    assert (tmp_path / "folds" / "fold2" / "audit.json").is_file()


def test_a_given_split_is_repeated_and_kept(done, rows, tmp_path):
    given = done.report.with_name("split.csv")
    folder = tmp_path / "run"
    again = tiny.run_on(
        listed(tmp_path, rows[::-1]),
        QUICK,
        folder=folder,
        quiet=True,
        given_split=given,
    )
    assert again.scores["test"]["clips"] == done.scores["test"]["clips"]
    one, other = (
        {(row.path.resolve(), row.split) for row in read_manifest(path)}
        for path in (given, folder / "split.csv")
    )
    assert one == other
    config = json.loads((folder / "config.json").read_text())
    assert config["split"] == str(given)
    assert "test_size" not in config
    other_split = {"folder": folder, "quiet": True, "resume": True}
    with pytest.raises(InputError, match="begun with other choices: split"):
        tiny.run_on(listed(tmp_path, rows[::-1]), QUICK, **other_split)


def test_a_given_split_that_leaks_is_a_warning(rows, tmp_path):
    splits = ["train", "val", "test"] * 8
    given = [replace(r, split=s) for r, s in zip(rows, splits, strict=True)]
    write_manifest(tmp_path / "split.csv", given)
    done = tiny.run_on(
        listed(tmp_path, rows),
        ONCE,
        folder=tmp_path / "run",
        quiet=True,
        given_split=tmp_path / "split.csv",
    )
    assert done.warnings[0].endswith(": a leak")
    assert "a leak" in done.report.read_text()


def test_a_run_is_resumed_with_the_same_choices_only(rows, tmp_path):
    data, folder = listed(tmp_path, rows), tmp_path / "run"
    done = tiny.run_on(data, ONCE, folder=folder, quiet=True)
    again = tiny.run_on(data, ONCE, folder=folder, quiet=True, resume=True)
    assert again.scores == done.scores
    other = replace(ONCE, lr=0.5)
    with pytest.raises(InputError, match=r"begun with other choices: lr .* 0\.5 now"):
        tiny.run_on(data, other, folder=folder, quiet=True, resume=True)
