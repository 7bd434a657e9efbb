"""The same networks as one would first write them, with the same weights.

Convolutions of three dimensions, a convolution per frame whose time is indexed, einsum
attention, torch's dropout, the default layout in memory; no care for passes or copies.
What the fast ways are measured against, and what the tests compare them with.

Axes: B batch, C channels, T frames, H height, W width, D features, N tokens.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmrgb.checkpoint import Network
from fmrgb.models.chance import Dropout
from fmrgb.models.conv3d import Conv3DNet, OverPicture, OverTime, ResidualBlock
from fmrgb.models.convlstm import ConvLSTM, ConvLSTMNet
from fmrgb.models.senses import Sense, Senses
from fmrgb.models.vivit import TUBELET, Attention, ViViT


def normed(norm: nn.Module, maps_BDTHW: Tensor) -> Tensor:
    """Normalise over a batch by a two-dimensional layer's weights."""
    if norm.training:
        norm.num_batches_tracked += 1
    return functional.batch_norm(
        maps_BDTHW,
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
        norm.training,
        norm.momentum,
        norm.eps,
    )


class PlainOverPicture(OverPicture):
    """A 1 x k x k convolution."""

    def forward(self, maps_BDTHW: Tensor) -> Tensor:
        """Convolve and normalise."""
        conv, norm = self
        stride, padding = (1, *conv.stride), (0, *conv.padding)
        weight = conv.weight.unsqueeze(2)
        maps_BDTHW = functional.conv3d(maps_BDTHW, weight, None, stride, padding)
        return normed(norm, maps_BDTHW)


class PlainOverTime(OverTime):
    """A k x 1 x 1 convolution."""

    def forward(self, maps_BDTHW: Tensor) -> Tensor:
        """Convolve and normalise."""
        conv, norm = self
        stride, padding = (conv.stride[0], 1, 1), (conv.padding[0], 0, 0)
        weight = conv.weight.unsqueeze(3)
        maps_BDTHW = functional.conv3d(maps_BDTHW, weight, None, stride, padding)
        return normed(norm, maps_BDTHW)


class PlainBlock(ResidualBlock):
    """Autograd's own slices."""

    def forward(self, maps_BDTHW: Tensor) -> Tensor:
        """Add change and shortcut."""
        change_BDTHW = self.second(self.first(maps_BDTHW).relu())
        same_BDTHW = self.shortcut(maps_BDTHW[:, :, :: self.stride])
        return (change_BDTHW + same_BDTHW).relu()


class PlainConv3DNet(Conv3DNet):
    """The layout as it comes."""

    def features(self, clip_BCTHW: Tensor) -> Tensor:
        """Return what the last layer is given, [B, D]."""
        maps_BDTHW = self.stages(self.stem(clip_BCTHW))
        return self.dropout(maps_BDTHW.mean(dim=(2, 3, 4)))


class PlainConvLSTM(ConvLSTM):
    """One convolution per frame, time indexed."""

    def forward(self, maps_BDTHW: Tensor) -> Tensor:
        """Return the memory after each frame."""
        batch, _, n_frames, height, width = maps_BDTHW.shape
        hidden_BDHW = maps_BDTHW.new_zeros(batch, self.memory, height, width)
        cell_BDHW = torch.zeros_like(hidden_BDHW)
        hiddens = []
        for t in range(n_frames):
            both = torch.cat((maps_BDTHW[:, :, t], hidden_BDHW), dim=1)
            i, f, o, g = self.gates(both).chunk(4, dim=1)
            cell_BDHW = f.sigmoid() * cell_BDHW + i.sigmoid() * g.tanh()
            hidden_BDHW = o.sigmoid() * cell_BDHW.tanh()
            hiddens.append(hidden_BDHW)
        return torch.stack(hiddens, dim=2)


class PlainConvLSTMNet(ConvLSTMNet):
    """The layout as it comes."""

    def features(self, clip_BCTHW: Tensor) -> Tensor:
        """Return what the last layer is given, [B, D]."""
        memory_BDT = self.layers(self.encoder(clip_BCTHW)).mean(dim=(3, 4))
        seen_BE = torch.cat((memory_BDT[:, :, -1], memory_BDT.mean(dim=2)), dim=1)
        return self.dropout(seen_BE)


class PlainAttention(Attention):
    """Attention by einsum."""

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Let every token look at every other."""
        qkv = self.to_qkv(self.norm(tokens_BND)).chunk(3, dim=2)
        query, key, value = (part.unflatten(2, (self.heads, -1)) for part in qkv)
        agreed = torch.einsum("bihd,bjhd->bhij", query, key) * query.shape[-1] ** -0.5
        shares = self.dropout(agreed.softmax(dim=-1))
        heard = torch.einsum("bhij,bjhd->bihd", shares, value).flatten(2)
        return self.dropout(self.to_out(heard))


class PlainDropout(Dropout):
    """torch's dropout."""

    def forward(self, values: Tensor) -> Tensor:
        """Leave values out by chance."""
        return functional.dropout(values, self.p, self.training)


class PlainViViT(ViViT):
    """Tubelets as the published code cuts them."""

    def _embedded(self, clip_BCTHW: Tensor) -> Tensor:
        cut = self._tubelets(clip_BCTHW)
        by_plane = cut.unflatten(3, (clip_BCTHW.shape[1], *TUBELET))
        return self.embed(by_plane.permute(0, 1, 2, 4, 5, 6, 3).flatten(3))


class PlainSense(Sense):
    """Changes padded, normalised and stuck on, one after the other."""

    def features(self, clip_BCTHW: Tensor) -> Tensor:
        """Return what the last layer is given, [B, D]."""
        if self._size:
            clip_BCTHW = functional.adaptive_avg_pool3d(clip_BCTHW, self._size)
        change_BCTHW = functional.pad(
            clip_BCTHW[:, :, 1:] - clip_BCTHW[:, :, :-1], (0, 0, 0, 0, 1, 0)
        )
        both_BCTHW = torch.cat((clip_BCTHW, self.scale(change_BCTHW)), dim=1)
        return self.network.features(both_BCTHW)


class PlainSenses(Senses):
    """Planes taken by their numbers."""

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        """Return the logits of three answers."""
        seen_BD = self.picture.features(clip_BCTHW[:, self._picture])
        heard_BD = self.sound.features(clip_BCTHW[:, self._sound])
        answers = [
            self.picture.classify(seen_BD),
            self.sound.classify(heard_BD),
            self.joint(seen_BD, heard_BD),
        ]
        return torch.stack(answers, dim=1)


PLAIN = {kind.__mro__[1]: kind for kind in (
    PlainOverPicture, PlainOverTime, PlainBlock, PlainConv3DNet, PlainConvLSTM,
    PlainConvLSTMNet, PlainAttention, PlainDropout, PlainViViT, PlainSense, PlainSenses,
)}  # fmt: skip


def plain(network: Network) -> Network:
    """Return a copy with the same weights that does the same in the plain way."""
    twin = copy.deepcopy(network)
    for module in twin.modules():
        module.__class__ = PLAIN.get(type(module), type(module))
    return twin
