"""From a cluster's address to machines that do jobs, see `fmrgb.engine.run`.

Source: Moritz et al. 2018, "Ray: A Distributed Framework for Emerging AI
Applications", arXiv:1712.05889.
"""

import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from fmrgb import __version__
from fmrgb.address import Remote
from fmrgb.engine import Job, Outcome, Result
from fmrgb.errors import ClusterError, ProgramMissingError
from fmrgb.files import shown
from fmrgb.limits import Limits
from fmrgb.ray_order import Order, Place, Round
from fmrgb.ray_tasks import MOST, serve
from fmrgb.waiting import signals_wait

ADDRESS = "RAY_ADDRESS"  # where Ray's own tools leave that of a cluster
OURS = "FMRGB_"  # variables of the environment that machines are told begin so
ANSWER_S = 5.0  # for a machine to answer at an address
JOIN_S = 60.0  # for Ray to start or to let us in
LEAVE_S = 15.0  # for Ray to end
# After Ctrl-C, for tasks to be over and for Ray to end; the tools wait 5 s in all.
OVER_S, HASTE_S = 2.5, 1.5


class Cluster:
    """A cluster that was joined; it does one round of jobs after the other."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._needs: list[str] = []
        self.gone: frozenset[str] = frozenset()
        context = multiprocessing.get_context("spawn")
        self._over = context.Event()
        self._pipe, other = context.Pipe()
        self._process = context.Process(
            target=serve, args=(other, self._over, place), daemon=True
        )
        with signals_wait():
            self._process.start()
        other.close()

    @property
    def elsewhere(self) -> bool:
        """Whether it may have other machines than this one."""
        return self._place.address is not None

    def needs(self, path: Path) -> None:
        """Have machines refuse to work that do not see a file or folder of a disk."""
        if not isinstance(path, Remote):
            self._needs.append(str(path))

    def greet(self) -> None:
        """Wait until the cluster is joined.

        Raises:
            ClusterError: if nobody answers in time, or the cluster refuses.
        """
        kind, what = self._receive(JOIN_S)
        if kind != "joined":
            hint = ""
            if self.elsewhere:  # Ray does not say that it was for want of the word
                hint = (
                    "; where its head asks for a token, as Ray's own start does, set "
                    "RAY_AUTH_MODE=token and have the head's ~/.ray/auth_token here"
                )
            raise ClusterError(f"{self._name()} cannot be used: {shown(what)}{hint}")

    def outcomes(
        self,
        work: Callable[[Job], Result],
        jobs: Sequence[Job],
        limits: Callable[[Job], Limits] | None,
        *,
        most: int = MOST,
    ) -> Iterator[Outcome[Job, Result]]:
        """Do all jobs in tasks of several; yield each as it ends, in any order.

        Args:
            work: function of one job, at module level.
            jobs: what to do.
            limits: what a job may take.
            most: jobs in a task at most.

        Raises:
            DiskFullError: if a job met a full disk.
            ClusterError: if the cluster is lost.
        """
        waiting, ended = iter(jobs), False
        ours = {k: v for k, v in os.environ.items() if k.startswith(OURS)}
        needs = tuple(self._needs)
        order = Order(work, limits, __version__, os.getcwd(), needs, ours)
        self._send(Round(order, len(jobs), most))
        try:
            while not ended:
                kind, what = self._receive()
                if kind == "more":
                    self._send(list(islice(waiting, what)))
                elif kind == "done":
                    yield from what
                else:
                    ended = True
                    if kind == "fault":
                        raise what
                    self.gone |= what
        finally:
            if not ended:  # the caller left; half a word may stand in the pipe
                self._pipe.close()
                self._over.wait(OVER_S)

    def _send(self, what: Any) -> None:
        with suppress(ConnectionError):  # `_receive` tells of it
            self._pipe.send(what)

    def _receive(self, seconds: float | None = None) -> tuple[str, Any]:
        try:
            if self._pipe.poll(seconds):
                word: tuple[str, Any] = self._pipe.recv()
                return word
        except (EOFError, ConnectionError):
            self._over.set()
            raise ClusterError(
                f"{self._name()} was lost; see whether its head runs, then give the "
                "same command again: what is finished is kept"
            ) from None
        raise ClusterError(
            f"{self._name()} did not answer within {seconds:.0f} s; see whether its "
            "head runs and this machine is part of it (ray status)"
        )

    def _name(self) -> str:
        if self._place.address is None:
            return "the Ray of this machine"
        return f"the Ray cluster at {shown(self._place.address)}"

    def leave(self, seconds: float) -> None:
        """End the tasks under way, and Ray if it was started here.

        Args:
            seconds: that it may take to end well; then it is ended by force.
        """
        self._pipe.close()
        self._process.join(seconds)
        if self._process.is_alive() and self._process.pid:
            with suppress(OSError):  # Ray's own processes are of the same group
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()  # it may not have made a group yet
            self._process.join(1.0)


@contextmanager
def joined(
    address: str | None, *, workers: int, memory: int | None = None
) -> Iterator[Cluster]:
    """Join a Ray cluster, or start Ray on this machine; leave it, or end Ray.

    Args:
        address: host:port of its head, or auto; None takes what RAY_ADDRESS says, else
            starts Ray.
        workers: cores that a Ray started here may use.
        memory: bytes that each task is promised by the machine that does it; None
            shares by cores alone.

    Raises:
        ClusterError: if nobody answers there, or the cluster refuses.
        ProgramMissingError: if Ray is not installed.
    """
    if find_spec("ray") is None:
        raise ProgramMissingError(
            "--engine ray needs the package ray; install it with: "
            "pip install 'fmrgb[ray]'"
        )
    address = address or os.environ.get(ADDRESS) or None
    if address:
        _ring(address)
    # Ray puts sockets there, whose names must be short.
    short = "/tmp" if os.path.isdir("/tmp") else None
    logs = tempfile.mkdtemp(prefix="fmrgb", dir=short)
    try:
        cluster = Cluster(Place(address, workers, memory, logs))
        seconds = 0.0  # who is still joining hears nothing
        try:
            cluster.greet()
            seconds = HASTE_S
            yield cluster
            seconds = LEAVE_S
        finally:
            cluster.leave(seconds)
    finally:
        shutil.rmtree(logs, ignore_errors=True)


def _ring(address: str) -> None:
    """Raise ClusterError if nobody answers; Ray itself would try for two minutes."""
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if not colon or not port.isdigit():  # a word of Ray's own, like auto
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"nobody answers at {shown(address)} ({error}); give the address that "
            "`ray start --head` told, and see whether its head runs"
        ) from None


def task_overhead(cluster: Cluster, n_tasks: int = 1000) -> float:
    """Measure what a task costs beside its work, s, with the sending of its jobs."""
    list(cluster.outcomes(abs, range(n_tasks // 10), None, most=1))
    began_s = time.perf_counter()
    list(cluster.outcomes(abs, range(n_tasks), None, most=1))
    return (time.perf_counter() - began_s) / n_tasks
