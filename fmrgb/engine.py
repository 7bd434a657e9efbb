"""Where many independent jobs run: here, in threads, in processes, or on a cluster."""

import os
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Literal, Protocol, TypeVar

from fmrgb import pools
from fmrgb.errors import DiskFullError, FmrgbError
from fmrgb.files import shown
from fmrgb.limits import Limits, kept, too_long
from fmrgb.log import event
from fmrgb.waiting import signals_wait

Job = TypeVar("Job")
Result = TypeVar("Result")

# s, before a process is started again. Who starts them may have been killed: while it
# dies on a busy machine, it takes orders still.
STARTS_S = (0.0, 0.2, 1.0, 3.0)
AHEAD = 4  # jobs handed out per worker, so that a million jobs do not fill memory
DIED = "its process died, out of memory perhaps; try fewer --workers"


@dataclass(frozen=True)
class Outcome(Generic[Job, Result]):
    """One finished job: its result, or the fault that set it aside."""

    job: Job
    result: Result | None
    fault: str | None = None
    seconds: float | None = None  # that it took; None if its process died


class Cluster(Protocol):
    """Other machines, or what takes their place; see `fmrgb.ray_engine`."""

    @property
    def gone(self) -> frozenset[str]:
        """Machines that took part and are no more, named as `leftovers.HOST` is."""

    def outcomes(
        self,
        work: Callable[[Job], Result],
        jobs: Sequence[Job],
        limits: Callable[[Job], Limits] | None,
    ) -> Iterator[Outcome[Job, Result]]:
        """Do all jobs there, as `run` says."""


def run(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    *,
    workers: int,
    kind: Literal["processes", "threads"] = "processes",
    limits: Callable[[Job], Limits] | None = None,
    cluster: Cluster | None = None,
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
        limits: what a job may take. With them jobs are not trusted: several of them go
            to processes even where `workers` is 1, and a fault that nobody foresaw sets
            its job aside too.
        cluster: does the work in the place of workers of this machine; `work` and
            `limits` must then be picklable.

    Raises:
        DiskFullError: if a job met a full disk.
    """
    stage = getattr(work, "__name__", "work").strip("_")
    if cluster:
        outcomes = cluster.outcomes(work, jobs, limits)
    else:
        outcomes = _run(work, jobs, workers, kind, limits)
    for outcome in outcomes:
        name, fault = _name_of(outcome.job), outcome.fault or ""
        event(stage, clip=name, seconds=outcome.seconds, error=fault)
        yield outcome


def _name_of(job: object) -> str:
    """Return the name of the file that a job is about."""
    first = job[0] if isinstance(job, tuple) and job else job
    if isinstance(first, int) and isinstance(job, tuple) and len(job) > 1:
        first = job[1]  # behind its number
    return str(getattr(first, "clip", None) or getattr(first, "path", None) or first)


def _run(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int,
    kind: Literal["processes", "threads"],
    limits: Callable[[Job], Limits] | None,
) -> Iterator[Outcome[Job, Result]]:
    apart = limits is not None and kind == "processes"
    if len(jobs) < 2 or (workers == 1 and not apart):
        for job in jobs:
            yield attempt(work, job, limits and limits(job), alone=False)
        return
    n_workers = min(workers, len(jobs))
    waiting = iter(jobs)
    while True:
        lost: list[Job] = []
        yield from _spread(work, waiting, n_workers, kind, lost, limits)
        if not lost:
            return
        # A process died and took the pool with it. Each job that was under way gets a
        # pool of its own: the one that kills again is the one to blame.
        for job in lost:
            yield from _again(work, job, kind, limits)


def _again(
    work: Callable[[Job], Result],
    job: Job,
    kind: str,
    limits: Callable[[Job], Limits] | None,
) -> Iterator[Outcome[Job, Result]]:
    """Do one job in a pool of its own; set it aside if that breaks, too."""
    for pause_s in STARTS_S:
        time.sleep(pause_s)
        died: list[Job] = []
        began_s = time.monotonic()
        unbegun = yield from _spread(work, iter([job]), 1, kind, died, limits)
        if not unbegun:
            break
    if died:
        took_s = time.monotonic() - began_s
        yield killed(job, limits and limits(job), took_s)


def killed(job: Job, limits: Limits | None, seconds: float) -> Outcome[Job, Any]:
    """Set a job aside whose process ended with it, after so many seconds."""
    if limits and seconds > limits.seconds:
        return Outcome(job, None, too_long(limits.seconds))
    return Outcome(job, None, DIED)


def attempt(
    work: Callable[[Job], Result], job: Job, limits: Limits | None, *, alone: bool
) -> Outcome[Job, Result]:
    """Do one job here and now; set it aside if it fails, see `run`.

    Args:
        work: function of one job.
        job: what to do.
        limits: what it may take.
        alone: whether this process may be ended where it takes more and does not hear.

    Raises:
        DiskFullError: if it met a full disk.
    """
    began_s = time.perf_counter()
    outcome = _outcome(work, job, limits, alone=alone)
    return replace(outcome, seconds=time.perf_counter() - began_s)


def _outcome(
    work: Callable[[Job], Result], job: Job, limits: Limits | None, *, alone: bool
) -> Outcome[Job, Result]:
    try:
        if limits is None:
            return Outcome(job, work(job))
        with kept(limits, alone=alone):
            return Outcome(job, work(job))
    except DiskFullError:
        raise
    except (FmrgbError, OSError, MemoryError) as error:
        return Outcome(job, None, str(error) or type(error).__name__)
    except Exception as error:
        if limits is None:
            raise
        return Outcome(job, None, _unforeseen(error))


def _unforeseen(error: Exception) -> str:
    """Describe a fault of the program, so that it can be found without the job."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    said = shown(str(error).strip().partition("\n")[0])
    return (
        f"a fault of the program that one file brings out, {type(error).__name__}: "
        f"{said} ({os.path.basename(place.filename)}:{place.lineno}); leave it out and "
        "report it"
    )


def _spread(
    work: Callable[[Job], Result],
    waiting: Iterator[Job],
    workers: int,
    kind: str,
    lost: list[Job],
    limits: Callable[[Job], Limits] | None,
) -> Generator[Outcome[Job, Result], None, bool]:
    """Do waiting jobs in one pool until all are done or it breaks, with some `lost`.

    Returns:
        Whether it broke as a process was to be started, before that did any job.
    """
    running: dict[Future[Outcome[Job, Result]], Job] = {}
    pool = pools.start(workers, kind)
    broken = unbegun = False
    try:
        while True:
            while not broken and len(running) < workers * AHEAD:
                job = next(waiting, None)
                if job is None:
                    break
                try:
                    running[_submit(pool, work, job, kind, limits)] = job
                # It broke while the caller was at work, or who starts it was killed.
                except (BrokenProcessPool, EOFError, ConnectionError) as error:
                    broken = True
                    unbegun = not isinstance(error, BrokenProcessPool)
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
    except BaseException as error:
        pools.stop(pool, patient=isinstance(error, Exception))
        raise
    pool.shutdown()
    return unbegun


def _submit(
    pool: Executor,
    work: Callable[[Job], Result],
    job: Job,
    kind: str,
    limits: Callable[[Job], Limits] | None,
) -> "Future[Outcome[Job, Result]]":
    """Hand a job to a pool, which starts a process for it if it has too few."""
    one = partial(attempt, alone=kind == "processes")
    with signals_wait():
        return pool.submit(one, work, job, limits and limits(job))
