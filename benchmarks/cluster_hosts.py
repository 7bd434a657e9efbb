"""Hosts to rehearse on: parts of this machine that see each other over a network only.

A host is a network, a set of processes and a name of its own (Linux namespaces), held
to one core. All hosts are joined by a bridge and see one disk, as machines do that
share a folder. A host can be switched off like a machine whose plug is pulled, and cut
off from the others. That takes root and iproute2; without them hosts are ordinary
processes of this machine, which can be killed but not cut off.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

BRIDGE, NET = "fmrgb0", "10.83.0"  # what joins the hosts; .254 is this machine
HUB = f"{NET}.254"
PORT = "eth0"  # what a host sees the others by
BIN = Path(sys.executable).parent
APART = ("--net", "--uts", "--pid", "--mount")
# The first process of a host asks for the end of all that lose their parents.
INIT = (
    "import signal, time\nsignal.signal(17, signal.SIG_IGN)\nwhile True: time.sleep(9)"
)


def can_part() -> bool:
    """Tell whether hosts can be networks of their own here."""
    if os.geteuid() or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        return False
    return not subprocess.run(
        ["unshare", *APART, "--fork", "true"], capture_output=True, check=False
    ).returncode


class Host:
    """One host, up from the start."""

    def __init__(self, number: int, *, parted: bool) -> None:
        """Start host 1, 2, ..., apart from this machine or, else, as a part of it."""
        self.number = number
        self.name = f"host{number}"
        self.parted = parted
        self.address = f"{NET}.{number}" if parted else "127.0.0.1"
        self.core = str((number - 1) % (os.cpu_count() or 1))  # as taskset takes it
        self._wire = f"fmrgb{number}"
        self._own: list[subprocess.Popen[bytes]] = []
        self._first: int | None = None
        if parted:
            self._start()

    def _start(self) -> None:
        words = ["unshare", *APART, "--fork", "--kill-child", "--mount-proc"]
        self._init = subprocess.Popen(
            [*words, sys.executable, "-c", INIT], stderr=subprocess.DEVNULL
        )
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children")
        while not (known := children.read_text().split()):
            time.sleep(0.01)
        self._first = int(known[0])
        ours, theirs = self._wire, f"fmrgbh{self.number}"
        _unplug(ours)  # of a host that is just being taken apart
        _ip("link", "add", ours, "type", "veth", "peer", "name", theirs)
        _ip("link", "set", theirs, "netns", str(self._first))
        _ip("link", "set", ours, "master", BRIDGE, "up")
        for words in (
            ["hostname", self.name],
            ["ip", "link", "set", "lo", "up"],
            ["ip", "link", "set", theirs, "name", PORT],
            ["ip", "address", "add", f"{self.address}/24", "dev", PORT],
            ["ip", "link", "set", PORT, "up"],
        ):
            self.run(*words).wait()

    def run(
        self,
        *words: str | Path,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program on the host, on its core; its output goes to `log`."""
        inside = list(map(str, words))
        if self._first is not None:
            inside = ["nsenter", "--target", str(self._first), *APART, "--", *inside]
        inside = ["taskset", "--cpu-list", self.core, *inside]
        with open(log or os.devnull, "ab") as told:
            started = subprocess.Popen(
                inside,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
                start_new_session=True,
            )
        self._own.append(started)
        return started

    def off(self) -> None:
        """Switch the host off, as if its plug were pulled."""
        if self._first is not None:
            with suppress(ProcessLookupError):
                os.kill(self._first, signal.SIGKILL)  # and the system all its processes
            self._init.wait()
            _unplug(self._wire)
        for started in self._own:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            started.wait()
        self._own.clear()

    def cut(self) -> None:
        """Cut the host off from all others."""
        _ip("link", "set", self._wire, "down")

    def join(self) -> None:
        """Let the others see the host again."""
        _ip("link", "set", self._wire, "up")


@contextmanager
def hosts(n: int) -> Iterator[list[Host]]:
    """Start n hosts; switch them off at the end."""
    parted = can_part()
    up: list[Host] = []
    try:
        if parted:
            _unplug(BRIDGE)  # that a killed rehearsal left
            _ip("link", "add", BRIDGE, "type", "bridge")
            _ip("address", "add", f"{HUB}/24", "dev", BRIDGE)
            _ip("link", "set", BRIDGE, "up")
        for number in range(1, n + 1):
            up.append(Host(number, parted=parted))
        yield up
    finally:
        for host in up:
            host.off()
        if parted:
            _unplug(BRIDGE)


def _unplug(link: str) -> None:
    """Take away a link, unless it is gone."""
    if Path(f"/sys/class/net/{link}").exists():
        # The system may just be taking it away itself.
        subprocess.run(["ip", "link", "delete", link], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
