"""The benchmark of the learning-rate search reckons as it says and goes on."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch

from fmrgb.augment import OFF
from fmrgb.errors import TrainingError
from fmrgb.learner import Settings
from fmrgb.lr_trials import GRID

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SEEDS = (0, 1, 2)
EPOCHS = 20  # of a training; eight of them are a grid
# Losses at two rates that three seeds rank differently; the others' are far higher.
# rate0.0032 has the mean 0.25, rate0.01 the mean 0.30.
LOSSES = {"rate0.0032": (0.20, 0.25, 0.30), "rate0.01": (0.10, 0.30, 0.50)}
MACHINE = {"processor": "abacus", "threads": 3}


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    """Return the benchmark's modules."""
    sys.path.insert(0, str(BENCHMARKS))
    names = {"cost": "search_cost", "plan": "search_plan", "tables": "search_tables"}
    yield SimpleNamespace(**{k: importlib.import_module(n) for k, n in names.items()})
    sys.path.remove(str(BENCHMARKS))


def training(lr: float, loss: float | None, epochs: int = EPOCHS) -> dict[str, Any]:
    """Return what a training gave that took two seconds an epoch."""
    told = {"val_loss": loss, "val_accuracy": 0.75, "lr": lr, "epochs": epochs}
    return {**told, "seconds": 2.0 * epochs, **MACHINE}


def keep_all(
    bench: SimpleNamespace,
    store: Any,
    found: tuple[float, ...],
    *,
    data: str = "demo",
    search_epochs: int = 32,
    losses: dict[str, tuple[float | None, ...]] | None = None,
) -> None:
    """Keep made trainings of every rate, and searches that found these rates.

    A search takes three seconds an epoch.
    """
    for seed, rate in zip(SEEDS, found, strict=True):
        for number, (name, lr) in enumerate(bench.plan.RATES.items()):
            given = {**LOSSES, **(losses or {})}.get(name)
            loss = given[seed] if given else 1.0 + number
            store.keep(bench.plan.Cell(data, seed, name), training(lr, loss))
        seconds = 3.0 * search_epochs
        result = {"lr": rate, "epochs": search_epochs, "trials": [], "seconds": seconds}
        cell = bench.plan.Cell(data, seed, bench.plan.SEARCH)
        store.keep(cell, {**result, **MACHINE})


def test_the_grid_has_the_eight_rates_of_the_search(bench, tmp_path):
    assert list(bench.plan.RATES.values()) == list(GRID)
    assert len(bench.plan.RATES) == 8
    cells = bench.plan.Store(tmp_path).plan(SEEDS)
    assert len({cell.name for cell in cells}) == 2 * len(SEEDS) * (8 + 2)


def test_both_data_sets_are_trained_to_the_end_and_the_demo_as_it_does(bench):
    demo, fights = (bench.plan.settings(data, 6) for data in ("demo", "fights"))
    assert (demo.epochs, demo.patience, demo.lr) == (20, 20, 5e-3)
    assert demo.augmentation == OFF != fights.augmentation
    assert (fights.epochs, fights.patience, fights.seed) == (24, 24, 6)
    assert {demo.model_size, fights.model_size} == {"tiny"}


def test_cost_excess_and_spread_have_known_values(bench, tmp_path):
    store = bench.plan.Store(tmp_path)
    keep_all(bench, store, (GRID[5], GRID[4], GRID[5]))  # 0.01, 0.0032, 0.01
    known = bench.tables.figures(store, "demo", SEEDS)
    assert known.best == "rate0.0032"
    assert known.cost() == pytest.approx(32 / 160)
    assert known.cost("seconds") == pytest.approx(96 / 320)
    assert known.cost(with_final=True) == pytest.approx((32 + 20) / 160)
    each = [known.excess_of(one) for one in known.outcomes]
    assert each == pytest.approx([0.10 / 0.20 - 1, 0, 0.50 / 0.30 - 1])
    # The mean of 0.10, 0.25, 0.50 beside that of 0.20, 0.25, 0.30.
    assert known.excess == pytest.approx(0.85 / 0.75 - 1)
    assert known.excess_of_rate("rate0.01") == pytest.approx(0.2)
    assert known.spread == pytest.approx(0.05 / 0.25)
    own = [one.own_best for one in known.outcomes]
    assert own == ["rate0.01", "rate0.0032", "rate0.0032"]


