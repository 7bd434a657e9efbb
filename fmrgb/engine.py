"""Where many independent jobs run: one after the other, in threads, or in processes."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Generic, Literal, TypeVar

from fmrgb.errors import DiskFullError, FmrgbError

Job = TypeVar("Job")
Result = TypeVar("Result")

AHEAD = 4  # jobs handed out per worker, so that a million jobs do not fill memory


@dataclass(frozen=True)
class Outcome(Generic[Job, Result]):
    """One finished job: its result, or the fault that set it aside."""

    job: Job
    result: Result | None
    fault: str | None = None


def run(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    *,
    workers: int,
    kind: Literal["processes", "threads"] = "processes",
) -> Iterator[Outcome[Job, Result]]:
    """Do all jobs; yield each as it ends, in any order.

    A job that raises an FmrgbError or OSError, or whose process dies, is set aside with
    its reason and the others go on. A full disk ends the whole, as does Ctrl-C; what is
    under way is then stopped.

    Args:
        work: function of one job; at module level, so that processes can find it.
        jobs: what to do; must be picklable for processes.
        workers: how many jobs at once; 1 works here, without a second process.
        kind: threads suffice where another program does the work.

    Raises:
        DiskFullError: if a job met a full disk.
    """
    if workers == 1 or len(jobs) < 2:
        yield from (_attempt(work, job) for job in jobs)
        return
    n_workers = min(workers, len(jobs))
    waiting = iter(jobs)
    while True:
        lost: list[Job] = []
        yield from _spread(work, waiting, n_workers, kind, lost)
        if not lost:
            return
        # A process died and took the pool with it. Each job that was under way gets a
        # pool of its own: the one that kills again is the one to blame.
        for job in lost:
            died: list[Job] = []
            yield from _spread(work, iter([job]), 1, kind, died)
            if died:
                reason = "its process died, out of memory perhaps; try fewer --workers"
                yield Outcome(job, None, reason)


def _attempt(work: Callable[[Job], Result], job: Job) -> Outcome[Job, Result]:
    try:
        return Outcome(job, work(job))
    except DiskFullError:
        raise
    except (FmrgbError, OSError, MemoryError) as error:
        return Outcome(job, None, str(error) or type(error).__name__)


def _spread(
    work: Callable[[Job], Result],
    waiting: Iterator[Job],
    workers: int,
    kind: str,
    lost: list[Job],
) -> Iterator[Outcome[Job, Result]]:
    """Do waiting jobs in one pool until all are done or it breaks, with some `lost`."""
    running: dict[Future[Outcome[Job, Result]], Job] = {}
    pool = _pool(workers, kind)
    try:
        broken = False
        while True:
            while not broken and len(running) < workers * AHEAD:
                job = next(waiting, None)
                if job is None:
                    break
                try:
                    with _ctrl_c_waits():
                        running[pool.submit(_attempt, work, job)] = job
                except BrokenProcessPool:  # it broke while the caller was at work
                    broken = True
                    lost.append(job)
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    broken = True
                    lost.append(job)
    except BaseException:
        _stop(pool)
        raise
    pool.shutdown()


def _pool(workers: int, kind: str) -> Executor:
    if kind == "threads":
        return ThreadPoolExecutor(workers)
    methods = multiprocessing.get_all_start_methods()
    # A fork server starts workers that have imported once and inherit no threads.
    context = multiprocessing.get_context(
        "forkserver" if "forkserver" in methods else "spawn"
    )
    if "forkserver" in methods:
        context.set_forkserver_preload(["fmrgb.build"])
        # First, because it would let Ctrl-C in again when it starts.
        resource_tracker.ensure_running()
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_ctrl_c)


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Hold Ctrl-C back while processes start: half-started ones would die aloud."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    masked = hasattr(signal, "pthread_sigmask")  # inherited by what is started
    if masked:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if masked:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
        if heard:
            signal.raise_signal(signal.SIGINT)


def _leave_ctrl_c() -> None:
    """Let the main process alone answer Ctrl-C; end when it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    # A worker waits for jobs on a pipe that it holds open itself: killed main processes
    # would leave it, and its memory, for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _stop(pool: Executor) -> None:
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
