"""trial.py: a few steps tell loss, time and memory, and how many clips fit."""

import math
import weakref
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import tiny
import torch

from fmrgb import trial
from fmrgb.card import Card
from fmrgb.errors import TrainingError
from fmrgb.learner import Learner, Settings
from fmrgb.memory import is_out_of_memory
from fmrgb.trial import (
    Batch,
    clips_that_fit,
    first,
    largest_fitting,
    or_what_would_fit,
    try_steps,
)

CARD = Card(
    model="conv3d",
    model_size="tiny",
    classes=("bright", "dark", "grey"),
    view=tiny.VIEW,
    mean=[120.0] * len(tiny.CHANNELS),
    std=[20.0] * len(tiny.CHANNELS),
    recipe={"audiomethod": "simple", "scale": "absolute"},
)
SETTINGS = Settings(precision="32", batch_size=20)
SHAPE = (len(tiny.CHANNELS), tiny.N_FRAMES, tiny.HEIGHT, tiny.WIDTH)
CUDA_WORDS = "CUDA out of memory. Tried to allocate 2.00 GiB."


def make(settings: Settings = SETTINGS) -> Learner:
    """Return a fresh network."""
    return Learner(CARD, settings)


def batch_of(n_clips: int) -> Batch:
    """Return clips of noise, of each class in turn."""
    torch.manual_seed(0)
    levels = torch.randint(0, 256, (n_clips, *SHAPE), dtype=torch.uint8)
    return levels, torch.arange(n_clips) % 3, torch.arange(n_clips)


