"""How long one clip may take and how much memory, and what ends it if it takes more."""

import faulthandler
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fmrgb.errors import LimitError
from fmrgb.fields import default_workers
from fmrgb.memory import free_memory, in_bytes

try:
    import resource
except ModuleNotFoundError:  # not on Windows, where memory is not limited
    resource = None  # type: ignore[assignment]

# What any clip may take, and one s more for so many bytes of its file: the length that
# a header tells may be a lie.
FLOOR_S, BYTES_PER_S = 600.0, 20_000
GRACE_S = 20.0  # after its time, a clip that does not hear is ended with its process
AGAIN_S = 1.0  # in case some library swallowed the word that time is up
LEAST_MEMORY = 1 << 30  # bytes; two pictures of 8K and their neighbours
MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one job may take: seconds, and bytes of memory beyond what is held now."""

    seconds: float
    n_bytes: int | None = None


@dataclass(frozen=True)
class Allowance:
    """What every clip of a run may take.

    Attributes:
        seconds: per clip; None goes by the bytes of its file.
        mebibytes: of memory per clip; None shares what is free among the workers.
        workers: how many clips are worked on at once; None is one per core of the
            machine that works, which may be another than this.
    """

    seconds: float | None = None
    mebibytes: int | None = None
    workers: int | None = 1

    def limits(self, path: Path) -> Limits:
        """Return the limits of the work on one file."""
        seconds = self.seconds
        if seconds is None:
            with suppress(OSError):
                seconds = FLOOR_S + path.stat().st_size / BYTES_PER_S
        return Limits(seconds or FLOOR_S, self.n_bytes())

    def n_bytes(self) -> int | None:
        """Return how much memory a clip may take; None where that is not known."""
        if self.mebibytes is not None:
            return self.mebibytes * MIB
        free = free_memory()
        workers = self.workers or default_workers()
        return None if free is None else max(LEAST_MEMORY, free // workers)


def limits_of(
    allowance: Allowance | None, file_of: Callable[[Any], Path]
) -> Callable[[Any], Limits] | None:
    """Return what gives each job the limits of its file; None for no allowance.

    It can be sent to another process if `file_of` can.
    """
    if allowance is None:
        return None
    return partial(_limits_of_job, allowance, file_of)


def _limits_of_job(
    allowance: Allowance, file_of: Callable[[Any], Path], job: Any
) -> Limits:
    return allowance.limits(file_of(job))


@contextmanager
def kept(limits: Limits, *, alone: bool) -> Iterator[None]:
    """Keep a block within limits.

    Args:
        limits: of the block.
        alone: whether its process may be ended where the block does not hear, because
            it works for this block only.

    Raises:
        LimitError: if it takes longer or more memory.
    """
    with _in_time(limits.seconds, alone), _in_memory(limits.n_bytes):
        yield


def too_long(seconds: float) -> str:
    """Say that a clip took too long, and what can be done."""
    return (
        f"it was not done within {seconds:.0f} s; leave it out, or give it more "
        "--clip_timeout"
    )


@contextmanager
def _in_time(seconds: float, alone: bool) -> Iterator[None]:
    here = threading.current_thread() is threading.main_thread()
    if not here or not hasattr(signal, "setitimer"):
        yield
        return

    def end(*_: object) -> None:
        raise LimitError(too_long(seconds))

    # Somebody else's alarm, a test's say, goes on afterwards.
    heard = signal.signal(signal.SIGALRM, end)
    other = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)
    with open(os.devnull, "w") as nowhere:
        if alone:  # needs no lock of the interpreter, which a hanging call may hold
            faulthandler.dump_traceback_later(
                seconds + GRACE_S, exit=True, file=nowhere
            )
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, *other)
            signal.signal(signal.SIGALRM, heard)
            if alone:
                faulthandler.cancel_dump_traceback_later()


@contextmanager
def _in_memory(n_bytes: int | None) -> Iterator[None]:
    held = _held()
    if n_bytes is None or held is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    most = held + n_bytes
    if before[1] != resource.RLIM_INFINITY:
        most = min(most, before[1])
    # Not RLIMIT_AS: that counts files mapped, which take no memory. Not what is
    # resident: by the time a watcher sees it, it is taken.
    resource.setrlimit(resource.RLIMIT_DATA, (most, before[1]))
    try:
        yield
    except MemoryError as error:
        raise LimitError(
            f"it needs more than the {in_bytes(n_bytes)} of memory that one clip may "
            "take; use --size, fewer --workers or more --clip_memory"
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _held() -> int | None:
    """Return the bytes of this process that count; None where none are counted."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
    except (OSError, LookupError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") if resource else None


def hold(process: int, limits: Limits) -> None:
    """Keep another program, by its number, within its memory where the system can."""
    if limits.n_bytes is None or not hasattr(resource, "prlimit"):
        return
    with suppress(OSError, ValueError):  # it has ended, or may do less already
        most = (limits.n_bytes, limits.n_bytes)
        resource.prlimit(process, resource.RLIMIT_DATA, most)
