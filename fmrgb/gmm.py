"""From rows with gaps to a Gaussian mixture with labels, read in any direction.

Each component (a concept) has a weight, a Gaussian over the numbers of a row, and a
table of how likely each label is. A row may lack any of its numbers, or its label.

Source: EM with missing blocks, Ghahramani and Jordan 1994, "Supervised learning from
incomplete data via an EM approach", NIPS 6, 120-127, sections 3.1 (Gaussians) and 4
(labels as a discrete variable of the same mixture). On whole rows without labels it is
`sklearn.mixture.GaussianMixture`, step by step (see the tests).

Axes: N rows, D numbers of a row, O and M those there and missing, K components,
L labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.special import logsumexp, softmax

from fmrgb.errors import TrainingError

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Kind = Literal["full", "tied", "diag"]

UNKNOWN = -1  # the label of a row that has none
PRIOR = 1.0  # clips' worth of belief in equal labels, in each component
TOLERANCE = 1e-4  # nats per row; EM that gains less has arrived
MOST_STEPS = 200
_TINY = 10 * np.finfo(np.float64).eps  # as scikit-learn keeps empty components alive


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture with a table of labels.

    Attributes:
        weights_K: shares of the components; they sum to 1.
        means_KD: their means.
        covariances_KDD: their covariances, symmetric and positive definite.
        table_KL: how likely each label is in each component; rows sum to 1.
        kind: "full", a covariance for each; "tied", one for all; "diag", none but
            variances.
    """

    weights_K: Floats
    means_KD: Floats
    covariances_KDD: Floats
    table_KL: Floats
    kind: Kind = "full"

    @property
    def n_parameters(self) -> int:
        """How many numbers EM was free to choose."""
        n_components, n_numbers = self.means_KD.shape
        triangle = n_numbers * (n_numbers + 1) // 2
        spreads = {
            "full": n_components * triangle,
            "tied": triangle,
            "diag": n_components * n_numbers,
        }
        per_table = self.table_KL.shape[1] - 1
        shares = n_components - 1 + n_components * (n_numbers + per_table)
        return int(shares + spreads[self.kind])


@dataclass(frozen=True)
class Fit:
    """What EM came to.

    Attributes:
        mixture: the last one.
        likelihoods: log likelihood per row, in nats, at each step.
        bic: Bayesian information criterion (Schwarz 1978) of the rows; less is better.
    """

    mixture: Mixture
    likelihoods: list[float]
    bic: float


def fit(
    rows_ND: Floats,
    labels_N: Numbers,
    start_NK: Floats,
    *,
    n_labels: int,
    kind: Kind = "full",
    regular: float = 1e-6,
    tolerance: float = TOLERANCE,
    most_steps: int = MOST_STEPS,
) -> Fit:
    """Fit a mixture by EM, rows with gaps included.

    Args:
        rows_ND: numbers; NaN where one is missing. No row may lack all of them.
        labels_N: label of each row, 0 to L - 1, or UNKNOWN.
        start_NK: responsibilities to begin with; rows sum to 1.
        n_labels: L.
        kind: of the covariances; see `Mixture`.
        regular: added to every variance.
        tolerance: EM ends where a step gains less, in nats per row; 0 never ends it.
        most_steps: at most this many steps.

    Raises:
        TrainingError: if a row or a column holds nothing, or the covariance of a
            component is not positive definite.
    """
    _check(rows_ND)
    # Gaps begin at the mean of what is there, and are filled better step by step.
    mean_D = np.nanmean(rows_ND, axis=0)
    spread_DD = np.diag(np.nanvar(rows_ND, axis=0) + regular)
    n_components = start_NK.shape[1]
    guess = Mixture(
        np.full(n_components, 1 / n_components),
        np.tile(mean_D, (n_components, 1)),
        np.tile(spread_DD, (n_components, 1, 1)),
        np.full((n_components, n_labels), 1 / n_labels),
        kind,
    )
    mixture = _maximised(rows_ND, labels_N, start_NK, guess, regular)
    likelihoods: list[float] = []
    for _ in range(most_steps):
        log_NK = log_joint(mixture, rows_ND, labels_N)
        likelihoods.append(float(logsumexp(log_NK, axis=1).mean()))
        if tolerance and len(likelihoods) > 1 and _gain(likelihoods) < tolerance:
            break
        share_NK = softmax(log_NK, axis=1)
        mixture = _maximised(rows_ND, labels_N, share_NK, mixture, regular)
    whole = float(logsumexp(log_joint(mixture, rows_ND, labels_N), axis=1).sum())
    bic = mixture.n_parameters * np.log(len(rows_ND)) - 2 * whole
    return Fit(mixture, likelihoods, float(bic))


