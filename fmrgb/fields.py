"""How an option is declared, read from its words, and checked.

No `from __future__ import annotations` here and no `X | None`: argparse-dataclass
calls each field's type, so the types must be real objects (its issue #47).
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any, Optional

from fmrgb.address import place
from fmrgb.errors import InputError

MAX_SIDE = 8192  # pixels; nothing larger is a sensible training picture


def option(
    default: Any,
    text: str,
    parse: Optional[Callable[[str], Any]] = None,
    said: Optional[str] = None,
) -> Any:
    """Return a field whose help line ends with its own default value."""
    shown = default if said is None else said
    metadata: dict[str, Any] = {"help": f"{text} [default: {shown}]".replace("%", "%%")}
    if parse:
        metadata["type"] = parse
    return field(default=default, metadata=metadata)


def switch(text: str) -> Any:
    """Return a field that is false unless its flag is given."""
    return field(default=False, metadata={"help": text.replace("%", "%%")})


def needed(text: str, parse: Optional[Callable[[str], Any]] = None) -> Any:
    """Return a field that must be given."""
    metadata: dict[str, Any] = {"help": f"{text} [needed]".replace("%", "%%")}
    if parse:
        metadata["type"] = parse
    return field(metadata=metadata)


def location(text: str) -> Path:
    """Read a path, or an address like s3://bucket/clips."""
    try:
        return place(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def frame_size(text: str) -> tuple[int, int]:
    """Read `N` or `WxH` as (width, height) in pixels."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(s.isascii() and s.isdigit() for s in sides):
        raise argparse.ArgumentTypeError(
            f"expected N or WxH in pixels, like 64 or 96x64, got {text!r}"
        )
    width, height = int(sides[0]), int(sides[-1])
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise argparse.ArgumentTypeError(
            f"sides must be 1 to {MAX_SIDE} pixels, got {text!r}"
        )
    return width, height


def frame_count(text: str) -> Optional[int]:
    """Read `max` as None and `N` as a number of frames."""
    if text == "max":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected 'max' or a number of frames, got {text!r}"
        ) from None


def share(text: str) -> tuple[int, int]:
    """Read `i/n`, the i-th share of n, counted from 1."""
    number, _, of = text.partition("/")
    whole = all(part.isascii() and part.isdigit() for part in (number, of))
    if not whole or not 1 <= int(number) <= int(of):
        raise argparse.ArgumentTypeError(f"expected i/n, like 1/8 to 8/8, got {text!r}")
    return int(number), int(of)


def channel_count(text: str) -> int:
    """Read `5` or the first version's `true` as 5, `3` or `false` as 3."""
    known = {"5": 5, "true": 5, "3": 3, "false": 3}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(
            f"expected 3 or 5 (or the older false, true), got {text!r}"
        )
    return known[text.lower()]


def check_at_least(options: Any, least: float, *names: str) -> None:
    """Raise ValueError, naming the flag, if one of the numbers is below `least`."""
    for name in names:
        value = getattr(options, name)
        if value is not None and not value >= least:
            raise ValueError(f"--{name} must be at least {least}, got {value}")


def default_workers() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def outside_switch() -> Any:
    """Return the switch that lets a table's paths lead anywhere; see `fmrgb.fence`."""
    return switch("let paths in a CSV lead out of the CSV's own folder")
