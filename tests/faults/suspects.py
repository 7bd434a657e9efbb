"""Jobs that misbehave, and one that is timed, at module level for processes."""

import ctypes
import os
import re
import time
from pathlib import Path

import numpy as np
import verdicts

from fmrgb import limits
from fmrgb.build import Recipe, make_sample
from fmrgb.errors import FmrgbError
from fmrgb.header import read_header
from fmrgb.preflight import Found

# A worker reads this module before its first job; tests need not wait longer.
limits.GRACE_S = 1.0


def timed(job: tuple[Path, Path]) -> float:
    """Make a sample of a clip, or fail to; return the seconds that took."""
    clip, folder = job
    sample = folder / f"{os.getpid()}.pt"
    sample.unlink(missing_ok=True)
    recipe = Recipe(frames=verdicts.FRAMES, size=(verdicts.WIDTH, verdicts.HEIGHT))
    start = time.monotonic()
    try:
        header = read_header(clip)
        make_sample((Found(clip, sample, "a", "", header=header), recipe))
    except (FmrgbError, OSError):
        pass
    return time.monotonic() - start


def misbehave(job: str) -> int:
    """Do what a job's name says; return the process that did it."""
    if job == "sleep":
        time.sleep(60)
    if job == "hang":  # and hear nothing: the interpreter is busy in one call
        re.match(r"(a+)+$", "a" * 40 + "b")
    if job == "take memory":
        np.ones(3 << 30, np.uint8)
    if job == "crash":
        ctypes.string_at(0)
    if job == "stumble":
        raise ZeroDivisionError("by one\ntoo many")
    return os.getpid()
