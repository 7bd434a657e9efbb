"""Rehearsals of building on Ray's nodes and from a bucket, also disturbed."""

import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import fsspec
from cluster_builds import OPTIONS, Rehearsed, Stage, finish, watched
from cluster_hosts import BIN, Host, hosts
from cluster_proof import Watch, fresh, prove
from cluster_services import (
    BUCKET,
    RAY_ENV,
    RAY_PORT,
    object_store,
    ray_up,
)

CUT_S = 30.0  # how long a host is cut off
JOIN_S = 60.0  # for Ray's nodes to find each other
CLIPS, SAMPLES = f"s3://{BUCKET}/clips", f"s3://{BUCKET}/samples"
BUILD = ("create_fmrgbdata", "--target", CLIPS, "--output", SAMPLES)
BUILD += ("--groups", f"s3://{BUCKET}/groups.csv")
MERGE = ("merge", "--target", SAMPLES)
# Asks Ray how many nodes it has.
COUNT = (
    "import ray; ray.init(address='{}', log_to_driver=False, logging_level=50); "
    "raise SystemExit(sum(n['Alive'] for n in ray.nodes()) < 2)"
)


@contextmanager
def ray_of_two(stage: Stage) -> Iterator[tuple[Host, Host]]:
    """Two hosts, each a node of one Ray."""
    with hosts(2) as (head, other):
        ray_up(head, head, stage.log)
        begun = time.monotonic()
        ray_up(other, head, stage.log)
        count = COUNT.format(f"{head.address}:{RAY_PORT}")
        while head.run(BIN / "python", "-c", count, env=RAY_ENV).wait():
            if time.monotonic() - begun > JOIN_S:
                raise RuntimeError(f"Ray's nodes did not meet; see {stage.log}")
        yield head, other


def by_ray(
    stage: Stage, disturb: Callable[[Host], str] | None = None, share: float = 0.4
) -> Rehearsed:
    """Two nodes of Ray build; after a share of it the second may be disturbed."""
    with ray_of_two(stage) as (head, other):
        address = f"{head.address}:{RAY_PORT}"

        def work() -> str:
            how = ("--engine", "ray", "--address", address)
            running = stage.build(head, *how, env=RAY_ENV)
            told = ""
            if disturb:
                stage.until(share, [running])
                told = disturb(other)
            finish(running, log=stage.log)
            return told

        return watched(stage, work)


def node_killed(stage: Stage) -> Rehearsed:
    """One of Ray's two nodes is switched off in mid-work and stays so."""

    def disturb(other: Host) -> str:
        other.off()
        return "the other node did its clips anew"

    return by_ray(stage, disturb)


def network_cut(stage: Stage) -> Rehearsed:
    """One of Ray's two nodes is cut off from the other for half a minute."""

    def disturb(other: Host) -> str:
        other.cut()
        time.sleep(CUT_S)
        other.join()
        return f"cut off for {CUT_S:g} s"

    return by_ray(stage, disturb, 0.2)


def from_bucket(stage: Stage) -> Rehearsed:
    """Clips, samples and manifests lie in a bucket; two hosts build a share each."""
    with hosts(2) as both:
        said = stage.work / "store.log"
        said.unlink(missing_ok=True)
        with object_store(parted=both[0].parted, log=said) as env:
            _upload(stage, both[0], env)
            n_before = len(said.read_text())
            begun = time.perf_counter()
            running = []
            for host in both:
                share = ("--shard", f"{host.number}/2")
                running.append(_in_bucket(stage, host, env, *BUILD, *OPTIONS, *share))
            finish(*running, log=stage.log)
            finish(_in_bucket(stage, both[0], env, *MERGE), log=stage.log)
            seconds = time.perf_counter() - begun
            asked = said.read_text()[n_before:]
            fsspec.filesystem("s3").get(
                f"{BUCKET}/samples/", str(fresh(stage.samples)), recursive=True
            )
    n = sum(name.endswith(".pt") for name in stage.wanted)
    puts = re.findall(r"(?:PUT|POST) (/\S*)", asked)
    gets = re.findall(r"(?:GET|HEAD) /", asked)
    twice = Counter(p.partition("?")[0] for p in puts if ".pt" in p and "uploads" in p)
    twice += Counter(p for p in puts if p.endswith(".pt"))
    per_clip = (len(gets) / n, len(puts) / n)
    told = (
        f"per clip {per_clip[0]:.1f} requests that read, {per_clip[1]:.1f} that write"
    )
    proof = prove(Watch(stage.samples), stage.wanted)
    again = sum(count - 1 for count in twice.values())
    return Rehearsed(seconds, replace(proof, again=again), told, per_clip)


def _in_bucket(
    stage: Stage, host: Host, env: dict[str, str], *words: str
) -> "subprocess.Popen[bytes]":
    """Begin a tool on a host, which has a cache of its own and nothing in it."""
    cache = fresh(stage.work / f"cache{host.number}")
    own = {**env, "FMRGB_CACHE": str(cache)}
    return host.run(BIN / "fmrgb", *words, env=own, log=stage.log)


def _upload(stage: Stage, host: Host, env: dict[str, str]) -> None:
    """Put clips and groups into the bucket."""
    code = (
        "import fsspec, sys; fs = fsspec.filesystem('s3'); "
        "fs.put(sys.argv[1], sys.argv[2], recursive=True)"
    )
    for source, name in ((stage.clips, "clips"), (stage.groups, "groups.csv")):
        words = (BIN / "python", "-c", code, str(source), f"{BUCKET}/{name}")
        finish(host.run(*words, env=env, log=stage.log), log=stage.log)
