"""Jobs for the engine, at module level so that processes can find them."""

import errno
import os
import time
from pathlib import Path

from fmrgb.errors import DiskFullError, MediaError
from fmrgb.files import whole_file

KILLER = 5  # the job that takes its process with it


def double(number: int) -> int:
    """Return twice the number."""
    return 2 * number


def who(number: int) -> tuple[int, int]:
    """Return the number and the process that got it."""
    return number, os.getpid()


def who_slowly(number: int) -> tuple[int, int]:
    """Return the same after a while, so that one process cannot do all."""
    time.sleep(0.03)
    return who(number)


def fail_on_odd(number: int) -> int:
    """Refuse odd numbers in three ways."""
    if number % 6 == 1:
        raise MediaError(f"clip {number} is broken")
    if number % 6 == 3:
        raise OSError(errno.EIO, "the disk is dying")
    if number % 6 == 5:
        raise MemoryError
    return number


def fill_disk(number: int) -> int:
    """Meet a full disk at number 3."""
    if number == 3:
        raise DiskFullError("no room left")
    return number


def stumble(number: int) -> int:
    """Be a program with a fault of its own."""
    return 1 // number


def die(number: int) -> tuple[int, int]:
    """Kill the own process, as the system does when memory runs out."""
    if number == KILLER:
        os.kill(os.getpid(), 9)
    return who(number)


def die_later(number: int) -> int:
    """Let number 0 end at once and number 1 kill its process while nobody looks."""
    if number == 1:
        time.sleep(0.3)
        os.kill(os.getpid(), 9)
    return number


def leave_mark(job: tuple[int, Path]) -> int:
    """Touch a file named after the number, slowly."""
    number, folder = job
    time.sleep(0.02)
    (folder / str(number)).touch()
    return number


def write_and_wait(folder: Path) -> None:
    """Leave a file half written for a minute."""
    with whole_file(folder / f"{os.getpid()}.pt") as part:
        part.write_bytes(b"half")
        time.sleep(60)


def tell_and_wait(folder: Path) -> None:
    """Leave the own process's number in a file, then take a minute."""
    (folder / str(os.getpid())).touch()
    time.sleep(60)
