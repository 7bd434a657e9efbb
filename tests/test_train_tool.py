"""tools/train.py: what it says, what it leaves, and how it ends."""

import json
from pathlib import Path

import pytest
import tiny
from fmrgb_tools import train as tool

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
    assert said.err == ""


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
    line = ["--data", str(tmp_path / "m.csv"), "--output", str(tmp_path / "run")]
    assert tool.main([*line, *QUICK]) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert said.err.startswith("set aside: ")
    assert "broken\\n.pt" in said.err
    assert "test accuracy" in said.out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--lr 0", "--lr must be above 0"),
        ("--epochs 0", "--epochs must be at least 1"),
        ("--test_size 1", "--test_size must lie between 0 and 1"),
        ("--test_size 0.5 --val_size 0.5", "leave nothing to train on"),
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
    assert capsys.readouterr().err == "train: stopped; what is finished is whole\n"
