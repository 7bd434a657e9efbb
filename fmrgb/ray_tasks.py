"""From jobs on a pipe to tasks on a Ray cluster; the only module that imports Ray.

It runs in a process of its own. Ray answers signals in its own way, writes to the
terminal, tries for minutes to reach an address where nobody answers, and ends the
process that speaks to it when the cluster's head is lost. There it may.
"""

import os
import shutil
import signal
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from socket import gethostname
from typing import Any

import fmrgb
from fmrgb.engine import AHEAD, Outcome, attempt, killed
from fmrgb.errors import ClusterError, DiskFullError
from fmrgb.files import shown
from fmrgb.leftovers import HOST
from fmrgb.ray_order import Order, Place, Round

TASK_S = 0.5  # of work in a task: sending one takes about 1 ms (`task_overhead`)
SENT_S = 0.002  # of work per core and task, lest who sends falls behind many cores
MOST = 64  # jobs in a task at most
RETRIES = 2  # of a job alone whose worker or machine ended
OVERDUE_S, SLOW = 20.0, 5.0  # a task is that takes so long, and so many times its due
LOOK_S = 1.0  # between two looks at machines that come and go, and at the pipe
CANCEL_S = 1.0  # for tasks to clean up behind themselves; then they are ended
SHARED_BYTES = 100 << 20  # memory that Ray may share out; results are small
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_task_oom_retries": str(RETRIES),
}


Done = tuple[str, str, list[Outcome[Any, Any]]]  # machine, Ray's name of it, outcomes


def serve(pipe: Connection, over: Event, place: Place) -> None:
    """Join the cluster, do the rounds that come, and leave when the pipe is closed.

    Sends ("joined", None) or ("refused", why) first; in a round ("more", n) when it
    can take n jobs, ("done", outcomes), and at last ("end", machines that are gone) or
    ("fault", exception).

    Args:
        pipe: to the process that this one works for.
        over: set once no task is under way any more.
        place: the cluster.
    """
    if hasattr(os, "setsid"):
        os.setsid()  # out of reach of the terminal's Ctrl-C, and all of Ray with it
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    with suppress(EOFError, BrokenPipeError, ConnectionError):
        try:
            ray = _join(place)
        except (Exception, SystemExit) as error:
            pipe.send(("refused", " ".join(str(error).split())))
            return
        try:
            pipe.send(("joined", None))
            while True:
                _Hand(ray, pipe, pipe.recv(), place.memory).run()
        finally:
            over.set()
            ray.shutdown()
            # Who asked does so too, unless it was killed.
            shutil.rmtree(place.logs, ignore_errors=True)


def _join(place: Place) -> Any:
    os.environ.update(QUIET)
    ray: Any = import_module("ray")
    how: dict[str, Any] = {"address": place.address}
    if place.address is None:
        how = {
            "address": "local",
            "num_cpus": place.workers,
            "include_dashboard": False,
            "object_store_memory": SHARED_BYTES,
            "_temp_dir": place.logs,
        }
    ray.init(log_to_driver=False, logging_level="ERROR", **how)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = max((node.get("memory", 0) for node in nodes), default=0)
    if place.memory and place.memory > most:
        raise ClusterError(
            f"no machine of it has the {place.memory >> 20} MiB of --clip_memory to "
            f"give, at most {int(most) >> 20}"
        )
    return ray


def _do(order: Order, jobs: Sequence[Any]) -> Done:
    """Do a few jobs, on one of the machines.

    Raises:
        ClusterError: if the machine is not fit for it. It must not go on, for it would
            set all clips aside at once.
    """
    node = str(import_module("ray").get_runtime_context().get_node_id())
    if order.version != fmrgb.__version__:
        raise ClusterError(
            f"{gethostname()} has fmrgb {fmrgb.__version__}, the machine that asks has "
            f"{order.version}; install the same on all"
        )
    with suppress(OSError):  # it matters for paths that are relative
        os.chdir(order.folder)
    for path in order.needs:
        if not os.path.exists(path):
            raise ClusterError(
                f"{gethostname()} does not see {shown(path)}; all machines of the "
                "cluster must see it under the same name, on a disk that they share"
            )
    os.environ.update(order.settings)
    limits = order.limits
    one = partial(attempt, order.work, alone=True)
    return HOST, node, [one(job, limits and limits(job)) for job in jobs]


@dataclass(frozen=True)
class _Task:
    jobs: list[Any]
    alone: bool
    began_s: float
    twin: Any = None  # another that does the same