def refuse_more_than(most: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let memory run out in every step on more clips; return what was tried."""
    tried: list[int] = []
    real = Learner.training_step

    def step(self: Learner, batch: Any, batch_idx: int) -> torch.Tensor:
        n_clips = len(batch[0])
        if not tried or tried[-1] != n_clips:
            tried.append(n_clips)
        if n_clips > most:
            raise RuntimeError(CUDA_WORDS)
        return real(self, batch, batch_idx)

    monkeypatch.setattr(Learner, "training_step", step)
    return tried


def test_the_first_steps_are_told():
    learner = make()
    before = sum(p.numel() for p in learner.parameters())
    found = try_steps(learner, batch_of(7))
    assert found.shape == (7, *SHAPE)
    assert (found.device, found.precision) == ("cpu", "32")
    assert found.parameters == before
    assert found.loss_of_guessing == pytest.approx(math.log(3))
    assert found.loss == pytest.approx(math.log(3), abs=0.5)
    assert 0 < found.seconds < 60
    assert 0 < found.seconds_to_judge < 60
    assert found.peak_bytes > 2**20
    assert found.free_bytes is None or found.free_bytes > 2**20


def test_the_same_trial_gives_the_same_loss_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    losses = []
    for _ in range(2):
        torch.manual_seed(3)
        losses.append(try_steps(make(), batch_of(5)).loss)
    assert losses[0] == losses[1]
    assert list(tmp_path.iterdir()) == []


def test_one_long_step_is_enough(monkeypatch):
    tried = []
    real = Learner.training_step

    def counted(self: Learner, *args: Any) -> torch.Tensor:
        tried.append(1)
        return real(self, *args)

    monkeypatch.setattr(Learner, "training_step", counted)
    try_steps(make(), batch_of(4))
    assert len(tried) == trial.STEPS
    monkeypatch.setattr(trial, "LONG_STEP", 0)
    try_steps(make(), batch_of(4))
    assert len(tried) == trial.STEPS + 1


def test_the_first_clips_are_a_batch():
    levels, truth, numbers = first(batch_of(6), 4)
    assert levels.shape == (4, *SHAPE)
    assert truth.tolist() == [0, 1, 2, 0]
    assert numbers.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("most", "fits", "tries"), [(100, 10, [12]), (6, 5, [12, 6]), (1, 1, [12, 6, 2, 1])]
)
def test_batches_are_halved_until_one_fits_with_room(most, fits, tries, monkeypatch):
    tried = refuse_more_than(most, monkeypatch)
    assert largest_fitting(make, 20) == fits
    assert tried == tries


def test_where_not_one_clip_fits_none_does(monkeypatch):
    refuse_more_than(0, monkeypatch)
    assert largest_fitting(make, 20) == 0


def test_a_fault_that_is_not_memory_is_not_hidden(monkeypatch):
    def wrong(*_: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Learner, "training_step", wrong)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        largest_fitting(make, 20)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        or_what_would_fit(lambda: try_steps(make(), batch_of(3)), make, 20)


@pytest.mark.parametrize(("accumulate", "wanted"), [(1, 4), (3, 12)])
def test_the_answer_to_too_many_clips_is_how_many_fit(accumulate, wanted, monkeypatch):
    refuse_more_than(6, monkeypatch)
    own = partial(make, replace(SETTINGS, accumulate=accumulate))
    said = (
        rf"a batch of 20 clips of \[5, 6, 10, 14\] does not fit into memory; "
        rf"--batch_size 5 does, and with --accumulate {wanted} every update still "
        rf"learns from {5 * wanted} clips \(CUDA out of memory\. Tried"
    )
    with pytest.raises(TrainingError, match=said):
        or_what_would_fit(lambda: try_steps(own(), batch_of(20)), own, 20)


def test_where_nothing_fits_the_clips_must_be_smaller(monkeypatch):
    refuse_more_than(0, monkeypatch)
    said = (
        r"not even one clip of \[5, 6, 10, 14\] fits into memory; give a smaller --si"
    )
    with pytest.raises(TrainingError, match=said):
        or_what_would_fit(lambda: try_steps(make(), batch_of(20)), make, 20)


def test_what_a_failed_step_held_is_let_go_before_fewer_clips_are_tried(monkeypatch):
    class Large:
        """Stands for what a step holds."""

    held: list[weakref.ref[Large]] = []
    alive = []

    def step(self: Learner, batch: Any, batch_idx: int) -> None:
        alive.append(sum(ref() is not None for ref in held))
        large = Large()
        held.append(weakref.ref(large))
        raise MemoryError(str(large))

    monkeypatch.setattr(Learner, "training_step", step)
    with pytest.raises(TrainingError, match="not even one clip"):
        or_what_would_fit(lambda: try_steps(make(), batch_of(4)), make, 4)
    assert alive == [0, 0, 0]  # with 4 clips, with 2, with 1


def reckoned(n_clips: int, monkeypatch: Any, *, free: int | None, each: int) -> int:
    """Reckon with a free memory and a need per clip; 1000 bytes are taken anyway."""

    def steps(_: Learner, batch: Batch, steps: int) -> Any:
        taken = trial.Trial(
            device="cpu",
            precision="32",
            shape=(),
            parameters=0,
            loss=0,
            loss_of_guessing=0,
            seconds=0,
            seconds_to_judge=0,
            peak_bytes=1000 + each * len(batch[0]),
            free_bytes=None,
        )
        assert steps == 1
        return taken

    monkeypatch.setattr(trial, "try_steps", steps)
    monkeypatch.setattr(trial, "free_memory", lambda: free)
    return clips_that_fit(make, batch_of(n_clips))


def test_how_many_clips_fit_is_reckoned_from_few(monkeypatch):
    # 4 of 20 have been measured; 16 more at 50 bytes each need 800.
    assert reckoned(20, monkeypatch, free=800, each=50) == 20
    assert reckoned(20, monkeypatch, free=799, each=50) == 4 + 15
    assert reckoned(20, monkeypatch, free=20, each=50) == 4
    assert reckoned(20, monkeypatch, free=0, each=0) == 20
    assert reckoned(20, monkeypatch, free=None, each=50) == 20
    assert reckoned(4, monkeypatch, free=0, each=50) == 4


def test_a_real_allocation_that_is_too_large_is_answered():
    def work() -> torch.Tensor:
        return torch.empty(2**60, dtype=torch.uint8)

    with pytest.raises(RuntimeError) as refused:
        work()
    assert is_out_of_memory(refused.value)
    with pytest.raises(
        TrainingError, match=r"a batch of 20 clips .* --batch_size 10 do"
    ):
        or_what_would_fit(work, make, 20)
