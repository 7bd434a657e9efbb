"""archive.py: pictures with labels in one .npz, there and back, and nothing run."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from fmrgb.archive import load_arrays, read_npz, write_npz
from fmrgb.errors import InputError, SampleError

N, H, W, C = 5, 3, 4, 2
IMAGES = np.arange(N * H * W * C, dtype=np.uint8).reshape(N, H, W, C)
LABELS = np.array([1, 0, 1, 1, 0])
CLASSES = ("犬", "cat")


def archive(path: Path, **changed: object) -> Path:
    """Write an archive as others do, with some arrays changed or (None) left out."""
    arrays = {"images": IMAGES, "labels": LABELS, "classes": np.array(CLASSES)}
    np.savez(path, **{k: v for k, v in {**arrays, **changed}.items() if v is not None})
    return path


def test_what_is_written_is_read(tmp_path):
    write_npz(
        tmp_path / "a.npz", IMAGES, LABELS, CLASSES, splits=np.array(["test"] * N)
    )
    found = read_npz(tmp_path / "a.npz")
    assert (found.images == IMAGES).all()
    assert found.images.dtype == np.uint8
    assert found.labels.tolist() == LABELS.tolist()
    assert found.classes == CLASSES


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_npz(tmp_path / f"{name}.npz", IMAGES, LABELS, CLASSES)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_numpy_reads_it_without_pickle(tmp_path):
    write_npz(tmp_path / "a.npz", IMAGES, LABELS, CLASSES)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as held:
        assert sorted(held.files) == ["classes", "images", "labels"]
        assert (held["images"] == IMAGES).all()


def test_grey_pictures_floats_and_names_as_labels_are_read_too(tmp_path):
    grey = archive(tmp_path / "a.npz", images=IMAGES[..., 0])
    assert read_npz(grey).images.shape == (N, H, W, 1)
    parts = archive(tmp_path / "b.npz", images=(IMAGES / 255).astype(np.float32))
    assert (read_npz(parts).images == IMAGES).all()
    words = archive(tmp_path / "c.npz", labels=np.array(CLASSES)[LABELS])
    assert read_npz(words).labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images": None}, "lacks images; it holds classes, labels"),
        ({"images": IMAGES[0, 0]}, r"expected images uint8 \[N, H, W, C\], got"),
        ({"images": IMAGES.astype(np.uint16)}, "expected images uint8, got uint16"),
        ({"images": IMAGES / 2.0}, "floats in 0 to 1, got others"),
        ({"images": IMAGES * np.nan}, "floats in 0 to 1, got others"),
        ({"labels": LABELS[1:]}, "expected 5 labels"),
        ({"labels": LABELS + 1}, "expected labels 0 to 1, .* got 1 to 2"),
        ({"labels": np.array(["cow"] * N)}, "cow is not among its classes"),
        ({"classes": np.array(["a", "a"])}, "each another name"),
        ({"classes": np.array([["a", "b"]])}, "expected classes as K names"),
        ({"classes": np.array([print], object)}, "not a whole .npz of plain arrays"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, changed, said):
    with pytest.raises(SampleError, match=said):
        read_npz(archive(tmp_path / "a.npz", **changed))


def test_a_cut_file_is_refused(tmp_path):
    path = archive(tmp_path / "a.npz")
    path.write_bytes(path.read_bytes()[:-90])
    with pytest.raises(SampleError, match=r"not a whole \.npz of plain arrays"):
        read_npz(path)


def test_a_file_that_unpacks_to_more_than_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("fmrgb.archive.free_memory", lambda: 10_000)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as held:
        held.writestr("images.npy", bytes(10_001))
    with pytest.raises(SampleError, match=r"unpacks to 10 KiB, and 10 KiB of memory"):
        load_arrays(tmp_path / "a.npz", ())


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*gone\.npz: No such file"):
        read_npz(tmp_path / "gone.npz")
