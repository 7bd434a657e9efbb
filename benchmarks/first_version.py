"""The first version's Conv3D, rebuilt: what the models of today are measured against.

Layers, sizes, loss, optimiser, batch and frames are those of commit 939fd42 of
github.com/tech-tatsuma/FMRGBMultichannelMultimodel (branch bi-prob), the faults that
belong to the network included. Not known of it, or changed, and so chosen here: levels
are divided by 255 (its normalisation did nothing), frames are drawn at even distances,
and the samples are today's, since its own came out inverted.

Axes: B batch, C channels, T frames, H height, W width, N clips, K classes.
"""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fmrgb.card import ClipShape, View
from fmrgb.loader import ClipSet, Item, batches
from fmrgb.manifest import Row
from fmrgb.metrics import Predictions

BATCH = 20
WIDTHS = (16, 32)  # of the convolutions; the picture is halved after each
HIDDEN = (256, 128)
DROPOUT = 0.5
TOP_LEVEL = 255


class FirstConv3D(nn.Module):
    """Two convolutions, flattened into linear layers that hold nearly all weights.

    Its softmax stays although the loss applies another one: so it was published.

    Shape:
        - Input: [B, C, T, H, W] levels, 0 to 1
        - Output: [B, K] shares, rows sum to 1
    """

    def __init__(self, clip: ClipShape, n_classes: int) -> None:
        """Build it for clips of one size: the linear layers fit no other."""
        super().__init__()
        layers: list[nn.Module] = []
        width_in = clip.channels
        for width in WIDTHS:
            conv = nn.Conv3d(width_in, width, kernel_size=3, padding=1)
            layers += [conv, nn.ReLU(), nn.MaxPool3d(2)]
            width_in = width
        self.look = nn.Sequential(*layers)
        halved = 2 ** len(WIDTHS)
        places = (clip.frames // halved, clip.height // halved, clip.width // halved)
        n_in = width_in * places[0] * places[1] * places[2]
        judge: list[nn.Module] = []
        for n_out in HIDDEN:
            judge += [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(DROPOUT)]
            n_in = n_out
        self.judge = nn.Sequential(
            *judge, nn.Linear(n_in, n_classes), nn.Softmax(dim=1)
        )

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        """Return the share of each class."""
        shares: Tensor = self.judge(self.look(clip_BCTHW).flatten(1))
        return shares


@dataclass(frozen=True)
class First:
    """What its training left: the answers, and how it went."""

    predictions: Predictions
    lr: float  # the one of the lowest validation loss
    epochs: int  # over all rates
    seconds: float
    parameters: int


def train_first(
    rows: Sequence[Row],
    view: View,
    *,
    epochs: int,
    patience: int,
    lrs: Sequence[float],
    seed: int,
) -> First:
    """Train by Adam at each rate of a list, as it did; test the best.

    The weights of the lowest validation loss are kept, over all epochs and rates.

    Args:
        rows: samples with their splits.
        view: 32 frames of 64 x 64, as published.
        epochs: at most so many, for each rate.
        patience: epochs without a lower validation loss before it stops.
        lrs: learning rates to try.
        seed: of weights, order and dropout.
    """
    classes = tuple(sorted({row.label for row in rows}))
    clips = {
        name: ClipSet([r for r in rows if r.split == name], classes, view)
        for name in ("train", "val", "test")
    }
    loaders = {
        name: batches(part, batch_size=BATCH, shuffle=name == "train", seed=seed)
        for name, part in clips.items()
    }
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_flush_denormal(True)
    start, best = time.perf_counter(), (float("inf"), 0.0, nn.Module())
    n_epochs = 0
    for lr in lrs:
        torch.manual_seed(seed)
        fresh = FirstConv3D(view.shape, len(classes)).to(device)
        loss, network, ran = _fit(fresh, loaders, epochs, patience, lr, device)
        best = min(best, (loss, lr, network), key=lambda found: found[0])
        n_epochs += ran
    told, truth = _ask(best[2], loaders["test"], device)
    paths = tuple(str(row.path) for row in clips["test"].rows)
    predictions = Predictions(classes, truth.numpy(), told.double().numpy(), paths)
    n_weights = sum(p.numel() for p in best[2].parameters())
    seconds = time.perf_counter() - start
    return First(predictions, best[1], n_epochs, seconds, n_weights)


def _fit(
    network: nn.Module,
    loaders: dict[str, DataLoader[Item]],
    epochs: int,
    patience: int,
    lr: float,
    device: torch.device,
) -> tuple[float, nn.Module, int]:
    """Return the lowest validation loss, its network, and the epochs it took."""
    optimiser = torch.optim.Adam(network.parameters(), lr=lr)
    criterion = nn.CrossEntropyLoss()
    lowest, kept, since, ran = float("inf"), copy.deepcopy(network), 0, 0
    for epoch in range(epochs):
        network.train()
        order: Any = loaders["train"].batch_sampler
        order.set_epoch(epoch)
        for levels, labels, _ in loaders["train"]:
            optimiser.zero_grad()
            shares = network(levels.to(device).float() / TOP_LEVEL)
            criterion(shares, labels.to(device)).backward()
            optimiser.step()
        shares_NK, truth_N = _ask(network, loaders["val"], device)
        loss = float(criterion(shares_NK, truth_N))
        ran += 1
        if loss < lowest:
            lowest, kept, since = loss, copy.deepcopy(network), 0
        else:
            since += 1
        if since >= patience:
            break
    return lowest, kept, ran


@torch.inference_mode()
def _ask(
    network: nn.Module, loader: DataLoader[Item], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return shares [N, K] and classes [N]."""
    network.eval()
    told, truth = [], []
    for levels, labels, _ in loader:
        told.append(network(levels.to(device).float() / TOP_LEVEL).cpu())
        truth.append(torch.as_tensor(labels))
    return torch.cat(told), torch.cat(truth)
