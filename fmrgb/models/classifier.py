"""What all architectures share: features, then one linear layer.

Axes: B batch, C channels, T frames, H height, W width, D features, K classes.
"""

from collections.abc import Callable

from torch import Tensor, nn


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
