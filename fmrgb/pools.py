"""A pool of threads or processes: how it starts, and how it is ended in mid-work."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import resource_tracker

END_S = 2.0  # to wait for a worker that was told to end


def start(workers: int, kind: str) -> Executor:
    """Start a pool of so many `threads` or `processes`; processes follow their need."""
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


def stop(pool: Executor, *, patient: bool) -> None:
    """End a pool; threads finish what they are at, and are waited for if `patient`.

    Processes are ended at once.
    """
    processes = (getattr(pool, "_processes", None) or {}).copy().values()
    thread = getattr(pool, "_executor_manager_thread", None)
    pool.shutdown(wait=patient and not processes, cancel_futures=True)
    for process in processes:
        process.terminate()
    # What they leave may be looked at then, and Python's exit uses the thread's pipe.
    for each in (*processes, *([thread] if thread else [])):
        each.join(END_S)
