"""From what a network says of a long recording to a picture of it over time.

Axes: W windows, K classes; H height, W width of the picture.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MultipleLocator

from fmrgb import page
from fmrgb.events import UNSURE, Recording, label_of, spans_of
from fmrgb.files import whole_file
from fmrgb.page import Picture

# Told apart by colour-blind people too (Okabe and Ito 2008, "Color Universal Design").
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#B8A800",
)
OTHER, PALE = "#888888", "#dddddd"  # classes beyond those; unsure
WIDTH, LEFT, RIGHT = 1400, 90, 190  # pixels
HEAD, LINE, BAND, PLOT, FOOT = 84, 24, 46, 260, 60  # pixels, heights
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)  # s
MOST_TICKS = 12
MOST_STEPS = 1000  # of a curve; where there are more windows, their highest are drawn


def write_timeline(path: Path, recording: Recording) -> None:
    """Draw a recording into a PNG, whole or not at all."""
    with page.styled():
        picture = page.png(draw_timeline(recording))
    with whole_file(path) as part:
        part.write_bytes(picture)


def draw_timeline(recording: Recording) -> Picture:
    """Draw labels and probabilities over time: uint8 [H, 1400, 3]."""
    drawn = leading(recording)
    fig = page.page(WIDTH, HEAD + BAND + LINE + PLOT + FOOT)
    page.write(
        fig,
        24,
        30,
        page.plain(Path(recording.name).name, 90),
        fontsize=14,
        weight="bold",
    )
    page.write(fig, 24, 58, _facts(recording, len(drawn)), fontsize=10)
    wide = WIDTH - LEFT - RIGHT
    band = page.axes_in(fig, (LEFT, HEAD, wide, BAND))
    _draw_band(band, recording, drawn)
    page.write(fig, 24, HEAD + BAND / 2, "label", weight="bold")
    axes = page.axes_in(fig, (LEFT, HEAD + BAND + LINE, wide, PLOT))
    _draw_curves(axes, recording, drawn)
    band.set_xlim(axes.get_xlim())
    return page.pixels(fig)


def leading(recording: Recording) -> dict[str, str]:
    """Choose the classes to draw, those that lead for the longest time; their colours.

    A class keeps its colour whatever the recording holds, where the colours suffice.
    """
    classes = recording.classes
    if len(classes) > len(COLOURS):
        told_WK = np.stack([one.probabilities for one in recording.judged])
        spans = np.array([end - start for start, end in spans_of(recording.judged)])
        leads_K = (told_WK == told_WK.max(axis=1, keepdims=True)).T @ spans
        best = np.argsort(-leads_K, kind="stable")[: len(COLOURS)]
        classes = tuple(classes[k] for k in sorted(best))
    return dict(zip(classes, COLOURS, strict=False))


def _facts(recording: Recording, n_drawn: int) -> str:
    n_events, n = len(recording.events), len(recording.judged)
    facts = [
        clock(recording.seconds),
        f"{n} windows of {recording.window_s:.4g} s, one every {recording.hop_s:.4g} s",
        f"{n_events} event{'s' * (n_events != 1)}",
    ]
    if recording.threshold:
        facts.append(f"unsure below {recording.threshold:g}")
    if not recording.has_sound:
        facts.append("no sound track")
    elif recording.silent:
        facts.append("silent sound track")
    if n_drawn < len(recording.classes):
        facts.append(f"{n_drawn} of {len(recording.classes)} classes drawn")
    if recording.fault:
        facts.append("could be read only in part")
    return "  ·  ".join(facts)


def _draw_band(axes: Axes, recording: Recording, drawn: dict[str, str]) -> None:
    """Draw which label holds when; grey where none is sure."""
    spans, labels = spans_of(recording.judged), labels_of(recording)
    for label in dict.fromkeys(labels):
        mine = [
            (start, end - start)
            for (start, end), one in zip(spans, labels, strict=True)
            if one == label
        ]
        colour = PALE if label == UNSURE else drawn.get(label, OTHER)
        axes.broken_barh(mine, (0, 1), facecolors=colour, linewidth=0)
    axes.set(ylim=(0, 1), yticks=[], xticks=[])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def labels_of(recording: Recording) -> list[str]:
    """Return the label of every window, "unsure" where none reaches the threshold."""
    return [
        label_of(recording.classes, one.probabilities, recording.threshold)
        for one in recording.judged
    ]


def _draw_curves(axes: Axes, recording: Recording, drawn: dict[str, str]) -> None:
    """Draw the probability of each class as steps over time."""
    spans = np.array(spans_of(recording.judged))
    firsts = np.unique(np.linspace(0, len(spans), MOST_STEPS + 1).astype(int))[:-1]
    edges = np.append(spans[firsts, 0], spans[-1, 1])
    for name, colour in drawn.items():
        k = recording.classes.index(name)
        values = np.array([one.probabilities[k] for one in recording.judged])
        steps = np.maximum.reduceat(values, firsts)
        axes.stairs(steps, edges, baseline=None, color=colour, linewidth=1.6)
    if recording.threshold:
        axes.axhline(recording.threshold, color="#666666", linestyle="--", linewidth=1)
    axes.set(xlim=(spans[0, 0], spans[-1, 1]), ylim=(-0.02, 1.02))
    axes.set_ylabel("probability")
    axes.set_xlabel("time from the first frame" + _unit(spans[-1, 1]))
    axes.xaxis.set_major_locator(MultipleLocator(tick_s(spans[-1, 1] - spans[0, 0])))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: clock(s)))
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    _legend(axes, recording, drawn)


def _legend(axes: Axes, recording: Recording, drawn: dict[str, str]) -> None:
    """Name the colours, right of the curves."""
    marks: dict[str, Artist] = {
        page.plain(name, 22): Patch(color=colour) for name, colour in drawn.items()
    }
    labels = set(labels_of(recording))
    if labels - {UNSURE} - set(drawn):
        marks["other classes"] = Patch(color=OTHER)
    if UNSURE in labels:
        marks[UNSURE] = Patch(color=PALE)
    if recording.threshold:
        marks["threshold"] = Line2D([], [], color="#666666", linestyle="--")
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
    told = axes.legend([*marks.values()], [*marks], frameon=False, fontsize=10, **place)
    for text in told.get_texts():
        text.set_parse_math(False)


def _unit(seconds: float) -> str:
    return " in h:mm:ss" if seconds >= 3600 else " in m:ss"


def tick_s(seconds: float) -> float:
    """Return how far apart the marks of so long a time are, in s: a round number."""
    for step in TICKS:
        if seconds <= MOST_TICKS * step:
            return step
    return 3600.0 * round(seconds / MOST_TICKS / 3600 + 0.5)


def clock(seconds: float) -> str:
    """Write a time in s as h:mm:ss or m:ss, with tenths where there are some."""
    tenths = round(seconds * 10)
    whole, rest = divmod(tenths, 10)
    minutes, secs = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"
    return f"{text}.{rest}" if rest else text
