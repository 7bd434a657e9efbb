"""From a sample that is one picture of its sound to a contact sheet of it.

Boxes are (left, top, width, height) in pixels from the top left of the page.

Axes: H height, W width, S audio samples, K columns.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fmrgb import page
from fmrgb.names import FEATURE_COLUMNS, FEATURE_NAMES, FEATURES
from fmrgb.page import Box, Picture
from fmrgb.soundpicture import extremes
from fmrgb.tracks import Sound
from fmrgb.view import View, known

SHEET, LEFT, RIGHT = 1600, 130, 130  # pixels: sheet's width, room beside its plots
HEAD, WAVE, PLOT, GRID, GAP = 84, 130, 240, 90, 84  # pixels, heights and room between
NAME = 70  # characters
STILL = 260  # pixels, height of a still picture at most
CUT = "#d62828"  # where silence was cut off
INK, TAKEN = "#1f5fa8", "#e9eef5"
DARK = 150  # level below which a cell is dark
LARGE = 1000  # from which numbers are written without decimals


def sound_sheet(view: View, sound: Sound | None) -> Picture:
    """Draw the sound pictures of a sample, and where its sound comes from.

    Args:
        view: the sample.
        sound: all of the file that it was made from, if that was found. Red lines show
            where its silence was cut off; what the pictures show is shaded.

    Returns:
        uint8 [height, 1600, 3].
    """
    sample = view.sample
    still = bool(sample.visual.any())
    tops, top = {}, float(HEAD)
    if still:
        top += STILL + 24
    for name in ([""] if sound else []) + view.heard:
        tops[name] = top + 30
        top += _height(name) + GAP
    fig = page.page(SHEET, round(top) + 16)
    page.title(fig, 24, 0, view.name, _facts(view), NAME)
    if still:
        _, height, width, _ = sample.shape
        picture = page.sized(view.read(0), page.fit(width, height, (SHEET, STILL)))
        page.paste(fig, picture, LEFT, HEAD)
    for name, place in tops.items():
        box = (LEFT, place, SHEET - LEFT - RIGHT, _height(name))
        if not name and sound:
            _waveform(fig, view, sound, box)
        elif name == FEATURES and known(sample, FEATURES):
            _grid(fig, view, box)
        else:
            _picture(fig, view, name, box)
    return page.pixels(fig)


def _facts(view: View) -> list[str]:
    """Say label, sizes, length and place of a sample in few words each."""
    sample = view.sample
    _, height, width, n_channels = sample.shape
    start, end = view.edges[[0, -1]]
    facts = [
        f"label {page.plain(sample.label, NAME // 2)}" if sample.label else "no label",
        f"{height} x {width}, {n_channels} planes" if n_channels > 1 else
        f"{height} x {width}",
        f"{view.rate} Hz",
        f"{end - start:.2f} s",
    ]  # fmt: skip
    match sample.meta.get("window"):
        case [int(number), int(total)]:
            facts.append(f"window {number + 1} of {total}, from {start:.2f} s")
    if cuts := _cuts(view):
        facts.append("cut at " + " and ".join(f"{cut:.2f} s" for cut in cuts))
    if sample.silent or not sample.has_sound:
        facts.append("silent" if sample.has_sound else "no sound")
    if sample.visual.shape[-1] and not sample.visual.any():
        facts.append("no picture")
    return facts


def _height(name: str) -> int:
    return {"": WAVE, FEATURES: GRID}.get(name, PLOT)


def _picture(fig: Figure, view: View, name: str, box: Box) -> Axes:
    plane, levels = view.sample.sound[name], view.levels[name]
    axes = page.plot(fig, box, name, plane, view.edges, levels, view.rate)
    if view.sample.silent or not view.sample.has_sound:
        page.note(axes, "silent" if view.sample.has_sound else "no sound")
    return axes


def _waveform(fig: Figure, view: View, sound: Sound, box: Box) -> Axes:
    """Draw all of the file, the piece that was taken, and where silence was cut."""
    axes = page.axes_in(fig, box)
    lasts = len(sound.samples) / sound.rate
    low_K, high_K = extremes(sound.samples, round(box[2]))
    times = np.linspace(0, lasts, len(low_K))
    axes.axvspan(*view.edges[[0, -1]], color=TAKEN, linewidth=0)
    axes.fill_between(times, low_K, high_K, color=INK, linewidth=0.5)
    peak = max(float(np.abs([low_K, high_K]).max()), 1e-3)
    for cut in _cuts(view):
        axes.axvline(cut, color=CUT, linewidth=1.8)
    axes.set(xlim=(0, max(lasts, view.edges[-1])), ylim=(-1.05 * peak, 1.05 * peak))
    axes.set(xlabel="time in s", ylabel="amplitude")
    said = "sound of the file, shaded where the pictures show it"
    if _cuts(view):
        said += "; red lines: silence cut off"
    page.write(fig, box[0], box[1] - 14, said, weight="bold")
    return axes


def _cuts(view: View) -> list[float]:
    """Return where silence was cut off, in s."""
    told = view.sample.meta.get("trim")
    if not isinstance(told, list):
        return []
    return [float(cut) for cut in told if isinstance(cut, int | float)]


def _grid(fig: Figure, view: View, box: Box) -> Axes:
    """Draw the 26 values, a column for each, with their levels as colours."""
    sample = view.sample
    levels: NDArray[np.uint8] = sample.sound[FEATURES][0]
    axes = page.axes_in(fig, box)
    axes.imshow(levels.T, aspect="auto", vmin=0, vmax=255)
    measured = known(sample, FEATURES)
    for n, name in enumerate(FEATURE_NAMES):
        for row, column in enumerate(FEATURE_COLUMNS):
            value = measured.get(f"{name}_{column}")
            if isinstance(value, float):
                ink = "white" if levels[n, row] < DARK else "black"
                axes.text(n, row, _short(value), ha="center", va="center", color=ink)
    words = [
        name.replace("_", "\n").replace("mfcc", "mfcc\n") for name in FEATURE_NAMES
    ]
    axes.set_xticks(range(len(words)), words)
    axes.set_yticks(range(len(FEATURE_COLUMNS)), FEATURE_COLUMNS)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", labelsize=7)
    said = "features, over time; colours show levels, each on its own range"
    page.write(fig, box[0], box[1] - 14, said, weight="bold")
    return axes


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= LARGE else f"{value:.3g}"
