"""memory.py: what is taken and left is known, and that it ran out."""

import numpy as np
import pytest
import torch

from fmrgb import memory
from fmrgb.memory import free_memory, in_bytes, is_out_of_memory, peak_of_process

GIB = 2**30


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate"), True),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
            True,
        ),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_running_out_of_memory_has_many_names(error, is_one):
    assert is_out_of_memory(error) is is_one


def test_torch_says_what_we_look_for():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(refused.value)


def test_the_peak_grows_with_what_is_taken():
    before = peak_of_process()
    taken = np.ones(before + 50 * 2**20, np.uint8)  # beyond all that was ever taken
    assert peak_of_process() - before > 40 * 2**20
    assert taken[-1] == 1


def test_the_free_memory_is_that_of_the_machine_or_of_a_smaller_container(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(memory, "CONTAINER", tmp_path)
    whole = free_memory()
    assert whole is not None
    assert whole > 2**20
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 600\ninactive_file 30\n")
    assert free_memory() == pytest.approx(whole, rel=0.2)
    (tmp_path / "memory.max").write_text("1000\n")
    assert free_memory() == 1000 - 700 + 30


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (900, "900 bytes"),
        (2048, "2 KiB"),
        (3 * 2**20, "3 MiB"),
        (2.25 * GIB, "2.2 GiB"),
    ],
)
def test_bytes_are_written_for_people(number, said):
    assert in_bytes(number) == said
