"""The plain reference: a small image network, asked about each frame by itself.

Source: the network of Keras' example `mnist_cnn.py` (Chollet and others 2015,
github.com/keras-team/keras, 2.3.1, examples): convolutions of 3 x 3 with 32 and 64
features and no padding, 2 x 2 maximum pooling, dropout 0.25, a dense layer of 128,
dropout 0.5. `tiny` is that network; `small` and `base` have the same layers, wider. Of
a clip with several frames the features of the frames are averaged.

Axes: B batch, C channels, T frames, H height, W width, N frames of all clips,
D features.
"""

from typing import Any

from torch import Tensor, nn

from fmrgb.card import ClipShape
from fmrgb.errors import TrainingError
from fmrgb.models.chance import Dropout
from fmrgb.models.classifier import Classifier, working_type

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"widths": (32, 64), "dense": 128},
    "small": {"widths": (48, 96), "dense": 192},
    "base": {"widths": (64, 128), "dense": 256},
}
SIDE = 3  # of the convolutions, in pixels
LEAST = 2 * (SIDE - 1) + 2  # pixels; from a smaller side nothing would be left


class PictureFeatures(nn.Module):
    """Two convolutions, pooling and a dense layer, averaged over the frames.

    Shape:
        - Input: [B, C, T, H, W], H and W those of `clip`, 6 or more
        - Output: [B, D], D = `dense`
    """

    def __init__(self, clip: ClipShape, *, widths: tuple[int, int], dense: int) -> None:
        super().__init__()
        if min(clip.height, clip.width) < LEAST:
            raise TrainingError(
                f"cnn2d and fusion need pictures of {LEAST}x{LEAST} or more, got "
                f"{clip.width}x{clip.height}; give a larger --size"
            )
        first, second = widths
        self.convolve = nn.Sequential(
            nn.Conv2d(clip.channels, first, SIDE),
            nn.ReLU(),
            nn.Conv2d(first, second, SIDE),
            nn.ReLU(),
            nn.MaxPool2d(2),
            Dropout(0.25),
        )
        rows, columns = ((n - LEAST) // 2 + 1 for n in (clip.height, clip.width))
        self.dense = nn.Linear(second * rows * columns, dense)
        self.dropout = Dropout(0.5)

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        frames = clip_BCTHW.shape[2]
        clip_BCTHW = clip_BCTHW.to(working_type(clip_BCTHW))
        frames_NCHW = clip_BCTHW.transpose(1, 2).flatten(0, 1)
        seen_ND = self.dense(self.convolve(frames_NCHW).flatten(1)).relu()
        seen_BD = seen_ND.reshape(-1, frames, seen_ND.shape[1]).mean(dim=1)
        out: Tensor = self.dropout(seen_BD)
        return out


class CNN2D(Classifier):
    """Features of the pictures, then one linear layer."""

    def __init__(
        self,
        clip: ClipShape,
        n_classes: int,
        *,
        widths: tuple[int, int],
        dense: int,
    ) -> None:
        super().__init__()
        self.pictures = PictureFeatures(clip, widths=widths, dense=dense)
        self.n_features = dense
        self.classify = nn.Linear(dense, n_classes)

    def features(self, clip_BCTHW: Tensor) -> Tensor:
        """Return what the last layer is given, [B, D]."""
        seen: Tensor = self.pictures(clip_BCTHW)
        return seen