def log_joint(mixture: Mixture, rows_ND: Floats, labels_N: Numbers) -> Floats:
    """Return log of weight x density of what is there x chance of the label: [N, K].

    A row without any number gets the weight alone; UNKNOWN labels count for nothing.
    """
    log_NK = np.tile(np.log(mixture.weights_K), (len(rows_ND), 1))
    known = labels_N != UNKNOWN
    log_NK[known] += np.log(mixture.table_KL.T[labels_N[known]])
    for rows, there in _patterns(rows_ND):
        x_NO = rows_ND[np.ix_(rows, there)]
        for k, mean_D in enumerate(mixture.means_KD):
            root_OO = _root(mixture.covariances_KDD[k], there)
            apart_NO = solve_triangular(root_OO, (x_NO - mean_D[there]).T, lower=True).T
            log_size = 2 * np.log(np.diag(root_OO)).sum()
            log_NK[rows, k] -= 0.5 * (
                np.square(apart_NO).sum(axis=1)
                + log_size
                + there.sum() * np.log(2 * np.pi)
            )
    return log_NK


def responsibilities(
    mixture: Mixture, rows_ND: Floats, labels_N: Numbers | None = None
) -> Floats:
    """Return how much of each row each component answers for: [N, K], rows sum to 1."""
    if labels_N is None:
        labels_N = np.full(len(rows_ND), UNKNOWN)
    share_NK: Floats = softmax(log_joint(mixture, rows_ND, labels_N), axis=1)
    return share_NK


def label_chances(mixture: Mixture, rows_ND: Floats) -> Floats:
    """Return how likely each label is, by the numbers that are there: [N, L]."""
    # Rows of the table sum to 1, so that these do.
    chances_NL: Floats = responsibilities(mixture, rows_ND) @ mixture.table_KL
    return chances_NL


def filled(
    mixture: Mixture, rows_ND: Floats, labels_N: Numbers | None = None
) -> Floats:
    """Fill the gaps with what is to be expected of them: [N, D] without NaN.

    The conditional mean of the mixture: each component's, given what is there, weighed
    by the responsibilities.
    """
    share_NK = responsibilities(mixture, rows_ND, labels_N)
    whole_ND: Floats = rows_ND.copy()
    for rows, there in _patterns(rows_ND):
        if there.all():
            continue
        expected_NM = np.zeros((len(rows), (~there).sum()))
        for k in range(len(mixture.weights_K)):
            mean_NM, _ = _conditional(mixture, k, rows_ND[rows], there)
            expected_NM += share_NK[rows, k, None] * mean_NM
        whole_ND[np.ix_(rows, ~there)] = expected_NM
    return whole_ND


def _check(rows_ND: Floats) -> None:
    there_ND = ~np.isnan(rows_ND)
    if not there_ND.any(axis=1).all():
        raise TrainingError(
            f"row {int(np.argmin(there_ND.any(axis=1)))} holds nothing; leave it out"
        )
    if not there_ND.any(axis=0).all():
        raise TrainingError(
            f"no row holds number {int(np.argmin(there_ND.any(axis=0)))}; leave it out"
        )


def _gain(likelihoods: list[float]) -> float:
    return likelihoods[-1] - likelihoods[-2]


