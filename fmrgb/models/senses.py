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

from fmrgb.card import ClipShape
from fmrgb.models.classifier import Classifier
from fmrgb.models.shared import SharedNorm

FUSIONS = ("senses", "stack")
ANSWERS = ("picture", "sound", "joint")
# Columns of a frame that the sound network sees: twice what a mel picture has of each
# frame. An eighth of a 64 pixel picture's work, and nothing lost.
SOUND_COLUMNS = 8
JOINT_WIDTH = 64  # features of each sense that the joint answer multiplies


class Centred(nn.BatchNorm1d):
    """Batch normalisation that takes its running values for a batch of one clip.

    Shape:
        - Input and output: [B, D]
    """

    def forward(self, features_BD: Tensor) -> Tensor:
        if self.training and len(features_BD) == 1:
            return functional.batch_norm(
                features_BD, self.running_mean, self.running_var, self.weight, self.bias
            )
        return super().forward(features_BD)


def normalise_(norm: nn.BatchNorm3d | SharedNorm, maps_BCTHW: Tensor) -> None:
    """Do in place what a batch normalisation without weights does in training."""
    mean_C, variance_C = (
        norm.measured(maps_BCTHW)[:2]
        if isinstance(norm, SharedNorm)
        else _measured(norm, maps_BCTHW)
    )
    shape = (-1, 1, 1, 1)
    scale_C = (variance_C + norm.eps).rsqrt().reshape(shape)
    torch.addcmul(-mean_C.reshape(shape) * scale_C, maps_BCTHW, scale_C, out=maps_BCTHW)


