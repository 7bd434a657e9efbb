"""metrics.py against numbers worked out by hand or printed in books."""

import json
import math

import numpy as np
import pytest

from fmrgb.metrics import Predictions, interval, score


def told(truth: list[int], guesses: list[int], n_classes: int = 2) -> Predictions:
    """Return predictions that are sure, to 80 %, of the guesses."""
    rest = 0.2 / (n_classes - 1)
    probabilities = np.full((len(truth), n_classes), rest)
    probabilities[np.arange(len(truth)), guesses] = 0.8
    names = ("ant", "bee", "cat", "dog")[:n_classes]
    paths = tuple(f"{n}.pt" for n in range(len(truth)))
    return Predictions(names, np.array(truth), probabilities, paths)


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
def test_the_interval_is_wilsons(right, total, low, high):
    assert interval(right, total) == pytest.approx((low, high), abs=6e-5)


def test_nothing_asked_means_nothing_known():
    assert interval(0, 0) == (0.0, 1.0)


def test_every_number_of_a_small_confusion():
    # 3 ants are taken for ants, 1 for a bee; 4 bees for bees, 2 for ants.
    predictions = told([0] * 4 + [1] * 6, [0, 0, 0, 1, 1, 1, 1, 1, 0, 0])
    scores = score(predictions)
    assert scores["confusion"] == [[3, 1], [2, 4]]
    assert (scores["clips"], scores["right"]) == (10, 7)
    assert scores["accuracy"] == pytest.approx(0.7)
    assert scores["majority"] == pytest.approx(0.6)
    assert scores["interval"] == list(interval(7, 10))
    ant, bee = scores["classes"]["ant"], scores["classes"]["bee"]
    assert ant == pytest.approx(
        {"precision": 3 / 5, "recall": 3 / 4, "f1": 2 / 3, "clips": 4}
    )
    assert bee == pytest.approx(
        {"precision": 4 / 5, "recall": 4 / 6, "f1": 8 / 11, "clips": 6}
    )
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 8 / 11) / 2)
    loss = -(7 * math.log(0.8) + 3 * math.log(0.2)) / 10
    assert scores["loss"] == pytest.approx(loss)
    # Pairs of an ant and a bee, in the order of probability: 12 right, 10 tied.
    assert scores["auc"] == pytest.approx((12 + 10 / 2) / 24)


def test_scores_are_plain_enough_for_json():
    scores = score(told([0, 1, 2], [0, 2, 2], 3))
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_auc_is_the_share_of_pairs_in_order():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    predictions = Predictions(
        ("a", "b"), np.array([0, 0, 1, 1]), probabilities, ("",) * 4
    )
    assert score(predictions)["auc"] == pytest.approx(3 / 4)


def test_one_class_alone_has_no_auc():
    scores = score(told([1, 1, 1], [1, 1, 0]))
    assert scores["auc"] is None
    assert scores["confusion"] == [[0, 0], [1, 2]]
    assert scores["majority"] == 1
    assert scores["classes"]["ant"]["clips"] == 0
    assert scores["classes"]["ant"]["recall"] == 0


def test_many_classes_of_which_one_never_occurs():
    scores = score(told([0, 0, 1, 2, 2], [0, 1, 1, 2, 3], 4))
    assert scores["confusion"] == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0] * 4]
    assert list(scores["classes"]) == ["ant", "bee", "cat", "dog"]
    f1 = [2 / 3, 2 / 3, 2 / 3, 0]
    assert [c["f1"] for c in scores["classes"].values()] == pytest.approx(f1)
    assert scores["macro_f1"] == pytest.approx(0.5)
    # One against the rest: ant 1 of 2 pairs right and the rest tied, and so on.
    assert scores["auc"] == pytest.approx(np.mean([4.5 / 6, 3.5 / 4, 4.5 / 6]))


def test_the_likeliest_class_is_the_guess():
    probabilities = np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]])
    predictions = Predictions(
        ("a", "b", "c"), np.array([1, 1]), probabilities, ("", "")
    )
    assert predictions.guesses.tolist() == [1, 0]
    assert score(predictions)["right"] == 1
