"""What a build costs its first process and its workers, in a program of its own.

    python benchmarks/scale_steps.py FOLDER SAMPLES WORKERS

prints one JSON line; FOLDER is that of `cluster_clips.clips`.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path


def most_memory() -> float:
    """Return the most bytes that this process has held; its parent's do not count."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return 1024.0 * int(value.split()[0])
    raise RuntimeError("this system does not tell the memory of a process")


def main(folder: Path, into: Path, workers: int) -> dict[str, float]:
    """Build with the tool itself; tell its costs."""
    from fmrgb_tools.create_fmrgbdata import main as create

    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        words = ["--target", folder / "clips", "--output", into]
        words += ["--groups", folder / "groups.csv", "--size", 64, "--frames", 32]
        words += ["--workers", workers, "--log_file", log]
        begun = time.perf_counter()
        if create([str(word) for word in words]):
            raise RuntimeError("clips were set aside")
        seconds = time.perf_counter() - begun
        events = [json.loads(line) for line in log.open()]
    own = resource.getrusage(resource.RUSAGE_SELF)
    work = [e["seconds"] for e in events if e["stage"] in ("header", "make_sample")]
    made = sorted(into.rglob("*.pt"))
    n_clips = len(made)
    media = sum(p.stat().st_size for p in (folder / "clips").rglob("*.mp4"))
    return {
        "clips": n_clips,
        "seconds": seconds,
        "driver_cpu_s": own.ru_utime + own.ru_stime,
        "driver_bytes": most_memory(),
        "work_s": sum(work),
        "bytes_in": media / n_clips,
        "bytes_out": sum(p.stat().st_size for p in made) / n_clips,
        "row_bytes": (into / "manifest.csv").stat().st_size / n_clips,
    }


if __name__ == "__main__":
    began = time.perf_counter()
    told = main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    # Stdout has the tool's own words; the last line is ours.
    print(json.dumps(told))
