"""The steps whose growth is measured: prepared, then timed, in a program of its own.

    python benchmarks/growth_steps.py "split rows" /tmp/fmrgb-growth/rows1000000.csv

prints what the step took as one JSON line.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

Step = Callable[[Path], Callable[[], object]]
SHARES: dict[str, Any] = {"test_size": 0.2, "val_size": 0.2, "seed": 0}
BATCH = 20  # clips
DRAWN = 200  # batches
FRAMES, SIZE = 8, (32, 32)


def build(folder: Path) -> Callable[[], object]:
    """Read headers, make samples, write the manifest: create_fmrgbdata."""
    shutil.rmtree(folder / "samples", ignore_errors=True)
    return _building(folder)


def rebuild(folder: Path) -> Callable[[], object]:
    """Find that all samples are there already."""
    import torch  # noqa: F401

    return _building(folder)


def _building(folder: Path) -> Callable[[], object]:
    from fmrgb.build import Recipe, build
    from fmrgb.preflight import survey

    samples, recipe = folder / "samples", Recipe(frames=FRAMES, size=SIZE)

    def work() -> object:
        groups = folder / "groups.csv"
        found = survey(folder / "clips", output=samples, groups=groups)
        return build(found, recipe, folder=samples)

    return work


def gather(folder: Path) -> Callable[[], object]:
    """Open every sample once, as train does first."""
    from fmrgb.material import gather

    return lambda: gather(_manifest(folder))


def audit(folder: Path) -> Callable[[], object]:
    """Tell all that can be known before a training: train --dry_run."""
    from fmrgb.audit import audit
    from fmrgb.learner import Settings
    from fmrgb.material import gather, parted

    material = gather(_manifest(folder))
    rows = parted(material, **SHARES)
    settings = Settings(model="conv3d", model_size="tiny", batch_size=BATCH)
    return lambda: audit(rows, material.view, settings, recipe=material.recipe)


def load(folder: Path) -> Callable[[], object]:
    """Load one epoch, every clip from its file."""
    batches = _batches(_manifest(folder))

    def work() -> None:
        for _ in batches():
            pass

    return work


def read(folder: Path) -> Callable[[], object]:
    """Read the manifest."""
    from fmrgb.manifest import read_manifest

    return lambda: read_manifest(_manifest(folder))


def split(folder: Path) -> Callable[[], object]:
    """Split, sources kept whole."""
    from fmrgb.manifest import read_manifest
    from fmrgb.splits import split

    rows = read_manifest(_manifest(folder))
    return lambda: split(rows, **SHARES)


def split_alone(folder: Path) -> Callable[[], object]:
    """Split where every clip is a source of its own."""
    from fmrgb.manifest import read_manifest
    from fmrgb.splits import split

    rows = [replace(row, group="") for row in read_manifest(_manifest(folder))]
    return lambda: split(rows, **SHARES)


def look(folder: Path) -> Callable[[], object]:
    """Count, and look for what goes with the label: the audit without its network."""
    from fmrgb import facts
    from fmrgb.census import count
    from fmrgb.manifest import read_manifest
    from fmrgb.splits import leaks, sources

    rows = read_manifest(_manifest(folder))

    def work() -> None:
        own = sources(rows)
        facts.find(rows, own)
        facts.guess_from_all(rows, own)
        count(rows, own)
        leaks(rows)

    return work


def draw(folder: Path) -> Callable[[], object]:
    """Draw batches by chance from all rows."""
    batches = _batches(_manifest(folder))

    def work() -> None:
        for _ in islice(batches(), DRAWN):
            pass

    return work


def write(folder: Path) -> Callable[[], object]:
    """Write the manifest."""
    from fmrgb.manifest import read_manifest, write_manifest

    rows = read_manifest(_manifest(folder))
    return lambda: write_manifest(folder.with_name("written.csv"), rows)


def _manifest(where: Path) -> Path:
    """Return the manifest itself, or that of a folder of clips."""
    return where if where.suffix == ".csv" else where / "samples" / "manifest.csv"


def _batches(manifest: Path) -> Callable[[], Any]:
    from fmrgb.loader import ClipSet, batches
    from fmrgb.manifest import read_manifest
    from fmrgb.sample import load_sample
    from fmrgb.seen import choose_view

    rows = read_manifest(manifest)
    view = choose_view(load_sample(rows[0].path), channels="all")
    classes = sorted({row.label for row in rows})
    return lambda: batches(ClipSet(rows, classes, view), batch_size=BATCH, shuffle=True)


CLIP_STEPS: dict[str, Step] = {
    "build": build,
    "build again: all is there": rebuild,
    "open every sample": gather,
    "audit": audit,
    "split": split,
    "load an epoch": load,
}
ROW_STEPS: dict[str, Step] = {
    "read": read,
    "split rows": split,
    "split, no two of one source": split_alone,
    "count, facts, leaks": look,
    f"draw {DRAWN} batches of {BATCH}": draw,
    "write": write,
}
AFTER = [
    "Rows stay in memory, so `bytes each` is what bounds a step: about 1 KiB a row, of "
    "which 0.3 KiB is its path. To hold less, rows would have to stay on disk, and a "
    "split needs every source and label once. More than 10,000 sources are put "
    "together into 10,000 bundles before they are dealt. An epoch keeps its clips "
    "(40 KiB each here) up to 2 GiB. What a million clips wait for is the opening of "
    "every sample before a training.",
]


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


def main() -> int:
    """Run one step."""
    step = (CLIP_STEPS | ROW_STEPS)[sys.argv[1]]
    # Imported late by the steps: not part of what grows.
    import scipy.stats  # noqa: F401
    import sklearn.model_selection
    import sklearn.naive_bayes  # noqa: F401

    work = step(Path(sys.argv[2]))
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    cost = {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "peak_mib": _peak_mib(),
    }
    print(json.dumps(cost))
    return 0


if __name__ == "__main__":
    sys.exit(main())
