"""Rehearsals of training and searching on two hosts, undisturbed and disturbed."""

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cluster_builds import MOST_S, Stage, finish, until
from cluster_hosts import BIN, PORT, Host, hosts

from fmrgb.cells import read_csv

MASTER_PORT = "29511"
EPOCHS = 4
# Not conv3d: where drawn ground stands still, many of its values lie at the kink of
# ReLU, and rounding decides on which side; see LOG.md.
TRAIN = ("--learnmethod", "vivit", "--frames", "16", "--batch_size", "20")
TRIALS = 8
SEARCH = ("--islearnrate_search", "true", "--trials", str(TRIALS))
SEARCH += ("--search_epochs", "32", "--epochs", "16", "--patience", "2", "--size", "32")
LOSSES = ("train_loss", "val_loss")


@dataclass(frozen=True)
class Trained:
    """What came of a training or a search.

    Attributes:
        seconds: from the first program's start to the end of the last.
        told: what is worth telling.
        holds: whether what was promised was seen.
    """

    seconds: float
    told: str
    holds: bool


def train(stage: Stage, host: Host, run: Path, *more: str) -> "subprocess.Popen[bytes]":
    """Begin a training on one host."""
    words = ("train", "--data", stage.samples, "--output", run, *TRAIN, *more)
    return host.run(BIN / "fmrgb", *words, log=stage.log)


def together(
    stage: Stage, both: list[Host], run: Path, *more: str
) -> "list[subprocess.Popen[bytes]]":
    """Begin one training on several hosts, as torchrun starts it."""
    words: list[str | Path] = [BIN / "torchrun", "--nnodes", str(len(both))]
    words += ["--nproc-per-node", "1", "--max-restarts", "0"]
    words += ["--master-addr", both[0].address, "--master-port", MASTER_PORT]
    tool = ["-m", "fmrgb_tools.main", "train", "--data", stage.samples]
    tool += ["--output", run, "--nodes", str(len(both)), *TRAIN, *more]
    env = {"GLOO_SOCKET_IFNAME": PORT, "TP_SOCKET_IFNAME": PORT}
    if not both[0].parted:
        env = {}
    return [
        host.run(*words, "--node-rank", str(rank), *tool, env=env, log=stage.log)
        for rank, host in enumerate(both)
    ]


def losses(run: Path) -> list[list[float]]:
    """Return the losses of every epoch."""
    rows = read_csv(run / "metrics.csv", LOSSES)
    return [[float(row[name]) for name in LOSSES] for row in rows]


def unlike(run: Path, other: Path) -> float:
    """Return by how much two curves differ at most, as a part of the second."""
    a, b = losses(run), losses(other)
    if len(a) != len(b):
        return float("inf")
    return float(np.max(np.abs(np.array(a) - b) / b))


def training(stage: Stage) -> dict[str, Trained]:
    """Train on one host, on two, and on two of which one is switched off."""
    epochs = ("--epochs", str(EPOCHS), "--precision", "32")
    one, two, hurt = (_fresh(stage.work / name) for name in ("one", "two", "hurt"))
    with hosts(1) as (only,):
        begun = time.perf_counter()
        finish(train(stage, only, one, *epochs), log=stage.log)
        alone_s = time.perf_counter() - begun
    with hosts(2) as both:
        begun = time.perf_counter()
        finish(*together(stage, both, two, *epochs), log=stage.log)
        seconds = time.perf_counter() - begun
    off = unlike(two, one)
    paces = [_pace(run) for run in (one, two)]
    told = (
        f"losses differ from one host's by {off:.1e} of them at most; an epoch takes "
        f"{paces[1] / paces[0]:.2f} of one host's"
    )
    found = {"train on one host": Trained(alone_s, f"{EPOCHS} epochs", True)}
    found["train on two hosts"] = Trained(seconds, told, off < 1e-3)
    begun = time.perf_counter()
    ended_s = _hurt(stage, hurt, epochs)
    with hosts(2) as both:
        finish(*together(stage, both, hurt, *epochs, "--resume"), log=stage.log)
    seconds, off = time.perf_counter() - begun, unlike(hurt, two)
    told = (
        f"the other ended by itself {ended_s:.0f} s later; resumed, losses differ "
        f"from the undisturbed by {off:.1e} of them at most"
    )
    name = "train on two hosts, one switched off"
    found[name] = Trained(seconds, told, off < 1e-3)
    return found


def _hurt(stage: Stage, run: Path, epochs: tuple[str, ...]) -> float:
    """Switch one of two training hosts off; return how long the other went on, in s."""
    with hosts(2) as both:
        running = together(stage, both, run, *epochs)
        until(lambda: (run / "metrics.csv").exists() and len(losses(run)) > 1, running)
        both[1].off()
        begun = time.monotonic()
        if not running[0].wait(MOST_S):
            raise RuntimeError("a training ended well without one of its hosts")
        return time.monotonic() - begun


def _pace(run: Path) -> float:
    """Return the median s of an epoch, without the first."""
    took = sorted(float(r["seconds"]) for r in read_csv(run / "metrics.csv", LOSSES))
    return took[len(took) // 2]


def _fresh(run: Path) -> Path:
    shutil.rmtree(run, ignore_errors=True)
    return run


def searching(stage: Stage) -> dict[str, Trained]:
    """Search on one host, on two that share a store, and on two, one switched off."""
    found: dict[str, Trained] = {}
    alone = _searched(stage, "search by one host", 1)
    shared = _searched(stage, "search by two hosts", 2)
    hurt = _searched(stage, "search by two hosts, one switched off", 2, kill=True)
    for trained, rates in (alone, shared, hurt):
        name, seconds, n_trials, twice = rates
        told = f"{n_trials} trials, {twice} done twice; rate {trained}"
        holds = n_trials == TRIALS and not twice
        found[name] = Trained(seconds, told, holds)
    return found


def _searched(
    stage: Stage, name: str, n_hosts: int, *, kill: bool = False
) -> tuple[str, tuple[str, float, int, int]]:
    """Search; return the rate found, and name, seconds, trials, those done twice."""
    store = stage.work / "trials.journal"
    store.unlink(missing_ok=True)
    more = ("--storage", str(store), *SEARCH)
    with hosts(n_hosts) as up:
        begun = time.perf_counter()
        runs = [_fresh(stage.work / f"search{host.number}") for host in up]
        running = [train(stage, h, run, *more) for h, run in zip(up, runs, strict=True)]
        if kill:
            until(lambda: store.exists() and _done(store) > 0, running)
            time.sleep(1)
            up[1].off()
            running, runs = running[:1], runs[:1]
        finish(*running, log=stage.log)
        seconds = time.perf_counter() - begun
    trials = read_csv(runs[0] / "lr_search.csv", ("lr", "state"))
    done = [trial["lr"] for trial in trials if trial["state"] in ("complete", "pruned")]
    whole = [trial for trial in trials if trial["state"] == "complete"]
    best = min(whole, key=lambda trial: float(trial["val_loss"]))
    told = f"{float(best['lr']):.2g}"
    return told, (name, seconds, len(done), len(done) - len(set(done)))


def _done(store: Path) -> int:
    """Count the trials that have come to an end, by the journal's own lines."""
    lines = (line for line in store.read_text().splitlines() if line.endswith("}"))
    return sum(json.loads(line).get("state") in (1, 2) for line in lines)
