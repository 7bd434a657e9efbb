"""Layers of a network that several processes train together, on parts of one batch.

Batch normalisation takes its measure of all clips of the batch, wherever they lie, and
dropout draws its chances for all of them and takes those of its own clips: the network
learns what it would learn in one process. On GPUs each process draws its own chances.

Source: synchronised batch normalisation, Peng et al. 2018, "MegDet", arXiv:1711.07240,
section 3.2. torch's own knows no CPU, and none of `Centred` and `normalise_`.

Axes: B batch, C channels or features; norms take [B, C, ...] of any number of axes.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from fmrgb.models.chance import Dropout, Skip, kept
from fmrgb.ranks import n_processes
from fmrgb.share import Share


def moments(values: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return mean and biased variance [C] over all processes, and how many values.

    Every process holds the same ones to the last bit.

    Source: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance"
    (how parts are put together).
    """
    n_values = values.numel() // values.shape[1]
    axes = [axis for axis in range(values.ndim) if axis != 1]
    if n_values:
        variance_C, mean_C = torch.var_mean(values.float(), axes, correction=0)
    else:
        variance_C = mean_C = values.new_zeros(values.shape[1], dtype=torch.float32)
    mine = torch.cat((mean_C, variance_C, mean_C.new_tensor([float(n_values)])))
    every = [torch.empty_like(mine) for _ in range(n_processes())]
    distributed.all_gather(every, mine)
    told_PX = torch.stack(every)
    mean_PC, variance_PC = told_PX[:, :-1].chunk(2, dim=1)
    n_P1 = told_PX[:, -1:]
    total = n_P1.sum()
    # From one of the means: where all are alike, rounding must not part them, or what
    # is 0 in one process would be a little more in several, and pass a ReLU.
    base_C = mean_PC[int(n_P1.argmax())]
    mean_C = base_C + ((mean_PC - base_C) * n_P1).sum(dim=0) / total
    spread_PC = variance_PC + (mean_PC - mean_C).square()
    return mean_C, (spread_PC * n_P1).sum(dim=0) / total, int(total)


class _Normalised(torch.autograd.Function):
    """Normalise by mean and variance of all processes, of which the values are a part.

    The gradient is that of batch normalisation over the whole (Ioffe and Szegedy 2015,
    arXiv:1502.03167, section 3): what one clip changes in the mean changes the others.
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        weight_C: Tensor | None,
        bias_C: Tensor | None,
        mean_C: Tensor,
        variance_C: Tensor,
        total: int,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(values, weight_C, mean_C, variance_C)
        ctx.total, ctx.eps = total, eps
        return functional.batch_norm(
            values, mean_C, variance_C, weight_C, bias_C, eps=eps
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of values, weight and bias."""
        values, weight_C, mean_C, variance_C = ctx.saved_tensors
        (gradient,) = gradients
        shape = (1, -1, *[1] * (values.ndim - 2))
        axes = [axis for axis in range(values.ndim) if axis != 1]
        scale_C = (variance_C + ctx.eps).rsqrt()
        centred = values.float() - mean_C.reshape(shape)
        slope = gradient.float()
        bias_C = slope.sum(axes)
        along_C = (slope * centred).sum(axes) * scale_C
        both_2C = torch.stack((bias_C, along_C))
        distributed.all_reduce(both_2C)
        mean_2C = both_2C / ctx.total
        pulled = slope - mean_2C[0].reshape(shape)
        pulled -= centred * (mean_2C[1] * scale_C).reshape(shape)
        pulled *= (scale_C if weight_C is None else scale_C * weight_C).reshape(shape)
        given = None if weight_C is None else along_C
        added = None if weight_C is None else bias_C
        return pulled.to(values.dtype), given, added, None, None, None, None


class SharedNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over the clips of all processes.

    Where there is one value of each feature in all, its running values are taken.

    Shape:
        - Input and output: [B, C, ...]
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Take any number of axes."""

    def measured(self, values: Tensor) -> tuple[Tensor, Tensor, int]:
        """Return `moments` of values, and let the running values follow them."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        mean_C, variance_C, total = moments(values)
        if total > 1:
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean_C, self.momentum)
            unbiased_C = variance_C * total / (total - 1)
            self.running_var.lerp_(unbiased_C, self.momentum)
        return mean_C, variance_C, total

    def forward(self, values: Tensor) -> Tensor:
        if not self.training:
            return super().forward(values)
        with torch.no_grad():
            mean_C, variance_C, total = self.measured(values)
        if total < 2:
            return functional.batch_norm(
                values, self.running_mean, self.running_var, self.weight, self.bias
            )
        out: Tensor = _Normalised.apply(  # type: ignore[no-untyped-call]
            values, self.weight, self.bias, mean_C, variance_C, total, self.eps
        )
        return out


class SharedDropout(nn.Dropout):
    """Dropout with chances for the whole batch, of which this process takes its own.

    Shape:
        - Input and output: [B x any, ...], clip by clip on the first axis
    """

    def __init__(self, like: nn.Dropout, share: Share) -> None:
        super().__init__(like.p)
        self._quick = isinstance(like, Dropout)
        self._share = share

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.p in (0.0, 1.0) or values.device.type != "cpu":
            return super().forward(values)
        rows, mine = _rows(values, self._share)
        shape = torch.Size((rows, *values.shape[1:]))
        if self._quick:
            keep = kept(shape, self.p, self._share.dice).to(values.dtype)
        else:
            keep = values.new_empty(shape)
            keep.bernoulli_(1 - self.p, generator=self._share.dice)
        return values * (keep[mine] * (1 / (1 - self.p)))


class SharedSkip(Skip):
    """Skip with chances for the whole batch, of which this process takes its own.

    Shape:
        - Input and output: [B x any, N, D], clip by clip on the first axis
    """

    def __init__(self, like: Skip, share: Share) -> None:
        super().__init__(like.rate)
        self._share = share

    def drawn(self, values_BND: Tensor) -> Tensor:
        """Draw a number for each clip, [B, 1, 1]."""
        if values_BND.device.type != "cpu":
            return super().drawn(values_BND)
        rows, mine = _rows(values_BND, self._share)
        return torch.rand(rows, 1, 1, generator=self._share.dice)[mine]


def _rows(values: Tensor, share: Share) -> tuple[int, slice]:
    """Return how long the first axis would be for the whole batch, and which is here.

    It is as long as clips, or frames of clips; a process without clips cannot tell.
    """
    held = share.last - share.first
    each = len(values) // held if held else 1
    return share.whole * each, slice(share.first * each, share.last * each)


def share_layers(network: nn.Module, share: Share) -> None:
    """Exchange, in place, the layers that would go by this process's clips alone.

    Names and order of weights stay. Layers of other packages stay too.

    Args:
        network: whose layers; their weights are kept.
        share: says, at every step, which clips of the batch this process holds.
    """
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            ours = type(child).__module__.startswith("fmrgb.")
            if isinstance(child, norms) and (ours or type(child) in norms):
                setattr(module, name, _shared_norm(child))
            elif isinstance(child, nn.Dropout) and not isinstance(child, SharedDropout):
                setattr(module, name, SharedDropout(child, share))
            elif isinstance(child, Skip) and not isinstance(child, SharedSkip):
                setattr(module, name, SharedSkip(child, share))


def _shared_norm(norm: Any) -> SharedNorm:
    """Return a norm with the weights of another."""
    new = SharedNorm(norm.num_features, norm.eps, norm.momentum, norm.affine)
    new.weight, new.bias = norm.weight, norm.bias
    for name, buffer in norm.named_buffers():
        setattr(new, name, buffer)
    return new.train(norm.training)
