"""From words, pictures and numbers to marks on a page of pixels.

Boxes are (left, top, width, height) in pixels from the top left of the page.

Axes: T frames, H height, W width; h and w the sides of a small picture per frame.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import cv2
import librosa
import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fmrgb.files import shown
from fmrgb.media import SOUND_RATE
from fmrgb.names import FEATURES
from fmrgb.sound import Levels
from fmrgb.soundaxes import HZ_TICKS, SIGNED, mark_rows

Picture = NDArray[np.uint8]
Box = tuple[float, float, float, float]

DPI = 100  # pixels per inch; a point is 1/72 inch
MOST_STEPS = 1500  # steps of a curve; where there are more, the highest are drawn
CURVE, CURSOR = "#1f5fa8", (214, 40, 40)
GLYPH = (8, 18)  # pixels, width and height of a character of running numbers
FONTS = ("DejaVu Sans", "Noto Sans CJK JP", "IPAexGothic", "Hiragino Sans", "Yu Gothic")
STYLE: Any = {
    "font.size": 9.0,
    "axes.edgecolor": "#888888",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": False,
    "image.cmap": "magma",
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the project's own style, whatever the user's matplotlibrc says."""
    with mpl.rc_context({**STYLE, "font.family": list(_fonts())}):
        yield


@cache
def _fonts() -> tuple[str, ...]:
    """Return those of `FONTS` that this machine has, so that none is missed aloud."""
    have = set(font_manager.get_font_names())
    return tuple(font for font in FONTS if font in have)


@cache
def _drawable() -> frozenset[int]:
    fonts = [font_manager.get_font(font_manager.findfont(f)) for f in _fonts()]
    return frozenset(code for font in fonts for code in font.get_charmap())


def plain(text: str, limit: int) -> str:
    """Write text in one line of at most `limit` characters that the fonts can draw."""
    line = "".join(
        c if ord(c) in _drawable() else "\N{WHITE SQUARE}" for c in shown(text)
    )
    end = limit // 3
    return line if len(line) <= limit else f"{line[: limit - end - 1]}…{line[-end:]}"


def page(width: int, height: int) -> Figure:
    """Return an empty white page."""
    fig = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(fig)
    return fig


def pixels(fig: Figure) -> Picture:
    """Draw a page: uint8 [H, W, 3]."""
    canvas: Any = fig.canvas
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def write(fig: Figure, left: float, middle: float, text: str, **style: Any) -> None:
    """Write one line whose middle lies `middle` pixels below the top."""
    _, _, width, height = fig.bbox.bounds
    style = {"va": "center", "parse_math": False, **style}
    fig.text(left / width, 1 - middle / height, text, **style)


def title(
    fig: Figure, left: float, top: float, name: str, facts: Sequence[str], limit: int
) -> None:
    """Write a name of at most `limit` characters, and facts in a line below it."""
    write(fig, left, top + 30, plain(name, limit), fontsize=14, weight="bold")
    write(fig, left, top + 56, "  ·  ".join(facts), fontsize=10)


def paste(fig: Figure, picture: Picture, left: float, top: float) -> None:
    """Put a picture [H, W, 3] on the page, pixel for pixel."""
    bottom = fig.bbox.height - top - len(picture)
    fig.figimage(picture, round(left), round(bottom), origin="upper")


def fit(
    width: int, height: int, most: tuple[float, float], least: int = 0
) -> tuple[int, int]:
    """Return a size within `most`; with `least`, enlarged in whole steps."""
    scale = min(most[0] / width, most[1] / height)
    if scale > 1 and least:
        scale = min(int(scale), max(1, round(least / height)))
    return max(1, round(width * scale)), max(1, round(height * scale))


def sized(picture: Picture, size: tuple[int, int]) -> Picture:
    """Bring a picture [H, W, 3] to (width, height); whole steps keep pixels sharp."""
    height, width, _ = picture.shape
    whole = not (size[0] % width or size[1] % height)
    smaller = size[0] < width or size[1] < height
    how = cv2.INTER_NEAREST if whole else cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(picture), size, interpolation=how).astype(
        "u1"
    )


def png(picture: Picture) -> bytes:
    """Pack a picture [H, W, 3] as PNG."""
    return cv2.imencode(".png", picture[..., ::-1])[1].tobytes()


@cache
def _glyph(character: str) -> Picture:
    width, height = GLYPH
    fig = page(width, height)
    style = {"ha": "center", "family": "DejaVu Sans Mono", "fontsize": 10}
    write(fig, width / 2, height / 2, character, **style)
    return pixels(fig)


def stamp(shot: Picture, text: str, right: int, middle: int) -> None:
    """Write one line that ends at `right` into a finished page."""
    line = np.concatenate([_glyph(c) for c in text], axis=1)
    height, width, _ = line.shape
    top = middle - height // 2
    shot[top : top + height, right - width : right] = line


