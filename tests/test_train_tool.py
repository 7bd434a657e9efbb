"""tools/train.py: what it says, what it leaves, and how it ends."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from fmrgb_tools import train as tool

from fmrgb.cells import write_csv
from fmrgb.checkpoint import load_checkpoint
from fmrgb.manifest import Row, read_manifest, write_manifest

QUICK = ("--epochs", "1", "--batch_size", "4")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a manifest of dark and bright samples."""
    return tiny.manifest(tmp_path_factory.mktemp("samples"), 10)


def test_it_prints_the_test_score_and_where_things_are(data, tmp_path, capsys):
    output = tmp_path / "run"
    assert tool.main(["--data", str(data), "--output", str(output), *QUICK]) == 0
    said = capsys.readouterr()
    scores = json.loads((output / "metrics.json").read_text())
    test = scores["test"]
    assert said.out.startswith(f"test accuracy {test['accuracy']:.1%} (95 % interval ")
    assert f"{test['right']} of {test['clips']} clips" in said.out
    assert f"validation accuracy {scores['val']['accuracy']:.1%}" in said.out
    assert f"weights: {output / 'best.ckpt'}" in said.out
    assert f"report: {output / 'report.html'}" in said.out
    first = said.err.splitlines()[0]
    assert first.startswith("20 clips: 10 bright, 10 dark; 12 train, ")
    assert "warning" not in said.err


def test_every_option_reaches_the_run(data, tmp_path, capsys):
    given = "--lr 0.01 --weight_decay 0.2 --seed 7 --patience 3 --model_size small"
    seen = "--channels R,amplitude --frames 3 --size 8x4 --test_size 0.3 --val_size 0.1"
    output = ["--output", str(tmp_path / "run"), "--json"]
    line = ["--data", str(data), *output, *QUICK, *given.split(), *seen.split()]
    assert tool.main(line) == 0
    told = json.loads(capsys.readouterr().out)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    wanted = {
        "data": str(data),
        "epochs": 1,
        "batch_size": 4,
        "lr": 0.01,
        "weight_decay": 0.2,
        "seed": 7,
        "patience": 3,
        "model": "conv3d",
        "model_size": "small",
        "workers": 0,
        "channels": ["R", "amplitude"],
        "frames": 3,
        "width": 8,
        "height": 4,
        "test_size": 0.3,
        "val_size": 0.1,
    }
    assert {name: config[name] for name in wanted} == wanted
    splits = [row.split for row in read_manifest(tmp_path / "run" / "split.csv")]
    assert [splits.count(s) for s in ("train", "val", "test")] == [12, 2, 6]
    card = load_checkpoint(Path(told["checkpoints"][0])).card
    assert tuple(card.view.shape) == (2, 3, 4, 8)
    assert card.model_size == "small"
    assert told["test"]["clips"] == 6


def test_folds_tell_each_and_all(data, tmp_path, capsys):
    output = tmp_path / "run"
    line = ["--data", str(data), "--output", str(output), "--folds", "2", *QUICK]
    assert tool.main(line) == 0
    said = capsys.readouterr().out
    pooled = json.loads((output / "metrics.json").read_text())["test"]
    assert said.startswith(f"test accuracy {pooled['accuracy']:.1%} (95 % interval ")
    assert f"{pooled['right']} of 20 clips" in said
    assert said.count("best.ckpt") == 2
    config = json.loads((output / "fold2" / "config.json").read_text())
    assert config["folds"] == 2


def test_a_used_folder_is_refused_in_one_line(data, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    for output, reason in (
        (tmp_path, "is not empty"),
        (tmp_path / "notes.txt", "is a file"),
    ):
        assert tool.main(["--data", str(data), "--output", str(output), *QUICK]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert said.err.startswith("train: ")
        assert reason in said.err
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_broken_samples_are_named_and_the_exit_status_says_so(data, tmp_path, capsys):
    broken = tmp_path / "broken\n.pt"
    broken.write_text("no sample")
    rows = [*read_manifest(data), Row(path=broken, label="dark")]
    write_manifest(tmp_path / "m.csv", rows)
    line = [
        "--outside",
        "--data",
        str(tmp_path / "m.csv"),
        "--output",
        str(tmp_path / "run"),
    ]
    assert tool.main([*line, *QUICK]) == 1
    said = capsys.readouterr()
    (line,) = (line for line in said.err.splitlines() if "broken" in line)
    assert line.startswith("set aside: ")
    assert "broken\\n.pt" in line
    assert "test accuracy" in said.out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--lr 0", "--lr must be above 0"),
        ("--epochs 0", "--epochs must be at least 1"),
        ("--test_size 1", "--test_size must lie between 0 and 1"),
        ("--test_size 0.5 --val_size 0.5", "leave nothing to train on"),
        ("--split s.csv --folds 3", "--split gives one split, --folds makes several"),
        ("--learnmethod resnet", "invalid choice: 'resnet'"),
        ("--model_size huge", "invalid choice: 'huge'"),
    ],
)
def test_a_wrong_command_line_is_refused_before_any_work(words, reason, capsys):
    with pytest.raises(SystemExit) as left:
        tool.main(["--data", "none.csv", *words.split()])
    assert left.value.code == 2
    assert reason in capsys.readouterr().err


