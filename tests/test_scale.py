"""The model of large builds: known answers, and shares as the real hash deals them."""

import importlib
import math
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from fmrgb.names import Shard

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def model() -> Iterator[ModuleType]:
    """Return the model's module."""
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("scale_model")
    sys.path.remove(str(BENCHMARKS))


def test_one_core_does_all_one_after_the_other(model):
    costs = model.Costs(start_s=3, clip_s=0.04, driver_s=0.01)
    told = model.predict(1000, costs, model.Cluster())
    assert told.seconds == pytest.approx(3 + 40 + 10)
    assert told.held_by == "cores"


def test_cores_divide_the_work_until_the_first_process_holds_them(model):
    costs = model.Costs(start_s=3, clip_s=0.04, driver_s=0.001)
    few = model.predict(10_000, costs, model.Cluster(cores=8))
    many = model.predict(10_000, costs, model.Cluster(cores=64))
    assert (few.seconds, few.held_by) == (pytest.approx(3 + 51.25), "cores")
    assert (many.seconds, many.held_by) == (pytest.approx(3 + 10), "first process")


@pytest.mark.parametrize("nodes", [2, 8, 64])
def test_the_largest_share_is_as_the_hash_deals_it(model, nodes):
    n_clips, sets = 6400, 5
    largest = []
    for number in range(sets):
        names = [f"label/{number}-{k}.mp4" for k in range(n_clips)]
        dealt = Counter(
            next(i for i in range(1, nodes + 1) if Shard(i, nodes).holds(name))
            for name in names
        )
        largest.append(max(dealt.values()))
    told = model.largest_share(n_clips, nodes)
    deviation = math.sqrt(n_clips / nodes)
    assert abs(sum(largest) / sets - told) < deviation
    assert model.largest_share(n_clips, 1) == n_clips


def test_ray_is_held_by_its_one_scheduler_where_shards_are_not(model):
    costs = model.Costs(
        start_s=0, clip_s=0.1, driver_s=0.0001, task_s=0.005, per_task=2
    )
    how = {"nodes": 1000, "cores": 16}
    ray = model.predict(10**6, costs, model.Cluster(engine="ray", **how))
    shards = model.predict(10**6, costs, model.Cluster(engine="shards", **how))
    assert (ray.held_by, ray.seconds) == ("scheduler", pytest.approx(2500))
    assert shards.held_by == "cores"
    assert 6.25 < shards.seconds < 8


def test_a_bucket_holds_what_asks_it_too_often(model):
    costs = model.Costs(start_s=0, clip_s=0.01, driver_s=0, gets=11, puts=7)
    how = {"engine": "shards", "nodes": 1000, "cores": 10}
    one = model.predict(10**6, costs, model.Cluster(prefixes=1, **how))
    ten = model.predict(10**6, costs, model.Cluster(prefixes=10, **how))
    assert (one.held_by, one.seconds) == ("object store", pytest.approx(4000))
    assert ten.seconds == pytest.approx(400)


def test_a_network_and_merging_can_hold_it_too(model):
    costs = model.Costs(
        start_s=0,
        clip_s=0.001,
        driver_s=0,
        bytes_in=3e5,
        bytes_out=7e5,
        merge_s=1e-3,
        merge_start_s=2,
    )
    slow = model.Cluster(engine="shards", nodes=2, cores=100, network=1e6)
    fast = model.Cluster(engine="shards", nodes=100, cores=100)
    assert model.predict(1000, costs, slow).held_by == "network"
    told = model.predict(1000, costs, fast)
    assert (told.held_by, told.seconds) == ("merging", pytest.approx(3, abs=0.01))


def test_memory_manifest_and_price_are_told(model):
    costs = model.Costs(
        start_s=0, clip_s=3.6, driver_s=0, held=2000, row_bytes=200, bytes_out=5e5
    )
    told = model.predict(
        1000, costs, model.Cluster(engine="ray", nodes=5, cores=2, price=0.05)
    )
    assert told.memory == 2e6
    assert told.manifest == 2e5
    assert told.stored == 5e8
    assert told.price == pytest.approx(1000 * 3.6 / 3600 * 0.05)
