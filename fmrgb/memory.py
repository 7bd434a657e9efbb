"""How much memory is taken and left, and whether it ran out."""

import gc
import sys
from contextlib import suppress
from pathlib import Path

CONTAINER = Path("/sys/fs/cgroup")
OUT_OF_MEMORY = (  # parts of the reports of it; there is no class for all
    "out of memory",  # CUDA
    "not enough memory",  # CPU on Windows
    "can't allocate memory",  # CPU elsewhere
    "ALLOC_FAILED",  # cuDNN, cuBLAS
    "could not create a",  # oneDNN: a primitive, a memory object
)


def peak_of_process() -> int:
    """Return the most memory, in bytes, that this process has held so far."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def free_memory() -> int | None:
    """Return the bytes of memory that are free, or None where that cannot be known.

    Where a container has less than its machine, what the container has left.
    """
    found = []
    with suppress(OSError, LookupError, ValueError):
        told = _numbers_in(Path("/proc/meminfo"))
        found.append(told["MemAvailable:"] * 1024)
    with suppress(OSError, LookupError, ValueError):
        limit = int((CONTAINER / "memory.max").read_text())  # ValueError: none is set
        used = int((CONTAINER / "memory.current").read_text())
        cached = _numbers_in(CONTAINER / "memory.stat")["inactive_file"]
        found.append(limit - used + cached)
    return min(found) if found else None


def _numbers_in(table: Path) -> dict[str, int]:
    lines = (line.split() for line in table.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines}


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, on a CPU or a GPU."""
    if isinstance(error, MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(t in text for t in OUT_OF_MEMORY)


def let_go() -> None:
    """Give back what nothing refers to any more."""
    import torch  # late: this module must not cost the others a second

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def in_bytes(number: float) -> str:
    """Write a number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
