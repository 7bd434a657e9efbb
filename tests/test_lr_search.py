"""lr_search.py: it finds the rate that was hidden, within its means, and goes on."""

import json
import math
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
from fmrgb_tools import train as tool
from matplotlib.axes import Axes

from fmrgb import callbacks, lr_search, run
from fmrgb.cells import read_csv
from fmrgb.errors import InputError, TrainingError
from fmrgb.learner import Settings
from fmrgb.lr_search import AS_GOOD, JOURNAL, Found, Plan, search
from fmrgb.lr_trials import GRID, draw_trials, spaces
from fmrgb.manifest import Row, read_manifest
from fmrgb.material import gather
from fmrgb.report import Story
from fmrgb.train_options import SEARCHED, TRIALS

SETTINGS = Settings(epochs=24, batch_size=4, seed=3)
COLUMNS = ("trial", "state", "lr", "epochs", "val_loss", "seconds", "chosen")
BEST = -1.9  # common logarithm of the rate that the stub below likes best
ROWS = [
    Row(path=Path(f"{split}{label}.pt"), label=label, split=split)
    for split in ("train", "val", "test")
    for label in ("dark", "bright")
]


class Killed(RuntimeError):
    """Stands for the end of the process."""


def loss_of(settings: Settings, epoch: int) -> float:
    """Return a loss that falls with the epochs and is lowest at 10**BEST."""
    return 0.1 + (math.log10(settings.lr) - BEST) ** 2 + 1 / (epoch + 1)


