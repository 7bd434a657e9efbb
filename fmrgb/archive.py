"""From arrays to one `.npz` and back, running nothing of a stranger's file.

Axes: N pictures, H height, W width, C planes, K classes.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrgb.errors import InputError, SampleError
from fmrgb.files import open_plain, shown, whole_file
from fmrgb.memory import free_memory, in_bytes

NPZ = ".npz"
MOST_BYTES = 64 * 2**30  # of all arrays of a file, where free memory is not known
MOST_CLASSES = 20_000


@dataclass(frozen=True)
class Archive:
    """Pictures with their labels.

    Attributes:
        images: uint8 [N, H, W, C].
        labels: int64 [N], places among the classes.
        classes: K names, each another.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def write_npz(
    path: Path,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    classes: tuple[str, ...],
    **more: NDArray[Any],
) -> None:
    """Write pictures with their labels; the same ones give the same bytes.

    Args:
        path: the file, ending in .npz.
        images: uint8 [N, H, W, C].
        labels: [N], places among the classes.
        classes: K names.
        more: further arrays, by name, of which `read_npz` takes no notice.

    Raises:
        DiskFullError: if there is no room left.
    """
    known: dict[str, NDArray[Any]] = {
        "images": images,
        "labels": labels.astype(np.int64),
    }
    save_arrays(path, {**known, "classes": np.array(classes, np.str_), **more})


def read_npz(path: Path) -> Archive:
    """Read pictures with their labels.

    `images` may be uint8 [N, H, W] or [N, H, W, C], or floats in 0 to 1, which become
    levels 0 to 255; `labels` whole numbers, or names among `classes`.

    Raises:
        SampleError: if it is no such file, damaged, or would run code.
        InputError: if there is no such file.
    """
    name = shown(path)
    held = load_arrays(path, ("images", "labels", "classes"))
    images, labels, classes = (held[key] for key in ("images", "labels", "classes"))
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or not images.size or images.dtype.kind not in "uf":
        raise SampleError(
            f"{name}: expected images uint8 [N, H, W, C], got {images.dtype} "
            f"{list(images.shape)}"
        )
    if images.dtype.kind == "f":
        if not (images.min() >= 0 and images.max() <= 1):  # also where one is no number
            raise SampleError(
                f"{name}: expected images uint8, or floats in 0 to 1, got others"
            )
        images = np.round(images * 255)
    elif images.dtype != np.uint8:
        raise SampleError(f"{name}: expected images uint8, got {images.dtype}")
    names = _names(classes, name)
    return Archive(images.astype(np.uint8), _labels(labels, names, images, name), names)


def _names(classes: NDArray[Any], name: str) -> tuple[str, ...]:
    if classes.ndim != 1 or classes.dtype.kind not in "Uiu" or not len(classes):
        raise SampleError(
            f"{name}: expected classes as K names, got {classes.dtype} "
            f"{list(classes.shape)}"
        )
    names = tuple(str(word) for word in classes)
    if len({*names}) < len(names) or len(names) > MOST_CLASSES or not all(names):
        raise SampleError(
            f"{name}: expected up to {MOST_CLASSES:,} classes, each another name"
        )
    return names


def _labels(
    labels: NDArray[Any], names: tuple[str, ...], images: NDArray[Any], name: str
) -> NDArray[np.int64]:
    if labels.shape != (len(images),) or labels.dtype.kind not in "iuU":
        raise SampleError(
            f"{name}: expected {len(images)} labels, whole numbers or names, got "
            f"{labels.dtype} {list(labels.shape)}"
        )
    if labels.dtype.kind == "U":
        places = {word: place for place, word in enumerate(names)}
        if strange := sorted({*map(str, labels)} - {*places}):
            raise SampleError(f"{name}: {shown(strange[0])} is not among its classes")
        return np.array([places[str(word)] for word in labels], np.int64)
    if labels.min() < 0 or labels.max() >= len(names):
        raise SampleError(
            f"{name}: expected labels 0 to {len(names) - 1}, places among the classes, "
            f"got {labels.min()} to {labels.max()}"
        )
    return labels.astype(np.int64)


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to one .npz, whole or not at all, the same ones as the same bytes.

    Raises:
        DiskFullError: if there is no room left.
    """
    with whole_file(path) as part, open(part, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load_arrays(path: Path, needed: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Read all arrays of an .npz.

    Args:
        path: the file.
        needed: names of arrays that it must hold.

    Raises:
        SampleError: if it is damaged, lacks an array, holds objects (which would run
            code), or would not fit into memory.
        InputError: if there is no such file.
    """
    name = shown(path)
    try:
        with open_plain(path) as file, zipfile.ZipFile(file) as listed:
            promised = sum(entry.file_size for entry in listed.infolist())
            have = {entry.removesuffix(".npy") for entry in listed.namelist()}
            if promised > (most := free_memory() or MOST_BYTES):
                raise SampleError(
                    f"{name} unpacks to {in_bytes(promised)}, and {in_bytes(most)} of "
                    "memory are free; cut it into several"
                )
            if missing := [key for key in needed if key not in have]:
                raise SampleError(
                    f"{name} lacks {', '.join(missing)}; it holds "
                    f"{', '.join(map(shown, sorted(have))) or 'nothing'}"
                )
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return {key: np.asarray(arrays[key]) for key in arrays.files}
    except SampleError:
        raise
    except OSError as error:
        raise InputError(
            f"cannot read {name}: {error.strerror or 'it is damaged'}"
        ) from error
    except Exception as error:  # damaged bytes make readers raise anything at all
        said = str(error).partition("\n")[0] or type(error).__name__
        raise SampleError(
            f"{name} is not a whole .npz of plain arrays; nothing of it was run: {said}"
        ) from error
