"""How a build grows with clips and hosts: measured, held against a model, foretold.

Takes the model's figures from builds of 10 and 1,000 clips, then builds 100, 1,000 and
10,000 on one core, on two, and shared between two hosts, and holds what the model says
against what was measured. Then says what a million and a hundred million clips would
take. What is measured is kept in the work folder. Writes docs/SCALE.md.

    python benchmarks/scale.py --most 1000  # at least
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cell_runs import HERE, make_work_folder
from cluster_builds import Stage, finish, merge
from cluster_clips import clips
from cluster_hosts import hosts
from cluster_proof import fresh
from scale_tables import NUMBERS, Figures, write_page

from fmrgb.files import whole_file
from fmrgb.ray_engine import joined, task_overhead

TAKEN = (10, 1000)  # clips of the builds that the model's figures are taken from
REPEATS = 3  # of those


class Store:
    """Figures by name, in a file, so that nothing is measured twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.known: Figures = {}
        if path.exists():
            self.known = json.loads(path.read_text())

    def of(self, name: str, measure: Callable[[], dict[str, float]]) -> None:
        """Measure what is not known by this name."""
        if name in self.known:
            return
        self.known[name] = measure()
        with whole_file(self._path) as part:
            part.write_text(json.dumps(self.known, indent=1))
        print(name, self.known[name], file=sys.stderr)


def figures(folder: Path, samples: Path) -> dict[str, float]:
    """Return what a build costs its first process and its one worker; medians."""
    script = str(HERE / "scale_steps.py")
    runs: list[dict[str, float]] = []
    for _ in range(REPEATS):
        fresh(samples)
        words = [sys.executable, script, str(folder), str(samples), "1"]
        done = subprocess.run(words, check=True, text=True, stdout=subprocess.PIPE)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def timed(stage: Stage, *, n_hosts: int, workers: int) -> dict[str, float]:
    """Return how long a build took, and of that the merging of its shares."""
    fresh(stage.samples)
    many = ("--workers", str(workers))
    with hosts(n_hosts) as up:
        if workers > 1:
            up[0].core = f"0-{workers - 1}"
        begun = time.perf_counter()
        if n_hosts == 1:
            finish(stage.build(up[0], *many), log=stage.log)
            return {"seconds": time.perf_counter() - begun}
        shared = [stage.build(h, *many, "--shard", f"{h.number}/{n_hosts}") for h in up]
        finish(*shared, log=stage.log)
        merging = time.perf_counter()
        merge(stage, up[0])
        ended = time.perf_counter()
    return {"seconds": ended - begun, "merging": ended - merging}


def scheduling() -> dict[str, float]:
    """Return what Ray takes for a task beside its work; the median of some turns."""
    with joined(None, workers=2) as cluster:
        return {"task_s": statistics.median(task_overhead(cluster) for _ in range(3))}


def requests() -> dict[str, float]:
    """Return the requests per clip that a rehearsal counted, if there was one."""
    path = HERE / ".work" / "cluster" / "found.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    counts = [told["requests"] for told in found.values() if told.get("requests")]
    gets, puts = counts[0] if counts else (0.0, 0.0)
    return {"gets": gets, "puts": puts}


WAYS: dict[str, dict[str, Any]] = {
    "one core": {"n_hosts": 1, "workers": 1},
    "two cores": {"n_hosts": 1, "workers": 2},
    "two hosts": {"n_hosts": 2, "workers": 1},
}


def main() -> int:
    """Measure what is not known yet and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--most", type=int, default=max(NUMBERS), help="clips")
    parser.add_argument("--work", type=Path, default=HERE / ".work" / "scale")
    parser.add_argument("--tables", action="store_true", help="only write the page")
    options = parser.parse_args()
    make_work_folder(options.work)
    store = Store(options.work / "figures.json")
    if not options.tables:
        store.of("ray", scheduling)
    store.known["bucket"] = requests()
    for n in sorted({*TAKEN, *NUMBERS}) if not options.tables else ():
        if n > options.most:
            continue
        media = options.work / f"media{n}"
        stage = Stage(clips(media, n), options.work, {})
        if n in TAKEN:
            store.of(f"figures {n}", lambda m=media, s=stage: figures(m, s.samples))
        for way, how in WAYS.items() if n in NUMBERS else ():
            store.of(f"{way} {n}", lambda s=stage, h=how: timed(s, **h))
    fresh(options.work / "samples")
    print(f"wrote {write_page(HERE.parent / 'docs' / 'SCALE.md', store.known)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
