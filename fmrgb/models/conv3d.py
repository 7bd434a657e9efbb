"""Residual network of (2+1)D convolutions: first over the picture, then over time.

Source: Tran et al. 2018, "A Closer Look at Spatiotemporal Convolutions for Action
Recognition", arXiv:1711.11248, section 3.5 and figure 2. `base` has the layers of
R(2+1)D-18; `tiny` and `small` are ours, for hundreds of clips: fewer and narrower
stages of the same kind, a smaller stem that halves T, and no widening between the two
convolutions of a pair. `mc3` and `r3d` have the layers of MC3-18 and R3D-18 (sections
3.4 and 3.3). Ours also takes any number of channels.

Both convolutions of a pair run as two-dimensional ones, over `[B * T, D, H, W]` and
over `[B, D, T, H * W]`: the same arithmetic as 1 x k x k and k x 1 x 1, on the path
that processors are fastest at. With channels last in memory neither view copies
anything.

Axes: B batch, C channels, T frames, H height, W width, D features.
"""

from typing import Any

import torch
from torch import Tensor, nn

from fmrgb.card import ClipShape
from fmrgb.models.classifier import Classifier, gradient_follows, working_type

BASE_WIDTHS = (64, 128, 256, 512)
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"widths": (16, 32, 64), "blocks": 1, "stem": (5, 2)},
    "small": {"widths": (32, 64, 128), "blocks": 2, "stem": (5, 2)},
    "base": {"widths": BASE_WIDTHS, "blocks": 2, "stem": (7, 1), "wide": True},
    # What base becomes for weights of the paper's other networks, see fmrgb.pretrained.
    "mc3": {
        "widths": BASE_WIDTHS,
        "blocks": 2,
        "stem": (7, 1),
        "kinds": ("full", "flat", "flat", "flat"),
    },
    "r3d": {"widths": BASE_WIDTHS, "blocks": 2, "stem": (7, 1), "kinds": ("full",) * 4},
}


def channels_last(clip_BCTHW: Tensor) -> Tensor:
    """Lay a clip out as convolutions like it, in the type they are in just now."""
    clip_BCTHW = clip_BCTHW.to(working_type(clip_BCTHW))
    # Not together with the type: that takes twice as long.
    return clip_BCTHW.contiguous(memory_format=torch.channels_last_3d)


BASE_STEM = 45 / 64  # features between the stem's two convolutions, per feature out


def middle_width(width_in: int, width_out: int) -> int:
    """Return how many features lie between the two convolutions of a wide (2+1)D pair.

    As many as give the pair the weights of one 3 x 3 x 3 convolution (section 3.5,
    the formula for M_i).
    """
    return (width_in * width_out * 27) // (width_in * 9 + width_out * 3)


