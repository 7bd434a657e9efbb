"""Pictures through an image network, 1-D features through dense layers, then joined.

The plane `features` holds numbers that describe the sound of a clip (see
`fmrgb.names.FEATURE_NAMES`), a mean and a spread of each. It is spread over the picture
as every plane is; here its numbers are read back and stay numbers. All other planes,
of pictures or of sound, go through the network of `cnn2d` together. Both branches meet
before the last layer (late fusion of features, as in Baltrušaitis et al. 2019,
arXiv:1705.09406, section 6).

Axes: B batch, C channels, T frames, H height, W width, F features of the sound,
D features of both branches.
"""

from typing import Any

import torch
from torch import Tensor, nn

from fmrgb.card import ClipShape
from fmrgb.errors import TrainingError
from fmrgb.models import cnn2d
from fmrgb.models.chance import Dropout
from fmrgb.models.classifier import Classifier
from fmrgb.models.cnn2d import PictureFeatures
from fmrgb.models.senses import Centred
from fmrgb.names import FEATURE_COLUMNS, FEATURE_NAMES, FEATURES

SIZES: dict[str, dict[str, Any]] = {
    size: {**widths, "heard": widths["dense"] // 2}
    for size, widths in cnn2d.SIZES.items()
}
VALUES = (len(FEATURE_NAMES), len(FEATURE_COLUMNS))  # as the plane was measured


def centres(n_boxes: int, n_pixels: int) -> list[int]:
    """Return the pixel at the centre of each of so many equal boxes along an axis."""
    return [(2 * box + 1) * n_pixels // (2 * n_boxes) for box in range(n_boxes)]


def _check(clip: ClipShape) -> None:
    """Raise TrainingError if clips of such sizes cannot hold both kinds of planes."""
    if clip.channels < 2:
        raise TrainingError(
            f"fusion needs a plane of pictures beside {FEATURES}, like logmel or R"
        )
    if clip.height < VALUES[0] or clip.width < VALUES[1]:
        raise TrainingError(
            f"fusion reads {VALUES[0]} rows of {VALUES[1]} numbers out of {FEATURES}, "
            f"which a picture of {clip.width}x{clip.height} cannot hold; give a --size "
            f"of at least {cnn2d.LEAST}x{VALUES[0]}"
        )


class FusionNet(Classifier):
    """An image network and dense layers side by side, one linear layer on both."""

    rows: Tensor
    columns: Tensor

    def __init__(
        self,
        clip: ClipShape,
        n_classes: int,
        *,
        features: int,
        widths: tuple[int, int],
        dense: int,
        heard: int,
    ) -> None:
        """Build both branches.

        Args:
            clip: sizes of one clip.
            n_classes: K.
            features: place of the plane `features` among the C channels.
            widths: of the convolutions.
            dense: features of the pictures' branch.
            heard: features of the dense layers' branch.
        """
        super().__init__()
        _check(clip)
        self._features = features
        self._pictures = [c for c in range(clip.channels) if c != features]
        sides = (clip.height, clip.width)
        for name, n, side in zip(("rows", "columns"), VALUES, sides, strict=True):
            places = torch.tensor(centres(n, side))
            self.register_buffer(name, places, persistent=False)
        seen = clip._replace(channels=clip.channels - 1)
        self.pictures = PictureFeatures(seen, widths=widths, dense=dense)
        n_values = VALUES[0] * VALUES[1]
        self.numbers = nn.Sequential(
            # Each number varies on a scale of its own, within one plane.
            Centred(n_values),
            nn.Linear(n_values, heard),
            nn.ReLU(),
            Dropout(0.25),
            nn.Linear(heard, heard),
            nn.ReLU(),
        )
        self.n_features = dense + heard
        self.classify = nn.Linear(self.n_features, n_classes)

    def values(self, clip_BCTHW: Tensor) -> Tensor:
        """Read the numbers out of `features`, [B, F], averaged over the frames."""
        plane_BTHW = clip_BCTHW[:, self._features]
        rows_BTRW = plane_BTHW.index_select(2, self.rows)
        return rows_BTRW.index_select(3, self.columns).mean(dim=1).flatten(1)

    def features(self, clip_BCTHW: Tensor) -> Tensor:
        """Return what the last layer is given, [B, D]."""
        seen_BD = self.pictures(clip_BCTHW[:, self._pictures])
        heard_BD = self.numbers(self.values(clip_BCTHW))
        return torch.cat((seen_BD, heard_BD), dim=1)
