"""metrics.py against numbers worked out by hand or printed in books."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from fmrgb.intervals import share_interval, wilson
from fmrgb.metrics import Predictions, pool, score, spread


def told(truth: list[int], guesses: list[int], n_classes: int = 2) -> Predictions:
    """Return predictions that are sure, to 80 %, of the guesses."""
    rest = 0.2 / (n_classes - 1)
    probabilities = np.full((len(truth), n_classes), rest)
    probabilities[np.arange(len(truth)), guesses] = 0.8
    names = ("ant", "bee", "cat", "dog")[:n_classes]
    paths = tuple(f"{n}.pt" for n in range(len(truth)))
    return Predictions(names, np.array(truth), probabilities, paths)


def test_every_number_of_a_small_confusion():
    # 3 ants are taken for ants, 1 for a bee; 4 bees for bees, 2 for ants.
    predictions = told([0] * 4 + [1] * 6, [0, 0, 0, 1, 1, 1, 1, 1, 0, 0])
    scores = score(predictions)
    assert scores["confusion"] == [[3, 1], [2, 4]]
    assert (scores["clips"], scores["right"]) == (10, 7)
    assert scores["accuracy"] == pytest.approx(0.7)
    assert scores["majority"] == pytest.approx(0.6)
    assert scores["interval"] == list(wilson(7, 10))
    ant, bee = scores["classes"]["ant"], scores["classes"]["bee"]
    names = ("precision", "recall", "f1", "clips")
    assert [ant[k] for k in names] == pytest.approx([3 / 5, 3 / 4, 2 / 3, 4])
    assert [bee[k] for k in names] == pytest.approx([4 / 5, 4 / 6, 8 / 11, 6])
    assert ant["recall_interval"] == list(wilson(3, 4))
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 8 / 11) / 2)
    loss = -(7 * math.log(0.8) + 3 * math.log(0.2)) / 10
    assert scores["loss"] == pytest.approx(loss)
    # Pairs of an ant and a bee, in the order of probability: 12 right, 10 tied.
    assert scores["auc"] == pytest.approx((12 + 10 / 2) / 24)
    for name in ("macro_f1", "auc"):
        low, high = scores[f"{name}_interval"]
        assert 0 < low < scores[name] < high < 1


def test_scores_are_plain_enough_for_json():
    predictions = replace(
        told([0, 1, 2], [0, 2, 2], 3),
        groups=("x", "y", "y"),
        sounds=("none", "silent", "audible"),
        without={"R": np.array([0.2, 0.4, 1.0])},
    )
    scores = score(predictions)
    scores["folds"] = spread([scores, scores])
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_auc_is_the_share_of_pairs_in_order():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    predictions = Predictions(
        ("a", "b"), np.array([0, 0, 1, 1]), probabilities, ("",) * 4
    )
    assert score(predictions)["auc"] == pytest.approx(3 / 4)


def test_one_class_alone_has_no_auc():
    scores = score(told([1, 1, 1], [1, 1, 0]))
    assert scores["auc"] is scores["auc_interval"] is None
    assert scores["classes"]["bee"]["auc"] is None
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
    areas = [4.5 / 6, 3.5 / 4, 4.5 / 6]
    assert scores["auc"] == pytest.approx(np.mean(areas))
    told_areas = [c["auc"] for c in scores["classes"].values()]
    assert told_areas == [*map(pytest.approx, areas), None]


def test_the_likeliest_class_is_the_guess():
    probabilities = np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]])
    predictions = Predictions(
        ("a", "b", "c"), np.array([1, 1]), probabilities, ("", "")
    )
    assert predictions.guesses.tolist() == [1, 0]
    assert score(predictions)["right"] == 1


def test_clips_of_one_source_make_every_interval_wider():
    alone = told([0, 1] * 12, ([0, 1] * 4 + [1, 0] * 2) * 2)
    together = replace(alone, groups=tuple(str(n // 4) for n in range(24)))
    assert (score(alone)["sources"], score(together)["sources"]) == (24, 6)
    for name in ("interval", "macro_f1_interval", "auc_interval"):
        narrow, wide = score(alone)[name], score(together)[name]
        assert wide[0] < narrow[0] < narrow[1] < wide[1]
    right = together.right
    assert score(together)["interval"] == list(
        share_interval(right, np.repeat(np.arange(6), 4))
    )


def test_what_a_plane_is_worth_is_the_accuracy_lost_without_it():
    still_right = np.array([1.0, 0.6, 0.0, 0.4, 0.2, 1.0])
    predictions = replace(
        told([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1]),
        without={"R": still_right, "mel": np.ones(6)},
        heard=("mel",),
    )
    planes = score(predictions)["planes"]
    assert planes["R"]["accuracy"] == pytest.approx(3.2 / 6)
    assert planes["R"]["drop"] == pytest.approx(5 / 6 - 3.2 / 6)
    assert planes["R"]["interval"][0] < planes["R"]["drop"] < planes["R"]["interval"][1]
    assert (planes["R"]["sound"], planes["mel"]["sound"]) == (False, True)
    assert planes["mel"]["drop"] == pytest.approx(-1 / 6), "better with other clips'"


def test_accuracy_and_labels_are_told_by_kind_of_sound_track():
    truth = [0] * 8 + [1] * 8
    guesses = [0] * 8 + [1] * 5 + [0] * 3
    kinds = ["none"] * 7 + ["audible"] + ["audible"] * 8
    sounds = score(replace(told(truth, guesses), sounds=tuple(kinds)))["sounds"]
    assert list(sounds["kinds"]) == ["audible", "none"], "no clip is silent"
    audible, none = sounds["kinds"].values()
    assert (audible["clips"], audible["right"], audible["sources"]) == (9, 6, 9)
    assert audible["accuracy"] == pytest.approx(6 / 9)
    assert audible["interval"] == list(wilson(6, 9))
    assert audible["labels"] == {"ant": 1, "bee": 8}
    assert none["labels"] == {"ant": 7, "bee": 0}
    assert sounds["by_kind"] == pytest.approx(15 / 16)
    assert sounds["p_label"] < 0.01 < 0.1 < sounds["p_right"]


def test_accuracy_is_told_for_every_pattern_of_senses_that_there_are():
    truth = [0, 1] * 10
    guesses = [0, 1] * 6 + [0, 0] * 4
    senses = ["both"] * 7 + ["picture"] * 3 + ["sound"] * 4 + ["neither"] * 6
    known = replace(told(truth, guesses), senses=tuple(senses))
    kinds = score(known)["senses"]["kinds"]
    rights = {kind: (one["right"], one["clips"]) for kind, one in kinds.items()}
    wanted = {"neither": (3, 6), "picture": (3, 3), "sound": (3, 4), "both": (7, 7)}
    assert rights == wanted
    assert list(rights) == list(wanted), "from nothing to all"
    assert kinds["sound"]["interval"] == list(wilson(3, 4))
    assert "senses" not in score(told(truth, guesses))
    only = score(replace(known, senses=("both",) * 20))["senses"]
    assert list(only["kinds"]) == ["both"]


def test_being_right_goes_with_the_sound_only_if_many_sources_say_so():
    right = [1] * 12 + [0] * 12
    predictions = replace(
        told(
            [0, 1] * 12,
            [t if r else 1 - t for t, r in zip([0, 1] * 12, right, strict=True)],
        ),
        sounds=("audible",) * 12 + ("silent",) * 12,
    )
    few = replace(predictions, groups=tuple(str(n // 6) for n in range(24)))
    assert score(predictions)["sounds"]["p_right"] < 0.001
    assert score(few)["sounds"]["p_right"] > 0.05


def test_pooled_predictions_are_those_of_all_clips_with_their_own_sources():
    one = replace(
        told([0, 1, 1], [0, 1, 0]),
        groups=("row 0", "row 1", "row 1"),
        sounds=("none", "silent", "audible"),
        senses=("picture", "both", "neither"),
        without={"R": np.array([1.0, 0.5, 0.0])},
        heard=("mel",),
    )
    two = replace(one, probabilities=one.probabilities[::-1], paths=("x", "y", "z"))
    both = pool([one, two])
    assert both.right.tolist() == [*one.right, *two.right]
    assert both.paths == (*one.paths, "x", "y", "z")
    assert score(both)["sources"] == 4, "row 0 of a fold is not row 0 of another"
    assert both.without["R"].tolist() == [1.0, 0.5, 0.0] * 2
    assert both.sounds == one.sounds * 2
    assert both.senses == one.senses * 2
    assert both.heard == ("mel",)


def test_the_spread_over_folds_leaves_out_what_some_do_not_have():
    folds = [score(told([0, 1, 1, 0], [0, 1, 1, 1])), score(told([1, 1], [1, 0]))]
    told_spread = spread(folds)
    assert told_spread["accuracy"] == pytest.approx(
        {"mean": 0.625, "std": 0.25 / 2**0.5}
    )
    assert "auc" not in told_spread
    assert told_spread["loss"]["mean"] > 0
