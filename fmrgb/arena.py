"""Memory that was freed stays with the process, for the next step of a training.

Every step takes and frees the same large pieces. The C library gives such pieces back
to the system at once, and the system clears each page anew when it is touched again: a
tenth to a fifth of a training step.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Numbers and defaults of mallopt(3), glibc.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
USUAL = {TRIM_THRESHOLD: 128 * 1024, MMAP_MAX: 65536}
KEPT = {TRIM_THRESHOLD: 2**31 - 1, MMAP_MAX: 0}


@contextmanager
def freed_memory_is_kept() -> Iterator[bool]:
    """Keep freed memory until the end; then give back what is free.

    Yields:
        Whether the C library can be told so; only glibc can.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "gnu_get_libc_version"):
        yield False
        return
    for name, value in KEPT.items():
        library.mallopt(name, value)
    try:
        yield True
    finally:
        for name, value in USUAL.items():
            library.mallopt(name, value)
        library.malloc_trim(0)
