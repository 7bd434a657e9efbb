"""What a program and all that it starts do while it runs."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

EVERY_S = 0.1  # between two looks at the memory


class Ran(NamedTuple):
    """How a run of a tool ended."""

    status: int
    out: str
    err: str
    peak_mib: float  # of the largest of its processes
    seconds: float


def run_tool(name: str, *words: object, cwd: Path, limit_s: float) -> Ran:
    """Run a tool in processes of its own.

    Raises:
        subprocess.TimeoutExpired: if it hangs; all that it started is ended first.
    """
    command = [sys.executable, "-m", "fmrgb_tools.main", name, *map(str, words)]
    start = time.monotonic()
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        **{"cwd": cwd, "env": env, "start_new_session": True},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE},
        **{"text": True, "errors": "replace"},
    ) as process:
        peak, over = [0.0], threading.Event()
        look = threading.Thread(target=_look, args=(process.pid, peak, over))
        look.start()
        try:
            out, err = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            for pid in [process.pid, *_below(process.pid)]:
                os.kill(pid, 9)
            raise
        finally:
            over.set()
            look.join()
    took_s = time.monotonic() - start
    return Ran(process.returncode, out, err, peak[0], took_s)


def _look(pid: int, peak: list[float], over: threading.Event) -> None:
    while not over.wait(EVERY_S):
        peak[0] = max([peak[0], *map(_most_mib, [pid, *_below(pid)])])


def _most_mib(pid: int) -> float:
    """Return the most memory a process has held so far."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    told = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(told[0]) / 1024 if told else 0.0


def _below(pid: int) -> list[int]:
    """Return a process's children, their children and so on."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace")
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


@contextmanager
def canary(
    pages: Mapping[str, bytes] | None = None,
) -> Iterator[tuple[str, list[str]]]:
    """Serve pages on loopback; yield the address and a list of what was asked for."""
    asked: list[str] = []
    served = pages or {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path not in served:
                self.send_error(404)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(served[self.path])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def bait(path: Path) -> None:
    """Have the system write down when a file is next read, if it does so at all."""
    now = time.time()
    os.utime(path, (now - 200_000, now - 100_000))


def taken(path: Path) -> bool:
    """Tell whether a file was read since it was laid out by `bait`."""
    return path.stat().st_atime > time.time() - 100_000
