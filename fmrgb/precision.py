"""Which numbers a network is trained in: measured on it, unless the user says.

Axes: B batch, C channels, T frames, H height, W width.
"""

import time
from copy import deepcopy

import torch

from fmrgb.checkpoint import Network
from fmrgb.errors import TrainingError

AUTO, FULL, HALF = "auto", "32", "bf16-mixed"
AMPERE = (8, 0)  # the first NVIDIA GPUs that know bfloat16
FEW = 2  # clips for a first glance; normalisation over a batch needs more than one
BUDGET_S = 2.0  # about what measuring may take; slower models get the glance alone
ROUNDS = 3  # of which the quickest counts
# How much quicker bfloat16 must be. Measured on processors with and without it: 1.2 to
# 1.5 times, or several times slower; so that a wavering clock does not decide.
MARGIN = 1.1


def choose_precision(
    wanted: str, network: Network, batch_size: int, *, alone: bool = True
) -> str:
    """Return the precision to train in: the one wanted, or the quicker one.

    Neither the network nor any state of chance is changed.

    Args:
        wanted: 32, bf16-mixed, 16-mixed, or auto.
        network: the very one; a copy of it takes a few steps.
        batch_size: clips per step.
        alone: whether this is the only process. Several might not measure alike, so
            they go by the kind of GPU.

    Raises:
        TrainingError: if 16-mixed is wanted where there is no GPU.
    """
    cuda = torch.cuda.is_available()
    if wanted == "16-mixed" and not cuda:
        raise TrainingError("--precision 16-mixed needs a GPU; take bf16-mixed or 32")
    if wanted != AUTO:
        return wanted
    if not alone:
        return HALF if cuda and torch.cuda.get_device_capability() >= AMPERE else FULL
    if not cuda and torch.backends.mps.is_available():
        return FULL
    with torch.random.fork_rng([torch.cuda.current_device()] if cuda else []):
        return _quicker(network, batch_size, torch.device("cuda" if cuda else "cpu"))


def _quicker(network: Network, batch_size: int, device: torch.device) -> str:
    """Time forward and backward in both precisions, on as many clips as time allows."""
    copy = deepcopy(network).to(device).train()
    # What else the machine does must not decide: on a CPU only our own work is counted.
    clock = time.process_time if device.type == "cpu" else time.perf_counter

    def seconds(name: str, n_clips: int) -> float:
        shape = (n_clips, *copy.card.view.shape)
        levels_BCTHW = torch.randint(256, shape, dtype=torch.uint8, device=device)
        begun = clock()
        with torch.autocast(device.type, torch.bfloat16, enabled=name == HALF):
            loss = copy.answers(levels_BCTHW).float().square().mean()
        torch.autograd.backward(loss)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return clock() - begun

    full, half = seconds(FULL, FEW), seconds(HALF, FEW)
    slower = max(full, half, 1e-6)  # clocks may stand still for a moment
    if 2 * ROUNDS * slower < BUDGET_S:
        n_clips = min(int(FEW * BUDGET_S / (2 * ROUNDS * slower)), max(batch_size, FEW))
        rounds = [
            (seconds(FULL, n_clips), seconds(HALF, n_clips)) for _ in range(ROUNDS)
        ]
        full, half = (min(times) for times in zip(*rounds, strict=True))
    return HALF if half * MARGIN < full else FULL
