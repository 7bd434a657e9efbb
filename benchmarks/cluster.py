"""Rehearsals of what happens past one machine: hosts are lost, cut off, and come back.

Two or more hosts (network namespaces of this machine; see cluster_hosts.py) build a
thousand clips, train and search together, undisturbed and disturbed, and what they
leave is held against what one host leaves undisturbed. Prints a table and writes
benchmarks/CLUSTER.md; ends with status 1 if anything was lost.

    python benchmarks/cluster.py --clips 200 --only 'build*'
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from cell_runs import HERE, make_work_folder
from cluster_builds import Rehearsed, Stage, alone, share_killed, shares
from cluster_clips import clips
from cluster_hosts import can_part
from cluster_ray import by_ray, from_bucket, network_cut, node_killed
from cluster_training import Trained, searching, training
from results import machine

from fmrgb.files import whole_file

TRAINED_ON = 200  # clips
BUILDS: dict[str, Callable[[Stage], Rehearsed]] = {
    "build by two shares": shares,
    "build by two shares, one host switched off": share_killed,
    "build by Ray on two nodes": by_ray,
    "build by Ray, one node switched off": node_killed,
    "build by Ray, one node cut off": network_cut,
    "build from a bucket into a bucket by two shares": from_bucket,
}
PARTED = ("build by Ray, one node cut off",)  # cannot be without networks of their own
Told = dict[str, Any]


def rehearse(work: Path, n_clips: int, only: str) -> dict[str, Told]:
    """Do the rehearsals whose names match; return what came of each, by its name."""
    wanted = {name: work_ for name, work_ in BUILDS.items() if fnmatch(name, only)}
    found: dict[str, Told] = {}
    if wanted:
        stage = Stage(clips(work / f"media{n_clips}", n_clips), work, {})
        seconds, digest = alone(stage)
        found["build on one host"] = {"seconds": seconds, "holds": True}
        stage = Stage(stage.clips, work, digest)
        for name, rehearsal in wanted.items():
            if name in PARTED and not can_part():
                found[name] = {"told": "not run: needs root and iproute2"}
                continue
            found[name] = _built(rehearsal(stage))
            say(name, found[name])
    small = [(name, act) for name, act in ACTS.items() if fnmatch(name, only)]
    if small:
        stage = Stage(clips(work / f"media{TRAINED_ON}", TRAINED_ON), work, {})
        alone(stage)
        for _, act in small:
            for name, trained in act(stage).items():
                found[name] = asdict(trained)
                say(name, found[name])
    return found


ACTS: dict[str, Callable[[Stage], dict[str, Trained]]] = {
    "train": training,
    "search": searching,
}


def _built(rehearsed: Rehearsed) -> Told:
    proof = asdict(rehearsed.proof)
    told = {"seconds": rehearsed.seconds, "told": rehearsed.told, **proof}
    return {**told, "requests": rehearsed.requests, "holds": rehearsed.proof.holds}


def say(name: str, told: Told) -> None:
    """Tell what came of one, as it comes."""
    state = "holds" if told["holds"] else "DOES NOT HOLD"
    print(f"{name}: {state}, {told['seconds']:.0f} s; {told}", file=sys.stderr)


def table(found: dict[str, Told]) -> list[str]:
    """Write a line for each rehearsal."""
    one = found.get("build on one host", {}).get("seconds")
    lines = [
        "| rehearsal | lost | twice that shows | other bytes | made again | left "
        "half | s | speed-up | |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    rows = []
    for name, told in found.items():
        if "seconds" not in told:
            lines.append(f"| {name} | | | | | | | | {told['told']} |")
            continue
        if name.startswith("build"):
            keys = ("lost", "twice", "unlike", "again", "left")
            cells = [str(told.get(key, "")) for key in keys]
            gain = f"{one / told['seconds']:.2f}" if one and "lost" in told else ""
            said = told.get("told", "")
            held = "" if told["holds"] else "**does not hold** "
            lines.append(
                f"| {name} | {' | '.join(cells)} | {told['seconds']:.0f} | {gain} | "
                f"{held}{said} |"
            )
        else:
            held = "yes" if told["holds"] else "**no**"
            rows.append(f"| {name} | {told['seconds']:.0f} | {held} | {told['told']} |")
    if rows:
        lines += ["", "| rehearsal | s | holds | |", "|---|---:|---|---|", *rows]
    return lines


def page(found: dict[str, Told], n_clips: int) -> str:
    """Write CLUSTER.md."""
    lines = [
        "# Past one machine, rehearsed",
        "",
        f"{machine('lightning', 'optuna', 'ray', 's3fs', 'torch')}",
        "",
        f"{n_clips:,} clips of 7.5 s (320x180, with sound) to samples of 32 frames of "
        f"64x64x5; training and search on {TRAINED_ON} of them. Hosts are network "
        "namespaces of one machine with a core each, joined by a bridge, with one disk "
        "for all; a host is switched off by killing all its processes at once. The "
        "bucket is moto's server, in one process on the same cores, which the hosts "
        "share with it. `lost`, `twice that shows` and `other bytes` are held against "
        "the samples and manifest of one host that nobody disturbed; `made again` are "
        "samples that were made more than once, which shows nowhere; `left half` are "
        "hidden files of a host that is gone, which go a day later. The speed-up is "
        "over one host, all programs' starts included.",
        "",
        *table(found),
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Rehearse, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=1000, help="to build")
    parser.add_argument("--only", default="*", help="pattern of names: build*, train")
    parser.add_argument("--work", type=Path, default=HERE / ".work" / "cluster")
    options = parser.parse_args()
    make_work_folder(options.work)
    kept = options.work / "found.json"
    known: dict[str, Told] = json.loads(kept.read_text()) if kept.exists() else {}
    begun = time.perf_counter()
    known |= rehearse(options.work, options.clips, options.only)
    with whole_file(kept) as part:
        part.write_text(json.dumps(known, indent=1))
    print("\n".join(table(known)))
    print(f"{(time.perf_counter() - begun) / 60:.0f} minutes")
    with whole_file(HERE / "CLUSTER.md") as part:
        part.write_text(page(known, options.clips))
    return 0 if all(told.get("holds", True) for told in known.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
