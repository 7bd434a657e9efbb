"""One network per sense, each with an answer of its own, and an answer of both.

Planes stacked into one network lose to the better sense alone: whichever sense explains
the training clips first takes the loss away from the other ("modality competition",
Huang et al. 2022, arXiv:2203.12221; Wang et al. 2020, arXiv:1905.12681). Here every
sense has its own network and its own loss, so that neither can starve the other; a
third answer, from the features of both, learns what only both together tell. How much
each answer counts is settled on the validation clips (`fmrgb.trust`).

Axes: B batch, C channels, T frames, H height, W width, D features, A answers,
K classes.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmrgb.models.classifier import Classifier
from fmrgb.models.shape import ClipShape

FUSIONS = ("senses", "stack")
ANSWERS = ("picture", "sound", "joint")
# Columns of a frame that the sound network sees: twice what a mel picture has of each
# frame. An eighth of a 64 pixel picture's work, and nothing lost.
SOUND_COLUMNS = 8
JOINT_WIDTH = 64  # hidden features of the joint answer


class Senses(nn.Module):
    """A network on the picture planes, one on the sound planes, and a joint answer.

    Shape:
        - Input: [B, C, T, H, W] normalised levels
        - Output: [B, 3, K] logits of the answers picture, sound, joint
    """

    def __init__(
        self,
        clip: ClipShape,
        n_classes: int,
        sound: Sequence[int],
        make: Callable[[ClipShape, int], Classifier],
    ) -> None:
        """Build both networks.

        Args:
            clip: sizes of one clip.
            n_classes: K.
            sound: which of the C planes are sound; the others are picture.
            make: builds the network of one sense.
        """
        super().__init__()
        self._sound = list(sound)
        self._picture = [c for c in range(clip.channels) if c not in sound]
        columns = min(clip.width, SOUND_COLUMNS) if clip.frames > 1 else clip.width
        self._columns = columns
        self.picture = make(clip._replace(channels=len(self._picture)), n_classes)
        self.sound = make(
            clip._replace(channels=len(self._sound), width=columns), n_classes
        )
        width = self.picture.n_features + self.sound.n_features
        self.joint = nn.Sequential(
            nn.Linear(width, JOINT_WIDTH), nn.ReLU(), nn.Linear(JOINT_WIDTH, n_classes)
        )

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        heard_BCTHW = clip_BCTHW[:, self._sound]
        if heard_BCTHW.shape[4] != self._columns:
            size = (None, None, self._columns)
            heard_BCTHW = functional.adaptive_avg_pool3d(heard_BCTHW, size)
        seen_BD = self.picture.features(clip_BCTHW[:, self._picture])
        heard_BD = self.sound.features(heard_BCTHW)
        answers = [
            self.picture.classify(seen_BD),
            self.sound.classify(heard_BD),
            self.joint(torch.cat((seen_BD, heard_BD), dim=1)),
        ]
        return torch.stack(answers, dim=1)
