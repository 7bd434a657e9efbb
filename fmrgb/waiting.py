"""Signals that wait for the end of what must not be broken off."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A closed terminal says SIGHUP, which Windows does not know.
STOPPING = [signal.SIGINT, signal.SIGTERM]
STOPPING += [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []


@contextmanager
def signals_wait() -> Iterator[None]:
    """Hold back what stops a program while it starts processes, or torch reads a file.

    Half-started ones would answer Ctrl-C aloud. One that has started, but is not on its
    pool's list yet, would work on when the pool is ended, and leave half a file. And
    torch loses what a signal raises in a file that Python reads for it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread alone
        return
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)

    known = [n for n in STOPPING if signal.getsignal(n) is not None]
    before = {number: signal.signal(number, hear) for number in known}
    masked = hasattr(signal, "pthread_sigmask")  # inherited by what is started
    if masked:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if masked:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, answer in before.items():
            signal.signal(number, answer)
        if heard:
            signal.raise_signal(heard[0])
