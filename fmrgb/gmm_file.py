"""From concepts to one file of plain arrays, and back.

Axes: N samples, D numbers of all senses side by side, K concepts, L labels.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrgb.archive import load_arrays, save_arrays
from fmrgb.embed import PictureEmbedding, as_arrays, of_arrays
from fmrgb.errors import SampleError, TrainingError
from fmrgb.files import shown
from fmrgb.gmm import Mixture
from fmrgb.gmm_data import KINDS
from fmrgb.gmm_model import Concepts, Embedding


def save(path: Path, concepts: Concepts) -> None:
    """Write concepts to one .npz of plain arrays; the same give the same bytes.

    Raises:
        DiskFullError: if there is no room left.
    """
    mixture = concepts.mixture
    arrays: dict[str, NDArray[Any]] = {
        "weights": mixture.weights_K,
        "means": mixture.means_KD,
        "covariances": mixture.covariances_KDD,
        "table": mixture.table_KL,
        "kind": np.array(mixture.kind),
        "labels": np.array(concepts.labels, np.str_),
        "known": concepts.known_ND,
        "known_labels": concepts.known_labels_N,
        "texts": np.array(concepts.texts, np.str_),
        "network": np.array(str(concepts.card.get("network", ""))),
    }
    for kind, one in concepts.embeddings.items():
        arrays |= {f"{kind}_{key}": value for key, value in as_arrays(one).items()}
        arrays[f"{kind}_names"] = np.array(concepts.names[kind], np.str_)
        if kind in concepts.channels:
            arrays[f"{kind}_channels"] = np.array(concepts.channels[kind], np.str_)
    save_arrays(path, arrays)


def load(path: Path) -> Concepts:
    """Read what `save` wrote; nothing of the file is run.

    Raises:
        TrainingError: if it is no such file, or its arrays do not fit together.
        InputError: if there is no such file.
    """
    needed = ("weights", "means", "covariances", "table", "kind", "labels", "known")
    more = ("known_labels", "texts", "network")
    try:
        held = load_arrays(path, (*needed, *more))
        return _checked(_read(held))
    except (SampleError, KeyError, ValueError, TypeError, IndexError) as error:
        raise TrainingError(
            f"{shown(path)} is not a whole concepts.npz of gmm --fit: {error}"
        ) from error


def _read(held: dict[str, NDArray[Any]]) -> Concepts:
    embeddings: dict[str, Embedding] = {}
    channels, names = {}, {}
    for kind in KINDS:
        begin = f"{kind}_"
        own = {k.removeprefix(begin): v for k, v in held.items() if k.startswith(begin)}
        if not own:
            continue
        embeddings[kind] = of_arrays(own)
        names[kind] = tuple(map(str, own["names"]))
        if "channels" in own:
            channels[kind] = tuple(map(str, own["channels"]))
    arrays = ("weights", "means", "covariances", "table")
    weights_K, means_KD, covariances_KDD, table_KL = (
        held[name].astype(np.float64) for name in arrays
    )
    kind_of = str(held["kind"])
    if kind_of not in ("full", "tied", "diag"):
        raise ValueError("its covariances are of no known kind")
    return Concepts(
        labels=tuple(map(str, held["labels"])),
        embeddings=embeddings,
        mixture=Mixture(weights_K, means_KD, covariances_KDD, table_KL, kind_of),  # type: ignore[arg-type]
        known_ND=held["known"].astype(np.float64),
        names=names,
        known_labels_N=held["known_labels"].astype(np.int64),
        texts=tuple(map(str, held["texts"])),
        channels=channels,
        card={"network": str(held["network"])},
    )


def _checked(concepts: Concepts) -> Concepts:
    """Return concepts whose arrays fit together; raise ValueError of others."""
    mixture, n_known = concepts.mixture, len(concepts.known_ND)
    n_concepts, n_labels = len(mixture.weights_K), len(concepts.labels)
    if not concepts.embeddings:
        raise ValueError("it embeds nothing")
    n_numbers = max(span.stop for span in concepts.places.values())
    shapes = {
        "means": (mixture.means_KD, (n_concepts, n_numbers)),
        "covariances": (mixture.covariances_KDD, (n_concepts, n_numbers, n_numbers)),
        "table": (mixture.table_KL, (n_concepts, n_labels)),
        "known": (concepts.known_ND, (n_known, n_numbers)),
        "known_labels": (concepts.known_labels_N, (n_known,)),
        "texts": (np.empty(len(concepts.texts)), (n_known,)),
    }
    for name, (array, shape) in shapes.items():
        if array.shape != shape:
            raise ValueError(f"{name} is {list(array.shape)}, expected {list(shape)}")
    for array in (mixture.weights_K, mixture.table_KL):
        if not (np.isfinite(array).all() and (array > 0).all()):
            raise ValueError("its chances are not all above 0")
    if not np.isfinite(mixture.means_KD).all():
        raise ValueError("its means are no numbers")
    labels_N = concepts.known_labels_N
    if n_labels < 2 or ((labels_N < 0) | (labels_N >= n_labels)).any():
        raise ValueError("its clips have labels that it does not name")
    np.linalg.cholesky(mixture.covariances_KDD)  # a LinAlgError is a ValueError
    for kind, one in concepts.embeddings.items():
        if len(concepts.names[kind]) != n_known:
            raise ValueError(f"it does not name every {kind}")
        if isinstance(one, PictureEmbedding) and kind not in concepts.channels:
            raise ValueError(f"its {kind} planes have no names")
    return concepts