def _patterns(rows_ND: Floats) -> Iterator[tuple[Numbers, NDArray[np.bool_]]]:
    """Yield the rows that have the same gaps, and which numbers they have [D]."""
    patterns_PD, of_row = np.unique(~np.isnan(rows_ND), axis=0, return_inverse=True)
    for number, there in enumerate(patterns_PD):
        yield np.flatnonzero(of_row.reshape(-1) == number), there


def _root(covariance_DD: Floats, there: NDArray[np.bool_]) -> Floats:
    """Return the lower Cholesky factor of the covariance of what is there."""
    try:
        root: Floats = cholesky(covariance_DD[np.ix_(there, there)], lower=True)
    except np.linalg.LinAlgError:
        raise TrainingError(
            "the covariance of a concept is not positive definite: it has too few "
            "clips; give fewer --concepts, fewer --dims or more --regular"
        ) from None
    return root


def _conditional(
    mixture: Mixture, k: int, rows_ND: Floats, there: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Return mean [N, M] and covariance [M, M] of the gaps, given what is there.

    Ghahramani and Jordan 1994, equations 7 and 8: `mu_M + S_MO S_OO^-1 (x_O - mu_O)`
    and `S_MM - S_MO S_OO^-1 S_OM`.
    """
    mean_D, spread_DD = mixture.means_KD[k], mixture.covariances_KDD[k]
    spread_OM = spread_DD[np.ix_(there, ~there)]
    slope_OM = cho_solve((_root(spread_DD, there), True), spread_OM)
    mean_NM = mean_D[~there] + (rows_ND[:, there] - mean_D[there]) @ slope_OM
    return mean_NM, spread_DD[np.ix_(~there, ~there)] - spread_OM.T @ slope_OM


def _maximised(
    rows_ND: Floats,
    labels_N: Numbers,
    share_NK: Floats,
    before: Mixture,
    regular: float,
) -> Mixture:
    """Return the mixture that suits the rows best, their gaps filled by `before`."""
    n_components, n_numbers = before.means_KD.shape
    held_K = share_NK.sum(axis=0) + _TINY
    means_KD = np.empty_like(before.means_KD)
    spreads_KDD = np.zeros((n_components, n_numbers, n_numbers))
    patterns = list(_patterns(rows_ND))
    for k in range(n_components):
        whole_ND = rows_ND.copy()
        for rows, there in patterns:
            if not there.all():
                filling = _conditional(before, k, rows_ND[rows], there)
                whole_ND[np.ix_(rows, ~there)] = filling[0]
                # What the filling leaves open counts as spread too.
                spreads_KDD[k][np.ix_(~there, ~there)] += (
                    share_NK[rows, k].sum() * filling[1]
                )
        means_KD[k] = share_NK[:, k] @ whole_ND / held_K[k]
        apart_ND = whole_ND - means_KD[k]
        spreads_KDD[k] += (share_NK[:, k, None] * apart_ND).T @ apart_ND
    known = labels_N != UNKNOWN
    n_labels = before.table_KL.shape[1]
    count_KL = share_NK[known].T @ np.eye(n_labels)[labels_N[known]] + PRIOR / n_labels
    return Mixture(
        held_K / held_K.sum(),
        means_KD,
        _shaped(spreads_KDD, held_K, before.kind) + regular * np.eye(n_numbers),
        count_KL / count_KL.sum(axis=1, keepdims=True),
        before.kind,
    )


def _shaped(spreads_KDD: Floats, held_K: Floats, kind: Kind) -> Floats:
    """Turn sums of squares into covariances of a kind."""
    if kind == "tied":
        return np.tile(spreads_KDD.sum(axis=0) / held_K.sum(), (len(held_K), 1, 1))
    spreads_KDD = spreads_KDD / held_K[:, None, None]
    if kind == "diag":
        spreads_KDD = spreads_KDD * np.eye(spreads_KDD.shape[1])
    return spreads_KDD