def even(picture: Picture) -> Picture:
    """Copy a picture [H, W, 3], its sides made even, as H.264 wants them."""
    height, width, _ = picture.shape
    return np.pad(picture, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")


def axes_in(fig: Figure, box: Box) -> Axes:
    """Add axes that fill a box."""
    _, _, width, height = fig.bbox.bounds
    left, top, wide, high = box
    bottom = 1 - (top + high) / height
    return fig.add_axes((left / width, bottom, wide / width, high / height))


def place(axes: Axes) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a plot, in pixels of its page."""
    assert axes.figure is not None
    (left, low), (right, high) = axes.bbox.get_points()
    height = axes.figure.bbox.height
    return round(left), round(height - high), round(right), round(height - low)


def span(axes: Axes, first: float, last: float) -> None:
    """Let the time axis of a plot run from `first` to `last` s; mark what it holds."""
    held = axes.get_xlim()
    axes.set_xlim(first, last)
    axes.set_xticks([x for x in axes.get_xticks() if held[0] <= x <= held[1]])


def cursor(shot: Picture, axes: Axes, moment: float) -> None:
    """Draw a line at a moment in s into a finished page."""
    _, top, _, bottom = place(axes)
    x = round(float(axes.get_xaxis_transform().transform((moment, 0))[0]))
    cv2.line(shot, (x, top), (x, bottom), CURSOR, 2)


def curve(
    fig: Figure, box: Box, values_T: Picture, edges: NDArray[np.float64], levels: Levels
) -> Axes:
    """Draw one value per frame as steps from `edges[t]` to `edges[t + 1]` s."""
    axes = axes_in(fig, box)
    n_frames = len(values_T)
    firsts = np.unique(np.linspace(0, n_frames, MOST_STEPS + 1).astype(int))[:-1]
    units = np.maximum.reduceat(levels.to_units(values_T), firsts)
    steps = edges[np.append(firsts, n_frames)]
    high = levels.high if levels.high > levels.low else levels.low + 1
    if levels.curve == "mel":
        axes.set_yscale("function", functions=(librosa.hz_to_mel, librosa.mel_to_hz))
        axes.set_yticks([hz for hz in HZ_TICKS if hz <= high])
    axes.stairs(units, steps, baseline=levels.low, fill=True, color=CURVE, alpha=0.15)
    axes.stairs(units, steps, baseline=None, color=CURVE, linewidth=1.4)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(levels.low, high))
    axes.set_ylabel(plain(levels.unit, 12), parse_math=False)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def long_picture(
    fig: Figure,
    box: Box,
    plane_Thw: Picture,
    edges: NDArray[np.float64],
    levels: Levels,
    signed: str | None = None,
) -> Axes:
    """Draw one small picture per frame, joined in time, with the bar of its colours.

    `signed` names the colours of a plane with a zero in its middle.
    """
    axes = axes_in(fig, box)
    left, top, width, high = box
    # One column per pixel: exact for variable frame rates, small for long clips.
    moments = edges[0] + (np.arange(width) + 0.5) / width * (edges[-1] - edges[0])
    t = np.clip(np.searchsorted(edges, moments, side="right") - 1, 0, len(edges) - 2)
    part = (moments - edges[t]) / (edges[t + 1] - edges[t])
    _, n_rows, n_columns = plane_Thw.shape
    column = np.minimum(part * n_columns, n_columns - 1).astype(int)
    unit, least, most = levels.unit, levels.low, levels.high
    values = levels.to_units(plane_Thw[t, :, column].T)
    if levels.curve == "gain":  # drawn as a network sees it
        unit, least, most = "amplitude", 0.0, 10 ** (most / 20)
        values = plane_Thw[t, :, column].T / 255 * most
    drawn = axes.imshow(
        values,
        extent=(edges[0], edges[-1], 0, n_rows),
        aspect="auto",
        interpolation="nearest",
        vmin=-most if signed else least,
        vmax=most,
        cmap=signed,
    )
    bar = axes_in(fig, (left + width + 14, top, 12, high))
    fig.colorbar(drawn, cax=bar)
    bar.set_ylabel(plain(unit, 12), parse_math=False)
    return axes


def plot(
    fig: Figure,
    box: Box,
    name: str,
    plane: Picture,
    edges: NDArray[np.float64],
    levels: Levels,
    rate: int = SOUND_RATE,
) -> Axes:
    """Draw a sound plane over time: [T] as a curve, [T, h, w] as one long picture.

    Pictures of sound reach up to half of its `rate`.
    """
    if plane.ndim == 1:
        axes = curve(fig, box, plane, edges, levels)
    else:
        axes = long_picture(fig, box, plane, edges, levels, SIGNED.get(name))
        mark_rows(axes, name, plane.shape[1], levels, rate)
        if name == "waveform":  # its rows tell the amplitude, not its colours
            bar: Any = axes.images[0].colorbar
            bar.remove()
    axes.set_xlabel("time in s" if name != FEATURES else "mean, then spread over time")
    write(fig, box[0], box[1] - 14, name, weight="bold")
    return axes


def note(axes: Axes, text: str) -> None:
    """Write a few words in the middle of a plot."""
    frame = {"facecolor": "white", "edgecolor": "#888888", "boxstyle": "round,pad=0.5"}
    place = {"ha": "center", "va": "center", "transform": axes.transAxes}
    axes.text(0.5, 0.5, text, fontsize=12, bbox=frame, **place)  # type: ignore[arg-type]
