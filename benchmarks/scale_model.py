"""A small model of how long a build takes, what it costs and what holds it back.

Everything it multiplies was measured (`scale.py`), but for what others state of object
stores, and what the user pays. A clip's work divides among cores; what the first
process of a run does for every clip does not; and shares by hash are not of one size.
"""

import math
from dataclasses import dataclass
from typing import Literal

Engine = Literal["local", "shards", "ray"]
# Requests per second under one prefix of a bucket; more prefixes, more requests.
# Source: Amazon S3 User Guide, "Best practices design patterns: optimizing Amazon S3
# performance". https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html
GETS_PER_S, PUTS_PER_S = 5500.0, 3500.0


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What was measured, for clips of one kind.

    Attributes:
        start_s: from the command to the first clip, and from the last to the end.
        clip_s: processor s that the workers spend on a clip, header and sample.
        driver_s: processor s that the first process spends on a clip.
        merge_s: s per row of merging the shares' manifests, by one process.
        merge_start_s: of starting and ending that.
        task_s: s that Ray's scheduler takes for a task, one task after the other.
        per_task: clips in a task.
        bytes_in: of a clip.
        bytes_out: of a sample.
        row_bytes: of a clip's row in the manifest.
        held: bytes of memory that the first process keeps of a clip.
        gets: requests that read, per clip, at an object store.
        puts: requests that write.
    """

    start_s: float
    clip_s: float
    driver_s: float
    merge_s: float = 0.0
    merge_start_s: float = 0.0
    task_s: float = 0.0
    per_task: int = 1
    bytes_in: float = 0.0
    bytes_out: float = 0.0
    row_bytes: float = 0.0
    held: float = 0.0
    gets: float = 0.0
    puts: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where it runs.

    Attributes:
        engine: local is one node; shards and ray are many.
        nodes: how many.
        cores: of each, all of them workers.
        network: bytes per s between a node and what holds clips and samples; infinite
            for a disk of its own.
        prefixes: of the bucket that clips and samples lie under; 0 is no bucket.
        price: of a core for an hour.
    """

    engine: Engine = "local"
    nodes: int = 1
    cores: int = 1
    network: float = math.inf
    prefixes: int = 0
    price: float = 0.0


@dataclass(frozen=True)
class Prediction:
    """What the model says.

    Attributes:
        seconds: from the command to the manifest.
        held_by: what takes the most of them: cores, first process, scheduler, network,
            or object store.
        price: of all cores for so long.
        memory: bytes that the first process of a node holds of its clips.
        manifest: bytes of the whole manifest.
        stored: bytes of all samples.
    """

    seconds: float
    held_by: str
    price: float
    memory: float
    manifest: float
    stored: float


def largest_share(n_clips: int, nodes: int) -> float:
    """Return how many clips the largest of the shares has, as a rule.

    A hash deals clips as dice do, so a share is binomial, nearly normal; of `nodes`
    normal numbers the largest lies sqrt(2 ln nodes) deviations above the mean.
    """
    mean = n_clips / nodes
    spread = math.sqrt(mean * (1 - 1 / nodes))
    return min(n_clips, mean + spread * math.sqrt(2 * math.log(nodes)))


def predict(n_clips: int, costs: Costs, cluster: Cluster) -> Prediction:
    """Say how long a build of `n_clips` takes on a cluster, and why."""
    is_ray = cluster.engine == "ray"
    share = n_clips / cluster.nodes if is_ray else largest_share(n_clips, cluster.nodes)
    # One first process serves all nodes of Ray, else each node has its own.
    served = n_clips if is_ray else share
    # All cores work on clips, and the first process takes its time from one of them.
    parts = {
        "cores": share * (costs.clip_s + costs.driver_s) / cluster.cores,
        "first process": served * costs.driver_s,
        "network": share * (costs.bytes_in + costs.bytes_out) / cluster.network,
    }
    if is_ray:
        parts["scheduler"] = n_clips / costs.per_task * costs.task_s
    if cluster.prefixes:
        rate = costs.gets / GETS_PER_S + costs.puts / PUTS_PER_S
        parts["object store"] = n_clips * rate / cluster.prefixes
    held_by = max(parts, key=lambda part: parts[part])
    merging = costs.merge_start_s + n_clips * costs.merge_s
    merging *= cluster.engine == "shards"
    seconds = costs.start_s + parts[held_by] + merging
    return Prediction(
        seconds=seconds,
        held_by="merging" if merging > parts[held_by] else held_by,
        price=seconds / 3600 * cluster.nodes * cluster.cores * cluster.price,
        memory=served * costs.held,
        manifest=n_clips * costs.row_bytes,
        stored=n_clips * costs.bytes_out,
    )
