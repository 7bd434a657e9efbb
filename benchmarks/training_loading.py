"""What one batch costs before the network sees it, and what a real epoch takes.

    python benchmarks/training_loading.py conv3d bf16-mixed   # one epoch, as JSON
    python benchmarks/training_loading.py loader              # batches, as JSON

Axes: B batch, C channels, T frames, H height, W width.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional
from training_ways import BATCH, CHANNELS, VIEW, peak_mib

from fmrgb.arena import freed_memory_is_kept
from fmrgb.augment import USUAL, augment
from fmrgb.learner import Settings
from fmrgb.loader import ClipSet
from fmrgb.manifest import Row
from fmrgb.sample import Sample, save_sample
from fmrgb.trainer import train

N_TRAIN, N_VAL = 240, 60
FIRST_SHAPE = (150, 90, 160, 5)  # frames, rows, columns, planes of its samples


def sample_of(number: int) -> Sample:
    """Make up a sample of 32 frames of 64 x 64."""
    dice = np.random.default_rng(number)
    shape = (VIEW.frames, VIEW.height, VIEW.width, 3)
    heard = dice.integers(1, 256, (2, VIEW.frames), dtype=np.uint8)
    return Sample(
        visual=dice.integers(0, 256, shape, dtype=np.uint8),
        sound=dict(zip(CHANNELS[3:], heard, strict=True)),
        channels=CHANNELS,
        times=np.arange(VIEW.frames, dtype=np.float32) / 8,
        has_sound=True,
        silent=False,
        label="ab"[number % 2],
        meta={"options": {"audiomethod": "simple"}},
    )


def rows_in(folder: Path, n_train: int, n_val: int) -> list[Row]:
    """Write samples and list them."""
    rows = []
    for number in range(n_train + n_val):
        path = folder / f"clip{number:03d}.pt"
        made = sample_of(number)
        save_sample(path, made)
        split = "train" if number < n_train else "val"
        rows.append(Row(path=path, label=made.label, split=split, has_sound=True))
    return rows


class Clock(Callback):
    """The processor's seconds at each epoch's end; the wall counts others' work."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_epoch_end(self, *_: object) -> None:
        """Note the time."""
        self.ends.append(time.process_time())


def epoch(model: str, precision: str) -> dict[str, float]:
    """Train for two epochs; tell what the second took, its validation included."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as name:
        rows = rows_in(Path(name), N_TRAIN, N_VAL)
        settings = Settings(model=model, epochs=2, precision=precision)
        recipe = {"scale": "absolute"}
        how = {"folder": Path(name) / "run", "recipe": recipe, "quiet": True}
        train(rows, VIEW, settings, callbacks=[clock], **how)
    return {"seconds": clock.ends[1] - clock.ends[0], "peak": peak_mib()}


def first_item(path: Path) -> Tensor:
    """Read one clip as the first version did: whole, int64, resized, to float.

    Rebuilt to its favour: it resized frame by frame through another library.
    """
    clip_THWC = torch.load(path, weights_only=True)
    places = torch.linspace(0, len(clip_THWC) - 1, VIEW.frames).long()
    clip_TCHW = clip_THWC[places].permute(0, 3, 1, 2).float() / 255
    small = functional.interpolate(clip_TCHW, (VIEW.height, VIEW.width))
    return small.permute(1, 0, 2, 3)


def cost_ms(way: Callable[[], object], repeats: int = 5) -> float:
    """Return the median of the processor's milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        way()
        times.append(1e3 * (time.process_time() - start))
    return float(np.median(times))


def loader() -> dict[str, float]:
    """Time batches of 20: the first version's, ours from files and from memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        old = folder / "old.pt"
        dice = torch.Generator().manual_seed(0)
        torch.save(torch.randint(256, FIRST_SHAPE, generator=dice), old)
        rows = rows_in(folder, BATCH, 0)
        clips = ClipSet(rows, ("a", "b"), VIEW)

        def ours() -> Tensor:
            return torch.stack([clips[number][0] for number in range(BATCH)])

        def ours_from_files() -> Tensor:
            fresh = ClipSet(rows, ("a", "b"), VIEW)
            return torch.stack([fresh[number][0] for number in range(BATCH)])

        levels = ours()
        dice = torch.Generator().manual_seed(0)
        told = {
            "first": cost_ms(
                lambda: torch.stack([first_item(old) for _ in range(BATCH)])
            )
        }
        with freed_memory_is_kept():  # as in training
            return told | {
                "files": cost_ms(ours_from_files),
                "memory": cost_ms(ours),
                "augment": cost_ms(lambda: augment(levels, VIEW, USUAL, dice)),
            }


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    told = loader() if sys.argv[1] == "loader" else epoch(*sys.argv[1:])
    print(json.dumps(told))
