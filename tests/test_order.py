"""order.py: every clip once, whoever shows it; blocks are read together, yet mixed."""

from collections import Counter
from itertools import chain

import pytest
import torch

from fmrgb import order
from fmrgb.order import WINDOW, Order, seed_of_epoch, shuffled


def parts(
    monkeypatch: pytest.MonkeyPatch, n_parts: int, *sizes: int, **how: bool
) -> list[Order]:
    """Return what each of several processes is shown."""
    found = []
    for part in range(n_parts):
        monkeypatch.setattr(order, "n_processes", lambda: n_parts)
        monkeypatch.setattr(order, "number", lambda part=part: part)
        found.append(Order(*sizes, **{"shuffle": True, **how}))
    return found


@pytest.mark.parametrize("n_parts", [1, 2, 3, 5])
@pytest.mark.parametrize("n_clips", [2, 7, 20, 21, 23])
@pytest.mark.parametrize("batch_size", [1, 4, 5, 40])
@pytest.mark.parametrize("shuffle", [True, False])
def test_processes_show_every_clip_once_in_the_batches_of_one(
    monkeypatch, n_parts, n_clips, batch_size, shuffle
):
    (one,) = parts(monkeypatch, 1, n_clips, batch_size, shuffle=shuffle)
    every = parts(monkeypatch, n_parts, n_clips, batch_size, shuffle=shuffle)
    for epoch in range(3):
        for each in (one, *every):
            each.set_epoch(epoch)
        shown = [list(each) for each in every]
        assert {len(batches) for batches in shown} == {len(one)}
        whole = [list(chain(*held)) for held in zip(*shown, strict=True)]
        assert whole == list(one)
        assert sorted(chain(*whole)) == list(range(n_clips))
        for held in zip(*shown, strict=True):
            sizes = [len(clips) for clips in held]
            assert max(sizes) - min(sizes) <= 1


def test_each_process_knows_where_its_clips_lie_in_the_batch(monkeypatch):
    every = parts(monkeypatch, 3, 11, 4)
    told = [[each.part(batch) for each in every] for batch in range(3)]
    assert told[0] == [(4, 0, 1), (4, 1, 2), (4, 2, 4)]
    assert told[2] == [(3, 0, 1), (3, 1, 2), (3, 2, 3)]


def test_an_epoch_can_be_gone_on_with_at_any_batch():
    whole, rest = (Order(23, 4, shuffle=True, seed=5) for _ in range(2))
    whole.set_epoch(2)
    rest.go_on(2, 3)
    rest.set_epoch(2)  # Lightning tells it again
    assert list(rest) == list(whole)[3:]
    assert len(rest) == len(whole)
    for each in (whole, rest):
        each.set_epoch(3)
    assert list(rest) == list(whole), "the next one is whole again"


def same_block_neighbours(found: torch.Tensor, per_block: int, batch: int) -> float:
    """Return the share of pairs within a batch whose clips come from one block."""
    pairs = same = 0
    for clips in (found // per_block).split(batch):
        for count in Counter(clips.tolist()).values():
            same += count * (count - 1)
        pairs += len(clips) * (len(clips) - 1)
    return same / pairs


def test_blocks_are_mixed_by_windows_and_read_a_few_at_a_time():
    per_block, n_blocks = 50, 8 * WINDOW
    n_clips = per_block * n_blocks
    blocks = [list(range(k, k + per_block)) for k in range(0, n_clips, per_block)]
    found = shuffled(n_clips, 3, 1, blocks)
    assert sorted(found.tolist()) == list(range(n_clips))
    assert torch.equal(found, shuffled(n_clips, 3, 1, blocks))
    assert not torch.equal(found, shuffled(n_clips, 3, 2, blocks))
    for clips in found.split(WINDOW * per_block):
        assert len(set((clips // per_block).tolist())) == WINDOW
    # A full shuffle has 1 / n_blocks of such pairs, reading in order all of them.
    share = same_block_neighbours(found, per_block, 20)
    assert share == pytest.approx(1 / WINDOW, rel=0.15)


def test_few_blocks_and_files_of_their_own_are_shuffled_as_if_there_were_none():
    plain = shuffled(60, 3, 1)
    assert torch.equal(plain, shuffled(60, 3, 1, [[n] for n in range(60)]))
    assert torch.equal(plain, shuffled(60, 3, 1, [[*range(30)], [*range(30, 60)]]))


def test_neighbouring_seeds_epochs_and_steps_do_not_meet():
    triples = [(s, e, n) for s in range(5) for e in range(5) for n in range(1, 5)]
    assert len({seed_of_epoch(*triple) for triple in triples}) == len(triples)
    assert seed_of_epoch(1, 2, 3) == seed_of_epoch(1, 2, 3)
