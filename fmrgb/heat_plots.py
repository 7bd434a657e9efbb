"""From an explanation to the plots of it.

Boxes are (left, top, width, height) in pixels from the top left of the page. Call these
within `page.styled()`.
"""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fmrgb import page
from fmrgb.heat import AGAINST, FOR, HEAT, Heated
from fmrgb.page import Box

MAP = (330, 240)  # pixels, most of the picture that sums up all frames
NUMBERS = (65, 130)  # pixels right of the bars where the columns of numbers end
SEEN_INK, HEARD_INK = "#1f5fa8", "#00795a"  # lines of what is seen and what is heard
LABEL = 24  # characters
WORTH_SEEING = 0.02  # log-odds; axes of worth reach at least so far


def draw_plots(
    fig: Figure, heated: Heated, first: tuple[float, float, float, float], step: int
) -> list[Axes]:
    """Draw the sound planes with their heat, and worth over time, one below another."""
    left, top, width, height = first
    view, plots = heated.view, []
    for i, channel in enumerate(heated.heard):
        plane = view.curves.get(channel, view.sample.sound[channel])
        box = (left, top + i * step, width, height)
        levels = view.levels[channel]
        axes = page.plot(fig, box, channel, plane, view.edges, levels, view.rate)
        heated.lay_over(axes, channel)
        if view.sample.silent or not view.sample.has_sound:
            page.note(axes, "silent" if view.sample.has_sound else "no sound track")
        plots.append(axes)
    box = (left, top + len(plots) * step, width, height)
    return [*plots, draw_over_time(fig, heated, box)]


def draw_over_time(fig: Figure, heated: Heated, box: Box) -> Axes:
    """Draw the worth of what is seen and of what is heard in each frame."""
    axes = page.axes_in(fig, box)
    view = heated.told.card.view
    for name, places, ink, line in (
        ("picture", view.picture_places, SEEN_INK, "-"),
        ("sound", view.sound_places, HEARD_INK, "--"),
    ):
        if places:
            values = heated.told.over_time(places)
            style: dict[str, Any] = {"color": ink, "linestyle": line, "linewidth": 1.6}
            axes.stairs(values, heated.edges, baseline=None, label=name, **style)
    style = {"ncols": 2, "frameon": False, "borderaxespad": 0.1}
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), **style)
    _dress(fig, axes, box, "worth of each frame (integrated gradients)")
    axes.set_xlim(heated.edges[0], heated.edges[-1])
    return axes


def draw_occlusions(fig: Figure, heated: Heated, box: Box) -> Axes:
    """Draw what is lost without each part of the time."""
    axes = page.axes_in(fig, box)
    lost, edges = heated.told.moments, heated.window_edges
    for values, ink in ((lost.clip(min=0), FOR), (lost.clip(max=0), AGAINST)):
        axes.stairs(values, edges, fill=True, color=ink, alpha=0.75)
    _dress(fig, axes, box, "what is lost without each moment (occlusion)")
    axes.set_xlim(edges[0], edges[-1])
    return axes


def _dress(fig: Figure, axes: Axes, box: Box, title: str) -> None:
    """Give a plot of worth over time its title, axes and a line at 0."""
    axes.axhline(0, color="#888888", linewidth=0.8)
    axes.margins(y=0.15)
    axes.set_ylim(_reach(axes.get_ylim()))
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("time in s")
    axes.set_ylabel("log-odds")
    page.write(fig, box[0], box[1] - 14, title, weight="bold")


def _reach(limits: tuple[float, float]) -> tuple[float, float]:
    """Widen limits of worth, so that next to nothing looks like it."""
    return min(limits[0], -WORTH_SEEING), max(limits[1], WORTH_SEEING)


def draw_planes(fig: Figure, heated: Heated, box: Box) -> None:
    """Draw two bars for each plane and sense, and write their numbers beside."""
    told = heated.told
    axes = page.axes_in(fig, box)
    left, top, width, height = box
    shares = told.shares
    for i, name in enumerate(shares):
        pair = (shares[name], -0.19, "full"), (told.planes[name], 0.19, "hatched")
        for (worth, aside, look_), right in zip(pair, NUMBERS, strict=True):
            ink = FOR if worth >= 0 else AGAINST
            style: dict[str, Any] = {"color": ink}
            if look_ == "hatched":
                style = {"edgecolor": ink, "facecolor": "white", "hatch": "////"}
            axes.barh(i + aside, worth, 0.34, **style)
            middle = top + (i + 0.5) / len(shares) * height
            number = f"{round(worth, 2) + 0.0:+.2f}"  # no -0.00
            page.write(fig, left + width + right, middle, number, ha="right")
    axes.set_yticks(range(len(shares)), list(shares))
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.axvline(0, color="#888888", linewidth=0.8)
    axes.set_xlim(_reach(axes.get_xlim()))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("log-odds; full bars: integrated gradients, hatched: occlusion")
    page.write(fig, left - 120, top - 20, "worth of each plane", weight="bold")
    for said, right in zip(("gradients", "occlusion"), NUMBERS, strict=True):
        page.write(fig, left + width + right, top - 20, said, ha="right", fontsize=8)


def draw_overview(fig: Figure, heated: Heated, corner: tuple[float, float]) -> None:
    """Paste the mean picture with the heat of all frames, and the bar of colours."""
    left, top = corner
    _, height, width, _ = heated.view.sample.shape
    size = page.fit(width, height, MAP)
    title = "where, all frames together" if heated.seen else "picture: not used"
    page.write(fig, left, top - 10, title, weight="bold")
    page.paste(fig, heated.overview(size), left, top + 6)
    bar = page.axes_in(fig, (left, top + size[1] + 24, MAP[0], 12))
    fig.colorbar(
        ScalarMappable(Normalize(-1, 1), HEAT), cax=bar, orientation="horizontal"
    )
    bar.set_xticks([-1, 0, 1], ["against", "0", "for"])
    name = page.plain(heated.told.card.classes[heated.told.label], LABEL)
    bar.set_xlabel(name, parse_math=False)
