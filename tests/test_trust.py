"""trust.py: how much each answer counts."""

import numpy as np
import pytest
from scipy.special import log_softmax

from fmrgb.trust import BOTH, PICTURE, SOUND, equal_trust, fit_trust

N_CLIPS = 400
N_CLASSES = 3
PLAIN = 0.8  # share of an answer's guesses that are right, where it knows something


def says(truth: np.ndarray, right: float, sure: float, seed: int) -> np.ndarray:
    """Return logits [N, K] of an answer that is right that often, and so sure."""
    dice = np.random.default_rng(seed)
    wrong = (truth + dice.integers(1, N_CLASSES, len(truth))) % N_CLASSES
    guess = np.where(dice.random(len(truth)) < right, truth, wrong)
    return sure * np.eye(N_CLASSES)[guess]


@pytest.fixture
def truth() -> np.ndarray:
    """Return the classes of the clips."""
    return np.random.default_rng(0).integers(0, N_CLASSES, N_CLIPS)


def test_before_anything_is_known_answers_count_alike_where_they_can_judge():
    assert equal_trust(1).tolist() == [[1.0]] * 4
    third = 1 / 3
    assert equal_trust(3).tolist() == [
        [0, 0, 0],
        [1, 0, 0],
        [0, 1, 0],
        [third, third, third],
    ]


def test_one_answer_gets_the_temperature_that_makes_its_odds_true(truth):
    # Right in PLAIN of the cases: the best logit for it is known in closed form.
    logits = says(truth, PLAIN, 10.0, 1)
    share = (logits.argmax(axis=1) == truth).mean()
    wanted = np.log(share / ((1 - share) / (N_CLASSES - 1))) / 10
    trust = fit_trust(logits[:, None], np.full(N_CLIPS, BOTH), truth)
    assert trust.shape == (4, 1)
    assert trust == pytest.approx(wanted, rel=0.01)


def test_an_answer_that_only_guesses_gets_little_trust_however_sure_it_is(truth):
    knows, guesses = says(truth, PLAIN, 2.0, 1), says(truth, 1 / N_CLASSES, 9.0, 2)
    logits = np.stack([knows, guesses, guesses[::-1]], axis=1)
    trust = fit_trust(logits, np.full(N_CLIPS, BOTH), truth)
    picture, sound, joint = trust[BOTH]
    assert picture > 0.5
    assert sound < 0.03
    assert joint < 0.03


def test_a_joint_answer_that_only_repeats_what_the_senses_say_is_left_out(truth):
    picture, sound = says(truth, PLAIN, 2.0, 1), says(truth, 0.6, 1.0, 2)
    joint = 1.3 * picture + 0.7 * sound
    logits = np.stack([picture, sound, joint], axis=1)
    trust = fit_trust(logits, np.full(N_CLIPS, BOTH), truth)
    assert trust[BOTH, 2] == 0
    assert trust[BOTH, :2].min() > 0.3


def test_a_joint_answer_that_knows_more_than_the_senses_speaks(truth):
    guesses = [says(truth, 1 / N_CLASSES, 1.0, seed) for seed in (1, 2)]
    logits = np.stack([*guesses, says(truth, PLAIN, 2.0, 3)], axis=1)
    trust = fit_trust(logits, np.full(N_CLIPS, BOTH), truth)
    assert trust[BOTH, 2] > 0.5


def test_where_no_validation_clip_has_both_senses_answers_count_alike(truth):
    logits = np.stack([says(truth, PLAIN, 2.0, seed) for seed in (1, 2, 3)], axis=1)
    trust = fit_trust(logits, np.full(N_CLIPS, SOUND), truth)
    assert trust[BOTH] == pytest.approx(1 / 3)


def test_a_worse_than_chance_answer_is_silenced_not_turned_round(truth):
    against = says(truth, 0.0, 3.0, 1)
    logits = np.stack([says(truth, PLAIN, 2.0, 2), against, against], axis=1)
    assert fit_trust(logits, np.full(N_CLIPS, BOTH), truth)[BOTH, 1:] == pytest.approx(
        0, abs=1e-6
    )


def test_two_answers_that_err_apart_are_better_than_each(truth):
    picture, sound = says(truth, 0.6, 3.0, 1), says(truth, 0.65, 3.0, 2)
    logits = np.stack([picture, sound, 0 * sound], axis=1)
    trust = fit_trust(logits, np.full(N_CLIPS, BOTH), truth)
    mixed = np.einsum("a,nak->nk", trust[BOTH], logits)

    def loss(logits_NK: np.ndarray) -> float:
        log_NK = log_softmax(logits_NK, axis=1)
        return float(-log_NK[np.arange(N_CLIPS), truth].mean())

    alone = [
        loss(trust[PICTURE, 0] * picture),
        loss(trust[SOUND, 1] * sound),
    ]
    assert loss(mixed) < min(alone) - 0.05


def test_clips_without_a_sense_are_judged_by_what_is_there(truth):
    # The sound answer lies about clips that it does not hear.
    kinds = np.tile([PICTURE, SOUND, BOTH, BOTH], N_CLIPS // 4)
    picture, sound = says(truth, PLAIN, 4.0, 1), says(truth, PLAIN, 1.0, 2)
    picture[kinds == SOUND] = -9 * np.eye(N_CLASSES)[truth[kinds == SOUND]]
    sound[kinds == PICTURE] = -9 * np.eye(N_CLASSES)[truth[kinds == PICTURE]]
    trust = fit_trust(np.stack([picture, sound, 0 * sound], axis=1), kinds, truth)
    assert (trust[0] == 0).all()
    assert trust[PICTURE, 0] == pytest.approx(trust[SOUND, 1] / 4, rel=0.2)
    assert (trust[PICTURE, 1:] == 0).all()
    assert trust[SOUND, [0, 2]].tolist() == [0, 0]


@pytest.mark.parametrize("kind", [0, PICTURE, SOUND])
def test_no_clip_to_learn_from_leaves_equal_trust(kind):
    logits = np.zeros((5, 3, 2))
    trust = fit_trust(logits, np.full(5, kind), np.zeros(5, int))
    assert trust[BOTH] == pytest.approx(equal_trust(3)[BOTH])
