"""The memory of a convolutional LSTM from frame to frame, with a backward pass by hand.

Autograd's own keeps a dozen maps per frame and copies the gates' gradients together.
Here the four gates go through one sigmoid in one piece, what is cheap is found again
instead of kept, and the weights' gradient is found for all frames at once. Under
autocast the convolutions alone are in half precision; the memory is not.

Axes: N moments times clips, moments outermost, G gates (four times D), D features of
memory, H height, W width.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fmrgb.models.classifier import gradient_follows

CHANNELS_LAST = torch.channels_last


def recur(heard_NGHW: Tensor, weight: Tensor, n_frames: int) -> Tensor:
    """Run equation 3 of Shi et al. 2015 without peepholes (arXiv:1506.04214).

    Args:
        heard_NGHW: what the gates i, f, o, g hear of every frame; g twice as loud, so
            that its hyperbolic tangent is `2 sigmoid(.) - 1`, three times as quick.
        weight: [G, D, k, k], of the memory after the frame before; k is odd.
        n_frames: moments.

    Returns:
        The memory after each frame, [N, D, H, W], of the same type.
    """
    if gradient_follows(heard_NGHW, weight):
        hiddens_NDHW: Tensor = Recurrence.apply(  # type: ignore[no-untyped-call]
            heard_NGHW, weight, n_frames
        )
        return hiddens_NDHW
    hiddens: list[Tensor] = []
    cell_BDHW = heard_NGHW.new_zeros(())
    for gates_BGHW in by_frame(heard_NGHW, n_frames):
        if hiddens:
            gates_BGHW = gates_BGHW + _conv(hiddens[-1], weight)
        i, f, o, g = gates_BGHW.sigmoid().chunk(4, dim=1)
        cell_BDHW = f * cell_BDHW + i * (2 * g - 1)
        hiddens.append(o * cell_BDHW.tanh())
    return torch.cat(hiddens)


def by_frame(maps_NDHW: Tensor, n_frames: int) -> tuple[Tensor, ...]:
    """Cut into the maps of each frame, uncopied."""
    return maps_NDHW.reshape(n_frames, -1, *maps_NDHW.shape[1:]).unbind(0)


class Recurrence(torch.autograd.Function):
    """The same, kept for and followed by the backward pass."""

    @staticmethod
    def forward(ctx: Any, heard_NGHW: Tensor, weight: Tensor, n_frames: int) -> Tensor:
        """Keep gates, cells and memory of every frame; cells alone always exactly."""
        weight = weight.contiguous(memory_format=CHANNELS_LAST)
        heard_NGHW = heard_NGHW.contiguous(memory_format=CHANNELS_LAST)
        exact = torch.promote_types(heard_NGHW.dtype, torch.float32)
        gates_NGHW = torch.empty_like(heard_NGHW)
        hiddens_NDHW = torch.empty_like(heard_NGHW[:, : weight.shape[1]])
        cells_NDHW = torch.empty_like(hiddens_NDHW, dtype=exact)
        parts = (heard_NGHW, gates_NGHW, cells_NDHW, hiddens_NDHW)
        before = None
        for heard, kept, cell, hidden in zip(
            *(by_frame(part, n_frames) for part in parts), strict=True
        ):
            gates = kept.copy_(heard) if kept.dtype == exact else heard.to(exact)
            if before is not None:
                gates += _conv(before[1], weight)
            gates.sigmoid_()
            if kept is not gates:
                kept.copy_(gates)
            i, f, o, g = gates.chunk(4, dim=1)
            torch.mul(i, g, out=cell).mul_(2).sub_(i)
            if before is not None:
                cell.addcmul_(f, before[0])
            hidden.copy_(_tanh(cell).mul_(o))
            before = cell, hidden
        ctx.n_frames = n_frames
        ctx.save_for_backward(gates_NGHW, cells_NDHW, hiddens_NDHW, weight)
        return hiddens_NDHW

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream_NDHW: Tensor) -> tuple[Tensor, Tensor, None]:
        """Go from the last frame to the first."""
        gates_NGHW, cells_NDHW, hiddens_NDHW, weight = ctx.saved_tensors
        exact = cells_NDHW.dtype
        slopes_NGHW = torch.empty_like(gates_NGHW)  # the gradient of what was heard
        cells = by_frame(cells_NDHW, ctx.n_frames)
        upstream_NDHW = upstream_NDHW.contiguous(memory_format=CHANNELS_LAST)
        upstreams = by_frame(upstream_NDHW, ctx.n_frames)
        of_cell = None
        of_hidden = upstreams[-1].to(exact)
        gates = by_frame(gates_NGHW, ctx.n_frames)
        slopes = by_frame(slopes_NGHW, ctx.n_frames)
        # Found exactly, one frame at a time, where half precision is kept.
        scratch = torch.empty_like(slopes[0], dtype=exact)
        for t in reversed(range(ctx.n_frames)):
            before = cells[t - 1] if t else None
            here = slopes[t] if slopes[t].dtype == exact else scratch
            of_cell = _slopes(
                gates[t].to(exact), here, cells[t], before, of_hidden, of_cell
            )
            if here is not slopes[t]:
                slopes[t].copy_(here)
            if t:
                into = _conv_slopes(slopes[t], upstreams[t], weight, True)
                of_hidden = upstreams[t - 1] + into.to(exact)
        of_weight = torch.zeros_like(weight)
        if ctx.n_frames > 1:
            batch = len(cells[0])
            later, earlier = slopes_NGHW[batch:], hiddens_NDHW[:-batch]
            of_weight = _conv_slopes(later, earlier, weight, False)
        return slopes_NGHW, of_weight, None


def _slopes(
    gates: Tensor,
    slopes: Tensor,
    cell: Tensor,
    before: Tensor | None,
    of_hidden: Tensor,
    of_cell: Tensor | None,
) -> Tensor:
    """Fill in one frame's gradient of what was heard; return the one of `before`."""
    i, f, o, g = gates.chunk(4, dim=1)
    of_i, of_f, of_o, of_g = slopes.chunk(4, dim=1)
    shown = _tanh(cell)
    torch.mul(of_hidden, shown, out=of_o)
    here = o * of_hidden
    here.addcmul_(here, shown.square_(), value=-1)
    if of_cell is not None:
        here += of_cell
    torch.mul(here, g, out=of_i).mul_(2).sub_(here)
    torch.mul(here, i, out=of_g).mul_(2)
    if before is None:
        of_f.zero_()
    else:
        torch.mul(here, before, out=of_f)
    torch.ops.aten.sigmoid_backward(slopes, gates, grad_input=slopes)
    return here.mul_(f)


def _tanh(values: Tensor) -> Tensor:
    """Hyperbolic tangent by the sigmoid, which is three times as quick here."""
    return (2 * values).sigmoid_().mul_(2).sub_(1)


def _conv(hidden_BDHW: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(hidden_BDHW, weight, padding=weight.shape[-1] // 2)


def _conv_slopes(out: Tensor, into: Tensor, weight: Tensor, of_input: bool) -> Tensor:
    """Return the gradient of a convolution's input, or of its weight."""
    side = [weight.shape[-1] // 2] * 2
    ones, none = [1, 1], [0, 0]
    mask = [of_input, not of_input, False]
    found = torch.ops.aten.convolution_backward(
        out, into.to(out.dtype), weight, None, ones, side, ones, False, none, 1, mask
    )
    slopes: Tensor = found[0 if of_input else 1]
    return slopes