def _measured(norm: nn.BatchNorm3d, maps_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance [C]; let the running values follow them."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    n_values = maps_BCTHW.numel() // maps_BCTHW.shape[1]
    maps_BCN = maps_BCTHW.flatten(2)
    mean_C = maps_BCN.mean(dim=2).mean(dim=0)
    power_BC = torch.linalg.vector_norm(maps_BCN, dim=2).square() / maps_BCN.shape[2]
    power_C = power_BC.mean(dim=0)
    variance_C = (power_C - mean_C.square()).clamp(min=0)
    norm.num_batches_tracked += 1
    norm.running_mean.lerp_(mean_C, norm.momentum)
    unbiased_C = variance_C * n_values / max(n_values - 1, 1)
    norm.running_var.lerp_(unbiased_C, norm.momentum)
    return mean_C, variance_C


class Joint(nn.Module):
    """An answer from the features of both senses and from their products.

    Labels that lie in how the senses go together (an exclusive or) show in no sum of
    features, and a plain perceptron finds them late or never; products show them at
    once (low-rank bilinear pooling, Kim et al. 2017, arXiv:1610.04325). They are
    normalised first, so that neither sense is the louder factor.

    Shape:
        - Input: [B, D_picture], [B, D_sound]
        - Output: [B, K]
    """

    def __init__(self, seen: int, heard: int, n_classes: int) -> None:
        super().__init__()
        self.seen, self.heard = (
            nn.Sequential(
                nn.Linear(width, JOINT_WIDTH, bias=False), Centred(JOINT_WIDTH)
            )
            for width in (seen, heard)
        )
        self.classify = nn.Sequential(
            nn.ReLU(),
            nn.Linear(3 * JOINT_WIDTH, JOINT_WIDTH),
            nn.ReLU(),
            nn.Linear(JOINT_WIDTH, n_classes),
        )

    def forward(self, seen_BD: Tensor, heard_BD: Tensor) -> Tensor:
        seen_BD, heard_BD = self.seen(seen_BD), self.heard(heard_BD)
        both_BD = torch.cat((seen_BD, heard_BD, seen_BD * heard_BD), dim=1)
        logits: Tensor = self.classify(both_BD)
        return logits


class Sense(Classifier):
    """A network on the planes of one sense and on how each changes over time.

    What moves, and whether a tone rises, shows in the difference of two frames alone; a
    network must otherwise first learn to subtract, for which hundreds of clips are few.
    For pictures: a stream for motion (Simonyan and Zisserman 2014, arXiv:1406.2199),
    differences of frames in place of optical flow (Wang et al. 2016, arXiv:1608.00859,
    section 3.2). For sound: delta features (Furui 1986,
    doi:10.1109/TASSP.1986.1164788).

    Sound planes are narrowed first: the few columns of a frame's sound are spread over
    the picture's width, so that the mean over neighbours loses nothing and saves most
    of the work. A sample of one frame keeps its columns: there they are time. Nothing
    changes in it from frame to frame, so that its levels are all there is to see.

    Shape:
        - Input: [B, C, T, H, W] normalised levels
        - Output: [B, K] logits
    """

    def __init__(
        self,
        clip: ClipShape,
        n_classes: int,
        make: Callable[[ClipShape, int], Classifier],
        *,
        sound: bool,
    ) -> None:
        super().__init__()
        narrow = sound and clip.frames > 1 and clip.width > SOUND_COLUMNS
        self._size = (None, None, SOUND_COLUMNS) if narrow else None
        # Changes are small beside levels, by a measure that the data know.
        self.scale: nn.BatchNorm3d | SharedNorm | None = None
        if clip.frames > 1:
            self.scale = nn.BatchNorm3d(clip.channels, affine=False)
            clip = clip._replace(channels=2 * clip.channels)
        clip = clip._replace(width=SOUND_COLUMNS) if narrow else clip
        self.network = make(clip, n_classes)
        self.n_features = self.network.n_features

    def features(self, clip_BCTHW: Tensor) -> Tensor:
        """Return what the last layer is given, [B, D]."""
        if self.scale is None:
            return self.network.features(clip_BCTHW)
        if self._size:
            clip_BCTHW = functional.adaptive_avg_pool3d(clip_BCTHW, self._size)
        if self.training and not clip_BCTHW.requires_grad:
            return self.network.features(self._beside_change(clip_BCTHW, self.scale))
        # The first frame has none before it.
        change_BCTHW = functional.pad(
            clip_BCTHW[:, :, 1:] - clip_BCTHW[:, :, :-1], (0, 0, 0, 0, 1, 0)
        )
        both_BCTHW = torch.cat((clip_BCTHW, self.scale(change_BCTHW)), dim=1)
        return self.network.features(both_BCTHW)

    @torch.no_grad()
    def _beside_change(
        self, clip_BCTHW: Tensor, scale: nn.BatchNorm3d | SharedNorm
    ) -> Tensor:
        """Do the same without a gradient, in place: half the passes over a batch."""
        n_planes = clip_BCTHW.shape[1]
        both_BCTHW = torch.cat((clip_BCTHW, clip_BCTHW), dim=1)
        change_BCTHW = both_BCTHW[:, n_planes:]
        change_BCTHW[:, :, 1:] -= clip_BCTHW[:, :, :-1]
        change_BCTHW[:, :, 0] = 0
        normalise_(scale, change_BCTHW)
        return both_BCTHW

    def classify(self, seen_BD: Tensor) -> Tensor:
        """Return logits [B, K] of features [B, D]."""
        logits: Tensor = self.network.classify(seen_BD)
        return logits


def planes(clip_BCTHW: Tensor, places: list[int]) -> Tensor:
    """Take some planes, uncopied where they are neighbours."""
    first, last = places[0], places[-1]
    if places == list(range(first, last + 1)):
        return clip_BCTHW[:, first : last + 1]
    return clip_BCTHW[:, places]


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
        seen = clip._replace(channels=len(self._picture))
        heard = clip._replace(channels=len(self._sound))
        self.picture = Sense(seen, n_classes, make, sound=False)
        self.sound = Sense(heard, n_classes, make, sound=True)
        self.joint = Joint(self.picture.n_features, self.sound.n_features, n_classes)

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        seen_BD = self.picture.features(planes(clip_BCTHW, self._picture))
        heard_BD = self.sound.features(planes(clip_BCTHW, self._sound))
        answers = [
            self.picture.classify(seen_BD),
            self.sound.classify(heard_BD),
            self.joint(seen_BD, heard_BD),
        ]
        return torch.stack(answers, dim=1)
