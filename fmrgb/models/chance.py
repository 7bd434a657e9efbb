"""Dropout whose chances are drawn in words of 64 bits, which processors are quick at.

torch draws one number after the other for every value (6 to 10 ns each, here), which
took a fifth of a small transformer's training step. Sixteen bits for each are enough:
the probability is met to within 1 / 131072.
"""

import numpy as np
import torch
from torch import Tensor, nn

BITS = 16  # of chance for each value
PER_WORD = 64 // BITS


class Dropout(nn.Dropout):
    """Leave values out by chance (Srivastava et al. 2014); on other devices torch's.

    The chances come from torch's generator, so that a seed repeats them.

    Shape:
        - Input and output: any
    """

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.p in (0.0, 1.0) or values.device.type != "cpu":
            return super().forward(values)
        keep = kept(values.shape, self.p).to(values.dtype)
        return values * keep.mul_(1 / (1 - self.p))


class Skip(nn.Module):
    """Leave a whole clip out by chance (stochastic depth, Huang et al. 2016).

    Source: arXiv:1603.09382; what stays is scaled up, so that the mean stays.

    Shape:
        - Input and output: [B, N, D]
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values_BND: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return values_BND
        return self.left(values_BND, self.drawn(values_BND))

    def drawn(self, values_BND: Tensor) -> Tensor:
        """Draw a number for each clip, [B, 1, 1]."""
        return torch.rand(len(values_BND), 1, 1, device=values_BND.device)

    def left(self, values_BND: Tensor, drawn_B11: Tensor) -> Tensor:
        """Leave out the clips whose number is below the rate."""
        return values_BND * (drawn_B11 >= self.rate) / (1 - self.rate)


def kept(
    shape: torch.Size, rate: float, chances: torch.Generator | None = None
) -> Tensor:
    """Draw which values stay: int8 of `shape`, 1 or 0; `rate` is the share lost.

    Args:
        shape: of the values.
        rate: the share lost, between 0 and 1.
        chances: on the CPU; None draws from torch's own.
    """
    seed = int(torch.randint(2**62, (), generator=chances))
    dice = np.random.Generator(np.random.SFC64(seed))
    n_values = shape.numel()
    words = dice.integers(
        2**64 - 1, size=-(-n_values // PER_WORD), dtype=np.uint64, endpoint=True
    )
    least = np.int16(min(round(rate * 2**BITS) - 2 ** (BITS - 1), 2 ** (BITS - 1) - 1))
    stay = words.view(np.int16)[:n_values] >= least  # by numpy: ten times as quick
    return torch.from_numpy(stay.view(np.int8)).view(shape)
