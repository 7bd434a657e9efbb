"""The options of tools that read from addresses, like s3://bucket/clips.

What `fmrgb.options` says of types and imports holds here too.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from fmrgb.cache import DEFAULT_GB
from fmrgb.fields import option


def gibibytes(text: str) -> float:
    """Read a number of GiB above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected GiB, above 0, got {text!r}")
    return number


@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """Where copies of what is read from addresses lie, and how much they may be."""

    cache: Optional[Path] = option(
        None,
        "folder of this disk for copies of what is read from addresses (s3://...)",
        said="$FMRGB_CACHE, or ~/.cache/fmrgb",
    )
    cache_gb: Optional[float] = option(
        None,
        "GiB that it may hold; what was used longest ago goes first",
        gibibytes,
        said=f"$FMRGB_CACHE_GB, or {DEFAULT_GB:g}",
    )
