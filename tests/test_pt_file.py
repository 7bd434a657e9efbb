"""pt_file.py: what it writes is what torch.load reads, to the last value and byte."""

import io
import subprocess
import sys
import zipfile
from typing import Any

import numpy as np
import pytest
import torch

from fmrgb.pt_file import ALIGNMENT, BUFFER, PtFile

RNG = np.random.default_rng(4)


def pictures(*shape: int) -> np.ndarray:
    """Return random levels."""
    return RNG.integers(0, 256, shape, np.uint8)


def write(path: Any, content: dict[str, Any], key: str = "visual") -> None:
    """Write a dict whose array `key` is appended row by row."""
    with open(path, "w+b") as file:
        opened = PtFile(file)
        for row in content[key]:
            opened.append(row)
        opened.finish(content, appended=key)


CONTENT = {
    "format": "x" * 300,
    "visual": pictures(7, 5, 4, 3),
    "sound": {"amplitude": pictures(7), "mel": pictures(7, 6, 2)},
    "times": RNG.random(7, np.float32),
    "one": np.float32([2.5]),
    "channels": ["R", "G", "R"],
    "yes": True,
    "no": False,
    "nothing": None,
    "meta": {
        "empty": {},
        "name": "ä\udcff",
        "deep": {"fps": 1e-300, "sizes": [1, -70_000, 1 << 40]},
    },
}


def as_arrays(value: Any) -> Any:
    """Turn the tensors of what was loaded into arrays."""
    if isinstance(value, torch.Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {key: as_arrays(inner) for key, inner in value.items()}
    return value


@pytest.mark.parametrize("mapped", [False, True])
def test_torch_reads_what_was_written(tmp_path, mapped):
    write(tmp_path / "a.pt", CONTENT)
    loaded = torch.load(tmp_path / "a.pt", weights_only=True, mmap=mapped)
    assert list(loaded) == list(CONTENT)
    np.testing.assert_equal(as_arrays(loaded), CONTENT)
    assert loaded["visual"].dtype == torch.uint8
    assert loaded["times"].dtype == torch.float32
    assert loaded["visual"].is_contiguous()


def test_torch_saves_the_same_tensors_and_values(tmp_path):
    write(tmp_path / "a.pt", CONTENT)

    def tensors(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value)
        if isinstance(value, dict):
            return {key: tensors(inner) for key, inner in value.items()}
        return value

    torch.save(tensors(CONTENT), tmp_path / "b.pt")
    one, two = (
        torch.load(tmp_path / name, weights_only=True) for name in ("a.pt", "b.pt")
    )
    np.testing.assert_equal(as_arrays(one), as_arrays(two))


def test_the_records_are_whole_aligned_and_not_compressed(tmp_path):
    write(tmp_path / "a.pt", CONTENT)
    data = (tmp_path / "a.pt").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.pt") as parts:
        assert parts.testzip() is None
        for info in parts.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            content = parts.read(info)
            name, extra = (
                int.from_bytes(data[info.header_offset + at :][:2], "little")
                for at in (26, 28)
            )
            start = info.header_offset + 30 + name + extra
            assert start % ALIGNMENT == 0
            assert data[start : start + len(content)] == content


def test_pieces_of_all_sizes_are_kept_in_their_order(tmp_path):
    sizes = [3, BUFFER - 1, 5, BUFFER, BUFFER + 1, 0, 2 * BUFFER, 7]
    pieces = [pictures(n) for n in sizes]
    content = {"visual": np.concatenate(pieces)}
    with open(tmp_path / "a.pt", "w+b") as file:
        opened = PtFile(file)
        for piece in pieces:
            kept = piece.copy()
            opened.append(kept)
            kept[:] = 0  # what was appended is written already, or copied
        assert opened.n_bytes == sum(sizes)
        assert np.array_equal(opened.view(np.uint8, ()), content["visual"])
        opened.finish(content, appended="visual")
    loaded = torch.load(tmp_path / "a.pt", weights_only=True)
    assert np.array_equal(loaded["visual"].numpy(), content["visual"])


def test_views_of_any_order_are_written_as_they_look(tmp_path):
    turned = np.rot90(pictures(6, 4, 3), 1)
    content = {"visual": pictures(2, 3), "turned": turned, "part": turned[:, ::2, 1]}
    write(tmp_path / "a.pt", content)
    loaded = torch.load(tmp_path / "a.pt", weights_only=True)
    np.testing.assert_equal(as_arrays(loaded), content)


def test_what_was_cleared_leaves_nothing(tmp_path):
    for name, cleared in (("a.pt", False), ("b.pt", True)):
        with open(tmp_path / name, "w+b") as file:
            opened = PtFile(file)
            if cleared:
                opened.append(pictures(3 * BUFFER))
                opened.clear()
                assert opened.n_bytes == 0
            opened.append(CONTENT["visual"])
            opened.finish(CONTENT, appended="visual")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_a_file_that_is_given_up_says_nothing_later():
    file = io.BytesIO()
    opened = PtFile(file)
    opened.append(pictures(5))
    opened.give_up()
    file.close()
    del opened  # what it holds would complain of the closed file


def test_nothing_is_a_view_of_nothing():
    opened = PtFile(io.BytesIO())
    assert opened.view(np.uint8, (4, 3)).shape == (0, 4, 3)
    opened.give_up()


def test_torch_is_not_imported_to_write():
    program = (
        "import sys, fmrgb.build; assert not {'torch', 'librosa'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
