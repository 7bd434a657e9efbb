"""A search that processes share: they come and go, no trial is lost or done twice."""

import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import test_lr_search as alone
import tiny
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from test_lr_search import SETTINGS, Stub, find, loss_of, trials

from fmrgb import crew, lr_search
from fmrgb.crew import AGAIN, BEAT, NTH, TRIES, WORKER, Crew
from fmrgb.learner import Settings
from fmrgb.lr_search import AS_GOOD
from fmrgb.lr_trials import GRID, spaces
from fmrgb.study import ListThenTPE, open_study

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*multi-threaded, use of fork:DeprecationWarning"
)
FORK = multiprocessing.get_context("fork")
WHERE = pytest.mark.parametrize("where", ["{}/journal", "sqlite:///{}/studies.db"])
EPOCH_S = 0.02  # what the epoch of a stub takes
TOOL = Path(__file__).parent.parent / "tools" / "train.py"
stub = alone.stub


def slow(settings: Settings, epoch: int) -> float:
    """Take a moment for the loss."""
    time.sleep(EPOCH_S)
    return loss_of(settings, epoch)


def worker(folder: Path, stub: Stub, storage: str) -> Any:
    """Start a process that searches with a stub of its own."""

    def work() -> None:
        lr_search.train = stub  # type: ignore[assignment]  # of the fork alone
        find(folder, storage=storage)

    process = FORK.Process(target=work)
    process.start()
    return process


def open_storage(storage: str) -> BaseStorage:
    """Open it as the search does."""
    if "://" in storage:
        return RDBStorage(storage)
    backend = optuna.storages.journal.JournalFileBackend(storage)
    return optuna.storages.JournalStorage(backend)


def all_trials(storage: str) -> list[FrozenTrial]:
    """Return all trials of the one study there."""
    opened = open_storage(storage)
    (study,) = opened.get_all_studies()
    return opened.get_all_trials(study._study_id)