def test_ctrl_c_ends_in_one_line_and_its_own_status(
    data, tmp_path, monkeypatch, capsys
):
    from fmrgb import trainer

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.Learner, "validation_step", interrupted)
    output = str(tmp_path / "run")
    assert tool.main(["--data", str(data), "--output", output, *QUICK]) == 130
    told = capsys.readouterr().err
    assert told.endswith("train: stopped; what is finished is whole\n")
    assert "Traceback" not in told
    assert not (
        tmp_path / "run"
    ).exists()  # stopped in the audit, before the first step


def dry(*words: str) -> int:
    """Run the tool with --dry_run; return its exit status."""
    return tool.main([*words, "--dry_run", "--precision", "32", *QUICK])


def test_a_dry_run_tells_all_and_writes_nothing(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(data.parent.rglob("*"))
    assert dry("--data", str(data)) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith(
        "label   clips  sources  train  val  test  no sound  sil"
    )
    assert "through the untrained network: loss 0." in said.out
    assert "all epochs at most" in said.out
    assert sorted(data.parent.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_does_not_mind_a_used_output(data, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert dry("--data", str(data), "--output", str(tmp_path), "--folds", "3") == 0
    assert capsys.readouterr().out.startswith("fold 1 of 3:\nlabel ")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_dry_run_as_json_is_the_audit(data, capsys):
    assert dry("--data", str(data), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["census"]["labels"]["dark"]["train"] == 6
    assert told["trial"]["shape"][0] == 4
    assert told["warnings"] == []


def test_a_dry_run_tells_shortcuts_and_broken_samples(data, tmp_path, capsys):
    rows = [
        replace(row, has_sound=row.label == "dark", silent=False)
        for row in read_manifest(data)
    ]
    broken = tmp_path / "broken.pt"
    broken.write_text("no sample")
    write_manifest(tmp_path / "m.csv", [*rows, Row(path=broken, label="dark")])
    assert dry("--outside", "--data", str(tmp_path / "m.csv")) == 1
    said = capsys.readouterr()
    assert said.err.startswith("set aside: ")
    shortcut = (
        "has no sound track: 10 of 10 bright, 0 of 10 dark; this alone guesses 100%"
    )
    assert f"warning: This goes with the label, a shortcut: {shortcut}" in said.out


def test_another_column_and_a_given_split_reach_the_run(data, tmp_path, capsys):
    rows = read_manifest(data)
    # Neighbours differ in the old label, pairs of neighbours in the new one.
    colours = [("red", "blue")[n // 2 % 2] for n in range(20)]
    splits = [*["train"] * 12, *["val"] * 4, *["test"] * 4]
    records = [
        {"path": f"{r.label}/{r.path.stem}.mp4", "colour": c}
        for r, c in zip(rows, colours, strict=True)
    ]
    write_csv(tmp_path / "t.csv", ("path", "colour"), records)
    write_manifest(
        tmp_path / "s.csv",
        [replace(r, split=s) for r, s in zip(rows, splits, strict=True)],
    )
    output = tmp_path / "run"
    table = ["--labels", str(tmp_path / "t.csv"), "--label-column", "colour"]
    where = ["--data", str(data), "--split", str(tmp_path / "s.csv")]
    assert tool.main([*where, *table, "--output", str(output), *QUICK]) == 0
    kept = {r.path.resolve(): r for r in read_manifest(output / "split.csv")}
    found = [kept[r.path.resolve()] for r in rows]
    assert [(r.label, r.split) for r in found] == list(
        zip(colours, splits, strict=True)
    )
    config = json.loads((output / "config.json").read_text())
    assert config["label_column"] == "colour"
    assert "12 train, 4 val, 4 test" in capsys.readouterr().err
    assert load_checkpoint(output / "best.ckpt").card.classes == ("blue", "red")


def test_too_large_a_batch_is_answered_with_one_that_fits(
    data, tmp_path, monkeypatch, capsys
):
    from fmrgb.learner import Learner

    real = Learner.training_step

    def step(self: Learner, batch: Any, batch_idx: int) -> Any:
        if len(batch[0]) > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
        return real(self, batch, batch_idx)

    monkeypatch.setattr(Learner, "training_step", step)
    words = ["--data", str(data), "--output", str(tmp_path / "run")]
    large = ["--batch_size", "12", "--accumulate", "2", "--precision", "32"]
    assert tool.main([*words, *large]) == 1
    said = capsys.readouterr().err
    assert said.startswith("train: a batch of 12 clips of [5, 6, 10, 14] does not fit ")
    assert "--batch_size 3 does, and with --accumulate 8 every update still" in said
    assert not (tmp_path / "run").exists()
