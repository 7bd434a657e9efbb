"""engine.py: every job is done once or set aside with its reason, come what may."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import jobs
import pytest

from fmrgb import engine
from fmrgb.engine import AHEAD, Outcome, run
from fmrgb.errors import DiskFullError

HOW = [(1, "processes"), (1, "threads"), (2, "processes"), (2, "threads")]
DIED = "its process died, out of memory perhaps; try fewer --workers"

every_way = pytest.mark.parametrize(("workers", "kind"), HOW)


def results(outcomes: list[Outcome[Any, Any]]) -> dict[Any, Any]:
    """Return job -> result."""
    return {outcome.job: outcome.result for outcome in outcomes}


@every_way
@pytest.mark.parametrize("n", [0, 1, 2, 40])
def test_every_job_is_done_once(workers, kind, n):
    outcomes = list(run(jobs.double, range(n), workers=workers, kind=kind))
    assert Counter(o.job for o in outcomes) == Counter(range(n))
    assert results(outcomes) == {i: 2 * i for i in range(n)}
    assert all(o.fault is None for o in outcomes)


@every_way
def test_a_job_that_fails_is_set_aside_with_its_reason(workers, kind):
    outcomes = list(run(jobs.fail_on_odd, range(12), workers=workers, kind=kind))
    faults = {o.job: o.fault for o in outcomes if o.fault is not None}
    assert faults == {
        **{1: "clip 1 is broken", 7: "clip 7 is broken"},
        **{3: "[Errno 5] the disk is dying", 9: "[Errno 5] the disk is dying"},
        **{5: "MemoryError", 11: "MemoryError"},
    }
    assert all(o.result is None for o in outcomes if o.job in faults)
    assert {o.job: o.result for o in outcomes if o.job % 2 == 0} == {
        i: i for i in range(0, 12, 2)
    }


@every_way
def test_a_full_disk_ends_the_whole(workers, kind):
    seen = []
    before = set(threading.enumerate())
    outcomes = run(jobs.fill_disk, range(10_000), workers=workers, kind=kind)
    with pytest.raises(DiskFullError, match="no room left"):
        seen.extend(outcomes)
    assert len(seen) < 100
    assert set(threading.enumerate()) <= before  # nobody writes any more


@every_way
def test_a_fault_of_the_program_is_not_hidden(workers, kind):
    with pytest.raises(ZeroDivisionError):
        list(run(jobs.stumble, range(4), workers=workers, kind=kind))


def test_processes_are_others_and_threads_are_here():
    here = jobs.who(0)[1]
    apart = {o.result[1] for o in run(jobs.who, range(6), workers=2) if o.result}
    assert here not in apart
    inside = run(jobs.who, range(6), workers=2, kind="threads")
    assert {o.result[1] for o in inside if o.result} == {here}
    alone = run(jobs.who, range(6), workers=1)
    assert {o.result[1] for o in alone if o.result} == {here}


def test_a_job_that_kills_its_process_is_the_only_one_lost():
    n = 60
    outcomes = list(run(jobs.die, range(n), workers=2))
    assert Counter(o.job for o in outcomes) == Counter(range(n))
    lost = {o.job: o.fault for o in outcomes if o.result is None}
    assert lost == {jobs.KILLER: DIED}
    # Only what was under way is tried in a process of its own; the rest shares two.
    processes = {o.result[1] for o in outcomes if o.result}
    assert len(processes) <= 2 + 2 * AHEAD + 2


def test_a_process_that_dies_while_nobody_looks_is_noticed():
    outcomes = []
    for outcome in run(jobs.die_later, range(30), workers=2):
        if not outcomes:
            time.sleep(1.2)  # as a slow caller does
        outcomes.append(outcome)
    assert Counter(o.job for o in outcomes) == Counter(range(30))
    assert {o.job: o.fault for o in outcomes if o.fault} == {1: DIED}


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_jobs_are_handed_out_a_few_at_a_time(tmp_path, kind):
    work = [(i, tmp_path) for i in range(400)]
    outcomes = run(jobs.leave_mark, work, workers=2, kind=kind)
    next(outcomes)
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) <= 2 * AHEAD + 2
    outcomes.close()


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_a_caller_that_leaves_ends_the_work(tmp_path, kind):
    work = [(i, tmp_path) for i in range(400)]
    for _ in run(jobs.leave_mark, work, workers=2, kind=kind):
        break
    time.sleep(0.3)
    done = len(list(tmp_path.iterdir()))
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) == done < 30


def test_a_caller_that_leaves_leaves_no_thread_behind(tmp_path):
    before = set(threading.enumerate())
    outcomes = run(jobs.leave_mark, [(i, tmp_path) for i in range(400)], workers=2)
    next(outcomes)
    outcomes.close()
    # One that closed its pipe while Python ended would end that in a traceback.
    assert set(threading.enumerate()) <= before


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork server")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_worker_that_starts_as_a_signal_comes_is_ended_too(
    tmp_path, monkeypatch, number
):
    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    start = ForkServerProcess.start

    def interrupted(process: ForkServerProcess) -> None:
        start(process)
        signal.raise_signal(number)  # its pool does not know it yet

    monkeypatch.setattr(ForkServerProcess, "start", interrupted)
    before = signal.signal(number, stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(run(jobs.leave_mark, [(i, tmp_path) for i in range(9)], workers=2))
        assert multiprocessing.active_children() == []
    finally:
        signal.signal(number, before)


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork server")
def test_no_job_is_blamed_for_a_server_of_workers_that_is_dying(monkeypatch):
    start, tries = ForkServerProcess.start, iter(range(99))

    def refused(process: ForkServerProcess) -> None:
        if next(tries) < 3:
            raise EOFError
        start(process)

    monkeypatch.setattr(ForkServerProcess, "start", refused)
    monkeypatch.setattr(engine, "STARTS_S", (0.0, 0.01, 0.01, 0.01))
    outcomes = list(run(jobs.double, range(6), workers=2))
    assert results(outcomes) == {n: 2 * n for n in range(6)}


MAIN = """
import sys; sys.path.insert(0, {tests!r})
import jobs
from pathlib import Path
from fmrgb.engine import run
if __name__ == "__main__":
    list(run(jobs.tell_and_wait, [Path({folder!r})] * 2, workers=2))
"""


def lives(process: str) -> bool:
    """Tell whether a process runs still (one that ended but was not asked does not)."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_workers_end_when_the_main_process_is_killed(tmp_path):
    folder = tmp_path / "numbers"
    folder.mkdir()
    script = tmp_path / "main.py"
    tests = str(Path(__file__).parent)
    script.write_text(MAIN.format(tests=tests, folder=str(folder)))
    main = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(os.listdir(folder)) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = os.listdir(folder)
    assert len(workers) == 2
    main.send_signal(signal.SIGKILL)
    main.wait()
    deadline = time.monotonic() + 20
    while any(map(lives, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(lives, workers))
