"""How much each answer of a network counts, settled on the validation clips.

A network with several answers (picture, sound, joint) speaks as one: its logits are the
sum of the answers' logits, each times its trust, which is never negative. This is a
product of experts (Hinton 2002, doi:10.1162/089976602760128018) whose exponents are
fitted like the temperature of Guo et al. 2017 (arXiv:1706.04599): they minimise the
cross entropy on the validation clips. An answer that only knows the training clips by
heart comes out with little trust. A network with one answer gets its temperature.

The joint answer speaks only where it earns its place: it must make the validation clips
likelier by more than one more parameter does by chance, by the Bayesian information
criterion (Schwarz 1978, doi:10.1214/aos/1176344136). Where the senses add nothing to
each other it only says again what they said, and makes both surer than they should be.

Axes: N clips, A answers, K classes, S kinds of clip (neither sense there, picture only,
sound only, both).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from fmrgb.models import ANSWERS

Floats = NDArray[np.floating]

PICTURE, SOUND, BOTH = 1, 2, 3  # kinds of clip: which senses are there
N_KINDS = 4
# Clips' worth of belief in equal shares: keeps few or perfectly judged clips from
# driving the trust to infinity.
PRIOR = 1.0


def equal_trust(n_answers: int) -> NDArray[np.float64]:
    """Return the trust before anything is known: float64 [S, A].

    An answer counts for the clips that it can judge: picture where there is a picture,
    sound where there is sound, joint where there are both.
    """
    if n_answers == 1:
        return np.ones((N_KINDS, 1))
    picture, sound, joint = np.eye(len(ANSWERS))
    return np.stack([0 * joint, picture, sound, (picture + sound + joint) / 3])


def fit_trust(
    logits_NAK: Floats, kinds_N: NDArray[np.integer], truth_N: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Find the trust that minimises the cross entropy.

    Args:
        logits_NAK: what every answer said of every clip.
        kinds_N: kind of each clip, 0 to 3.
        truth_N: class of each clip.

    Returns:
        float64 [S, A], 0 or more.
    """
    trust = equal_trust(logits_NAK.shape[1])
    if len(trust[0]) == 1:
        trust[:] = _fit(logits_NAK, truth_N)
        return trust
    for answer, kind in enumerate((PICTURE, SOUND)):
        there = (kinds_N & kind) > 0
        alone = logits_NAK[there, answer, None]
        trust[kind, answer] = _fit(alone, truth_N[there])[0]
    both = kinds_N == BOTH
    if both.any():
        trust[BOTH] = _fit_both(logits_NAK[both], truth_N[both])
    return trust


def _fit_both(logits_NAK: Floats, truth_N: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the trust [A] in picture, sound and joint; joint is the last."""
    share = 1 / logits_NAK.shape[1]
    every = _fit(logits_NAK, truth_N, share)
    apart = np.append(_fit(logits_NAK[:, :-1], truth_N, share), 0.0)
    with_joint, without = (_loss(logits_NAK, truth_N, one) for one in (every, apart))
    return every if without - with_joint > np.log(len(truth_N)) / 2 else apart


def _loss(
    logits_NAK: Floats, truth_N: NDArray[np.integer], trust_A: Floats
) -> np.floating:
    """Return the cross entropy, summed over the clips, in nats."""
    log_NK = log_softmax(np.einsum("a,nak->nk", trust_A, logits_NAK), axis=1)
    loss: np.floating = -log_NK[np.arange(len(truth_N)), truth_N].sum()
    return loss


def _fit(
    logits_NAK: Floats, truth_N: NDArray[np.integer], share: float = 1.0
) -> NDArray[np.float64]:
    """Return the trust [A] for clips that all answers judge; few leave it a `share`."""
    n_answers = logits_NAK.shape[1]
    start = np.full(n_answers, share)
    logits = logits_NAK.astype(np.float64)
    rows = np.arange(len(truth_N))

    def loss(trust_A: Floats) -> tuple[float, Floats]:
        wrong_NK = softmax(np.einsum("a,nak->nk", trust_A, logits), axis=1)
        wrong_NK[rows, truth_N] -= 1
        slope_A = np.einsum("nk,nak->a", wrong_NK, logits)
        pull = trust_A - start
        value = _loss(logits, truth_N, trust_A) + PRIOR / 2 * (pull**2).sum()
        return float(value), slope_A + PRIOR * pull

    found = minimize(loss, start, jac=True, bounds=[(0, None)] * n_answers)
    return np.asarray(found.x, np.float64)