@pytest.mark.parametrize(
    ("found", "search_epochs", "said"),
    [
        (GRID[4], 40, "is met: it costs 25.0%, and the mean loss over 3 seed(s) lies "),
        (GRID[4], 41, "is not met: it costs 25.6%, too much, and"),
        (GRID[5], 40, "lies +20.0% from the grid's best, too high."),
    ],
)
def test_the_goal_is_met_by_a_quarter_and_five_per_cent(
    bench, tmp_path, found, search_epochs, said
):
    store = bench.plan.Store(tmp_path)
    keep_all(bench, store, (found,) * 3, search_epochs=search_epochs)
    known = bench.tables.figures(store, "demo", SEEDS)
    sentence = bench.tables.goal(known, 3)
    assert said in sentence
    assert sentence.count("is met") + sentence.count("is not met") == 1


def test_a_rate_between_those_of_the_grid_waits_for_its_own_training(bench, tmp_path):
    store = bench.plan.Store(tmp_path)
    keep_all(bench, store, (GRID[4], 0.0047, GRID[4]))
    known = bench.tables.figures(store, "demo", SEEDS)
    assert [one.seed for one in known.outcomes] == [0, 2]
    assert "cannot be judged yet: 2 of 3 seeds" in bench.tables.goal(known, 3)
    winner = bench.plan.Cell("demo", 1, bench.plan.WINNER)
    store.keep(winner, training(0.0047, 0.22))
    known = bench.tables.figures(store, "demo", SEEDS)
    assert known.excess == pytest.approx((0.20 + 0.22 + 0.30) / 0.75 - 1)
    assert known.excess_of_rate(known.outcomes[1].same) is None
    # A search that finds another rate makes that training one of other settings.
    store.keep(
        bench.plan.Cell("demo", 1, bench.plan.SEARCH),
        {"lr": 0.0048, "epochs": 9, "trials": [], "seconds": 1.0, **MACHINE},
    )
    assert store.kept(winner) is None


def test_a_rate_whose_loss_was_no_number_once_is_never_the_best(bench, tmp_path):
    store = bench.plan.Store(tmp_path)
    losses = {"rate0.1": (0.01, None, 0.01)}
    keep_all(bench, store, (GRID[7], GRID[4], GRID[4]), losses=losses)
    known = bench.tables.figures(store, "demo", SEEDS)
    assert known.best == "rate0.0032"
    text = bench.tables.write_tables(tmp_path / "S.md", store, SEEDS).read_text()
    assert "| 0.1 | 0.0100 | inf | 0.0100 | inf | - |" in text


def test_the_page_tells_cost_spread_and_what_was_not_run(bench, tmp_path):
    store = bench.plan.Store(tmp_path)
    keep_all(bench, store, (GRID[5], GRID[4], GRID[5]))
    text = bench.tables.write_tables(tmp_path / "S.md", store, SEEDS).read_text()
    demo, fights = text.split("## Fights")
    row = next(line for line in demo.splitlines() if line.startswith("| 0 |"))
    # The first seed alone would have misled a full grid the same way.
    assert row == (
        "| 0 | 32 / 160 | 20.0% | 30.0% | 0.01 | 0.1000 | 0.750 | 0.2000 | -50.0% | "
        "+20.0% | 0.01 | +20.0% |"
    )
    assert "a standard deviation of 20.0% of its mean" in demo
    assert "the excess of +13.3% lies within it" in demo
    assert "abacus, 3 thread(s)" in demo
    assert "cannot be judged yet: 0 of 3 seeds were run" in fights


# The command


def run(bench: SimpleNamespace, work: Path, *words: str) -> int:
    """Run the script with --quick, which writes to the work folder alone."""
    given = ["--quick", "--threads", "1", "--work", str(work), *words]
    return int(bench.cost.main(given))


