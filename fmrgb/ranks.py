"""Several processes that train one network together: who they are, what they share.

Lightning finds out how they are started: by itself, by torchrun, by SLURM. They join
before any work, so that the first process alone looks at the data, searches, writes and
speaks, and the others wait for what it found. Work that the first process does for all
is done as if it were alone.
"""

import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from subprocess import Popen, TimeoutExpired
from typing import Any, TypeVar

import torch
from torch import distributed

from fmrgb.errors import FmrgbError, TrainingError

Result = TypeVar("Result")

FIRST = "FMRGB_FIRST_PROCESS"  # environment variable: the process that started others
PATIENCE = timedelta(days=30)  # to wait for what the first process does for all
GRACE_S = 10.0  # for a process to end by itself when another has ended
# What gloo, NCCL and sockets say when the other end is gone.
GONE = re.compile(r"gloo|NCCL|[Cc]onnection (closed|reset|refused)|[Bb]roken pipe")


class FirstFailed(FmrgbError):
    """What the first process was doing for all failed; it has said why."""


_apart = 0  # how deep in work that the first process does alone
_group: Any = None  # for waiting without a limit
_children: list[Popen[Any]] = []
_leaving = threading.Event()


def first_process() -> bool:
    """Tell whether this process speaks, writes and asks for all that train together."""
    # Here, as below: who only asks a model need not wait for Lightning.
    from lightning.pytorch.utilities import rank_zero_only

    return not getattr(rank_zero_only, "rank", 0)


def n_processes() -> int:
    """Return how many processes do the present work together."""
    if _apart or not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return distributed.get_world_size()


def number() -> int:
    """Return the place of this process among them, 0 for the first."""
    return distributed.get_rank() if n_processes() > 1 else 0


@contextmanager
def explained(devices: str, nodes: int, strategy: str) -> Iterator[None]:
    """Turn Lightning's refusal of devices into one line.

    Raises:
        TrainingError: if there are no such devices or there is no such strategy.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    try:
        yield
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise TrainingError(
            f"--devices {devices}, --nodes {nodes}, --strategy {strategy}: {error}"
        ) from error


def join(devices: str, nodes: int, strategy: str) -> None:
    """Start the processes that are wanted, or meet those that were started.

    Those that Lightning starts run this program's command line once more. Nothing is
    done where one process is wanted, or they have met already.

    Args:
        devices: how many for each machine, as Lightning's Trainer takes them.
        nodes: machines.
        strategy: as Lightning names it.

    Raises:
        TrainingError: if there are no such devices, or other processes were started.
    """
    if _apart or (distributed.is_available() and distributed.is_initialized()):
        return
    if devices == "1" and nodes == 1:
        _refuse_strays()
        return
    import lightning as L
    from lightning.fabric.strategies.launchers.subprocess_script import (
        _SubprocessScriptLauncher as Starter,
    )

    for name in ("pytorch", "fabric"):  # which announce what is no news here
        logging.getLogger(f"lightning.{name}").setLevel(logging.WARNING)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False}
    quiet |= {"enable_progress_bar": False, "enable_model_summary": False}
    with explained(devices, nodes, strategy):
        trainer = L.Trainer(
            devices=devices, num_nodes=nodes, strategy=strategy, **quiet
        )
        starter: Any = trainer.strategy.launcher
        if starter is None:  # auto has found one device
            return
        if not hasattr(starter, "cluster_environment"):
            raise ValueError("processes are started as programs; take ddp, or fsdp")
        where = starter.cluster_environment
        where.validate_settings(starter.num_processes, starter.num_nodes)
        if not where.creates_processes_externally:
            os.environ[FIRST] = str(os.getpid())
            # Not its launch(): what that sets to watch kills this process, unheard.
            Starter._call_children_scripts(starter)
            _children[:] = starter.procs
        trainer.strategy.setup_environment()
    _meet(starter.num_processes)


def _meet(n_here: int) -> None:
    """Agree on a way to wait; watch each other."""
    global _group
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // n_here))
    _group = distributed.new_group(backend="gloo", timeout=PATIENCE)
    _leaving.clear()
    threading.Thread(target=_watch, args=(list(_children),), daemon=True).start()


def _refuse_strays() -> None:
    """Raise TrainingError where a launcher started several, each to train alone."""
    several = int(os.environ.get("WORLD_SIZE") or 1)
    if "TORCHELASTIC_RUN_ID" not in os.environ or several == 1:
        return
    here = int(os.environ.get("LOCAL_WORLD_SIZE") or several)
    raise TrainingError(
        f"torchrun started {several} processes, of which each would train alone; give "
        f"--devices {here} --nodes {several // here} to train together"
    )


def leave(*, failed: bool = False) -> None:
    """Part from the others; end those that were started from here.

    Args:
        failed: do not wait for them to end by themselves.
    """
    global _group
    _leaving.set()
    for child in _children:
        if failed:
            child.terminate()
        try:
            child.wait(GRACE_S)
        except TimeoutExpired:
            child.kill()
            child.wait()
    _children.clear()
    if distributed.is_available() and distributed.is_initialized():
        _group = None
        with suppress(RuntimeError):  # the others may be gone
            distributed.destroy_process_group()


def _watch(children: list[Popen[Any]]) -> None:
    """Stop this process if one that it started, or the one that did, has ended.

    One that waits for nobody would not notice.
    """
    parent = os.environ.get(FIRST, "")
    is_child = parent not in ("", str(os.getpid()))
    while not _leaving.wait(1):
        ended = [child for child in children if child.poll()]
        if not ended and not (is_child and str(os.getppid()) != parent):
            continue
        if not _leaving.wait(GRACE_S):
            os.write(2, f"{LOST}\n".encode())
            os.kill(os.getpid(), signal.SIGTERM)
        return


LOST = (
    "another of the processes that train together has ended; what is finished is whole,"
    " and --resume goes on from it"
)


@contextmanager
def or_lost() -> Iterator[None]:
    """Tell what it means that a process can no longer be reached.

    Raises:
        TrainingError: if that came out of the block.
    """
    try:
        yield
    except RuntimeError as error:
        if n_processes() == 1 or not GONE.search(str(error)):
            raise
        said = str(error).splitlines()[0]
        raise TrainingError(f"{LOST} ({said})") from error


def from_first(work: Callable[[], Result]) -> Result:
    """Do work in the first process, as if it were alone; return the result in all.

    The others wait as long as it takes.

    Args:
        work: its result must be one that pickle can copy.

    Raises:
        FirstFailed: in the others, if it failed.
    """
    global _apart
    if n_processes() == 1:
        return work()
    told: list[Any] = [None, None]
    fault: Exception | None = None
    if distributed.get_rank() == 0:
        _apart += 1
        try:
            told[0] = work()
        except Exception as error:  # whatever it is, the others must not wait
            fault, told[1] = error, str(error)
        finally:
            _apart -= 1
    distributed.broadcast_object_list(told, src=0, group=_group)
    if fault:
        raise fault
    if told[1] is not None:
        raise FirstFailed(told[1])
    result: Result = told[0]
    return result