class _Hand:
    """Hands the jobs of one round out and takes back what comes of them."""

    def __init__(self, ray: Any, pipe: Connection, asked: Round, memory: int | None):
        self._ray, self._pipe, self._round = ray, pipe, asked
        how = {"num_cpus": 1} | ({"memory": memory} if memory else {})
        # Many jobs are not done again for the sake of one that kills their worker:
        # they go out anew, each alone.
        self._together = ray.remote(max_retries=0, **how)(_do)
        self._alone = ray.remote(max_retries=RETRIES, **how)(_do)
        self._running: dict[Any, _Task] = {}
        self._lost: deque[Any] = deque()
        self._left = asked.n_jobs
        self._pace_s: float | None = None  # that a job takes, as seen lately
        self._hosts: dict[str, str] = {}  # Ray's name of a machine -> our own
        self._look()

    def run(self) -> None:
        """Do the round; tell its end."""
        try:
            while self._hand_out() or self._running:
                self._take_back()
            self._look()
            self._pipe.send(("end", self._gone()))
        except (EOFError, OSError):
            self._cancel()
            raise
        except Exception as error:
            self._cancel()
            self._pipe.send(("fault", error))

    def _look(self) -> None:
        """See which machines there are."""
        self._looked_s = time.monotonic()
        self._nodes = self._ray.nodes()
        cores = [n["Resources"].get("CPU", 0) for n in self._nodes if n["Alive"]]
        self._slots = max(1, int(sum(cores)))

    def _gone(self) -> frozenset[str]:
        here, gone = {HOST}, set[str]()
        for node in self._nodes:
            if host := self._hosts.get(node["NodeID"]):
                (here if node["Alive"] else gone).add(host)
        return frozenset(gone - here)

    def _hand_out(self) -> bool:
        """Send tasks until enough are under way; tell whether one was sent."""
        sent = False
        while len(self._running) < AHEAD * self._slots:
            alone = bool(self._lost)
            jobs = [self._lost.popleft()] if alone else self._more()
            if not jobs:
                break
            remote = self._alone if alone else self._together
            ref = remote.remote(self._round.order, jobs)
            self._running[ref] = _Task(jobs, alone, time.monotonic())
            sent = True
        return sent

    def _more(self) -> list[Any]:
        """Ask for as many jobs as a task should hold, fewer towards the end."""
        if not self._left:
            return []
        aim_s = max(TASK_S, SENT_S * self._slots)
        n = 1 if self._pace_s is None else int(aim_s / max(self._pace_s, 1e-6))
        n = max(1, min(n, self._round.most, self._left // (2 * self._slots)))
        self._pipe.send(("more", n))
        jobs: list[Any] = self._pipe.recv()
        self._left -= len(jobs)
        return jobs

    def _take_back(self) -> None:
        refs = list(self._running)
        done, _ = self._ray.wait(refs, timeout=LOOK_S)
        if done:  # and all others that are ready
            done, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        for ref in done:
            if task := self._running.pop(ref, None):  # else its twin has ended, too
                self._pipe.send(("done", self._outcomes(ref, task)))
        if time.monotonic() - self._looked_s > LOOK_S:
            self._look()
            self._do_again()
        if self._pipe.poll():  # nothing is said unasked: it was closed
            raise EOFError

    def _do_again(self) -> None:
        """Hand out once more what is long overdue, when nothing else is left to do.

        Its machine may be cut off, which Ray can take minutes to believe. The first to
        end counts; both write the same files.

        Source: backup tasks, Dean and Ghemawat 2004, "MapReduce", section 3.6.
        """
        if self._left or self._lost:
            return
        now_s = time.monotonic()
        for ref, task in list(self._running.items()):
            due_s = max(OVERDUE_S, SLOW * (self._pace_s or 0.0) * len(task.jobs))
            if task.twin is None and now_s - task.began_s > due_s:
                other = self._together.remote(self._round.order, task.jobs)
                self._running[other] = replace(task, began_s=now_s, twin=ref)
                self._running[ref] = replace(task, twin=other)

    def _outcomes(self, ref: Any, task: _Task) -> list[Outcome[Any, Any]]:
        faults = self._ray.exceptions
        deaths = (
            *(faults.WorkerCrashedError, faults.NodeDiedError, faults.ObjectLostError),
            *(faults.LocalRayletDiedError, faults.OutOfMemoryError),
        )
        try:
            host, node, outcomes = self._ray.get(ref)
        except faults.RayTaskError as error:
            raise (error.cause or RuntimeError(str(error))) from None
        except faults.OutOfDiskError as error:
            raise DiskFullError(f"a machine of the cluster: {error}") from None
        except deaths:
            if task.twin in self._running:
                return []
            if not task.alone:
                self._lost.extend(task.jobs)
                return []
            limits, (job,) = self._round.order.limits, task.jobs
            took_s = (time.monotonic() - task.began_s) / (1 + RETRIES)
            return [killed(job, limits and limits(job), took_s)]
        except faults.RayError as error:
            raise ClusterError(
                f"the cluster cannot do the work: {' '.join(str(error).split())}; all "
                "its machines need fmrgb[ray] of this very version"
            ) from None
        self._hosts[node] = host
        if self._running.pop(task.twin, None):
            with suppress(Exception):  # its machine has ended
                self._ray.cancel(task.twin)
        for outcome in outcomes:
            took_s = outcome.seconds or 0.0
            before_s = took_s if self._pace_s is None else self._pace_s
            self._pace_s = 0.9 * before_s + 0.1 * took_s
        return list(outcomes)

    def _cancel(self) -> None:
        """End what is under way, and let it clean up behind itself."""
        left = list(self._running)
        for force in (False, True):
            for ref in left:
                with suppress(Exception):  # it has ended, or its machine has
                    self._ray.cancel(ref, force=force)
            if left:
                how = {"num_returns": len(left), "timeout": CANCEL_S}
                _, left = self._ray.wait(left, **how)
