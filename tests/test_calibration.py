"""calibration.py: known gaps are told, true probabilities are left in peace."""

import json

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassCalibrationError

from fmrgb.calibration import N_BINS, calibration


def told(confidences, rights, n_classes=2):
    """Return the calibration of clips that are all of class 0, with these answers."""
    n_clips = len(rights)
    probabilities = np.zeros((n_clips, n_classes))
    rest = (1 - np.array(confidences)) / (n_classes - 1)
    probabilities += rest[:, None]
    guesses = np.where(rights, 0, 1)
    probabilities[np.arange(n_clips), guesses] = confidences
    return calibration(probabilities, np.zeros(n_clips, int), np.arange(n_clips))


def test_every_number_of_a_small_case():
    # Four clips at 75 %, of which two are right; six at 95 %, of which all are.
    outcome = told([0.75] * 4 + [0.95] * 6, [1, 1, 0, 0] + [1] * 6)
    assert outcome["ece"] == pytest.approx(0.4 * 0.25 + 0.6 * 0.05)
    assert outcome["confidence"] == pytest.approx(0.87)
    squares = 2 * (2 * 0.25**2 + 2 * 0.75**2 + 6 * 0.05**2)
    assert outcome["brier"] == pytest.approx(squares / 10)
    first, second = outcome["bins"]
    assert (first["low"], first["high"], first["clips"]) == (0.7, 0.8, 4)
    assert (first["confidence"], first["accuracy"]) == pytest.approx((0.75, 0.5))
    assert first["interval"][0] < 0.2 < 0.8 < first["interval"][1]
    assert (second["low"], second["clips"]) == (0.9, 6)


def test_gaps_in_both_directions_do_not_cancel_between_bins():
    outcome = told([0.65] * 10 + [0.95] * 10, [1] * 10 + [1] * 6 + [0] * 4)
    assert outcome["ece"] == pytest.approx((0.35 + 0.35) / 2)


def test_bins_are_closed_above():
    outcome = told([0.7, 0.7000001, 1.0], [1, 1, 1])
    assert [b["low"] for b in outcome["bins"]] == [0.6, 0.7, 0.9]
    assert [b["clips"] for b in outcome["bins"]] == [1, 1, 1]


def test_the_error_is_that_of_torchmetrics():
    dice = np.random.default_rng(5)
    probabilities = dice.dirichlet(np.ones(3), 200)
    truth = dice.integers(0, 3, 200)
    other = MulticlassCalibrationError(3, n_bins=N_BINS, norm="l1")
    wanted = other(torch.from_numpy(probabilities), torch.from_numpy(truth))
    ece = calibration(probabilities, truth, np.arange(200))["ece"]
    assert ece == pytest.approx(float(wanted), abs=1e-6)


def test_true_probabilities_stay_below_what_chance_does_in_95_percent():
    dice = np.random.default_rng(6)
    below = []
    for _ in range(100):
        sure = dice.uniform(0.5, 1, 60)
        outcome = told(sure, dice.random(60) < sure)
        below.append(outcome["ece"] <= outcome["ece_by_chance"])
    assert 0.88 <= np.mean(below) <= 1


def test_a_boaster_is_found_out():
    dice = np.random.default_rng(7)
    outcome = told([0.99] * 60, dice.random(60) < 0.7)
    assert outcome["ece"] > 2 * outcome["ece_by_chance"]


def test_telling_the_shares_gets_the_brier_score_of_the_shares():
    truth = np.array([0] * 3 + [1] * 6 + [2] * 1)
    shares = np.tile([0.3, 0.6, 0.1], (10, 1))
    outcome = calibration(shares, truth, np.arange(10))
    assert outcome["brier"] == pytest.approx(outcome["brier_of_shares"])
    assert outcome["brier"] == pytest.approx(1 - 0.09 - 0.36 - 0.01)
    assert outcome["ece"] == pytest.approx(0)


def test_numbers_are_plain_enough_for_json():
    outcome = told([0.6, 0.9, 1.0], [1, 0, 1], 3)
    assert json.loads(json.dumps(outcome, allow_nan=False)) == outcome
