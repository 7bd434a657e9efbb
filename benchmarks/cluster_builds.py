"""Rehearsals of building on two hosts: shared out, by Ray, from a bucket, disturbed."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster_hosts import BIN, Host, hosts
from cluster_proof import Proof, Watch, digest, fresh, prove, samples

OPTIONS = ("--size", "64", "--frames", "32", "--workers", "1")
MOST_S = 900.0  # for any rehearsal
LOOK_S = 0.2


@dataclass(frozen=True)
class Rehearsed:
    """What came of one rehearsal.

    Attributes:
        seconds: from the first program's start to the end of the last.
        proof: of what was built.
        told: what else is worth telling.
        requests: to an object store, per clip: that read, that write.
    """

    seconds: float
    proof: Proof
    told: str = ""
    requests: tuple[float, float] | None = None


@dataclass(frozen=True)
class Stage:
    """Where builds are rehearsed.

    Attributes:
        clips: folder of the clips.
        work: folder for samples and logs; every host sees it.
        wanted: `cluster_proof.digest` of an undisturbed build by one host.
    """

    clips: Path
    work: Path
    wanted: dict[str, str]

    @property
    def samples(self) -> Path:
        """The folder that is built in."""
        return self.work / "samples"

    @property
    def groups(self) -> Path:
        """The table of the clips' sources."""
        return self.clips.parent / "groups.csv"

    @property
    def log(self) -> Path:
        """What the hosts' programs say."""
        return self.work / "said.log"

    def build(
        self, host: Host, *more: str | Path, env: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Begin to build on a host, with more options."""
        words = (BIN / "fmrgb", "create_fmrgbdata", "--target", self.clips)
        into = ("--output", self.samples, "--groups", self.groups)
        return host.run(*words, *into, *OPTIONS, *more, env=env, log=self.log)

    def until(self, share: float, running: Sequence["subprocess.Popen[bytes]"]) -> None:
        """Wait until so large a share of the samples is there."""
        n = sum(name.endswith(".pt") for name in self.wanted)
        until(lambda: len(samples(self.samples)) >= share * n, running)


def until(
    is_so: Callable[[], bool], running: Sequence["subprocess.Popen[bytes]"]
) -> None:
    """Wait until something is so, while programs run that make it so.

    Raises:
        RuntimeError: if they end before, or it takes too long.
    """
    begun = time.monotonic()
    while not is_so():
        ended = all(one.poll() is not None for one in running)
        if ended or time.monotonic() - begun > MOST_S:
            raise RuntimeError("what was waited for did not come")
        time.sleep(LOOK_S)


def finish(*running: "subprocess.Popen[bytes]", log: Path | None = None) -> None:
    """Wait for programs to end well.

    Raises:
        RuntimeError: if one does not.
    """
    for one in running:
        if one.wait(MOST_S):
            raise RuntimeError(f"a program ended with {one.returncode}; see {log}")


def alone(stage: Stage) -> tuple[float, dict[str, str]]:
    """Build everything on one host; return the seconds and the digest."""
    fresh(stage.samples)
    with hosts(1) as (only,):
        begun = time.perf_counter()
        finish(stage.build(only), log=stage.log)
        seconds = time.perf_counter() - begun
    return seconds, digest(stage.samples)


def watched(stage: Stage, work: Callable[[], str]) -> Rehearsed:
    """Do a rehearsal's work on an empty folder, and prove what it left."""
    fresh(stage.samples)
    begun = time.perf_counter()
    with Watch(stage.samples) as watch:
        told = work()
        seconds = time.perf_counter() - begun
    return Rehearsed(seconds, prove(watch, stage.wanted), told)


def shares(stage: Stage) -> Rehearsed:
    """Two hosts build a share each; their manifests are merged."""

    def work() -> str:
        with hosts(2) as both:
            running = [
                stage.build(host, "--shard", f"{host.number}/2") for host in both
            ]
            finish(*running, log=stage.log)
            merge(stage, both[0])
        return ""

    return watched(stage, work)


def share_killed(stage: Stage) -> Rehearsed:
    """One of two hosts is switched off in mid-work and starts again later."""

    def work() -> str:
        with hosts(2) as (one, two):
            running = [stage.build(h, "--shard", f"{h.number}/2") for h in (one, two)]
            stage.until(0.5, running)
            two.off()
            finish(running[0], log=stage.log)
            again = Host(3, parted=one.parted)
            try:
                finish(stage.build(again, "--shard", "2/2"), log=stage.log)
                merge(stage, one)
            finally:
                again.off()
        return "its share was begun again on another host"

    return watched(stage, work)


def merge(stage: Stage, host: Host) -> None:
    """Make one manifest of the shares'."""
    words = (BIN / "fmrgb", "merge", "--target", stage.samples)
    finish(host.run(*words, log=stage.log), log=stage.log)
