"""From concepts and answers to sheets of pictures, as PNGs.

Call these within `page.styled()`. Axes: H height, W width, C planes, K concepts.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fmrgb.gmm_ask import Answer, means
from fmrgb.gmm_data import PICTURE, SOUND
from fmrgb.gmm_model import Concepts
from fmrgb.page import plain
from fmrgb.plots import png

MOST_CONCEPTS = 40  # on a sheet
CELL = 1.6  # inches
ACROSS = 6  # concepts in one line of the sheet
NAME_LENGTH = 22  # characters

Levels = NDArray[np.uint8]


def draw_concepts(concepts: Concepts) -> bytes:
    """Draw the mean picture and sound picture of each concept above its label."""
    drawn = means(concepts)
    weights_K = concepts.mixture.weights_K
    shown_K = np.argsort(concepts.mixture.table_KL.argmax(axis=1), kind="stable")
    shown_K = shown_K[:MOST_CONCEPTS]
    across = min(ACROSS, len(shown_K))
    down = -(-len(shown_K) // across)
    kinds = list(drawn)
    if not kinds:
        return b""
    size = (CELL * across, (CELL + 0.15) * down * len(kinds) + 0.2)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(down * len(kinds), across, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for place, k in enumerate(shown_K):
        label = concepts.labels[int(concepts.mixture.table_KL[k].argmax())]
        for row, kind in enumerate(kinds):
            axes = grid[place // across * len(kinds) + row, place % across]
            show(axes, drawn[kind][k], kind, concepts.channels[kind])
            if not row:
                title = f"{plain(label, NAME_LENGTH)}\n{weights_K[k]:.0%}"
                axes.set_title(title, fontsize=8, parse_math=False)
    return png(figure)


def draw_answer(concepts: Concepts, answer: Answer) -> bytes:
    """Draw what is there beside what would be there, under the likeliest label."""
    kinds = list(answer.drawn)
    if not kinds:
        return b""
    figure = Figure(figsize=(2.4 * len(kinds) + 2.6, 3.0), layout="constrained")
    grid = figure.subplots(1, len(kinds) + 1, squeeze=False)[0]
    for axes, kind in zip(grid, kinds, strict=False):
        axes.axis("off")
        show(axes, answer.drawn[kind], kind, concepts.channels[kind])
        said = "given" if kind in answer.there else "imagined"
        axes.set_title(f"{kind}, {said}", parse_math=False)
    names = [plain(name, NAME_LENGTH) for name, _ in answer.labels][::-1]
    chances = [chance for _, chance in answer.labels][::-1]
    bars = grid[-1]
    bars.barh(range(len(names)), chances, color="0.6")
    bars.set_yticks(range(len(names)), names, parse_math=False)
    bars.set_xlim(0, 1)
    bars.set_xlabel("chance")
    return png(figure)


def show(axes: Axes, levels_HWC: Levels, kind: str, channels: Sequence[str]) -> None:
    """Show a picture in its colours, or the planes of a sound one under the other."""
    if kind == PICTURE and levels_HWC.shape[-1] == 3:
        axes.imshow(levels_HWC)
        return
    planes = np.concatenate(np.moveaxis(levels_HWC, -1, 0))
    cmap = "magma" if kind == SOUND else "gray"
    axes.imshow(planes, vmin=0, vmax=255, cmap=cmap, aspect="auto")
    axes.set_box_aspect(1)
    if kind == SOUND and len(channels) > 1:
        axes.set_ylabel(", ".join(channels), fontsize=6)


def as_picture(levels_HWC: Levels) -> Levels:
    """Return levels as something to be packed as PNG: [H, W, 3].

    Planes other than R, G, B are grey, one under the other.
    """
    if levels_HWC.shape[-1] == 3:
        return levels_HWC
    planes = np.concatenate(np.moveaxis(levels_HWC, -1, 0))
    return np.repeat(planes[..., None], 3, axis=-1)
