"""From Ctrl-C or SIGTERM to one line, an exit status, and no process left behind.

Work in progress is ended by KeyboardInterrupt, so that it can clean up behind itself.
Where that cannot come through (while a module is being imported, in one long step of C
code, out of a destructor) the process is ended by hand: all files appear whole or not
at all, so nothing is lost by it.
"""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from fmrgb.waiting import STOPPING

BY_SIGNAL = 128  # plus the number of the signal is the exit status, as shells have it
FIRST = "FMRGB_FIRST_PROCESS"  # environment variable, set by fmrgb.ranks
GRACE_S = 5.0  # to clean up; then the process is ended by hand
KILLED_S = 1.0  # until what was killed is gone
SAID = "stopped; what is finished is whole"

_USUAL = (signal.SIG_DFL, signal.default_int_handler)
_heard: list[int] = []  # signals, in the order they came
_name: list[str] = []  # of the tool, once it is known
_told: list[bool] = []  # whether the one line was written
_listening: list[bool] = []
_answered: list[bool] = []  # whether somebody answers KeyboardInterrupt
_done: list[int] = []  # the exit status, once the work has ended


def listen(name: str) -> None:
    """Have all of `fmrgb.waiting.STOPPING` end this process well, whatever it is doing.

    Signals that somebody answers already, or that nohup has put aside, stay as they
    are. May be called again, with a better name.

    Args:
        name: of the tool, for the one line.
    """
    _name[:] = [name]
    if _listening or threading.current_thread() is not threading.main_thread():
        return
    _listening.append(True)
    atexit.register(_leave)  # the first to be registered is the last that is called
    for number in STOPPING:
        if signal.getsignal(number) in _USUAL:
            signal.signal(number, _hear)
    sys.unraisablehook = _unraisable
    if os.name != "posix":
        return
    os.register_at_fork(after_in_child=_forget)
    # The system writes the signal's number here at once, even while Python cannot
    # answer it because the main thread is in C code.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()


def listen_early() -> None:
    """Listen if the running program is one of this package's own, not a test, say."""
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    if program and (
        Path(program).stem == "fmrgb"
        or Path(program).resolve().parent == Path(__file__).resolve().parent
    ):
        listen(Path(program).stem)


@contextmanager
def answered() -> Iterator[None]:
    """Have a signal raise KeyboardInterrupt in the block; else it ends the process."""
    _answered.append(True)
    try:
        yield
    finally:
        _answered.clear()


def done(status: int) -> int:
    """Tell that the work has ended with this exit status; return it."""
    _done[:] = [status]
    return status


def _leave() -> None:
    """End at once, as all that Python does at its end is done.

    It would take its modules apart yet, and large libraries theirs; a signal would then
    end it as if nobody had listened.
    """
    if not _done:
        return  # by a fault, whose status Python knows
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads it; Python has a status for that
        return
    os._exit(_done[0])


def was_stopped() -> bool:
    """Tell whether a signal to stop has come."""
    return bool(_heard)


def tell(name: str) -> int:
    """Write the one line; return the exit status, 130 after Ctrl-C."""
    _told.append(True)
    if _speaks():
        print(f"{name}: {SAID}", file=sys.stderr)
    return BY_SIGNAL + (_heard[0] if _heard else signal.SIGINT)


def _speaks() -> bool:
    """Tell whether this process is alone, or the first of those that train together."""
    started = os.environ.get(FIRST, "") in ("", str(os.getpid()))
    return started and os.environ.get("RANK", "0") == "0"  # RANK is torchrun's


def _hear(number: int, frame: FrameType | None) -> None:
    _heard.append(number)
    # Half-imported modules answer an interruption with faults of their own.
    if len(_heard) > 1 or not _answered or _importing(frame):
        _end_now()
    raise KeyboardInterrupt


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _unraisable(what: Any) -> None:
    """End where KeyboardInterrupt was lost, in a destructor, say.

    Other faults there come of being stopped: what was half made is destroyed.
    """
    if _heard and issubclass(what.exc_type, KeyboardInterrupt):
        _end_now()
    if not _heard:
        sys.__unraisablehook__(what)


def _watch(reader: int) -> None:
    number = 0
    while number not in STOPPING:  # others, like that of a child's end, come as well
        number = os.read(reader, 1)[0]
    time.sleep(GRACE_S)
    if not _heard:
        _heard.append(number)
    _end_now()


def _end_now() -> NoReturn:
    """End this process and all it has started; remove what they were writing."""
    files = sys.modules.get("fmrgb.files")
    for part in list(getattr(files, "WRITING", ())):
        part.unlink(missing_ok=True)
    started = _descendants()
    for process in started:
        with suppress(OSError):  # it has ended by itself
            os.kill(process, signal.SIGKILL)
    if leftovers := sys.modules.get("fmrgb.leftovers"):
        end = time.monotonic() + KILLED_S
        while any(map(leftovers.alive, started)) and time.monotonic() < end:
            time.sleep(0.01)
        for folder in list(leftovers.WORKED_IN):
            leftovers.sweep_parts(folder)
    if not _told and _speaks():
        os.write(2, f"{''.join(_name)}: {SAID}\n".encode())
    os._exit(BY_SIGNAL + _heard[0])


def _descendants() -> list[int]:
    """Return what this process has started, and what that has, where /proc lists it.

    Workers are children of the fork server that this process has started.
    """
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            stat = (folder / "stat").read_text(errors="replace")
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    found = [os.getpid()]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found[1:]


def _forget() -> None:
    """Give a forked child the system's own answers: its parent speaks for it."""
    signal.set_wakeup_fd(-1)
    sys.unraisablehook = sys.__unraisablehook__
    for number in STOPPING:
        if signal.getsignal(number) is _hear:
            usual = signal.default_int_handler if number == signal.SIGINT else 0
            signal.signal(number, usual)