def test_the_list_shows_what_is_done_and_what_is_not(bench, tmp_path, capsys):
    work = tmp_path / "work"
    assert run(bench, work, "--list", "--seeds", "5", "7") == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == 2 * 2 * (2 + 2)
    assert all(line.startswith("open") for line in lines)
    assert not work.exists(), "a look changes nothing"
    store = bench.plan.Store(work, quick=True)
    rate = bench.plan.Cell("fights", 7, store.rates[0])
    store.keep(rate, training(bench.plan.RATES[rate.what], 0.5, epochs=60))
    found = {"lr": GRID[4], "epochs": 4, "trials": [], "seconds": 90.0}
    store.keep(bench.plan.Cell("fights", 7, bench.plan.SEARCH), found)
    assert run(bench, work, "--list", "--seeds", "7", "--only", "fights/*") == 0
    told = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [line[-1] for line in told if line[0] == "done"] == [
        "fights/seed7/search",
        rate.name,
    ]
    assert told[-1][:2] == ["is", "rate0.0032"]


def test_a_run_that_was_stopped_goes_on_where_it_was(bench, tmp_path, monkeypatch):
    ran: list[str] = []

    def run_cell(cell, *_):
        if len(ran) == 3:
            raise KeyboardInterrupt
        ran.append(cell.name)
        if cell.what == bench.plan.SEARCH:
            found = {"lr": 0.0047, "epochs": 4, "trials": [], "seconds": 1.0}
            return {**found, **MACHINE}
        return training(1e-3, 0.5)

    monkeypatch.setattr(bench.cost, "run_cell", run_cell)
    with pytest.raises(KeyboardInterrupt):
        run(bench, tmp_path, "--only", "demo/*", "--seeds", "0")
    assert ran[0] == "demo/seed0/search"
    ran, before = [], ran
    assert run(bench, tmp_path, "--only", "demo/*", "--seeds", "0") == 0
    assert ran == ["demo/seed0/winner"]
    assert len(set(before + ran)) == 4
    assert "1 seed(s)" in (tmp_path / "SEARCH.md").read_text()
    assert (tmp_path / ".gitignore").read_text() == "*\n"
    monkeypatch.setattr(bench.plan, "SEED", 9)
    store = bench.plan.Store(tmp_path, quick=True)
    assert not any(store.kept(cell) for cell in store.plan((0,)))


def test_a_pattern_without_a_cell_is_refused(bench, tmp_path, capsys):
    assert run(bench, tmp_path, "--only", "grid/*") == 2
    assert "no cell matches" in capsys.readouterr().err


@pytest.fixture
def material(bench, monkeypatch, tmp_path) -> Any:
    """Let every data set be a few dark and bright samples; return them."""
    rows = tuple(tiny.dark_and_bright(tmp_path, ["train"] * 4 + ["val", "test"]))
    few = bench.cost.Material(rows, tiny.VIEW, {"audiomethod": "simple"})
    monkeypatch.setattr(bench.cost, "material_of", lambda *_: few)
    return few


def test_trainings_and_searches_leave_their_losses_and_costs(bench, tmp_path, material):
    # 2 epochs: a search may take 4, in trials of one epoch each.
    assert run(bench, tmp_path / "work", "--only", "fights/*", "--seeds", "4") == 0
    store = bench.plan.Store(tmp_path / "work", quick=True)
    known = bench.tables.figures(store, "fights", (4,))
    one = known.outcomes[0]
    assert [r["epochs"] for r in one.grid.values()] == [2, 2]
    assert one.search["epochs"] == sum(t["epochs"] for t in one.search["trials"]) == 4
    assert one.search["lr"] in [t["lr"] for t in one.search["trials"]]
    assert one.final["lr"] == one.search["lr"]
    assert 0 < known.excess + 1 < 10
    assert not list((tmp_path / "work" / "runs").iterdir())


def test_a_rate_that_ruins_the_loss_is_kept_and_other_faults_are_not(
    bench, tmp_path, material, monkeypatch
):
    def fails(loss: float, after: int) -> Any:
        def train(*_, callbacks, **__):
            for _ in range(after):
                now = SimpleNamespace(callback_metrics={"val_loss": torch.tensor(loss)})
                callbacks[0].on_train_epoch_end(now, None)
            raise TrainingError("made to fail")

        return train

    monkeypatch.setattr(bench.cost, "train", fails(float("nan"), 1))
    result = bench.cost._train(material, Settings(lr=0.1), tmp_path)
    assert (result["val_loss"], result["epochs"]) == (None, 1)
    for after in (0, 2):
        monkeypatch.setattr(bench.cost, "train", fails(0.7, after))
        with pytest.raises(TrainingError, match="made to fail"):
            bench.cost._train(material, Settings(lr=0.1), tmp_path)