@dataclass
class Stub:
    """Takes the place of `train`: epochs cost nothing, and are counted in a file.

    Attributes:
        log: gets a line for every epoch of a trial.
        loss: from settings and epoch.
        die_at: number of the epoch, over all trials, that ends the process.
    """

    log: Path
    loss: Callable[[Settings, int], float] = loss_of
    die_at: int = -1

    def __call__(
        self,
        rows: Sequence[Row],
        view: Any,
        settings: Settings,
        *,
        folder: Path,
        quiet: bool,
        resume: bool,
        callbacks: Sequence[Any],
    ) -> Any:
        """Walk through the epochs of one trial."""
        last = folder / "last"
        history = json.loads(last.read_text()) if resume and last.exists() else []
        trainer = SimpleNamespace(should_stop=False)
        while len(history) < settings.epochs and not trainer.should_stop:
            trainer.current_epoch = len(history)
            loss = self.loss(settings, len(history))
            trainer.callback_metrics = {"val_loss": loss}
            for callback in callbacks:
                callback.on_train_epoch_end(trainer, None)
            with self.log.open("a") as file:
                file.write(f"{settings.lr}\n")
            if self.epochs() == self.die_at:
                raise Killed
            history.append({"val_loss": loss})
            if not math.isfinite(loss):
                if len(history) == 1:
                    raise TrainingError("no number")
                break
            last.write_text(json.dumps(history))
        return SimpleNamespace(history=history)

    def epochs(self) -> int:
        """Count the epochs of all trials."""
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Put a stub in the place of `train`, and of the picture, which takes time."""
    stub = Stub(tmp_path / "epochs.log")
    monkeypatch.setattr(lr_search, "train", stub)
    monkeypatch.setattr(lr_search, "draw_trials", lambda *_: b"a picture")
    return stub


def find(folder: Path, settings: Settings = SETTINGS, **plan: Any) -> Found:
    """Search quietly."""
    how: dict[str, Any] = {"plan": Plan(**plan), "folder": folder, "quiet": True}
    return search(ROWS, tiny.VIEW, settings, **how)


def trials(folder: Path, *names: str) -> list[dict[str, str]]:
    """Return the lines of lr_search.csv without the time they took."""
    records = read_csv(folder / "lr_search.csv", (*COLUMNS, *names))
    return [{k: v for k, v in r.items() if k != "seconds"} for r in records]


def test_every_setting_of_the_flag_has_a_range_and_the_default_is_one():
    assert tuple(spaces(SETTINGS)) == SEARCHED
    assert Plan().trials == TRIALS


def test_a_rate_with_the_lowest_loss_is_found_and_nothing_else(stub, tmp_path):
    found = find(tmp_path)
    assert set(found.values) == {"lr"}
    nearest = min(GRID, key=lambda rate: abs(math.log10(rate) - BEST))
    best, grid = ({"lr": found.values["lr"]}, {"lr": nearest})
    losses = [loss_of(replace(SETTINGS, **values), 5) for values in (best, grid)]
    assert losses[0] <= losses[1] * (1 + AS_GOOD)
    (won,) = [t for t in trials(tmp_path) if t["chosen"] == "true"]
    assert float(won["lr"]) == found.values["lr"]
    assert won["state"] == "complete"
    assert float(won["val_loss"]) == losses[0]
    every = [float(t["val_loss"]) for t in trials(tmp_path) if t["epochs"] == "6"]
    assert losses[0] <= min(every) * (1 + AS_GOOD)


def test_of_rates_that_are_as_good_the_nearest_to_the_given_one_is_taken(
    stub, tmp_path
):
    # Nothing is learnt; the loss falls by chance, and most at the lowest rate.
    stub.loss = lambda settings, epoch: 0.69 + 0.002 * math.log10(settings.lr)
    found = find(tmp_path / "all", replace(SETTINGS, lr=0.03))
    assert found.values["lr"] == pytest.approx(0.0316, rel=0.01)
    stub.loss = lambda settings, epoch: 0.69 + 0.02 * math.log10(settings.lr)
    found = find(tmp_path / "other", replace(SETTINGS, lr=0.03))
    assert found.values["lr"] < 2e-4, "a difference that counts"


def test_the_first_trials_take_the_grid_from_the_given_rate_outwards(stub, tmp_path):
    find(tmp_path, replace(SETTINGS, lr=0.012))
    tried = [float(t["lr"]) for t in trials(tmp_path)]
    assert sorted(tried[: len(GRID)]) == list(GRID)
    away = [abs(math.log(rate / 0.012)) for rate in tried[: len(GRID)]]
    assert away == sorted(away)
    assert len(tried) > len(GRID), "nothing was saved for rates between"
    assert not set(tried[len(GRID) :]) & set(GRID)
    assert all(GRID[0] <= rate <= GRID[-1] for rate in tried)


def test_a_trial_that_is_worse_than_most_is_given_up_half_way(stub, tmp_path):
    find(tmp_path, trials=8)
    by_rate = sorted(trials(tmp_path), key=lambda t: float(t["lr"]))
    assert by_rate[0]["state"] == by_rate[-1]["state"] == "pruned"
    assert {t["epochs"] for t in by_rate if t["state"] == "pruned"} == {"3"}
    assert {t["epochs"] for t in by_rate if t["state"] == "complete"} == {"6"}


@pytest.mark.parametrize("epochs", [1, 2, 5, 24, 60])
def test_a_search_costs_two_trainings_at_most(stub, tmp_path, epochs):
    find(tmp_path, replace(SETTINGS, epochs=epochs), trials=99)
    told = [int(t["epochs"]) for t in trials(tmp_path)]
    assert stub.epochs() == sum(told) <= 2 * epochs
    assert len(told) >= min(len(GRID), 2 * epochs)
    assert max(told) == max(1, epochs // 4)


def test_no_trial_is_given_up_where_all_do_better_and_better(stub, tmp_path):
    # The worst case for the means: every trial is the best so far.
    tried: list[float] = []

    def better_each_time(settings: Settings, epoch: int) -> float:
        if settings.lr not in tried:
            tried.append(settings.lr)
        return 1 / len(tried)

    stub.loss = better_each_time
    find(tmp_path, trials=99)
    assert stub.epochs() == 2 * SETTINGS.epochs
    assert sorted(tried) == list(GRID)


def test_the_means_can_be_told(stub, tmp_path):
    find(tmp_path / "more", epochs=160, trials=9)
    assert {t["epochs"] for t in trials(tmp_path / "more")} == {"10", "20"}
    assert len(trials(tmp_path / "more")) == 9
    find(tmp_path / "much", epochs=9999, trials=3)
    assert max(int(t["epochs"]) for t in trials(tmp_path / "much")) == 24


def test_other_settings_are_searched_from_the_given_ones(stub, tmp_path):
    names = ("lr", "weight_decay", "batch_size", "model_size")
    settings = replace(SETTINGS, weight_decay=0.0, batch_size=6)
    found = find(tmp_path, settings, names=names, trials=30)
    tried = trials(tmp_path, *names)
    for trial in tried[: len(GRID)]:
        assert float(trial["weight_decay"]) == 1e-4, "0 lies outside the range"
        assert (trial["batch_size"], trial["model_size"]) == ("6", "tiny")
    assert len({t["weight_decay"] for t in tried[len(GRID) :]}) > 1
    assert {t["batch_size"] for t in tried} <= {"3", "6", "12"}
    (won,) = [t for t in tried if t["chosen"] == "true"]
    for name in names:
        assert str(found.values[name]) == won[name]


def test_rates_at_which_the_loss_is_no_number_do_not_stop_the_search(stub, tmp_path):
    def bursting(settings: Settings, epoch: int) -> float:
        late = 0.009 < settings.lr < 0.011 and epoch > 3
        early = settings.lr > 0.011
        return math.nan if early or late else loss_of(settings, epoch)

    stub.loss = bursting
    found = find(tmp_path)
    assert 0.003 < found.values["lr"] < 0.011
    states = {t["lr"]: t for t in trials(tmp_path)}
    assert states[str(GRID[-1])]["state"] == "diverged"
    assert states[str(GRID[-1])]["epochs"] == "1"
    assert states[str(GRID[-1])]["val_loss"] == ""
    assert states["0.01"]["state"] == "diverged"
    assert states["0.01"]["epochs"] == "5"


def test_a_search_in_which_no_loss_is_a_number_says_so(stub, tmp_path):
    stub.loss = lambda settings, epoch: math.nan
    with pytest.raises(TrainingError, match=r"no number in all 12 trials"):
        find(tmp_path)


def test_a_fault_of_the_clips_is_no_fault_of_the_rate(tmp_path):
    rows = [row for row in ROWS if row.split != "val"]
    with pytest.raises(TrainingError, match="no clip is marked val"):
        search(rows, tiny.VIEW, SETTINGS, plan=Plan(), folder=tmp_path, quiet=True)


def test_a_rate_at_the_edge_of_the_range_is_told(stub, tmp_path):
    inside = find(tmp_path / "inside")
    assert len(inside.told) == 1
    assert inside.told[0].startswith(
        f"searched: lr {inside.values['lr']:.2g}, found by"
    )
    assert f"({stub.epochs()} in all)" in inside.told[0]
    stub.loss = lambda settings, epoch: 1 / settings.lr
    edge = find(tmp_path / "edge")
    assert "edge of what is searched, 3.2e-05 to 0.1" in edge.told[1]


def test_the_same_seed_gives_the_same_trials_and_another_seed_others(stub, tmp_path):
    seeds = {"one": 3, "same": 3, "other": 4}
    for name, seed in seeds.items():
        find(tmp_path / name, replace(SETTINGS, seed=seed))
    one, same, other = (trials(tmp_path / name) for name in seeds)
    assert one == same
    assert one != other


@pytest.mark.parametrize("epoch", [1, 6, 8, 31, 40])
def test_a_killed_search_goes_on_to_the_same_trials(stub, tmp_path, epoch):
    find(tmp_path / "whole")
    n_epochs = stub.epochs()
    stub.log.unlink()
    stub.die_at = epoch
    with pytest.raises(Killed):
        find(tmp_path / "run")
    stub.die_at = -1
    find(tmp_path / "run")
    assert trials(tmp_path / "run") == trials(tmp_path / "whole")
    assert stub.epochs() == n_epochs + 1, "more was trained again than the last epoch"


def test_a_search_that_has_ended_is_only_read(stub, tmp_path, monkeypatch):
    first = find(tmp_path)
    told = trials(tmp_path)
    (tmp_path / "lr_search.csv").unlink()
    monkeypatch.setattr(lr_search, "train", None)
    assert find(tmp_path) == first
    assert trials(tmp_path) == told


def test_a_search_goes_on_with_the_same_choices_only(stub, tmp_path):
    find(tmp_path)
    for other in (replace(SETTINGS, epochs=25), replace(SETTINGS, weight_decay=0.5)):
        with pytest.raises(InputError, match=r"journal holds a search with other choi"):
            find(tmp_path, other)
    find(tmp_path, replace(SETTINGS, workers=2, precision="32"))  # these may differ


def test_nothing_but_the_table_the_picture_and_the_journal_is_left(stub, tmp_path):
    find(tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["lr_search.csv", JOURNAL, "lr_search.png"]


def test_the_picture_shows_every_kind_of_trial(stub, tmp_path, monkeypatch):
    monkeypatch.setattr(lr_search, "draw_trials", draw_trials)
    shown = []
    monkeypatch.setattr(Axes, "legend", lambda self, **_: shown.append(self))
    stub.loss = lambda settings, epoch: (
        math.nan if settings.lr > 0.09 else loss_of(settings, epoch)
    )
    find(tmp_path)
    (axes,) = shown
    told = trials(tmp_path)
    (won,) = [t for t in told if t["chosen"] == "true"]
    kinds = {
        "whole schedule": [t for t in told if t["state"] == "complete"],
        "given up": [t for t in told if t["state"] == "pruned"],
        "no number": [t for t in told if t["state"] == "diverged"],
        f"chosen: {float(won['lr']):.2g}": [won],
    }
    lines = {str(line.get_label()): line for line in axes.lines}
    assert set(lines) == set(kinds)
    for kind, of_kind in kinds.items():
        rates = [float(t["lr"]) for t in of_kind]
        assert rates
        assert list(lines[kind].get_xdata()) == rates
        if kind != "no number":
            losses = [float(t["val_loss"]) for t in of_kind]
            assert list(lines[kind].get_ydata()) == losses
    assert axes.get_xscale() == "log"
    assert (tmp_path / "lr_search.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("where", ["sqlite:///{}/studies.db", "{}/shared/journal"])
def test_a_storage_serves_several_searches(stub, tmp_path, where):
    storage = where.format(tmp_path)
    find(tmp_path / "one", storage=storage)
    n_epochs = stub.epochs()
    find(tmp_path / "same", storage=storage)
    assert stub.epochs() == n_epochs, "the second did the work of the first again"
    assert trials(tmp_path / "one") == trials(tmp_path / "same")
    find(tmp_path / "other", replace(SETTINGS, epochs=8), storage=storage)
    assert stub.epochs() > n_epochs
    assert max(int(t["epochs"]) for t in trials(tmp_path / "other")) == 2


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_two_processes_share_a_search(stub, tmp_path):
    context = multiprocessing.get_context("fork")
    storage = str(tmp_path / "journal")
    both = [
        context.Process(
            target=find, args=(tmp_path / name,), kwargs={"storage": storage}
        )
        for name in ("one", "other")
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    one, other = (trials(tmp_path / name) for name in ("one", "other"))
    chosen = [[t["lr"] for t in told if t["chosen"] == "true"] for told in (one, other)]
    assert chosen[0] == chosen[1]
    # Who ended first may not know the rate of the other's last trial.
    known = {t["trial"]: t["lr"] for t in one + other if t["lr"]}
    rates = list(known.values())
    assert len(rates) == len(set(rates)), "both tried the same"
    assert set(map(str, GRID)) <= set(rates)
    # Both may begin a trial at the same instant, when the means last for one.
    assert stub.epochs() <= 2 * SETTINGS.epochs + 6


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("{}", "Is a directory"),
        ("{}/picture.png", "cannot keep the trials"),
        ("{}/notes.txt", "cannot keep the trials"),
        ("nosuch://me:secret@host/db", "nosuch"),
        ("redis://me:secret@host/0", "redis"),
        ("sqlite:////nowhere/at/all.db", "unable to open database file"),
    ],
)
def test_a_storage_that_cannot_be_used_is_told_in_one_line(
    stub, tmp_path, where, reason
):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "notes.txt").write_text("[1, 2]\n[3]\n")
    with pytest.raises(InputError) as told:
        find(tmp_path / "run", storage=where.format(tmp_path))
    assert reason in str(told.value)
    assert "\n" not in str(told.value)
    assert "secret" not in str(told.value)


def test_real_trials_are_the_same_after_a_kill_and_never_see_test_samples(
    tmp_path, monkeypatch
):
    rows = tiny.dark_and_bright(tmp_path, ["train"] * 4 + ["val", "test"])
    for row in rows[-2:]:
        row.path.unlink()
    settings = Settings(epochs=12, batch_size=4, precision="32")
    how: dict[str, Any] = {"plan": Plan(trials=3), "quiet": True}
    whole = search(rows, tiny.VIEW, settings, folder=tmp_path / "whole", **how)
    start = callbacks.SeedOfEpoch.on_train_epoch_start
    begun: list[int] = []

    def die(self: Any, trainer: Any, module: Any) -> None:
        begun.append(trainer.current_epoch)
        if len(begun) == 5:  # in the middle of the second trial
            raise Killed
        start(self, trainer, module)

    with monkeypatch.context() as patched:
        patched.setattr(callbacks.SeedOfEpoch, "on_train_epoch_start", die)
        with pytest.raises(Killed):
            search(rows, tiny.VIEW, settings, folder=tmp_path / "run", **how)
    again = search(rows, tiny.VIEW, settings, folder=tmp_path / "run", **how)
    assert again == whole
    assert trials(tmp_path / "run") == trials(tmp_path / "whole")
    (won,) = [t for t in trials(tmp_path / "whole") if t["chosen"] == "true"]
    assert {float(won["lr"])} == set(whole.values.values())
    assert 0 < float(won["val_loss"]) < 1
    assert not (tmp_path / "run" / "search").exists()


def test_the_tool_searches_trains_with_what_it_found_and_resumes(tmp_path, capsys):
    data, output = tiny.manifest(tmp_path / "samples", 10), tmp_path / "run"
    words = f"--data {data} --output {output} --epochs 4 --batch_size 4 --precision 32"
    wish = "--islearnrate_search true --search lr,batch_size --trials 3"
    line = [*words.split(), *wish.split()]
    assert tool.main(line) == 0
    said = capsys.readouterr().out
    config = json.loads((output / "config.json").read_text())
    (won,) = [t for t in trials(output, "batch_size") if t["chosen"] == "true"]
    assert (str(config["lr"]), str(config["batch_size"])) == (
        won["lr"],
        won["batch_size"],
    )
    assert config["search"] == {
        "names": ["lr", "batch_size"],
        "trials": 3,
        "epochs": None,
    }
    assert said.startswith(f"searched: lr {config['lr']:.2g}, batch_size ")
    assert "searched: lr" in (output / "report.html").read_text()
    before = (output / "predictions.csv").read_bytes()
    assert tool.main([*line, "--resume"]) == 0
    assert (output / "predictions.csv").read_bytes() == before
    assert tool.main([*words.split(), "--resume"]) == 1
    assert "begun with other choices" in capsys.readouterr().err


def test_every_fold_searches_on_its_own_clips(stub, tmp_path, monkeypatch):
    stories: list[Story] = []

    def keep(folder: Path, story: Story) -> Path:
        stories.append(story)
        return folder

    monkeypatch.setattr(run, "write_report", keep)
    # Each fold is made to like another rate, by the clips that it may look at.
    seen: list[set[Path]] = []
    tried = Stub.__call__

    def watched(self: Stub, rows: Sequence[Row], *args: Any, **how: Any) -> Any:
        paths = {r.path for r in rows if r.split == "train"}
        if paths not in seen:
            seen.append(paths)
        self.loss = lambda settings, epoch: abs(math.log10(settings.lr) + len(seen))
        return tried(self, rows, *args, **how)

    monkeypatch.setattr(Stub, "__call__", watched)
    material = gather(tiny.manifest(tmp_path / "samples", 10))
    settings = replace(SETTINGS, epochs=4)
    how: dict[str, Any] = {"n_folds": 2, "plan": Plan(trials=8), "quiet": True}
    done = run.run_folds(material, settings, folder=tmp_path / "run", **how)
    rates = [r.found.values["lr"] for r in done.runs if r.found]
    assert rates == pytest.approx([0.1, 0.01])
    for rate, k in zip(rates, (1, 2), strict=True):
        fold = tmp_path / "run" / f"fold{k}"
        assert json.loads((fold / "config.json").read_text())["lr"] == rate
        kept = {
            r.path.name for r in read_manifest(fold / "split.csv") if r.split == "train"
        }
        assert {path.name for path in seen[k - 1]} == kept
    assert stories[-1].options["lr"] == rates
    assert any(line.startswith("searched: lr 0.1,") for line in stories[0].facts)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--islearnrate_search yes", "invalid choice: 'yes'"),
        ("--islearnrate_search True", "invalid choice: 'True'"),
        (
            "--islearnrate_search true --search momentum",
            "expected lr, or lr and others",
        ),
        ("--islearnrate_search true --search weight_decay", "expected lr, or lr and"),
        ("--islearnrate_search true --trials 0", "--trials must be at least 1"),
        ("--islearnrate_search true --search_epochs 0", "--search_epochs must be at"),
        ("--search lr,weight_decay", "need --islearnrate_search true"),
        ("--islearnrate_search false --storage x", "need --islearnrate_search true"),
    ],
)
def test_wrong_words_are_refused_before_any_work(words, reason, capsys):
    with pytest.raises(SystemExit) as left:
        tool.main(["--data", "none.csv", *words.split()])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1
