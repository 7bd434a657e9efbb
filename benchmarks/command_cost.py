"""What a command takes from its start to its end."""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What a program took: wall clock and processor in s, its largest memory in MiB.

    The system counts what this program holds when it starts the other into the latter:
    a peak below that is not seen.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float


def cost_of(command: Sequence[str], *, status: int = 0) -> Cost:
    """Run a command to its end; it must end with this exit status."""
    hidden = subprocess.DEVNULL if status else None  # an error that is asked for
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=hidden)
    _, ended, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(ended)
    if process.returncode != status:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
