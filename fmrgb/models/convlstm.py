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
from torch.nn import functional

from fmrgb.card import ClipShape
from fmrgb.models.classifier import Classifier, working_type
from fmrgb.models.conv3d import OverPicture, channels_last
from fmrgb.models.recurrence import recur

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
        # One convolution makes all four gates, i, f, o, g; it is cheaper than four.
        self.gates = nn.Conv2d(width_in + memory, 4 * memory, kernel, 1, kernel // 2)
        assert self.gates.bias is not None
        with torch.no_grad():
            self.gates.bias[memory : 2 * memory] = 1.0

    def forward(self, maps_BDTHW: Tensor) -> Tensor:
        batch, width_in, n_frames = maps_BDTHW.shape[:3]
        frames_NDHW = maps_BDTHW.permute(2, 0, 1, 3, 4).flatten(0, 1)
        assert self.gates.bias is not None
        # See `recur` for the gate that is twice as loud.
        loud_G = torch.ones_like(self.gates.bias)
        loud_G[3 * self.memory :] = 2
        weight = self.gates.weight * loud_G[:, None, None, None]
        weight = weight.to(working_type(weight))
        of_frame, of_memory = weight[:, :width_in], weight[:, width_in:]
        # What the gates hear of the frames needs no memory: found for all at once.
        heard_NGHW = functional.conv2d(
            frames_NDHW, of_frame, loud_G * self.gates.bias, padding=self.gates.padding
        )
        hiddens_NDHW = recur(heard_NGHW, of_memory, n_frames)
        memory_TBDHW = hiddens_NDHW.reshape(n_frames, batch, *hiddens_NDHW.shape[1:])
        return memory_TBDHW.permute(1, 2, 0, 3, 4)


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
        # Time outermost in memory, channels last: then every frame of the batch lies in
        # one piece. The encoder sees single frames and does not mind their order.
        clip_TCBHW = channels_last(clip_BCTHW.transpose(0, 2))
        memory_BDTHW = self.layers(self.encoder(clip_TCBHW).transpose(0, 2))
        memory_BDT = memory_BDTHW.mean(dim=(3, 4))
        seen_BE = torch.cat((memory_BDT[:, :, -1], memory_BDT.mean(dim=2)), dim=1)
        seen: Tensor = self.dropout(seen_BE)
        return seen
