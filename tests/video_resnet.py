"""torchvision's video networks with its names, built again from their definition.

Source: Tran et al. 2018, arXiv:1711.11248, figure 2 and table 1; the names are those
that torchvision's state dicts have.

Axes: B batch, C channels, T frames, H height, W width.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

N_CLASSES = 400
Convolve = Callable[[int, int, int, int], nn.Module]


def full(width_in: int, width_out: int, middle: int, stride: int) -> nn.Module:
    """Return a 3 x 3 x 3 convolution."""
    return nn.Conv3d(width_in, width_out, 3, stride, 1, bias=False)


def flat(width_in: int, width_out: int, middle: int, stride: int) -> nn.Module:
    """Return a 1 x 3 x 3 convolution that leaves time alone."""
    steps = (1, stride, stride)
    return nn.Conv3d(width_in, width_out, (1, 3, 3), steps, (0, 1, 1), bias=False)


def pair(width_in: int, width_out: int, middle: int, stride: int) -> nn.Module:
    """Return a 1 x 3 x 3 and a 3 x 1 x 1 convolution."""
    steps = (stride, 1, 1)
    return nn.Sequential(
        flat(width_in, middle, 0, stride),
        nn.BatchNorm3d(middle),
        nn.ReLU(),
        nn.Conv3d(middle, width_out, (3, 1, 1), steps, (1, 0, 0), bias=False),
    )


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, d_in: int, d_out: int, convolve: Convolve, stride: int) -> None:
        super().__init__()
        middle = d_in * d_out * 27 // (d_in * 9 + d_out * 3)
        first = convolve(d_in, d_out, middle, stride)
        second = convolve(d_out, d_out, middle, 1)
        self.conv1 = nn.Sequential(first, nn.BatchNorm3d(d_out), nn.ReLU())
        self.conv2 = nn.Sequential(second, nn.BatchNorm3d(d_out))
        self.downsample = None
        if d_in != d_out:
            steps = (1 if convolve is flat else stride, stride, stride)
            conv = nn.Conv3d(d_in, d_out, 1, steps, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm3d(d_out))

    def forward(self, maps: Tensor) -> Tensor:
        """Return [B, d_out, T, H, W], halved where the stride is 2."""
        same = maps if self.downsample is None else self.downsample(maps)
        return (self.conv2(self.conv1(maps)) + same).relu()


def stem(size: str) -> Iterator[nn.Module]:
    """Yield the first layers."""
    steps, around = (1, 2, 2), (0, 3, 3)
    if size == "base":
        yield nn.Conv3d(3, 45, (1, 7, 7), steps, around, bias=False)
        yield from (nn.BatchNorm3d(45), nn.ReLU())
        yield nn.Conv3d(45, 64, (3, 1, 1), 1, (1, 0, 0), bias=False)
    else:
        yield nn.Conv3d(3, 64, (3, 7, 7), steps, (1, 3, 3), bias=False)
    yield from (nn.BatchNorm3d(64), nn.ReLU())


class VideoResNet(nn.Module):
    """torchvision's network of 18 layers, under its own names for everything."""

    def __init__(self, size: str) -> None:
        super().__init__()
        kinds = {"base": [pair] * 4, "mc3": [full] + [flat] * 3, "r3d": [full] * 4}
        self.stem = nn.Sequential(*stem(size))
        widths = pairwise((64, 64, 128, 256, 512))
        for number, (d_in, d_out) in enumerate(widths, start=1):
            kind, stride = kinds[size][number - 1], 1 if number == 1 else 2
            blocks = Block(d_in, d_out, kind, stride), Block(d_out, d_out, kind, 1)
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.fc = nn.Linear(512, N_CLASSES)

    def features(self, clip_BCTHW: Tensor) -> Tensor:
        """Return what fc is given, [B, 512]."""
        maps = self.stem(clip_BCTHW)
        for number in range(1, 5):
            maps = self.get_submodule(f"layer{number}")(maps)
        return maps.mean(dim=(2, 3, 4))


def random_network(size: str) -> VideoResNet:
    """Return a network with weights and statistics of its own, features of about 1."""
    network = VideoResNet(size)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm3d)]
    for norm in norms:
        norm.momentum = 1.0  # what it sees now becomes its statistics
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.uniform_(-0.5, 0.5)
    with torch.no_grad():
        network.features(torch.randn(4, 3, 5, 20, 26))
    return network.eval()
