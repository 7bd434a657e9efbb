"""The benchmark of growth makes clips that differ and tells what is not linear."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from fmrgb.files import sha256
from fmrgb.manifest import read_manifest
from fmrgb.preflight import survey

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def growth() -> Iterator[ModuleType]:
    """Return the benchmark's module."""
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("growth")
    sys.path.remove(str(BENCHMARKS))


def test_copies_of_a_clip_differ_and_are_read_as_it_is(growth, talkie, tmp_path):
    growth.spread([talkie], tmp_path / "many", 30)
    copies = sorted((tmp_path / "many" / "clips").glob("*/*.mp4"))
    assert len({sha256(copy) for copy in copies}) == len(copies) == 30
    (one,), (whole,) = survey(copies[7]).found, survey(talkie).found
    assert one.header == whole.header
    assert one.header is not None


def test_rows_lead_to_samples_by_different_paths(growth, tmp_path):
    for label in "ab":
        (tmp_path / "samples" / label).mkdir(parents=True)
        (tmp_path / "samples" / label / "x.pt").touch()
    growth.write_rows(tmp_path / "rows.csv", 7, tmp_path / "samples")
    rows = read_manifest(tmp_path / "rows.csv")
    assert len({row.path for row in rows}) == len(rows) == 7
    assert all(row.path.is_file() and row.path.parent.name == row.label for row in rows)
    assert len({row.checksum for row in rows}) == 7


def test_what_grows_faster_than_the_numbers_is_told(growth, tmp_path):
    kept = growth.Kept(tmp_path / "costs.json")
    for n in (10, 100, 1000):
        mib = 200 + n / 100
        kept.costs[f"even {n}"] = {"cpu_s": n / 100, "peak_mib": mib}
        kept.costs[f"steep {n}"] = {"cpu_s": (n / 100) ** 1.5, "peak_mib": mib}
    places = {n: tmp_path for n in (10, 100, 1000)}
    even, steep = growth.table(kept, ["even", "steep"], places)[2:]
    assert even.startswith("| even | 0.10 (200) | 1.00 (201) | 10.00 (210) |")
    assert even.endswith("| 1.00 | 10,486 | yes |")
    assert steep.endswith("| 1.50 | 10,486 | **no** |")
