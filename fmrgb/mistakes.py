"""From wrong answers to a list and a contact sheet of the worst.

Axes: T frames, H height, W width.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fmrgb import page
from fmrgb.errors import MediaError, SampleError
from fmrgb.files import shown
from fmrgb.metrics import Predictions
from fmrgb.page import Picture
from fmrgb.sample import Sample, load_sample
from fmrgb.view import View, look

WORST_SHOWN = 12  # mistakes listed
WORST_DRAWN = 6  # mistakes on the contact sheet
SHEET, ROW = 990, 178  # pixels, width of the page's column and height of a mistake
HEAD = 34  # pixels, for the words above the pictures
SEEN, HIGH, GAP = 446, 104, 6  # pixels: width for the frames, greatest height, gap
MOST_FRAMES, FEWEST_FRAMES = 4, 3
HEARD = 462  # pixels, where the sound begins
BESIDE, BAR = 62, 80  # pixels, for the words left of a plot and the bar of its colours
MOST_PLANES = 2  # sound planes drawn of one clip


def worst_mistakes(predictions: Predictions) -> list[dict[str, Any]]:
    """Return the wrong answers the model was surest of, worst first."""
    guesses, truth = predictions.guesses, predictions.truth
    wrong = np.flatnonzero(guesses != truth)
    sure = predictions.probabilities[wrong, guesses[wrong]]
    return [
        {
            "clip": shown(predictions.paths[n]),
            "path": predictions.paths[n],
            "label": predictions.classes[truth[n]],
            "predicted": predictions.classes[guesses[n]],
            "probability": float(predictions.probabilities[n, guesses[n]]),
        }
        for n in wrong[np.argsort(-sure, kind="stable")][:WORST_SHOWN]
    ]


def mistakes_sheet(
    mistakes: Sequence[dict[str, Any]], read: Callable[[Path], Sample] = load_sample
) -> Picture | None:
    """Draw frames and sound of the worst mistakes: uint8 [H, 990, 3].

    A sample that is gone or damaged gets a line that says so.

    Args:
        mistakes: from `worst_mistakes`.
        read: makes a sample of the path of a mistake.

    Returns:
        None if no sample can be read.
    """
    views = [_look(Path(m["path"]), read) for m in mistakes[:WORST_DRAWN]]
    if not any(views):
        return None
    heights = [ROW if view else HEAD + 22 for view in views]
    fig = page.page(SHEET, sum(heights))
    tops = np.cumsum([0, *heights]).tolist()
    for number, (mistake, view) in enumerate(zip(mistakes, views, strict=False)):
        _headline(fig, number + 1, mistake, tops[number])
        if view is None:
            gone = "This sample cannot be read any more; it was moved or deleted."
            page.write(fig, 0, tops[number] + HEAD + 4, gone, color="#595959")
        else:
            _thumbnails(fig, view, tops[number] + HEAD)
            _sounds(fig, view, tops[number] + HEAD)
    return page.pixels(fig)


def _look(path: Path, read: Callable[[Path], Sample]) -> View | None:
    try:
        return look(read(path), path)
    except (SampleError, MediaError):
        return None


def _headline(fig: Figure, number: int, mistake: dict[str, Any], top: int) -> None:
    """Write what the clip is and what was said of it."""
    name = page.plain(Path(mistake["path"]).name, 40)
    page.write(fig, 0, top + 18, f"{number}.  {name}", fontsize=10, weight="bold")
    label, predicted = (page.plain(mistake[k], 28) for k in ("label", "predicted"))
    said = (
        f"label {label}, predicted {predicted} ({100 * mistake['probability']:.1f} %)"
    )
    page.write(fig, HEARD, top + 18, said, fontsize=10)


def _thumbnails(fig: Figure, view: View, top: int) -> None:
    """Paste frames at even distances of time; sound alone has none."""
    if not view.sample.visual.shape[-1]:
        return
    _, height, width, _ = view.sample.shape
    wide, high = page.fit(width, height, (SEEN / FEWEST_FRAMES - GAP, HIGH))
    n_frames = min(SEEN // (wide + GAP), MOST_FRAMES, len(view.edges) - 1)
    first, last = view.edges[[0, -1]]
    middles = first + (np.arange(n_frames) + 0.5) / n_frames * (last - first)
    for i, t in enumerate(view.at(middles)):
        left = i * (wide + GAP)
        page.paste(fig, page.sized(view.read(int(t)), (wide, high)), left, top)
        said = f"{view.edges[t]:.2f} s"
        page.write(fig, left + wide / 2, top + high + 10, said, ha="center", fontsize=8)


def _sounds(fig: Figure, view: View, top: int) -> None:
    """Draw the sound planes side by side, or say that there is nothing to hear."""
    sample = view.sample
    left, most = HEARD, MOST_PLANES
    if not sample.visual.shape[-1]:  # it has the room of the frames too
        left, most = 0, 2 * MOST_PLANES
    if sample.silent or not sample.has_sound:
        said = "silent sound track" if sample.has_sound else "no sound track"
        page.write(fig, left, top + HIGH / 2, said, color="#595959", fontsize=10)
        return
    heard = view.heard[:most]
    room = (SHEET - left) / max(1, len(heard))
    for i, channel in enumerate(heard):
        plane = view.curves.get(channel, sample.sound[channel])
        beside = BESIDE + (BAR if plane.ndim == 3 else GAP)
        box = (left + i * room + BESIDE, top + 14, room - beside, HIGH - 24)
        levels = view.levels[channel]
        page.plot(fig, box, channel, plane, view.edges, levels, view.rate)
