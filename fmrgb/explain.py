"""From a checkpoint and a clip to pictures of what the answer rests on.

Boxes are (left, top, width, height) in pixels from the top left of the page.

Axes: C channels, T frames, H height, W width.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fmrgb import page
from fmrgb.attribution import Explanation, explain_clip
from fmrgb.checkpoint import load_checkpoint
from fmrgb.errors import NoPictureError
from fmrgb.explain_options import STEPS, WINDOWS
from fmrgb.files import make_folder, shown, whole_file
from fmrgb.heat import Heated, regions
from fmrgb.heat_plots import draw_occlusions, draw_overview, draw_planes, draw_plots
from fmrgb.media import SOUND_RATE, read_sound
from fmrgb.mp4 import write_mp4
from fmrgb.names import SAMPLE
from fmrgb.page import Picture
from fmrgb.predict import prepare_sample
from fmrgb.seen import view_of
from fmrgb.tracks import Sound
from fmrgb.view import View, look
from fmrgb.visualise import (
    HEAD,
    LARGEST,
    LEFT,
    PANEL,
    RIGHT,
    ROW,
    SHEET,
    THUMB,
    WIDE,
    find_source,
    sound_of,
)

PLOT, GAP = 120, 74  # pixels, height of a plot and the room between two
TOP, APART = 108, 8  # pixels: where the pictures begin, room between two
REGIONS = 3  # rows and columns of the picture's worth in the numbers
BAR, LEAST_BARS = 40, 6  # pixels per plane; planes that the lowest part has room for
BARS, LINE = 470, 17  # pixels: width of the bars, height of a line of words
ON_SHEET, IN_FILM = (56, 24), (38, 15)  # characters of a clip's name and of a label
HOW_TO_READ = """\
Worths are in log-odds of the label: +0.7
doubles the odds, -0.7 halves them.
Above 0 (orange) speaks for the label, below 0
(purple) against it.

Integrated gradients share out, and add up to,
what sets this clip apart from a usual one, which
has the mean levels of the training throughout.
Occlusion gives a plane its usual levels, or
blends over a moment, and tells what is lost.
The two differ where planes or moments stand in
for each other or only tell something together.

