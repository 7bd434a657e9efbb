"""trainer.py: it learns, repeats itself, stops, and keeps the best weights."""

import csv
import math
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from fmrgb import callbacks, trainer
from fmrgb.augment import OFF, USUAL
from fmrgb.callbacks import HISTORY
from fmrgb.checkpoint import load_checkpoint
from fmrgb.errors import TrainingError
from fmrgb.evaluate import predict_rows
from fmrgb.learner import Settings
from fmrgb.loader import ClipSet, statistics
from fmrgb.manifest import Row
from fmrgb.metrics import score
from fmrgb.sample import save_sample
from fmrgb.trainer import Trained, is_over, make_card, train

SPLITS = ("train", "train", "train", "train", "val", "val", "test")
QUICK = Settings(epochs=8, batch_size=4, lr=0.02)
# One answer, and clips as they are: it soon knows the training clips.
PLAIN = replace(QUICK, augmentation=OFF, fusion="stack")


def fit(folder: Path, rows: Sequence[Row], settings: Settings = QUICK) -> Trained:
    """Train quietly on the whole view."""
    folder.mkdir()
    return train(rows, tiny.VIEW, settings, folder=folder, quiet=True)


def crossed(rows: Sequence[Row]) -> list[Row]:
    """Exchange the labels of the validation clips."""
    other = {"dark": "bright", "bright": "dark"}
    return [
        replace(row, label=other[row.label]) if row.split == "val" else row
        for row in rows
    ]


def without_seconds(done: Trained) -> list[dict[str, float]]:
    """Return the history but for the time it took."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in done.history]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Return rows of dark and bright samples; the test samples are no longer there."""
    rows = tiny.dark_and_bright(tmp_path_factory.mktemp("samples"), SPLITS)
    for row in rows:
        if row.split == "test":
            row.path.unlink()
    return rows


