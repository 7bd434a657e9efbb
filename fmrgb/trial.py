"""From a fresh network to what its first steps cost: time, memory, and whether it fits.

Axes: B batch, C channels, T frames, H height, W width.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader

from fmrgb.callbacks import only_our_words
from fmrgb.card import View
from fmrgb.errors import TrainingError
from fmrgb.learner import Learner, Settings
from fmrgb.memory import free_memory, is_out_of_memory, let_go, peak_of_process
from fmrgb.precision import choose_precision
from fmrgb.ranks import n_processes

STEPS = 3  # the first is slower: what it reserves is used again
LONG_STEP = 2.0  # s; from here on one step will do
FEW, MANY = 2, 4  # clips, from which the need of more is reckoned
SPARE = 4  # one clip in so many is tried beside: a training holds more than a trial

Batch = tuple[Tensor, Tensor, Tensor]  # uint8 [B, C, T, H, W], classes [B], numbers [B]
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What the first steps of a training were like.

    Attributes:
        device: where they ran, "cpu" or the name of the GPU.
        precision: the numbers they were computed in, as Lightning names them.
        shape: sizes [B, C, T, H, W] of the batch.
        parameters: numbers that are learnt.
        loss: cross-entropy of the untrained network.
        loss_of_guessing: what it is when every class is thought as likely, log(K).
        seconds: of one step, forward and back.
        seconds_to_judge: of asking the network about as many clips.
        peak_bytes: most memory taken, by this process on a CPU, by tensors on a GPU.
        free_bytes: memory that is left beside; None where that cannot be known.
    """

    device: str
    precision: str
    shape: tuple[int, ...]
    parameters: int
    loss: float
    loss_of_guessing: float
    seconds: float
    seconds_to_judge: float
    peak_bytes: int
    free_bytes: int | None


def try_steps(learner: Learner, batch: Batch, steps: int = STEPS) -> Trial:
    """Train a network for a few steps on one batch; it is spent afterwards.

    Args:
        learner: network, loss and optimiser.
        batch: clips uint8 [B, C, T, H, W], classes [B], numbers of rows [B].
        steps: at most so many; one where it takes long.
    """
    torch.set_flush_denormal(True)
    watch = _Watch(batch)
    precision: Any = choose_precision(
        learner.settings.precision, learner.net, len(batch[0])
    )
    with only_our_words():
        trainer = L.Trainer(
            max_steps=steps,
            limit_val_batches=1,
            devices=1,
            num_sanity_val_steps=0,
            callbacks=[watch],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            precision=precision,
        )
        # Lightning takes a bare list of batches for a list of loaders.
        same: Any = [batch] * steps
        again: DataLoader[Any] = DataLoader(same, batch_size=None)
        with ctrl_c_goes_on():
            trainer.fit(learner, again, again)
    return Trial(
        device=watch.device,
        precision=precision,
        shape=tuple(batch[0].shape),
        parameters=sum(p.numel() for p in learner.parameters()),
        loss=watch.loss,
        loss_of_guessing=math.log(len(learner.net.card.classes)),
        seconds=min(watch.seconds),
        seconds_to_judge=watch.seconds_to_judge,
        peak_bytes=watch.peak_bytes,
        free_bytes=watch.free_bytes,
    )


@contextmanager
def ctrl_c_goes_on() -> Iterator[None]:
    """Let Ctrl-C come out of Lightning, which makes an end of the process of it.

    Raises:
        KeyboardInterrupt: if Ctrl-C was pressed.
    """
    try:
        yield
    except SystemExit:  # Lightning's answer to Ctrl-C, which it then switches off
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from None


