"""Video vision transformer, factorised encoder: first each moment, then their order.

Source: Arnab et al. 2021, "ViViT: A Video Vision Transformer", arXiv:2103.15691, model
2 (section 3.3) with tubelet embedding (section 3.2), normalised before attention.
Stochastic depth after Huang et al. 2016, arXiv:1603.09382. Ours differs in its sizes,
meant for hundreds of clips, and in padding clips whose sides are no multiple of a
tubelet's.

Axes: B batch, C channels, T frames, H height, W width; F moments, N places, D features,
P numbers of one tubelet.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmrgb.card import ClipShape
from fmrgb.models.chance import Dropout, Skip
from fmrgb.models.classifier import Classifier, working_type

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"dim": 64, "depth": (2, 2), "heads": 4},
    "small": {"dim": 128, "depth": (4, 2), "heads": 4},
    "base": {"dim": 256, "depth": (6, 4), "heads": 8},
}
TUBELET = (2, 8, 8)  # frames, rows, columns
TOKEN_SCALE = 0.02  # standard deviation of fresh positions and class tokens


class Attention(nn.Module):
    """Every token looks at every other, in several heads (Vaswani et al. 2017).

    Shape:
        - Input and output: [B, N, D]
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.to_qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        qkv = self.to_qkv(self.norm(tokens_BND)).unflatten(2, (3, self.heads, -1))
        heard = self._heard(*qkv.permute(2, 0, 3, 1, 4))
        out: Tensor = self.dropout(self.to_out(heard.transpose(1, 2).flatten(2)))
        return out

    def _heard(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Mix values by how well queries and keys agree: [B, heads, N, D / heads]."""
        drop = self.dropout.p if self.training else 0.0
        if query.device.type != "cpu" or not drop:
            return functional.scaled_dot_product_attention(
                query, key, value, dropout_p=drop
            )
        # With dropout that function takes three times as long on a processor.
        agreed = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        mixed: Tensor = self.dropout(agreed.softmax(dim=-1)) @ value
        return mixed


class Block(nn.Module):
    """Attention, then a network per token, each beside a shortcut.

    Shape:
        - Input and output: [B, N, D]
    """

    def __init__(self, dim: int, heads: int, dropout: float, skip: float) -> None:
        super().__init__()
        self.skip = Skip(skip)  # leaves out a clip's change
        self.attend = Attention(dim, heads, dropout)
        self.feed = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(4 * dim, dim),
            Dropout(dropout),
        )

    def forward(self, tokens_BND: Tensor) -> Tensor:
        tokens_BND = tokens_BND + self.skip(self.attend(tokens_BND))
        out: Tensor = tokens_BND + self.skip(self.feed(tokens_BND))
        return out


class Encoder(nn.Module):
    """A class token beside the others, blocks, normalisation; gives the class token.

    Shape:
        - Input: [B, N, D]
        - Output: [B, D]
    """

    def __init__(
        self, dim: int, depth: int, heads: int, dropout: float, skip: float
    ) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, dim) * TOKEN_SCALE)
        rates = [skip * k / max(depth - 1, 1) for k in range(depth)]
        self.blocks = nn.Sequential(*(Block(dim, heads, dropout, r) for r in rates))
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        # Not len(): a plain number, which would tie an export to one batch size.
        token = self.token.expand(tokens_BND.shape[0], -1, -1)
        seen_BND = self.blocks(torch.cat((token, tokens_BND), dim=1))
        out: Tensor = self.norm(seen_BND[:, 0])
        return out


class ViViT(Classifier):
    """Tubelets to tokens, an encoder over places, an encoder over moments."""

    def __init__(
        self,
        clip: ClipShape,
        n_classes: int,
        *,
        dim: int,
        depth: tuple[int, int],
        heads: int,
        dropout: float = 0.1,
        skip: float = 0.1,
    ) -> None:
        super().__init__()
        sides = (clip.frames, clip.height, clip.width)
        self.counts = tuple(-(-n // k) for n, k in zip(sides, TUBELET, strict=True))
        moments, rows, columns = self.counts
        n_values = clip.channels * TUBELET[0] * TUBELET[1] * TUBELET[2]
        # The paper's plain projection. Normalising each tubelet first would take
        # away how bright it is, and of a sound plane that is all there is.
        self.embed = nn.Linear(n_values, dim)
        places = torch.randn(1, moments, rows * columns, dim)
        self.positions = nn.Parameter(places * TOKEN_SCALE)
        self.dropout = Dropout(dropout)
        self.over_places = Encoder(dim, depth[0], heads, dropout, skip)
        self.over_moments = Encoder(dim, depth[1], heads, dropout, skip)
        self.n_features = dim
        self.classify = nn.Linear(dim, n_classes)

    def _tubelets(self, clip_BCTHW: Tensor) -> Tensor:
        """Cut a clip into tubelets [B, F, N, P], P ordered C, frames, rows, columns."""
        clip_BCTHW = clip_BCTHW.to(working_type(clip_BCTHW))
        batch, channels, *sides = clip_BCTHW.shape
        missing = [
            c * k - n for c, k, n in zip(self.counts, TUBELET, sides, strict=True)
        ]
        if any(missing):
            after = (0, missing[2], 0, missing[1], 0, missing[0])
            clip_BCTHW = functional.pad(clip_BCTHW, after)
        (f, h, w), (pf, ph, pw) = self.counts, TUBELET
        cut = clip_BCTHW.reshape(batch, channels, f, pf, h, ph, w, pw)
        return cut.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(2, 3)

    def _embedded(self, clip_BCTHW: Tensor) -> Tensor:
        """Project every tubelet: [B, F, N, D].

        The weights have C last, as in the published code. Their order is changed, not
        the clip's: columns, which lie side by side in memory, are copied together.
        """
        by_place = self.embed.weight.reshape(-1, *TUBELET, clip_BCTHW.shape[1])
        weight = by_place.permute(0, 4, 1, 2, 3).flatten(1)
        return functional.linear(self._tubelets(clip_BCTHW), weight, self.embed.bias)

    def features(self, clip_BCTHW: Tensor) -> Tensor:
        """Return what the last layer is given, [B, D]."""
        tokens_BFND = self._embedded(clip_BCTHW) + self.positions
        tokens_BFND = self.dropout(tokens_BFND)
        batch, moments = tokens_BFND.shape[:2]
        moments_BFD = self.over_places(tokens_BFND.flatten(0, 1)).unflatten(
            0, (batch, moments)
        )
        seen: Tensor = self.over_moments(moments_BFD)
        return seen