class OverPicture(nn.Sequential):
    """Convolution and normalisation within each frame.

    Shape:
        - Input: [B, D_in, T, H, W]
        - Output: [B, D_out, T, H / stride, W / stride], rounded up
    """

    def __init__(self, width_in: int, width_out: int, kernel: int, stride: int) -> None:
        conv = nn.Conv2d(width_in, width_out, kernel, stride, kernel // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(width_out))

    def forward(self, maps_BDTHW: Tensor) -> Tensor:
        batch, width, frames, height, wide = maps_BDTHW.shape
        frames_NDHW = maps_BDTHW.transpose(1, 2).reshape(-1, width, height, wide)
        conv, norm = self
        out_NDHW: Tensor = norm(conv(frames_NDHW))
        return out_NDHW.reshape(batch, frames, *out_NDHW.shape[1:]).transpose(1, 2)


class OverTime(nn.Sequential):
    """Convolution and normalisation along the frames, pixel by pixel.

    Shape:
        - Input: [B, D_in, T, H, W]
        - Output: [B, D_out, T / stride, H, W], rounded up
    """

    def __init__(self, width_in: int, width_out: int, kernel: int, stride: int) -> None:
        conv = nn.Conv2d(
            width_in, width_out, (kernel, 1), (stride, 1), (kernel // 2, 0), bias=False
        )
        super().__init__(conv, nn.BatchNorm2d(width_out))

    def forward(self, maps_BDTHW: Tensor) -> Tensor:
        *_, height, width = maps_BDTHW.shape
        conv, norm = self
        out_BDTN: Tensor = norm(conv(maps_BDTHW.flatten(3)))
        return out_BDTN.reshape(*out_BDTN.shape[:3], height, width)


class OverBoth(nn.Sequential):
    """Convolution, three frames deep, and normalisation over time and picture at once.

    Shape:
        - Input: [B, D_in, T, H, W]
        - Output: [B, D_out, T / strides[0], H / strides[1], W / strides[1]], rounded up
    """

    def __init__(
        self, width_in: int, width_out: int, kernel: int, strides: tuple[int, int]
    ) -> None:
        sides = (3, kernel, kernel)
        steps = (strides[0], strides[1], strides[1])
        padding = (1, kernel // 2, kernel // 2)
        conv = nn.Conv3d(width_in, width_out, sides, steps, padding, bias=False)
        super().__init__(conv, nn.BatchNorm3d(width_out))


class Every(torch.autograd.Function):
    """Every n-th frame, with a gradient whose layout in memory is that of the maps.

    Autograd's own has time before channels last, and all that meets it later is copied
    about. Shape: [B, D, T, H, W] to [B, D, T / n, H, W], rounded up.
    """

    @staticmethod
    def forward(ctx: Any, maps_BDTHW: Tensor, step: int) -> Tensor:
        ctx.step = step
        ctx.save_for_backward(maps_BDTHW)
        return maps_BDTHW[:, :, ::step]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Put the gradient where the frames were taken from."""
        (maps_BDTHW,) = ctx.saved_tensors
        gradient_BDTHW = torch.zeros_like(maps_BDTHW, dtype=gradients[0].dtype)
        gradient_BDTHW[:, :, :: ctx.step] = gradients[0]
        return gradient_BDTHW, None


def every(maps_BDTHW: Tensor, step: int) -> Tensor:
    """Take every `step`-th frame."""
    if step == 1:
        return maps_BDTHW
    if not gradient_follows(maps_BDTHW):
        return maps_BDTHW[:, :, ::step]
    taken: Tensor = Every.apply(maps_BDTHW, step)  # type: ignore[no-untyped-call]
    return taken


def pair(width_in: int, width_out: int, middle: int, stride: int) -> nn.Sequential:
    """Return a 1 x 3 x 3 and a 3 x 1 x 1 convolution with a ReLU between."""
    return nn.Sequential(
        OverPicture(width_in, middle, 3, stride),
        # Not in place: on a view, autograd would copy the gradient about.
        nn.ReLU(),
        OverTime(middle, width_out, 3, stride),
    )


def convolution(
    kind: str, width_in: int, width_out: int, middle: int, stride: int
) -> nn.Sequential:
    """Return half a block: a (2+1)D "pair", a "full" 3 x 3 x 3, a "flat" 1 x 3 x 3."""
    if kind == "full":
        return OverBoth(width_in, width_out, 3, (stride, stride))
    if kind == "flat":
        return OverPicture(width_in, width_out, 3, stride)
    return pair(width_in, width_out, middle, stride)


class ResidualBlock(nn.Module):
    """Two convolutions of one kind beside a shortcut.

    Shape:
        - Input: [B, D_in, T, H, W]
        - Output: [B, D_out, T / stride, H / stride, W / stride], rounded up; T stays if
          the kind is flat
    """

    def __init__(
        self, width_in: int, width_out: int, stride: int, wide: bool, kind: str
    ) -> None:
        super().__init__()
        middle = middle_width(width_in, width_out) if wide else width_out
        self.first = convolution(kind, width_in, width_out, middle, stride)
        self.second = convolution(kind, width_out, width_out, middle, 1)
        self.stride = 1 if kind == "flat" else stride  # in time
        self.shortcut = (
            nn.Identity()
            if stride == 1 and width_in == width_out
            else OverPicture(width_in, width_out, 1, stride)
        )

    def forward(self, maps_BDTHW: Tensor) -> Tensor:
        change_BDTHW = self.second(self.first(maps_BDTHW).relu())
        # A 1 x 1 x 1 convolution with a stride sees every second frame alone.
        same_BDTHW = self.shortcut(every(maps_BDTHW, self.stride))
        result: Tensor = (change_BDTHW + same_BDTHW).relu()
        return result


class Conv3DNet(Classifier):
    """Stem, residual stages, average over time and picture, one linear layer."""

    def __init__(
        self,
        clip: ClipShape,
        n_classes: int,
        *,
        widths: tuple[int, ...],
        blocks: int,
        stem: tuple[int, int],
        wide: bool = False,
        kinds: tuple[str, ...] = (),
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        kernel, stride = stem
        first = round(widths[0] * BASE_STEM) if wide else widths[0]
        layers: list[nn.Module] = (
            [OverBoth(clip.channels, widths[0], kernel, (stride, 2))]
            if kinds
            else [
                OverPicture(clip.channels, first, kernel, 2),
                nn.ReLU(),
                OverTime(first, widths[0], 3, stride),
            ]
        )
        self.stem = nn.Sequential(*layers, nn.ReLU())
        stages, width_in = [], widths[0]
        for number, width in enumerate(widths):
            kind = kinds[number] if kinds else "pair"
            for block in range(blocks):
                stride = 2 if number and not block else 1
                stages.append(ResidualBlock(width_in, width, stride, wide, kind))
                width_in = width
        self.stages = nn.Sequential(*stages)
        self.n_features = width_in
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(width_in, n_classes)

    def features(self, clip_BCTHW: Tensor) -> Tensor:
        """Return what the last layer is given, [B, D]."""
        clip_BCTHW = channels_last(clip_BCTHW)
        maps_BDTHW = self.stages(self.stem(clip_BCTHW))
        seen: Tensor = self.dropout(maps_BDTHW.mean(dim=(2, 3, 4)))
        return seen
