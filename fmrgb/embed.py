"""From pictures, sound pictures and words to a few numbers each, and back to pictures.

Every number has mean 0 and variance 1 over the clips it was learned from, so that all
senses count alike in a mixture.

Axes: N clips, D numbers of an embedding, P values of a picture (H x W x C, flattened),
F features, G n-grams of letters.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrgb.errors import TrainingError

Floats = NDArray[np.float64]

NGRAMS = (1, 3)  # letters; Japanese words are told by one or two of them
MOST_NGRAMS = 4096
RIDGE = 1.0  # of the least squares that draw from features; in clips' worth of variance
_FLAT = 1e-6  # of the greatest variance; a direction with less is left out


@dataclass(frozen=True)
class PictureEmbedding:
    """Principal components of pictures, or of what a trained network makes of them.

    Attributes:
        mean_F: what is taken away first: the mean picture, or the mean features.
        axes_FD: from what is left to the numbers, their variances made 1.
        drawn_P: the mean picture, in levels.
        drawn_DP: what each number adds to it, in levels.
        shape: (H, W, C) of a picture.
    """

    mean_F: Floats
    axes_FD: Floats
    drawn_P: Floats
    drawn_DP: Floats
    shape: tuple[int, int, int]

    def embed(self, values_NF: NDArray[np.generic]) -> Floats:
        """Turn pictures (uint8, flattened [N, P]) or features [N, F] into [N, D]."""
        apart_NF = values_NF.astype(np.float64) - self.mean_F
        numbers_ND: Floats = apart_NF @ self.axes_FD
        return numbers_ND

    def draw(self, numbers_ND: Floats) -> NDArray[np.uint8]:
        """Turn numbers back into pictures: uint8 [N, H, W, C]."""
        levels_NP = np.clip(self.drawn_P + numbers_ND @ self.drawn_DP, 0, 255)
        return np.round(levels_NP).astype(np.uint8).reshape(-1, *self.shape)


def learn_pictures(
    pictures_NHWC: NDArray[np.uint8],
    n_numbers: int,
    *,
    features_NF: Floats | None = None,
    seed: int = 0,
) -> PictureEmbedding:
    """Learn to embed pictures by their principal components, or those of features.

    Features cannot be turned back: the picture that goes with them is learned by least
    squares (ridge regression, Hoerl and Kennard 1970) of the pictures on the numbers.

    Args:
        pictures_NHWC: uint8 [N, H, W, C].
        n_numbers: D; fewer come out where the pictures do not differ in as many ways.
        features_NF: what a network makes of each; None takes the pictures themselves.
        seed: of the search for components.

    Raises:
        TrainingError: if there are fewer than two pictures, or all are the same.
    """
    flat_NP = pictures_NHWC.reshape(len(pictures_NHWC), -1).astype(np.float64)
    values_NF = flat_NP if features_NF is None else features_NF.astype(np.float64)
    axes_DF, spread_D = _components(values_NF, n_numbers, seed)
    mean_F = values_NF.mean(axis=0)
    axes_FD = axes_DF.T / spread_D
    if features_NF is None:
        drawn_DP = axes_DF * spread_D[:, None]
    else:
        numbers_ND = (values_NF - mean_F) @ axes_FD
        square_DD = numbers_ND.T @ numbers_ND + RIDGE * np.eye(len(spread_D))
        apart_NP = flat_NP - flat_NP.mean(axis=0)
        drawn_DP = np.linalg.solve(square_DD, numbers_ND.T @ apart_NP)
    shape = tuple(map(int, pictures_NHWC.shape[1:]))
    assert len(shape) == 3
    return PictureEmbedding(mean_F, axes_FD, flat_NP.mean(axis=0), drawn_DP, shape)


def _components(values_NF: Floats, n_numbers: int, seed: int) -> tuple[Floats, Floats]:
    """Return principal axes [D, F] and the standard deviation [D] along each."""
    from sklearn.decomposition import PCA

    if len(values_NF) < 2:
        raise TrainingError(
            f"expected two clips or more of each sense to learn from, got "
            f"{len(values_NF)}; add clips"
        )
    most = min(n_numbers, len(values_NF) - 1, values_NF.shape[1])
    found = PCA(most, random_state=seed).fit(values_NF)
    told = found.explained_variance_
    kept = told > max(_FLAT * told[0], 1e-12)
    if not kept.any():
        raise TrainingError("all pictures or sounds to learn from are the same")
    return found.components_[kept], np.sqrt(told[kept])


@dataclass(frozen=True)
class TextEmbedding:
    """Latent semantics of words: n-grams of letters, weighed, in a few directions.

    Letters need no borders between words, which Japanese does not write. Source:
    Deerwester et al. 1990, "Indexing by latent semantic analysis", on TF-IDF of
    characters (scikit-learn's).

    Attributes:
        ngrams: the G n-grams of 1 to 3 letters that are known.
        rarity_G: what each counts for (inverse document frequency).
        mean_D: of the numbers, before it is taken away.
        axes_GD: from n-grams to numbers, their variances made 1.
    """

    ngrams: tuple[str, ...]
    rarity_G: Floats
    mean_D: Floats
    axes_GD: Floats

    def embed(self, texts: Sequence[str]) -> Floats:
        """Turn N texts into numbers [N, D]; NaN where no letter of one is known."""
        counts = _counter(self.ngrams, self.rarity_G).transform(map(plain, texts))
        numbers_ND: Floats = counts @ self.axes_GD - self.mean_D
        numbers_ND[np.diff(counts.indptr) == 0] = np.nan
        return numbers_ND


def learn_texts(
    texts: Sequence[str], n_numbers: int, *, seed: int = 0
) -> TextEmbedding:
    """Learn to embed texts.

    Args:
        texts: N of them.
        n_numbers: D; fewer come out where the texts do not differ in as many ways.
        seed: of the search for directions.

    Raises:
        TrainingError: if they hold no letter, or are all the same.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    counter = TfidfVectorizer(
        analyzer="char", ngram_range=NGRAMS, max_features=MOST_NGRAMS, lowercase=False
    )
    try:
        counts_NG = counter.fit_transform(map(plain, texts))
    except ValueError:
        raise TrainingError("the texts to learn from hold no letter") from None
    most = max(1, min(n_numbers, min(counts_NG.shape) - 1))
    found = TruncatedSVD(most, random_state=seed).fit(counts_NG)
    numbers_ND = counts_NG @ found.components_.T
    spread_D = numbers_ND.std(axis=0)
    kept = spread_D**2 > max(_FLAT * float(np.max(spread_D**2)), 1e-12)
    if not kept.any():
        raise TrainingError("all texts to learn from are the same")
    axes_GD = found.components_[kept].T / spread_D[kept]
    return TextEmbedding(
        tuple(map(str, counter.get_feature_names_out())),
        np.asarray(counter.idf_, np.float64),
        np.asarray((counts_NG @ axes_GD).mean(axis=0), np.float64),
        axes_GD,
    )


def plain(text: str) -> str:
    """Write a text in one form: NFKC, no capitals, one blank between words."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _counter(ngrams: Sequence[str], rarity_G: Floats) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    counter = TfidfVectorizer(
        analyzer="char", ngram_range=NGRAMS, vocabulary=list(ngrams), lowercase=False
    )
    counter.idf_ = rarity_G
    return counter


def as_arrays(embedding: PictureEmbedding | TextEmbedding) -> dict[str, NDArray[Any]]:
    """Return an embedding as plain arrays, to be kept in a file."""
    if isinstance(embedding, TextEmbedding):
        return {
            "ngrams": np.array(embedding.ngrams, np.str_),
            "rarity": embedding.rarity_G,
            "mean": embedding.mean_D,
            "axes": embedding.axes_GD,
        }
    return {
        "mean": embedding.mean_F,
        "axes": embedding.axes_FD,
        "drawn_mean": embedding.drawn_P,
        "drawn": embedding.drawn_DP,
        "shape": np.array(embedding.shape, np.int64),
    }


def of_arrays(held: Mapping[str, NDArray[Any]]) -> PictureEmbedding | TextEmbedding:
    """Read what `as_arrays` gave.

    Raises:
        KeyError or ValueError: if it is not that.
    """
    if "ngrams" in held:
        ngrams = tuple(map(str, held["ngrams"]))
        rarity_G, mean_D, axes_GD = (
            _floats(held[key]) for key in ("rarity", "mean", "axes")
        )
        if axes_GD.shape != (len(ngrams), len(mean_D)) or len(rarity_G) != len(ngrams):
            raise ValueError("the sizes of the words' embedding do not fit together")
        return TextEmbedding(ngrams, rarity_G, mean_D, axes_GD)
    mean_F, axes_FD, drawn_P, drawn_DP = (
        _floats(held[key]) for key in ("mean", "axes", "drawn_mean", "drawn")
    )
    height, width, planes = (int(side) for side in held["shape"])
    n_numbers = axes_FD.shape[-1]
    fits = (
        axes_FD.shape == (len(mean_F), n_numbers)
        and drawn_DP.shape == (n_numbers, len(drawn_P))
        and min(height, width, planes) > 0
        and height * width * planes == len(drawn_P)
    )
    if not fits:
        raise ValueError("the sizes of the pictures' embedding do not fit together")
    return PictureEmbedding(mean_F, axes_FD, drawn_P, drawn_DP, (height, width, planes))


def _floats(array: NDArray[Any]) -> Floats:
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise ValueError("expected finite numbers")
    return array.astype(np.float64)