Colours lie over the picture and behind curves
of sound; planes that count little are pale."""


@dataclass(frozen=True)
class Explained:
    """An explanation, the files that show it, and what is unusual about the clip."""

    told: Explanation
    heated: Heated
    files: list[Path]
    notes: tuple[str, ...]


def explain(
    model: Path,
    target: Path,
    output: Path,
    *,
    label: str | None = None,
    steps: int = STEPS,
    windows: int = WINDOWS,
    source: Path | None = None,
) -> Explained:
    """Explain a network's answer about one clip; write a PNG and an mp4 of it.

    Args:
        model: checkpoint of a run.
        target: a `.pt` sample, or a clip that nobody has prepared.
        output: folder to write to; made if need be.
        label: class to explain; None takes the one that the network says.
        steps: points at which integrated gradients take the slope.
        windows: equal parts of the time to occlude.
        source: the clip that a sample was made from, for its sound. None looks for it
            beside the sample.

    Raises:
        TrainingError: if the checkpoint cannot be used or knows no such label.
        MediaError, SampleError or InputError: if the clip, or `source`, cannot be used.
        ProgramMissingError: if captum is not installed.
    """
    network = load_checkpoint(model)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    sample, notes = prepare_sample(target, network.card)
    view = look(sample, target)
    is_sample = target.suffix.lower() == SAMPLE
    clip = find_source(sample, target, source) if is_sample else target
    levels = view_of(sample, network.card.view, shown(target))
    told = explain_clip(network, levels, label=label, steps=steps, windows=windows)
    make_folder(output)
    sound = _sound(clip, view, output) if clip and sample.has_sound else None
    heated = Heated(view, told)
    png, mp4 = (output / f"{target.stem}_explained{end}" for end in (".png", ".mp4"))
    with page.styled():
        drawn = sheet(heated)
        with whole_file(png) as part:
            part.write_bytes(page.png(drawn))
        write_mp4(mp4, film(heated), view.fps, sound)
    return Explained(told, heated, [png, mp4], notes)


def _sound(clip: Path, view: View, scratch: Path) -> Sound | None:
    try:
        return sound_of(clip, view, scratch)
    except NoPictureError:
        sound = read_sound(clip, rate=SOUND_RATE, scratch=scratch)
        return replace(sound, start_s=max(0.0, sound.start_s - view.edges[0]))


def numbers(heated: Heated) -> dict[str, Any]:
    """Return an explanation as plain values: worths in log-odds, times in s."""
    told = heated.told
    classes = told.card.classes
    seen, heard = told.card.view.picture_places, told.card.view.sound_places
    picture_T, sound_T = told.over_time(seen), told.over_time(heard)
    picture_THW = told.heat[list(seen)].sum(axis=0, dtype=np.float64)
    return {
        "label": classes[told.label],
        "predicted": classes[told.predicted],
        "probabilities": dict(zip(classes, told.probabilities.tolist(), strict=True)),
        "log_odds": told.log_odds,
        "baseline_log_odds": told.baseline,
        "missing": told.missing,
        "planes": {
            name: {"gradients": share, "occlusion": told.planes[name]}
            for name, share in told.shares.items()
        },
        "frames": _table(heated.edges, picture=picture_T, sound=sound_T),
        "moments": _table(heated.window_edges, occlusion=told.moments),
        "regions": regions(picture_THW, REGIONS).sum(axis=0).tolist(),
    }


def _table(edges: Any, **columns: Any) -> list[dict[str, float]]:
    named = {"start": edges[:-1], "end": edges[1:], **columns}
    rows = zip(*(np.asarray(c).tolist() for c in named.values()), strict=True)
    return [dict(zip(named, row, strict=True)) for row in rows]


def sheet(heated: Heated) -> Picture:
    """Draw the clip with heat over it, worth over time, planes: uint8 [H, 1600, 3]."""
    view = heated.view
    _, height, width, _ = view.sample.shape
    middles = (view.edges[1:] + view.edges[:-1]) / 2
    room = SHEET - LEFT - RIGHT
    n_columns = int(np.clip(room // (THUMB * width / height + APART), 3, 10))
    n_columns = min(n_columns, len(middles))
    picked = view.at(np.linspace(middles[0], middles[-1], n_columns))
    size = page.fit(width, height, (room / n_columns - APART, 2 * THUMB))
    plots_top = TOP + (1 + bool(heated.seen)) * (size[1] + APART) + 40
    low = plots_top + (len(heated.heard) + 2) * (PLOT + GAP)
    high = max(LEAST_BARS, len(heated.told.planes)) * BAR + 90
    fig = page.page(SHEET, low + high)
    _headline(fig, heated, 24, ON_SHEET)
    _pictures(fig, heated, picked, size)
    plots = draw_plots(fig, heated, (LEFT, plots_top, room, PLOT), PLOT + GAP)
    box = (LEFT, low - PLOT - GAP, room, PLOT)
    plots.append(draw_occlusions(fig, heated, box))
    # Every column stands above its own moment in the plots.
    alone = np.ptp(view.edges)  # of a single frame
    step = np.ptp(middles) / (n_columns - 1) if n_columns > 1 else alone
    for axes in plots:
        page.span(axes, middles[0] - step / 2, middles[-1] + step / 2)
        for t in picked:
            axes.axvline(middles[t], color="#888888", linewidth=0.7, linestyle=":")
    draw_planes(fig, heated, (LEFT + 40, low + 40, BARS, high - 110))
    draw_overview(fig, heated, (LEFT + BARS + 210, low + 30))
    for i, line in enumerate(HOW_TO_READ.splitlines()):
        page.write(fig, SHEET - 350, low + 36 + i * LINE, line, color="#444444")
    return page.pixels(fig)


def _pictures(
    fig: Figure, heated: Heated, picked: NDArray[np.int64], size: tuple[int, int]
) -> None:
    """Paste frames at even distances, and below them the same with heat over them."""
    view = heated.view
    cell = (SHEET - LEFT - RIGHT) / len(picked)
    width, height = size
    below = TOP + height + APART
    page.write(fig, 24, TOP + height / 2, "picture", weight="bold")
    if heated.seen:
        page.write(fig, 24, below + height / 2, "its worth", weight="bold")
    for i, t in enumerate(picked.tolist()):
        middle = LEFT + (i + 0.5) * cell
        page.write(fig, middle, TOP - 14, f"{view.edges[t]:.2f} s", ha="center")
        left = middle - width / 2
        page.paste(fig, page.sized(view.read(t), size), left, TOP)
        if heated.seen:
            page.paste(fig, heated.painted(t, size), left, below)


def _headline(
    fig: Figure, heated: Heated, left: float, limits: tuple[int, int], top: float = 0
) -> None:
    """Write name, labels with probabilities, and log-odds in two lines."""
    told, view = heated.told, heated.view
    classes = [page.plain(name, limits[1]) for name in told.card.classes]
    odds = told.probabilities
    apart = told.log_odds - told.baseline
    own = page.plain(view.sample.label, limits[1])
    facts = [
        f"why {classes[told.label]} ({odds[told.label]:.1%})?",
        f"predicted {classes[told.predicted]} ({odds[told.predicted]:.1%})",
        *([f"label {own}"] if own else []),
    ]
    if limits == ON_SHEET:
        facts.append(
            f"log-odds {told.log_odds:+.2f}: {told.baseline:+.2f} in a usual clip, "
            f"{apart:+.2f} by what sets this one apart"
        )
    said = "  ·  ".join(facts)
    name = page.plain(view.name, limits[0])
    page.write(fig, left, top + 30, name, fontsize=14, weight="bold")
    page.write(fig, left, top + 56, said, fontsize=10)


def film(heated: Heated) -> Iterator[Picture]:
    """Yield the picture with heat over it, beside (or above) its sound planes."""
    view = heated.view
    _, height, width, _ = view.sample.shape
    size = page.fit(width, height, LARGEST, least=HEAD + 2 * ROW)
    beside = size[0] <= WIDE * size[1]
    left, top = (size[0], 0) if beside else (0, size[1])
    panel_high = HEAD + ROW * (len(heated.heard) + 1) + 20
    wide, high = max(size[0], left + PANEL), max(size[1], top + panel_high)
    x, y = (0, (high - size[1]) // 2) if beside else ((wide - size[0]) // 2, 0)
    fig = page.page(wide, high)
    _headline(fig, heated, left + 20, IN_FILM, top)
    box = (left + 90, top + HEAD + 28, wide - left - 180, ROW - 76)
    plots = draw_plots(fig, heated, box, ROW)
    name = page.plain(heated.told.card.classes[heated.told.label], ON_SHEET[1])
    said = f"orange speaks for {name}, purple against it"
    page.write(fig, left + 90, top + panel_high - 14, said, color="#444444")
    still = page.pixels(fig)
    moments = view.edges[0] + (np.arange(len(view.edges) - 1) + 0.5) / view.fps
    for moment, t in zip(moments, view.at(moments), strict=True):
        shot = page.even(still)
        shot[y : y + size[1], x : x + size[0]] = heated.painted(int(t), size)
        page.stamp(shot, f"{view.edges[t]:.2f} s", wide - 20, top + 30)
        for axes in plots:
            page.cursor(shot, axes, moment)
        yield shot
