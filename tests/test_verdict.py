"""verdict.py: the sentences say what the numbers mean, and no more."""

from typing import Any

import pytest

from fmrgb import verdict
from fmrgb.metrics import SENSES, SOUNDS


def scores(low: float, high: float, **changes: Any) -> dict[str, Any]:
    """Return scores with this interval."""
    told = {"clips": 60, "sources": 60, "right": 45, "accuracy": 0.75}
    return {**told, "interval": [low, high], "majority": 0.5, **changes}


def plain(text: str) -> str:
    """Return a sentence with common spaces."""
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_shares_are_written_in_one_piece():
    assert verdict.percent(0.1234) == "12.3\N{NO-BREAK SPACE}%"
    written = [verdict.points(x) for x in (0.1234, -0.05, -0.0001, 0.0)]
    assert written == ["+12.3", "-5.0", "0.0", "0.0"]


def test_the_accuracy_is_told_with_its_interval_and_what_guessing_reaches():
    said = plain(verdict.on_accuracy(scores(0.63, 0.84)))
    assert said.startswith("95 % interval 63.0 % to 84.0 % (45 of 60 clips).")
    assert "commonest class would reach 50.0 %." in said
    assert "not shown" not in said
    assert "10 points more or less" in said


def test_few_sources_are_named_and_a_narrow_interval_needs_no_words():
    said = plain(verdict.on_accuracy(scores(0.72, 0.78, sources=9)))
    assert "(45 of 60 clips from 9 sources)" in said
    assert "points" not in said


@pytest.mark.parametrize(("low", "doubtful"), [(0.5, True), (0.51, False)])
def test_a_score_that_guessing_could_reach_is_called_so(low, doubtful):
    said = verdict.on_accuracy(scores(low, 0.9))
    assert ("not shown to know more" in said) == doubtful


def test_planes_are_sorted_by_what_is_shown_of_them():
    bounds = {"R": (0.01, 0.1), "G": (-0.1, 0.1), "mel": (-0.3, -0.1), "B": (0.0, 0.2)}
    planes = {k: {"interval": [low, high]} for k, (low, high) in bounds.items()}
    said = verdict.on_planes(planes)
    assert "is shown to use: R." in said
    assert "Not shown to matter: G, B." in said
    assert "other clips' mel: these mislead it" in said
    del planes["R"], planes["mel"]
    assert verdict.on_planes(planes) == "Not shown to matter: G, B."


def sounds(p_label: float, p_right: float) -> dict[str, Any]:
    """Return two kinds of clips, of which those without sound are judged better."""
    kinds = {"audible": {"accuracy": 0.55}, "none": {"accuracy": 0.95}}
    return {"kinds": kinds, "by_kind": 0.71, "p_label": p_label, "p_right": p_right}


def test_a_shortcut_and_unequal_accuracies_are_put_into_words():
    said = plain(verdict.on_sounds(sounds(0.001, 0.001), 0.6))
    assert "goes with the label" in said
    assert "is right for 71.0 % of these clips" in said
    assert "naming the same one for 60.0 %" in said
    assert "55.0 % with an audible sound track, 95.0 % without a sound track" in said


def test_what_is_not_shown_is_not_said():
    said = verdict.on_sounds(sounds(0.4, 0.4), 0.6)
    assert "is not shown to go with the label" in said
    assert "No difference in accuracy" in said
    assert "71" not in said


def test_one_kind_of_clips_is_all_there_is_to_say():
    for kind in SOUNDS:
        only = {"kinds": {kind: {"accuracy": 0.5}}}
        assert verdict.on_sounds(only, 0.5) == f"All clips are {verdict.KINDS[kind]}."


def test_which_senses_there_are_is_told_in_the_same_words():
    kinds = {"picture": {"accuracy": 0.55}, "both": {"accuracy": 0.95}}
    uneven = {"kinds": kinds, "by_kind": 0.71, "p_label": 0.4, "p_right": 0.001}
    said = plain(verdict.on_senses(uneven, 0.6))
    assert said.startswith("Which senses there are is not shown to go with the label.")
    assert "55.0 % with a picture alone, 95.0 % with picture and sound" in said
    for kind in SENSES:
        only = {"kinds": {kind: {"accuracy": 0.5}}}
        assert verdict.on_senses(only, 0.5) == f"All clips are {verdict.KINDS[kind]}."


@pytest.mark.parametrize(
    ("ece", "confidence", "words"),
    [
        (0.05, 0.8, "nothing speaks against"),
        (0.2, 0.9, "off, on the whole too high"),
        (0.2, 0.6, "off, on the whole too low"),
    ],
)
def test_the_calibration_is_told_against_what_chance_does(ece, confidence, words):
    told = {"ece": ece, "ece_by_chance": 0.1, "confidence": confidence}
    told |= {"brier": 0.31, "brier_of_shares": 0.5}
    said = plain(verdict.on_calibration(told, 0.75))
    assert words in said
    assert f"calibration error {ece:.3f}" in said
    assert "below 0.100 in 95 % of test sets" in said
    assert f"Mean confidence {100 * confidence:.1f} %, accuracy 75.0 %" in said
    assert "Brier score 0.310" in said
    assert "gives 0.500" in said