@pytest.fixture(scope="module")
def done(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a training of eight epochs."""
    return fit(tmp_path_factory.mktemp("trained") / "run", rows)


def test_it_tells_dark_from_bright_without_a_look_at_test_samples(rows, done):
    assert not [row for row in rows if row.split == "test" and row.path.exists()]
    assert done.history[-1]["val_accuracy"] == 1
    assert done.history[-1]["val_loss"] < done.history[0]["val_loss"]


def test_the_run_folder_holds_both_weights_the_numbers_and_events(done):
    folder = done.best.parent
    assert done.best == folder / "best.ckpt"
    names = sorted(p.name for p in folder.iterdir())
    assert names == ["best.ckpt", "events", "last.ckpt", "metrics.csv"]
    assert list((folder / "events").glob("events.out.tfevents.*"))


def test_metrics_csv_has_one_line_per_epoch(done):
    with open(done.best.parent / "metrics.csv", newline="") as file:
        lines = csv.DictReader(file)
        records = list(lines)
        assert tuple(lines.fieldnames or ()) == HISTORY
    assert [int(record["epoch"]) for record in records] == list(range(8))
    for record, row in zip(records, done.history, strict=True):
        told = {k: float(v) for k, v in record.items()}
        assert told == pytest.approx(row, rel=1e-5)
        assert row["seconds"] > 0


def test_the_best_weights_are_those_of_the_lowest_validation_loss(rows, tmp_path):
    # With their labels exchanged, validation clips look worse the more is learnt.
    done = fit(tmp_path / "run", crossed(rows), PLAIN)
    # Shown as they are: changes made in training would tinge the loss.
    learnt = [row["train_loss"] for row in done.history]
    assert min(learnt) < learnt[0] / 10
    losses = [row["val_loss"] for row in done.history]
    lowest = int(np.argmin(losses))
    assert lowest != len(losses) - 1, "last and best would be the same"
    content = {
        name: torch.load(tmp_path / "run" / name, weights_only=True)
        for name in ("best.ckpt", "last.ckpt")
    }
    assert content["best.ckpt"]["epoch"] == lowest
    assert content["last.ckpt"]["epoch"] == len(losses) - 1
    val = [row for row in crossed(rows) if row.split == "val"]
    for name, loss in (("best.ckpt", losses[lowest]), ("last.ckpt", losses[-1])):
        told = predict_rows(load_checkpoint(tmp_path / "run" / name), val)
        assert score(told)["loss"] == pytest.approx(loss, rel=1e-3)


def test_the_same_seed_gives_the_same_numbers_and_weights(rows, done, tmp_path):
    again = fit(tmp_path / "run", rows)
    assert without_seconds(again) == without_seconds(done)
    for one, other in zip(
        load_checkpoint(done.best).state_dict().values(),
        load_checkpoint(again.best).state_dict().values(),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_another_seed_gives_others(rows, done, tmp_path):
    other = fit(tmp_path / "run", rows, replace(QUICK, seed=1))
    losses = [row["val_loss"] for row in other.history]
    assert losses != [row["val_loss"] for row in done.history]


def test_it_stops_when_the_validation_loss_no_longer_falls(rows, tmp_path):
    settings = replace(PLAIN, epochs=40, patience=3)
    done = fit(tmp_path / "run", crossed(rows), settings)
    losses = [row["val_loss"] for row in done.history]
    assert len(losses) < 40
    assert int(np.argmin(losses)) == len(losses) - 1 - settings.patience


def test_normalisation_knows_the_training_clips_alone(tmp_path):
    rows = tiny.dark_and_bright(tmp_path, ["train", "train", "val", "test"])
    for row in rows[4:]:
        save_sample(row.path, tiny.sample(225, row.label, loudness=225))
    done = fit(tmp_path / "run", rows, replace(QUICK, epochs=1))
    clips = ClipSet(rows[:4], ("bright", "dark"), tiny.VIEW)
    card = load_checkpoint(done.best).card
    assert (card.mean, card.std) == statistics(clips)
    assert card.mean[0] == pytest.approx(120, abs=5)


def test_classes_are_those_of_all_rows_in_the_order_of_the_alphabet(done):
    assert load_checkpoint(done.best).card.classes == ("bright", "dark")


def test_parameters_are_counted(done):
    network = load_checkpoint(done.best)
    assert done.parameters == sum(p.numel() for p in network.parameters())
    assert done.seconds >= sum(row["seconds"] for row in done.history)


def test_a_loss_that_is_no_number_from_the_start_is_told(rows, tmp_path):
    with pytest.raises(TrainingError, match=r"loss .* no number .*smaller --lr"):
        fit(tmp_path / "run", rows, replace(QUICK, lr=1e30))
    assert not list((tmp_path / "run").glob("*.ckpt")), "useless weights were left"


def test_a_loss_that_becomes_no_number_ends_with_the_best_weights_so_far(
    rows, tmp_path, monkeypatch
):
    class Failing(trainer.Learner):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.current_epoch == 2:
                with torch.no_grad():
                    list(self.net.parameters())[-1].fill_(math.nan)
            return super().training_step(batch, batch_idx)

    monkeypatch.setattr(trainer, "Learner", Failing)
    done = fit(tmp_path / "run", rows)
    losses = [row["val_loss"] for row in done.history]
    assert [math.isfinite(loss) for loss in losses] == [True, True, False]
    assert torch.load(done.best, weights_only=True)["epoch"] < 2
    weights = load_checkpoint(done.best).state_dict().values()
    assert all(values.isfinite().all() for values in weights)


@pytest.mark.parametrize(
    ("splits", "reason"),
    [
        (("train", "test"), "no clip is marked val"),
        (("val", "test"), "no clip is marked train"),
        (("test",), "no clip is marked train or val"),
    ],
)
def test_an_empty_split_is_refused(tmp_path, splits, reason):
    rows = tiny.dark_and_bright(tmp_path, splits)
    with pytest.raises(TrainingError, match=f"^{reason}$"):
        fit(tmp_path / "run", rows)


def test_one_clip_to_train_on_is_refused(tmp_path):
    rows = tiny.dark_and_bright(tmp_path, ["train", "val"])
    with pytest.raises(TrainingError, match="one clip is too few"):
        fit(tmp_path / "run", rows[1:])


def test_batches_of_one_clip_are_trained_or_refused_but_no_riddle(rows, tmp_path):
    done = fit(tmp_path / "run", rows, replace(QUICK, epochs=1, batch_size=1))
    assert math.isfinite(done.history[0]["val_loss"])


@pytest.mark.parametrize("n_steps", [1, 2, 3, 9, 10, 11, 15, 20])
def test_any_number_of_steps_has_a_rate_that_rises_and_falls(n_steps):
    learner = trainer.Learner(tiny.CARD, Settings(lr=0.5))
    learner._trainer = SimpleNamespace(estimated_stepping_batches=n_steps)
    made = learner.configure_optimizers()
    rates = []
    for _ in range(n_steps):
        rates.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    assert 0 < min(rates) <= max(rates) <= 0.5
    if n_steps > 2:
        assert rates[0] < max(rates)
        assert rates[-1] < 0.01 * max(rates)


def test_a_run_says_nothing(rows, tmp_path, capfd):
    fit(tmp_path / "run", rows, replace(QUICK, epochs=1))
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == ""


def test_the_bar_is_drawn_on_stderr(rows, tmp_path, capsys):
    settings = replace(QUICK, epochs=1)
    train(rows, tiny.VIEW, settings, folder=tmp_path, quiet=False)
    said = capsys.readouterr()
    assert said.out == ""
    assert "Epoch 0" in said.err
    for word in ("train_loss=", "train_accuracy=", "val_loss=", "clips/s=", "left="):
        assert word in said.err
    assert "v_num" not in said.err


def test_ctrl_c_ends_it_and_what_is_written_is_whole(rows, tmp_path, monkeypatch):
    class Interrupted(trainer.Learner):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.current_epoch == 1:
                raise KeyboardInterrupt
            return super().training_step(batch, batch_idx)

    monkeypatch.setattr(trainer, "Learner", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run", rows)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert load_checkpoint(tmp_path / "run" / "best.ckpt").card.model == "conv3d"
    assert not list((tmp_path / "run").glob(".*.part*"))


class Killed(RuntimeError):
    """Stands for the end of the process."""


def killed_and_resumed(
    folder: Path,
    rows: Sequence[Row],
    settings: Settings,
    epoch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> Trained:
    """Train until the process ends at the start of an epoch, then go on."""
    plain = callbacks.History.on_train_epoch_start

    def die(self, trainer, module):
        if trainer.current_epoch == epoch:
            raise Killed
        plain(self, trainer, module)

    with monkeypatch.context() as patched:
        patched.setattr(callbacks.History, "on_train_epoch_start", die)
        with pytest.raises(Killed):
            fit(folder, rows, settings)
    return train(rows, tiny.VIEW, settings, folder=folder, quiet=True, resume=True)


@pytest.mark.parametrize("epoch", [1, 3, 7])
def test_a_killed_training_goes_on_to_the_same_numbers_and_weights(
    rows, done, tmp_path, monkeypatch, epoch
):
    assert QUICK.augmentation == USUAL, "changed clips are the same changed clips again"
    folder = tmp_path / "run"
    again = killed_and_resumed(folder, rows, QUICK, epoch, monkeypatch)
    assert_same(again, done)


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        (replace(QUICK, epochs=3, batch_size=2), 1),  # the first epoch's last but two
        (replace(QUICK, epochs=3, batch_size=2), 6),
        (replace(QUICK, epochs=3, batch_size=3, model="vivit"), 4),
        (replace(QUICK, epochs=3, batch_size=2, accumulate=2), 6),
        (replace(QUICK, epochs=2, batch_size=2, usescheduler=False), 2),
    ],
)
def test_a_training_killed_in_the_midst_of_an_epoch_goes_on_there(
    rows, tmp_path, monkeypatch, settings, step
):
    settings = replace(settings, checkpoint_minutes=0)
    whole = fit(tmp_path / "whole", rows, settings)
    steps: list[int] = []
    plain = callbacks.InEpoch.on_train_batch_start

    def die(self, trainer, module, *rest):
        plain(self, trainer, module, *rest)
        if len(steps) == step:
            raise Killed
        steps.append(trainer.current_epoch)

    with monkeypatch.context() as patched:
        patched.setattr(callbacks.InEpoch, "on_train_batch_start", die)
        with pytest.raises(Killed):
            fit(tmp_path / "run", rows, settings)
    again: list[int] = []

    def count(self, trainer, module, *rest):
        plain(self, trainer, module, *rest)
        again.append(trainer.current_epoch)

    with monkeypatch.context() as patched:
        patched.setattr(callbacks.InEpoch, "on_train_batch_start", count)
        done = train(
            rows, tiny.VIEW, settings, folder=tmp_path / "run", quiet=True, resume=True
        )
    per_epoch = math.ceil(8 / settings.batch_size)
    assert len(steps) + len(again) == settings.epochs * per_epoch, "none is done twice"
    assert_same(done, whole)


@pytest.mark.parametrize(
    "other",
    [
        {"accumulate": 2, "batch_size": 2, "balance": True},
        {"usescheduler": False, "precision": "bf16-mixed"},
    ],
)
def test_a_killed_training_goes_on_alike_in_other_ways_of_training(
    rows, tmp_path, monkeypatch, other
):
    settings = replace(QUICK, epochs=3, **other)
    whole = fit(tmp_path / "whole", rows, settings)
    again = killed_and_resumed(tmp_path / "run", rows, settings, 2, monkeypatch)
    assert_same(again, whole)


def test_a_resumed_training_keeps_the_precision_that_was_found(
    rows, tmp_path, monkeypatch
):
    asked: list[str] = []

    def choose(wanted: str, *network: Any, alone: bool) -> str:
        asked.append(wanted)
        return "bf16-mixed" if wanted == "auto" else wanted

    monkeypatch.setattr(trainer, "choose_precision", choose)
    settings = replace(QUICK, epochs=3, precision="auto")
    done = killed_and_resumed(tmp_path / "run", rows, settings, 1, monkeypatch)
    assert asked == ["auto", "bf16-mixed"]
    assert done.precision == "bf16-mixed"
    again = train(
        rows, tiny.VIEW, settings, folder=tmp_path / "run", quiet=True, resume=True
    )
    assert again.precision == "bf16-mixed", "it is known of a finished training too"


@pytest.mark.parametrize(("accumulate", "steps"), [(2, 2), (3, 2)])
def test_batches_are_gathered_to_fewer_steps_and_all_that_counts_them_knows(
    rows, tmp_path, monkeypatch, accumulate, steps
):
    spans: list[int] = []
    plain = trainer._averaging
    monkeypatch.setattr(trainer, "_averaging", lambda n: spans.append(n) or plain(n))
    settings = replace(QUICK, epochs=2, batch_size=2, accumulate=accumulate)
    fit(tmp_path / "run", rows, settings)
    last = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 2 * steps
    (schedule,) = last["lr_schedulers"]
    assert schedule["total_steps"] == schedule["last_epoch"] == 2 * steps
    assert spans == [steps], "weights are averaged over epochs, not batches"


def test_without_a_scheduler_the_rate_stays(rows, tmp_path):
    fit(tmp_path / "run", rows, replace(QUICK, epochs=2, usescheduler=False))
    last = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert not last["lr_schedulers"]
    assert last["optimizer_states"][0]["param_groups"][0]["lr"] == QUICK.lr


@pytest.mark.parametrize(
    "wrong",
    [{"devices": "many"}, {"devices": "0"}, {"strategy": "charm"}],
)
def test_devices_that_are_not_there_are_refused(rows, tmp_path, wrong):
    with pytest.raises(TrainingError, match=r"^--devices .* --strategy "):
        fit(tmp_path / "run", rows, replace(QUICK, **wrong))


def assert_same(ours: Trained, theirs: Trained) -> None:
    """Assert that two trainings have the same numbers and weights."""
    assert without_seconds(ours) == without_seconds(theirs)
    folders = ours.best.parent, theirs.best.parent
    for name in ("best.ckpt", "last.ckpt"):
        ours_, theirs_ = (load_checkpoint(folder / name) for folder in folders)
        for key, value in theirs_.state_dict().items():
            assert torch.equal(ours_.state_dict()[key], value), key


def test_a_finished_training_is_not_trained_further(rows, tmp_path, monkeypatch):
    done = fit(tmp_path / "run", rows)
    monkeypatch.setattr(trainer, "_fit", None)
    folder = tmp_path / "run"
    again = train(rows, tiny.VIEW, QUICK, folder=folder, quiet=True, resume=True)
    assert (again.best, again.history) == (done.best, done.history)


def test_a_training_is_over_after_its_epochs_or_its_patience():
    falling = [{"val_loss": 1 / (n + 1)} for n in range(5)]
    assert not is_over(falling, Settings(epochs=6, patience=2))
    assert is_over(falling, Settings(epochs=5, patience=2))
    stuck = [*falling, {"val_loss": 1.0}, {"val_loss": 1.0}]
    assert not is_over(stuck, Settings(epochs=9, patience=3))
    assert is_over(stuck, Settings(epochs=9, patience=2))


def test_a_broken_checkpoint_cannot_be_resumed_from(rows, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "last.ckpt").write_bytes(b"half of it")
    with pytest.raises(TrainingError, match=r"last\.ckpt cannot be resumed from"):
        train(rows, tiny.VIEW, QUICK, folder=folder, quiet=True, resume=True)


def test_the_card_tells_what_the_training_clips_were(tmp_path):
    rows = tiny.dark_and_bright(tmp_path, ["train"] * 2)
    card = make_card(ClipSet(rows, tiny.CARD.classes, tiny.VIEW), Settings(), {})
    assert (card.seconds, card.longest, card.fps, card.ratio) == (None,) * 4
    known = [
        replace(row, seconds=s, fps=f, source_width=w, source_height=60)
        for row, s, f, w in zip(
            rows,
            (2.0, 9.0, 3.0, 2.5),
            (25.0, 10.0, 30.0, 24.0),
            (80, 60, 90, 80),
            strict=True,
        )
    ]
    card = make_card(ClipSet(known, tiny.CARD.classes, tiny.VIEW), Settings(), {})
    assert card.seconds == 2.75  # the median
    assert card.longest == 9
    assert card.fps == (10.0, 30.0)
    assert card.ratio == (1.0, 1.5)
