"""comparison.py and what verdict.py says of it: two models on the same clips."""

from typing import Any

import numpy as np
import pytest

from fmrgb.comparison import compare, mcnemar
from fmrgb.intervals import mean_interval
from fmrgb.metrics import Predictions
from fmrgb.verdict import on_comparison


def said(right: list[int], groups: tuple[str, ...] = ()) -> Predictions:
    """Return predictions that are right where `right` is 1."""
    truth = np.arange(len(right)) % 2
    guesses = np.where(np.array(right, bool), truth, 1 - truth)
    return Predictions(
        classes=("bright", "dark"),
        truth=truth,
        probabilities=np.eye(2)[guesses],
        paths=tuple(f"clip{n}.pt" for n in range(len(right))),
        groups=groups,
    )


def two(both: int, only_a: int, only_b: int, neither: int) -> dict[str, Any]:
    """Compare models that are right on so many clips."""
    a = [1] * both + [1] * only_a + [0] * only_b + [0] * neither
    b = [1] * both + [0] * only_a + [1] * only_b + [0] * neither
    return compare(said(a), said(b))


def test_clips_are_counted_by_who_got_them_right():
    told = two(both=20, only_a=9, only_b=3, neither=8)
    counts = [told[name] for name in ("both", "only_a", "only_b", "neither")]
    assert counts == [20, 9, 3, 8]
    assert (told["clips"], told["sources"]) == (40, 40)
    assert (told["accuracy_a"], told["accuracy_b"]) == (29 / 40, 23 / 40)
    assert told["difference"] == pytest.approx(6 / 40)
    swapped = two(both=20, only_a=3, only_b=9, neither=8)
    assert swapped["difference"] == -told["difference"]
    assert swapped["mcnemar"] == told["mcnemar"]
    assert swapped["interval"] == pytest.approx([-told["interval"][k] for k in (1, 0)])


def test_the_intervals_are_those_of_the_paired_differences():
    told = two(both=20, only_a=9, only_b=3, neither=8)
    differences = np.array([0.0] * 20 + [1.0] * 9 + [-1.0] * 3 + [0.0] * 8)
    assert told["interval"] == list(mean_interval(differences, np.arange(40)))
    half = 1.96 * differences.std() / 40**0.5
    wanted = [0.15 - half, 0.15 + half]
    assert told["bootstrap"] == pytest.approx(wanted, abs=0.03)


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (9, 1, 22 / 1024),  # 2 * (1 + 10) / 2**10
        (1, 9, 22 / 1024),
        (5, 0, 2 / 32),
        (3, 3, 1),
        (0, 0, 1),
        (12, 4, 2 * (1 + 16 + 120 + 560 + 1820) / 2**16),
    ],
)
def test_mcnemars_test_is_that_of_a_fair_coin(only_a, only_b, p):
    assert mcnemar(only_a, only_b) == pytest.approx(p)


def test_clips_of_one_source_are_drawn_together():
    a, b = [1] * 12 + [0] * 12, [0] * 6 + [1] * 6 + [0] * 12
    alone = compare(said(a), said(b))
    groups = tuple(f"source{n // 6}" for n in range(24))
    together = compare(said(a, groups), said(b, groups))
    assert together["sources"] == 4
    assert together["difference"] == alone["difference"] == 0.25
    for name in ("bootstrap", "interval"):
        assert np.ptp(together[name]) > 1.5 * np.ptp(alone[name])


def test_a_model_is_called_better_only_if_everything_says_so():
    words = on_comparison(two(both=60, only_a=20, only_b=4, neither=16))
    plain = words.replace("\N{NO-BREAK SPACE}", " ")
    assert plain.startswith("A is right on 80.0 % of the clips, B on 64.0 %: +16.0")
    assert "(paired bootstrap over 100 clips)" in plain
    assert "20 clips only A got right, 4 only B; McNemar's exact test: p = 0.0015" in (
        plain
    )
    assert words.endswith("A is shown to be right more often on clips like these.")
    words = on_comparison(two(both=60, only_a=4, only_b=20, neither=16))
    assert words.endswith("B is shown to be right more often on clips like these.")
    even = "Neither is shown to be right more often than the other."
    assert on_comparison(two(both=60, only_a=9, only_b=3, neither=28)).endswith(even)
    assert on_comparison(two(both=6, only_a=0, only_b=0, neither=0)).endswith(even)
    told = two(both=60, only_a=20, only_b=4, neither=16)
    for name in ("bootstrap", "interval"):
        assert on_comparison({**told, name: [-0.01, 0.3]}).endswith(even)
    assert "over 7 sources" in on_comparison({**told, "sources": 7})
