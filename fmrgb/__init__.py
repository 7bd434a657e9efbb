"""Clips with sound as one tensor `[T, H, W, C]`, and networks that look and listen.

The names below are what a notebook needs; each is imported when first asked for, so
that `import fmrgb` and every `--help` stay quick.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "build": "fmrgb.build",
    "load_checkpoint": "fmrgb.checkpoint",
    "load_sample": "fmrgb.sample",
    "read_clip": "fmrgb.media",
    "read_manifest": "fmrgb.manifest",
    "train": "fmrgb.trainer",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import a public name from its home at its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fmrgb' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
