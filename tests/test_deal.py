"""deal.py: parts hold sources whole and every label by its share, however many."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from fmrgb import deal as dealing
from fmrgb.deal import deal, numbered, sources_per_label


def clips(n_sources: int, *, per_source: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and sources; label 1 has a third as many sources as label 0."""
    sources = np.repeat(np.arange(n_sources), per_source)
    return (sources % 4 == 3).astype(int), sources


def test_words_are_numbered_in_their_order():
    assert numbered(["b", "a", "c", "b"]).tolist() == [1, 0, 2, 1]
    assert numbered([]).tolist() == []


def test_sources_of_a_label_are_counted_once():
    labels, sources = np.array([0, 0, 1, 1, 0]), np.array([0, 0, 0, 2, 1])
    assert sources_per_label(labels, sources).tolist() == [2, 2]


def test_few_sources_are_dealt_one_by_one():
    labels, sources = clips(40, per_source=3)
    cut = StratifiedGroupKFold(5, shuffle=True, random_state=7)
    wanted = [part.tolist() for _, part in cut.split(labels, labels, sources)]
    assert [part.tolist() for part in deal(labels, sources, 5, seed=7)] == wanted


@pytest.mark.parametrize("most", [10, 24])
def test_of_many_sources_all_stay_whole_and_labels_keep_their_shares(monkeypatch, most):
    monkeypatch.setattr(dealing, "MOST_SOURCES", most)
    labels, sources = clips(600, per_source=2)
    parts = list(deal(labels, sources, 5, seed=0))
    assert sorted(np.concatenate(parts).tolist()) == list(range(1200))
    homes = [set(sources[part].tolist()) for part in parts]
    assert sum(map(len, homes)) == 600
    for part in parts:
        assert len(part) == pytest.approx(240, rel=0.2)
        assert labels[part].mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_of_many_sources_those_of_a_rare_label_reach_every_part(monkeypatch, seed):
    monkeypatch.setattr(dealing, "MOST_SOURCES", 12)
    labels, sources = clips(300, per_source=2)
    labels[[1, 101, 301]] = 2  # one of the two clips of three sources
    parts = deal(labels, sources, 3, seed=seed)
    assert [int((labels[part] == 2).sum()) for part in parts] == [1, 1, 1]


def test_the_seed_decides_what_goes_together(monkeypatch):
    monkeypatch.setattr(dealing, "MOST_SOURCES", 10)
    labels, sources = clips(200, per_source=1)
    first, again, other = (
        [part.tolist() for part in deal(labels, sources, 4, seed=seed)]
        for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other
