"""Rehearsals of building on Ray's nodes and from a bucket, also disturbed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cluster_builds import OPTIONS, Rehearsed, Stage, finish, watched
from cluster_hosts import BIN, Host, hosts
from cluster_proof import fresh
from cluster_services import (
    BUCKET,
    RAY_ENV,
    RAY_PORT,
    object_store,
    ray_up,
)

CUT_S = 30.0  # how long a host is cut off
JOIN_S = 60.0  # for Ray's nodes to find each other
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
        how = {"parted": both[0].parted, "log": stage.work / "store.log"}
        with object_store(**how) as env:
            _upload(stage, both[0], env)

            def work() -> str:
                words = [BIN / "fmrgb", "create_fmrgbdata", *OPTIONS]
                words += ["--target", f"s3://{BUCKET}/clips"]
                words += ["--output", f"s3://{BUCKET}/samples"]
                words += ["--groups", f"s3://{BUCKET}/groups.csv"]
                running = []
                for host in both:
                    cache = fresh(stage.work / f"cache{host.number}")
                    share = ("--shard", f"{host.number}/2")
                    own = {**env, "FMRGB_CACHE": str(cache)}
                    one = host.run(*words, *share, env=own, log=stage.log)
                    running.append(one)
                finish(*running, log=stage.log)
                merge = ("merge", "--target", f"s3://{BUCKET}/samples")
                own = {**env, "FMRGB_CACHE": str(fresh(stage.work / "cache1"))}
                finish(both[0].run(BIN / "fmrgb", *merge, env=own, log=stage.log))
                return _download(stage)

            return watched(stage, work)


def _upload(stage: Stage, host: Host, env: dict[str, str]) -> None:
    """Put clips and groups into the bucket."""
    code = (
        "import fsspec, sys; fs = fsspec.filesystem('s3'); "
        "fs.put(sys.argv[1], sys.argv[2], recursive=True)"
    )
    for source, name in ((stage.clips, "clips"), (stage.groups, "groups.csv")):
        to = f"{BUCKET}/{name}"
        words = (BIN / "python", "-c", code, str(source), to)
        finish(host.run(*words, env=env, log=stage.log), log=stage.log)
    (stage.work / "store.log").write_text("")  # what comes now is the build's


def _download(stage: Stage) -> str:
    """Bring what the bucket holds to the folder that is proved; count the requests."""
    import fsspec

    lines = (stage.work / "store.log").read_text().splitlines()
    puts = sum('"PUT ' in line or '"POST ' in line for line in lines)
    gets = sum('"GET ' in line or '"HEAD ' in line for line in lines)
    n = sum(name.endswith(".pt") for name in stage.wanted)
    fs = fsspec.filesystem("s3")
    fs.invalidate_cache()
    fs.get(f"{BUCKET}/samples/", str(stage.samples), recursive=True)
    return f"per clip {gets / n:.1f} requests that read, {puts / n:.1f} that write"
