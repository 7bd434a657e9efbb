"""Convolutional LSTM: convolution within a frame, memory from frame to frame.

Source: Shi et al. 2015, "Convolutional LSTM Network", arXiv:1506.04214, equation 3,
without the peephole terms. Ours differs in a strided encoder before the recurrence, so
that it runs on small maps, in a forget gate that starts open (Jozefowicz et al. 2015,
"An Empirical Exploration of Recurrent Network Architectures", section 2), and in a
readout of both the last memory and its mean over time.

Axes: B batch, C channels, T frames, H height, W width, D features.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from fmrgb.card import ClipShape
from fmrgb.models.classifier import Classifier
from fmrgb.models.conv3d import OverPicture

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"encoder": (16, 32), "memory": (32,)},
    "small": {"encoder": (32, 64), "memory": (64,)},
    "base": {"encoder": (32, 64, 128), "memory": (128, 128)},
}


class ConvLSTM(nn.Module):
    """One layer of memory, run over all frames.

    Shape:
        - Input: [B, D_in, T, H, W]
        - Output: [B, D, T, H, W], the memory after each frame
    """

    def __init__(self, width_in: int, memory: int, kernel: int = 3) -> None:
        super().__init__()
        self.memory = memory
        # One convolution makes all four gates; it is cheaper than four.
        self.gates = nn.Conv2d(width_in + memory, 4 * memory, kernel, 1, kernel // 2)
        assert self.gates.bias is not None
        with torch.no_grad():
            self.gates.bias[memory : 2 * memory] = 1.0

    def forward(self, maps_BDTHW: Tensor) -> Tensor:
        batch, _, _, height, width = maps_BDTHW.shape
        hidden_BDHW = maps_BDTHW.new_zeros(batch, self.memory, height, width)
        cell_BDHW = torch.zeros_like(hidden_BDHW)
        hiddens = []
        # Unbound once: indexing frame by frame makes the backward pass fill a whole
        # clip of zeros for every frame.
        for frame_BDHW in maps_BDTHW.unbind(dim=2):
            gates = self.gates(torch.cat((frame_BDHW, hidden_BDHW), dim=1))
            i, f, o, g = gates.chunk(4, dim=1)
            cell_BDHW = f.sigmoid() * cell_BDHW + i.sigmoid() * g.tanh()
            hidden_BDHW = o.sigmoid() * cell_BDHW.tanh()
            hiddens.append(hidden_BDHW)
        return torch.stack(hiddens, dim=2)


class ConvLSTMNet(Classifier):
    """Strided encoder, layers of memory, readout of the last and the mean memory."""

    def __init__(
        self,
        clip: ClipShape,
        n_classes: int,
        *,
        encoder: tuple[int, ...],
        memory: tuple[int, ...],
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for width_in, width in pairwise((clip.channels, *encoder)):
            steps += [OverPicture(width_in, width, 5 if not steps else 3, 2), nn.ReLU()]
        self.encoder = nn.Sequential(*steps)
        widths = (encoder[-1], *memory)
        self.layers = nn.Sequential(*(ConvLSTM(d, m) for d, m in pairwise(widths)))
        self.n_features = 2 * memory[-1]
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(self.n_features, n_classes)

    def features(self, clip_BCTHW: Tensor) -> Tensor:
        """Return what the last layer is given, [B, D]."""
        clip_BCTHW = clip_BCTHW.contiguous(memory_format=torch.channels_last_3d)
        memory_BDTHW = self.layers(self.encoder(clip_BCTHW))
        memory_BDT = memory_BDTHW.mean(dim=(3, 4))
        seen_BE = torch.cat((memory_BDT[:, :, -1], memory_BDT.mean(dim=2)), dim=1)
        seen: Tensor = self.dropout(seen_BE)
        return seen
