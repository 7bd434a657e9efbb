"""Disks that are full, are only read, or vanish: small ones, in memory."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def mount(*words: str | Path) -> None:
    """Run mount; skip the test where it is not allowed."""
    done = subprocess.run(
        ["mount", *map(str, words)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")


@contextmanager
def disk(folder: Path, kibibytes: int) -> Iterator[Path]:
    """Give an empty disk of that size, mounted on a new folder; take it away."""
    if os.name != "posix" or os.geteuid():
        pytest.skip("only root can mount a disk")
    folder.mkdir(parents=True)
    mount("-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", folder)
    try:
        yield folder
    finally:
        vanish(folder)


def grow(folder: Path, kibibytes: int) -> None:
    """Give a disk more room."""
    mount("-o", f"remount,size={kibibytes}k", folder)


def read_only(folder: Path) -> None:
    """Let nobody write to a disk any more."""
    mount("-o", "remount,ro", folder)


def vanish(folder: Path) -> None:
    """Take a disk away, even while somebody works on it."""
    subprocess.run(["umount", "-l", folder], capture_output=True, check=False)