def wait_until(seen: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is seen."""
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ended_well(process: Any) -> None:
    """Wait for a process to end without a fault."""
    process.join(60)
    assert process.exitcode == 0


def counted(storage: str) -> list[FrozenTrial]:
    """Return the trials that count; no other may seem finished, none may go on."""
    every = all_trials(storage)
    assert {t.state for t in every} <= {
        *(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    }
    return [t for t in every if t.state is not TrialState.FAIL]


@WHERE
def test_two_find_what_one_finds_with_no_more_epochs(stub, tmp_path, where):
    stub.loss = slow
    one = find(tmp_path / "alone")
    cost = stub.epochs()
    storage = where.format(tmp_path)
    logs = [tmp_path / "one.log", tmp_path / "other.log"]
    both = [worker(log.with_suffix(""), Stub(log, slow), storage) for log in logs]
    for process in both:
        ended_well(process)
    told = [trials(log.with_suffix("")) for log in logs]
    assert told[0] == told[1], "both know the same when they choose"
    (won,) = [t for t in told[0] if t["chosen"] == "true"]
    assert float(won["val_loss"]) <= loss_of_best(one.values) * (1 + AS_GOOD)
    rates = [t.params["lr"] for t in counted(storage)]
    assert len(rates) == len(set(rates)), "both tried the same"
    assert set(GRID) <= set(rates)
    epochs = [Stub(log).epochs() for log in logs]
    assert sum(epochs) <= 2 * SETTINGS.epochs
    assert sum(epochs) == pytest.approx(cost, abs=6)
    assert min(epochs) > 0.2 * cost, "one did nearly all"


def loss_of_best(values: dict[str, Any]) -> float:
    """Return the loss that a stub ends with."""
    return loss_of(Settings(lr=values["lr"]), SETTINGS.epochs // 4 - 1)


@WHERE
def test_a_trial_of_a_killed_process_is_done_by_another(stub, tmp_path, where):
    storage = where.format(tmp_path)

    def hang(settings: Settings, epoch: int) -> float:
        if epoch == 2:
            time.sleep(600)
        return loss_of(settings, epoch)

    victim = worker(tmp_path / "victim", Stub(tmp_path / "victim.log", hang), storage)
    wait_until(lambda: Stub(tmp_path / "victim.log").epochs() == 2)
    log = tmp_path / "other.log"
    other = worker(tmp_path / "other", Stub(log), storage)
    wait_until(lambda: Stub(log).epochs() > 0)
    time.sleep(1.0)
    assert other.is_alive(), "it left a trial to nobody"
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    ended_well(other)
    (left,) = [t for t in all_trials(storage) if t.state is TrialState.FAIL]
    rates = Counter(t.params["lr"] for t in counted(storage))
    assert rates[left.params["lr"]] == 1
    assert set(GRID) <= set(rates)
    assert set(rates.values()) == {1}
    assert str(left.number) not in {t["trial"] for t in trials(tmp_path / "other")}
    again = find(tmp_path / "again", storage=storage)
    assert "1 more were left by processes that ended, and tried anew" in again.told
    assert stub.epochs() == 0, "what is finished was done again"


def test_a_search_with_a_kill_finds_the_very_same(stub, tmp_path):
    find(tmp_path / "whole")
    storage = str(tmp_path / "journal")

    def hang(settings: Settings, epoch: int) -> float:
        (tmp_path / "begun").touch()
        time.sleep(600)
        return 0.0

    victim = worker(tmp_path / "victim", Stub(tmp_path / "log", hang), storage)
    wait_until((tmp_path / "begun").exists)
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    find(tmp_path / "run", storage=storage)
    columns = ("lr", "state", "epochs", "val_loss", "chosen")
    one, other = (
        [[t[c] for c in columns] for t in trials(tmp_path / name)]
        for name in ("whole", "run")
    )
    assert sorted(one) == sorted(other)


def test_a_search_stopped_at_any_write_of_its_first_trials_finds_the_very_same(
    stub, tmp_path, monkeypatch
):
    monkeypatch.setattr(crew, "SILENT_S", 0.3)  # that it waits is no way to be the same
    find(tmp_path / "whole", storage=str(tmp_path / "journal"))
    columns = ("lr", "state", "epochs", "val_loss", "chosen")
    whole = [[t[c] for c in columns] for t in trials(tmp_path / "whole")]
    write, left = JournalFileBackend.append_logs, -1

    def interrupted(backend: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        write(backend, logs)

    monkeypatch.setattr(JournalFileBackend, "append_logs", interrupted)
    for writes in range(1, 20):
        run, storage = tmp_path / f"run{writes}", str(tmp_path / f"journal{writes}")
        left = writes
        with pytest.raises(KeyboardInterrupt):
            find(run, storage=storage)
        find(run, storage=storage)
        assert [[t[c] for c in columns] for t in trials(run)] == whole


def all_running(storage: str) -> list[FrozenTrial]:
    """Return the trials under way, by processes that said who they are."""
    try:
        every = all_trials(storage)
    except ValueError:  # it is just being made
        return []
    return [
        t for t in every if t.state is TrialState.RUNNING and WORKER in t.user_attrs
    ]


def test_who_comes_to_life_too_late_does_not_count(stub, tmp_path, monkeypatch):
    monkeypatch.setattr(crew, "BEAT_S", 0.05)
    monkeypatch.setattr(crew, "SILENT_S", 0.5)
    storage, logs = (
        str(tmp_path / "journal"),
        [tmp_path / "one.log", tmp_path / "o.log"],
    )
    sleeper = worker(tmp_path / "sleeper", Stub(logs[0], slow), storage)
    wait_until(lambda: Stub(logs[0]).epochs() >= 2)
    os.kill(sleeper.pid, signal.SIGSTOP)
    other = worker(tmp_path / "other", Stub(logs[1], slow), storage)
    ended_well(other)
    told = trials(tmp_path / "other")
    os.kill(sleeper.pid, signal.SIGCONT)
    ended_well(sleeper)
    assert trials(tmp_path / "sleeper") == told
    rates = [t.params["lr"] for t in counted(storage)]
    assert len(rates) == len(set(rates))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Return a study with one trial that is under way on another machine."""
    first = [{"lr": rate} for rate in GRID]
    study = open_study(
        str(tmp_path / "journal"),
        "one",
        sampler=ListThenTPE(first, 0),
        first_look=3,
        alone=True,
    )
    study.ask(space()).set_user_attr(WORKER, "elsewhere 1")
    return study


def space() -> dict[str, Any]:
    """Return what is searched."""
    return {"lr": spaces(SETTINGS)["lr"]}


def never(trials: Any) -> bool:
    """Let any trial begin."""
    return False


def states(study: Study) -> list[TrialState]:
    """Return the states of all trials."""
    return [t.state for t in study.get_trials(deepcopy=False)]


def test_a_process_elsewhere_is_dead_when_it_gives_no_sign(study, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(crew.time, "monotonic", lambda: now[0])
    watcher = Crew(study)
    for sign, at, state in [
        *((0, 0.0, TrialState.RUNNING), (0, 59.0, TrialState.RUNNING)),
        *((1, 61.0, TrialState.RUNNING), (1, 120.0, TrialState.RUNNING)),
        (1, 122.0, TrialState.FAIL),
    ]:
        now[0] = at
        if state is TrialState.RUNNING:
            (trial,) = study.get_trials()
            study._storage.set_trial_user_attr(trial._trial_id, BEAT, sign)
        watcher.take_back(all_=False)
        assert states(study)[0] is state
    assert states(study)[1:] == [TrialState.WAITING]


def test_of_two_that_call_for_the_same_one_is_heard(study):
    one, other = Crew(study), Crew(study)
    (left,) = study.get_trials()
    one._call_for(left)
    other._call_for(left)
    begun = [one.ask(space(), never), other.ask(space(), never)]
    assert [trial is None for trial in begun] == [False, True]
    assert begun[0] is not None
    assert begun[0].params == left.params
    assert states(study) == [TrialState.FAIL, TrialState.RUNNING, TrialState.FAIL]
    fresh = one.ask(space(), never)
    assert fresh is not None
    assert fresh.params["lr"] == pytest.approx(GRID[1]), "a rate of the list was lost"


def test_a_trial_that_ended_after_all_is_not_done_anew(study):
    watcher = Crew(study)
    (left,) = study.get_trials()
    watcher._call_for(left)
    study.tell(left.number, 0.5)
    assert watcher.ask(space(), never) is None
    assert states(study) == [TrialState.COMPLETE, TrialState.FAIL]


def test_values_that_kill_again_and_again_are_left_alone(study):
    watcher = Crew(study)
    for nth in range(2, TRIES + 1):
        watcher.take_back(all_=True)
        trial = watcher.ask(space(), never)
        assert trial is not None
        assert trial.user_attrs[NTH] == nth
        assert trial.user_attrs[AGAIN] == trial.number - 1
        assert trial.params["lr"] == pytest.approx(GRID[0])
    watcher.take_back(all_=True)
    assert states(study) == [TrialState.FAIL] * TRIES


def test_a_trial_too_many_is_given_back(study):
    watcher = Crew(study)
    assert watcher.ask(space(), lambda before: len(before) >= 1) is None
    assert states(study) == [TrialState.RUNNING, TrialState.FAIL]
    assert len(watcher.trials()) == 1


def test_signs_of_life_are_given_while_at_work(study, monkeypatch):
    monkeypatch.setattr(crew, "BEAT_S", 0.02)
    working = Crew(study)
    trial = working.ask(space(), never)
    assert trial is not None
    with working.at_work(trial):
        wait_until(lambda: study.get_trials()[1].user_attrs.get(BEAT, 0) > 2)
    before = study.get_trials()[1].user_attrs[BEAT]
    time.sleep(0.1)
    assert study.get_trials()[1].user_attrs[BEAT] == before
    assert math.isclose(trial.params["lr"], GRID[1])


@pytest.mark.slow
def test_trainings_share_a_search_and_one_of_them_is_killed(tmp_path):
    data, storage = tiny.manifest(tmp_path / "samples", 10), tmp_path / "journal"
    words = f"--data {data} --epochs 40 --batch_size 4 --precision 32 --workers 0"
    wish = f"--islearnrate_search true --trials 10 --storage {storage}"
    line = [sys.executable, str(TOOL), *words.split(), *wish.split(), "--output"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(name: str) -> subprocess.Popen[bytes]:
        how: dict[str, Any] = {"env": environment, "stdout": subprocess.DEVNULL}
        return subprocess.Popen([*line, str(tmp_path / name)], **how)

    both = [start("one"), start("other")]
    wait_until(lambda: storage.exists() and len(all_running(str(storage))) == 2, 120)
    both[0].kill()
    both[0].wait()
    assert both[1].wait(240) == 0
    (left,) = [t for t in all_trials(str(storage)) if t.state is TrialState.FAIL]
    rates = Counter(t.params["lr"] for t in counted(str(storage)))
    assert rates[left.params["lr"]] == 1
    assert set(rates.values()) == {1}
    line += [str(tmp_path / "one"), "--resume"]
    assert subprocess.run(line, env=environment, check=False).returncode == 0
    assert trials(tmp_path / "one") == trials(tmp_path / "other")
