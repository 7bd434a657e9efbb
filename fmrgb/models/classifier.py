"""What all architectures share: features, then one linear layer.

Axes: B batch, C channels, T frames, H height, W width, D features, K classes.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def working_type(values: Tensor) -> torch.dtype:
    """Return what convolutions and matrix products of `values` are done in just now."""
    device = values.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return values.dtype


def gradient_follows(*values: Tensor) -> bool:
    """Tell whether a backward pass may come; an export asks for none."""
    wanted = torch.is_grad_enabled() and any(v.requires_grad for v in values)
    return wanted and not torch.compiler.is_compiling()


class Classifier(nn.Module):
    """A network that turns a clip into features and features into logits.

    Shape:
        - Input: [B, C, T, H, W] normalised levels, any T, H, W from 1 on
        - Output: [B, K] logits (no softmax: the loss applies it)
    """

    n_features: int  # D
    classify: Callable[[Tensor], Tensor]  # the last layer

    def features(self, clip_BCTHW: Tensor) -> Tensor:
        """Return what the last layer is given, [B, D]."""
        raise NotImplementedError

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.features(clip_BCTHW))
        return logits
