"""Tools started, killed at a chosen moment, and started again.

Imports take most of a short run's time and write nothing, so the tools run as forks of
a process that has imported everything, each in a group of its own. A kill during the
imports is tested by itself.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
END_S = 12.0  # a run that was asked to stop must have ended by then, on any machine
LONGEST_S = 240.0  # for any one run of a tool here
STOPPED = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
ASKED = (signal.SIGTERM, signal.SIGINT)
# What the tools import: those about media, and all.
LIGHT = ("cv2", "av", "fmrgb.build", "fmrgb.resize", "fmrgb.cleanup", "fmrgb.preflight")
ALL = (
    *("torch", "lightning.pytorch", "matplotlib.pyplot", "sklearn", *LIGHT),
    *("fmrgb.run", "fmrgb.judging", "fmrgb.explain", "fmrgb.export", "fmrgb.visualise"),
    *("fmrgb.evaluate", "fmrgb.rawclips", "fmrgb.comparison"),
)
# And what single tools import later, which takes them longer than their work.
MOST = (
    *(*ALL, "captum.attr", "librosa.core", "librosa.util", "numba", "onnxruntime"),
    *("onnxscript", "torch.onnx._internal.exporter._compat", "torch._dynamo"),
    *("torch.export", "networkx", "optuna", "sklearn.mixture", "sqlalchemy"),
)


@dataclass(frozen=True)
class Ended:
    """How a run of a tool came to its end."""

    status: int  # negative: the signal that killed it
    out: str
    err: str
    seconds: float

    @property
    def quiet(self) -> bool:
        """Whether it ended without a traceback."""
        return "Traceback" not in self.err and "Exception ignored" not in self.err


class Started:
    """A run of a tool that is under way in `folder`, in a group of its own."""

    def __init__(
        self, server: "Tools", words: Sequence[str], folder: Path, *, forked: bool
    ) -> None:
        self._server = server
        self._logs = [folder.parent / f"{folder.name}.{n}" for n in ("out", "err")]
        for log in self._logs:  # it may be killed before it has come to them
            log.touch()
        order = {"words": list(words), "folder": str(folder), "forked": forked}
        self._start = time.monotonic()
        self.pid = int(server.ask({**order, "logs": list(map(str, self._logs))}))

    def sleep(self, seconds: float) -> None:
        """Wait until so many seconds have gone since its start."""
        time.sleep(max(0.0, self._start + seconds - time.monotonic()))

    def kill(self, number: int, *, group: bool = True) -> None:
        """Send a signal to the run, and to all that it has started."""
        with suppress(ProcessLookupError):  # it has ended
            (os.killpg if group else os.kill)(self.pid, number)

    def wait(self, limit_s: float = LONGEST_S) -> Ended:
        """Wait for its end; kill it, and fail, if that does not come.

        Raises:
            TimeoutError: if it does not come.
        """
        status = self._server.ask({"wait": self.pid, "limit_s": limit_s})
        seconds = time.monotonic() - self._start
        out, err = (log.read_text(errors="replace") for log in self._logs)
        if status == "late":
            self.kill(signal.SIGKILL)
            self._server.ask({"wait": self.pid, "limit_s": END_S})
            raise TimeoutError(f"it did not end within {limit_s} s: {err[-500:]}")
        return Ended(int(status), out, err, seconds)

    def others(self) -> dict[int, str]:
        """Return all processes of its group but itself, with their command lines."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                state, _, group = _stat(folder)
                words = (folder / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            if group == self.pid and state not in "ZX" and folder.name != str(self.pid):
                found[int(folder.name)] = words.replace(b"\0", b" ").decode()
        return found

    def left(self, limit_s: float = 4.0) -> dict[int, str]:
        """Return the processes that outlive it for so long; end them."""
        end = time.monotonic() + limit_s
        while (still := self.others()) and time.monotonic() < end:
            time.sleep(0.01)
        if still:
            self.kill(signal.SIGKILL)
        return still


def _stat(folder: Path) -> tuple[str, int, int]:
    """Return state, parent and group of a process."""
    words = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return words[0], int(words[1]), int(words[2])


class Tools:
    """A process that starts tools as its forks."""

    def __init__(self, needed: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *needed],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def ask(self, order: dict[str, object]) -> str:
        """Send an order; return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def start(
        self, words: Sequence[object], folder: Path, *, forked: bool = True
    ) -> Started:
        """Start `fmrgb <words>` in a folder: as a fork, or as users start it."""
        return Started(self, [str(word) for word in words], folder, forked=forked)

    def run(self, words: Sequence[object], folder: Path) -> Ended:
        """Run `fmrgb <words>` in a folder to its end."""
        return self.start(words, folder).wait()

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(END_S)


@contextmanager
def tools(needed: Sequence[str]) -> Iterator[Tools]:
    """Give a server of tools that has imported what they need; end it."""
    server = Tools(needed)
    try:
        yield server
    finally:
        server.close()


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, hidden ones too, by its name."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def _serve() -> None:
    """Read orders, one per line; answer each by one line."""
    from importlib import import_module

    for name in sys.argv[1:]:
        import_module(name)
    # Not even just after a fork may a tool hear a signal before it listens.
    signal.pthread_sigmask(signal.SIG_BLOCK, ASKED)
    _say("ready")
    for line in iter(sys.stdin.readline, ""):
        order = json.loads(line)
        if "wait" in order:
            _say(_wait_for(order["wait"], order["limit_s"]))
            continue
        pid = os.fork()
        if not pid:
            _become(order)
        _say(pid)
    os._exit(0)  # at once: there is nothing to clean up


def _say(answer: object) -> None:
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()


def _become(order: dict[str, object]) -> None:
    """Be a tool from here on."""
    os.setsid()
    if not order["forked"]:  # else a moment of its work counts, not one of its start
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED)
    os.chdir(str(order["folder"]))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, log in enumerate(order["logs"], start=1):  # type: ignore[arg-type]
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if not order["forked"]:
        program = [sys.executable, "-m", "fmrgb_tools.main", *order["words"]]  # type: ignore[misc]
        os.execv(sys.executable, program)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.argv = ["fmrgb", *order["words"]]  # type: ignore[misc]
    from fmrgb_tools import stopping
    from fmrgb_tools.main import main

    listen = stopping.listen

    def listen_and_hear(name: str) -> None:
        listen(name)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED)

    stopping.listen = listen_and_hear
    try:
        status = main()
    except SystemExit as left:  # a wrong command line
        status = left.code
    # As at the end of every Python, but for C++: its threads are not in a fork.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(int(status or 0))


def _wait_for(pid: int, limit_s: float) -> str:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return str(os.waitstatus_to_exitcode(status))
        time.sleep(0.002)
    return "late"


if __name__ == "__main__":
    _serve()