class _Watch(Callback):
    """Takes loss, time and memory of the first steps."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._start = 0.0
        self.seconds: list[float] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Ask the untrained network about the batch."""
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)
        levels, truth, _ = self._batch
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            logits = pl_module.net(levels.to(pl_module.device)).float().cpu()
        self.loss = float(torch.nn.functional.cross_entropy(logits, truth))

    def on_train_batch_start(self, *_: Any) -> None:
        """Start the clock of a step."""
        self._start = _now()

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Stop the clock; one long step is enough."""
        self.seconds.append(_now() - self._start)
        trainer.should_stop = self.seconds[-1] > LONG_STEP

    def on_validation_batch_start(self, *_: Any) -> None:
        """Start the clock of a judgement."""
        self._start = _now()

    def on_validation_batch_end(self, *_: Any) -> None:
        """Stop it."""
        self.seconds_to_judge = _now() - self._start

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Look at the memory while all is still there."""
        device = pl_module.device
        on_gpu = device.type == "cuda"
        self.device = torch.cuda.get_device_name(device) if on_gpu else device.type
        self.peak_bytes = (
            torch.cuda.max_memory_allocated(device) if on_gpu else peak_of_process()
        )
        free = torch.cuda.mem_get_info(device)[0] if on_gpu else None
        self.free_bytes = free if on_gpu else free_memory()


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()  # it works on while Python waits for nothing
    return time.perf_counter()


def clips_that_fit(make: Callable[[], Learner], batch: Batch) -> int:
    """Reckon, where no GPU is, how many clips of a batch fit into the free memory.

    A process that takes too much is killed, and can no longer say what would have
    fitted. So a step on two clips and one on four are measured; the others take as much
    each as the two more did.

    Args:
        make: builds a fresh network.
        batch: clips uint8 [B, C, T, H, W], classes [B], numbers of rows [B].

    Returns:
        1 to B.
    """
    n_clips, free = len(batch[0]), free_memory()
    if torch.cuda.is_available() or n_clips <= MANY or free is None:
        return n_clips
    few, many = (
        try_steps(make(), first(batch, n), steps=1).peak_bytes for n in (FEW, MANY)
    )
    each = (many - few) / (MANY - FEW)
    return n_clips if each * (n_clips - MANY) <= free else MANY + int(free / each)


def first(batch: Batch, n_clips: int) -> Batch:
    """Return the first clips of a batch as one."""
    levels, truth, numbers = batch
    return levels[:n_clips], truth[:n_clips], numbers[:n_clips]


def or_what_would_fit(
    work: Callable[[], Result], make: Callable[[], Learner], batch_size: int
) -> Result:
    """Do work that trains; where memory runs out, say which batch size would fit.

    Args:
        work: does it.
        make: builds such a network anew, to be tried with fewer clips.
        batch_size: clips per step of the work.

    Raises:
        TrainingError: if memory ran out.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        said = str(error).splitlines()[0] if str(error) else "MemoryError"
        if n_processes() > 1:  # the others wait, and cannot try what fits
            raise TrainingError(
                f"a process has no memory left for its part of a batch of {batch_size} "
                f"clips; give a smaller --batch_size ({said})"
            ) from error
    # Here the error is gone, and with it all that its traceback held.
    fits = largest_fitting(make, batch_size)
    card = make().net.card
    if fits:
        raise TrainingError(f"{too_many(make().settings, card.view, fits)} ({said})")
    raise TrainingError(
        f"not even one clip of {list(card.view.shape)} fits into memory; give a "
        f"smaller --size, fewer --frames or a smaller --model_size ({said})"
    )


def too_many(settings: Settings, view: View, fits: int) -> str:
    """Say that only `fits` clips fit into memory, and how to learn from as many."""
    steps = math.ceil(settings.batch_size * settings.accumulate / fits)
    return (
        f"a batch of {settings.batch_size} clips of {list(view.shape)} does not fit "
        f"into memory; --batch_size {fits} does, and with --accumulate {steps} every "
        f"update still learns from {fits * steps} clips"
    )


def largest_fitting(make: Callable[[], Learner], batch_size: int) -> int:
    """Try half as many clips per step, and half again, until a step fits with room.

    Args:
        make: builds a fresh network.
        batch_size: clips that do not fit.

    Returns:
        clips that do; 0 if not even one does.
    """
    while batch_size := batch_size // 2:
        let_go()
        try:
            learner = make()
            n_clips = batch_size + batch_size // SPARE
            shape = (n_clips, *learner.net.card.view.shape)
            levels = torch.randint(0, 256, shape, dtype=torch.uint8)
            truth = torch.zeros(n_clips, dtype=torch.int64)
            try_steps(learner, (levels, truth, truth))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            return batch_size
    return 0
