"""intervals.py against printed numbers, and against made-up sets that have a truth."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from fmrgb.intervals import (
    auc_interval,
    bootstrap_interval,
    chance_of,
    effective_size,
    f1_interval,
    macro_f1,
    mean_interval,
    share_interval,
    wilson,
)


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        (48, 50, 0.8654, 0.9890),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0000),
    ],
)
def test_the_interval_of_a_share_is_wilsons(right, total, low, high):
    assert wilson(right, total) == pytest.approx((low, high), abs=6e-5)


def test_it_is_scipys_too():
    for right in range(13):
        outcome: Any = stats.binomtest(right, 12).proportion_ci(0.95, "wilson")
        assert wilson(right, 12) == pytest.approx((outcome.low, outcome.high))


def test_nothing_asked_means_nothing_known():
    assert wilson(0, 0) == (0.0, 1.0)
    assert auc_interval(0.7, 0, 3) == (0.0, 1.0)


def test_clips_of_different_sources_count_in_full():
    right = np.arange(20) < 15
    assert effective_size(right, np.arange(20)) == 20
    assert share_interval(right, np.arange(20)) == wilson(15, 20)


def test_copies_of_clips_count_once_but_for_the_few_sources():
    right = np.repeat([True, False, True, True, False, True], 7)
    sources = np.repeat(np.arange(6), 7)
    # All clips of a source agree: 6 sources, and Student's t for 6 and for 42.
    few = (stats.t.ppf(0.975, 41) / stats.t.ppf(0.975, 5)) ** 2
    # 6 - 1 is what the variance of so few sources divides by.
    assert effective_size(right, sources) == pytest.approx(5 * few)


def test_one_source_alone_tells_nothing():
    right, sources = np.array([True] * 9), np.zeros(9, int)
    assert share_interval(right, sources) == (0, 1)
    assert mean_interval(np.zeros(9), sources) == (-1, 1)


def held_share(reach: Any, truth: float, draw: Any, repeats: int = 400) -> float:
    """Return how often the interval of a drawn set holds the truth."""
    held = [
        low <= truth <= high for low, high in (reach(draw()) for _ in range(repeats))
    ]
    return float(np.mean(held))


def test_the_share_is_held_although_clips_of_a_source_go_together():
    dice = np.random.default_rng(0)
    sources = np.repeat(np.arange(12), 4)

    def draw() -> Any:
        return dice.random(48) < np.repeat(dice.beta(0.8 * 7 / 3, 0.2 * 7 / 3, 12), 4)

    assert held_share(lambda right: share_interval(right, sources), 0.8, draw) > 0.92
    alone = held_share(lambda right: wilson(int(right.sum()), 48), 0.8, draw)
    assert alone < 0.9, "the made-up sources matter"


def test_a_paired_drop_is_held_where_few_clips_show_any():
    dice = np.random.default_rng(1)

    def draw() -> Any:
        return (dice.random(24) < 0.05).astype(float)

    share = held_share(lambda drops: mean_interval(drops, np.arange(24)), 0.05, draw)
    assert share > 0.95


def test_the_interval_of_a_mean_is_agresti_and_mins():
    # 40 pairs, 5 of one kind, 2 of the other: Wald's interval with 1/2 in each cell.
    drops = np.array([1.0] * 5 + [-1.0] * 2 + [0.0] * 33)
    middle = 3 / 42
    half = ((7 + 1) / 42 - middle**2) ** 0.5 / 42**0.5 * stats.t.ppf(0.975, 39)
    low, high = mean_interval(drops, np.arange(40))
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=0.002)


def test_a_bootstrap_of_many_clips_is_the_normal_interval():
    values = np.array([1.0] * 200 + [-1.0] * 100 + [0.0] * 300)
    low, high = bootstrap_interval(values, np.arange(600))
    half = values.std() / 600**0.5 * stats.norm.ppf(0.975)
    assert (low, high) == pytest.approx((1 / 6 - half, 1 / 6 + half), abs=0.004)


def test_a_bootstrap_draws_whole_sources():
    values = np.array([1.0, 0.0, -1.0, 1.0, 0.0, 0.0, 1.0])
    alone = bootstrap_interval(values, np.arange(7))
    # The same clip three times in its source tells nothing more.
    repeated = bootstrap_interval(np.repeat(values, 3), np.repeat(np.arange(7), 3))
    assert repeated == alone
    assert np.ptp(bootstrap_interval(np.repeat(values, 3), np.arange(21))) < np.ptp(
        alone
    )
    # A source with more clips weighs more: of these two, one gains and one does not.
    uneven = bootstrap_interval(np.array([1.0, 0, 0, 0]), np.array([5, 9, 9, 9]))
    assert uneven == (0, 1)


def test_a_bootstrap_of_one_source_tells_nothing_and_repeats_itself():
    values = np.array([1.0, 0.0, 1.0])
    assert bootstrap_interval(values, np.zeros(3, int)) == (-1, 1)
    one, same, other = (
        bootstrap_interval(values, np.arange(3), seed=s) for s in (1, 1, 2)
    )
    assert one == same
    assert one == pytest.approx(other, abs=0.4)


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_drops_that_are_all_alike_are_not_called_certain(value):
    low, high = mean_interval(np.full(15, value), np.arange(15))
    assert -1 <= low <= value <= high <= 1
    assert 0.05 < high - low < 0.4


def test_drops_that_go_together_by_source_are_less_sure():
    drops = np.repeat([1.0, 0.0, -1.0, 1.0, 0.0], 6)
    wide = np.ptp(mean_interval(drops, np.repeat(np.arange(5), 6)))
    assert wide > 2 * np.ptp(mean_interval(drops, np.arange(30)))


def test_the_interval_of_an_area_solves_newcombes_equation():
    area, n_yes, n_no = 0.8, 12, 20
    for bound in auc_interval(area, n_yes, n_no):
        first, second = bound / (2 - bound), 2 * bound**2 / (1 + bound)
        # Hanley and McNeil 1982, with both sizes at their mean as Newcombe has it.
        mean = (n_yes + n_no) / 2
        variance = bound * (1 - bound)
        variance += (mean - 1) * (first + second - 2 * bound**2)
        variance /= n_yes * n_no
        assert abs(area - bound) == pytest.approx(1.959964 * variance**0.5)


@pytest.mark.parametrize(("area", "end"), [(0.0, 0), (1.0, 1)])
def test_a_perfect_area_is_not_called_certain(area, end):
    bounds = auc_interval(area, 6, 9)
    assert bounds[end] == area
    assert 0.1 < bounds[1] - bounds[0] < 0.6


def test_f1_of_many_matrices_is_that_of_each():
    confusions = np.array([[[3, 1], [2, 4]], [[5, 0], [0, 5]], [[0, 0], [1, 2]]])
    wanted = [(2 / 3 + 8 / 11) / 2, 1, (0 + 2 * 2 / 5) / 2]
    assert macro_f1(confusions.astype(float)) == pytest.approx(wanted)


def test_the_interval_of_f1_holds_it_and_narrows_with_the_clips():
    confusion = np.array([[8, 2, 0], [1, 9, 0], [2, 2, 6]])
    told = macro_f1(confusion[None].astype(float))[0]
    bounds = [f1_interval(confusion * times) for times in (1, 100)]
    assert all(low < told < high for low, high in bounds)
    assert np.ptp(bounds[0]) > 8 * np.ptp(bounds[1])
    assert f1_interval(confusion * 4, 1 / 4) != f1_interval(confusion * 4)
    low, high = f1_interval(np.diag([5, 5, 5]))
    assert (high, low < 0.9) == (1, True)


def test_f1_is_held_in_made_up_sets():
    dice = np.random.default_rng(3)
    shares = np.array([[0.8, 0.2], [0.3, 0.7]])

    def draw() -> Any:
        return np.stack([dice.multinomial(20, row) for row in shares])

    truth = float(macro_f1(shares[None])[0])
    assert held_share(f1_interval, truth, draw, 150) > 0.9


def test_the_chance_of_a_table_is_fishers_for_two_by_two():
    for table in ([[8, 2], [1, 9]], [[3, 4], [5, 6]], [[10, 0], [0, 10]]):
        exact = stats.fisher_exact(table).pvalue
        assert chance_of(np.array(table)) == pytest.approx(exact, abs=0.02)


def test_a_table_of_one_row_tells_nothing():
    assert chance_of(np.array([[4, 5, 0], [0, 0, 0]])) == 1
    assert chance_of(np.array([[4, 0], [2, 0]])) == 1
