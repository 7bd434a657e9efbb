"""From a sample to pictures of it: grey mp4s, a contact sheet, an mp4 with its sound.

Boxes are (left, top, width, height) in pixels from the top left of the page.

Axes: T frames, H height, W width, C channels; h and w the sides of a mel picture.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fmrgb import page
from fmrgb.errors import InputError
from fmrgb.files import make_folder, sha256, shown, whole_file
from fmrgb.media import read_clip, read_sound
from fmrgb.mp4 import write_mp4
from fmrgb.page import Box, Picture
from fmrgb.sample import Sample, load_sample
from fmrgb.soundsheet import sound_sheet
from fmrgb.tracks import Sound
from fmrgb.view import View, is_still, known, look

SMALL_SIDE = 320  # pixels; smaller pictures are enlarged to about this
SHEET, LEFT, RIGHT = 1600, 130, 100  # pixels: sheet's width, room beside its columns
THUMB = 100  # pixels, height aimed at; at most twice that
TILE = 40  # pixels, height of a plane that has one value per frame
PLOT, GAP = 150, 76  # pixels, height of a plot and the room between two
PANEL, HEAD, ROW = 760, 76, 182  # pixels: panel's least width, heights of its parts
LARGEST = (1280, 720)  # pixels, width and height; larger pictures are reduced to it
WIDE = 2.2  # width / height of pictures that have their sound below, not beside
NOW = 96  # pixels, width of a plane's present frame beside its plot
TIMES = "\N{MULTIPLICATION SIGN}"


def draw(sample_path: Path, output: Path, source: Path | None = None) -> list[Path]:
    """Write a grey mp4 per channel, a contact sheet, and an mp4 that plays it all.

    Of sound alone, and of a still with its sound, only a sheet: nothing moves.

    Args:
        sample_path: the `.pt` sample.
        output: folder to write to; made if need be.
        source: the clip the sample was made from, for its sound. None looks for it
            beside the sample, by the name and the checksum that the sample records; a
            clip named here must have that checksum, if one is recorded.

    Returns:
        the files written: `<stem>_<channel>.mp4` for each channel, `<stem>_sheet.png`
        and `<stem>_sound.mp4`.

    Raises:
        SampleError: if the sample cannot be read.
        InputError: if `source` is not the clip the sample was made from.
    """
    view = look(load_sample(sample_path), sample_path)
    clip = find_source(view.sample, sample_path, source)
    make_folder(output)
    if is_still(view.sample):
        with page.styled():
            return [_written(still_sheet(view, clip, output), sample_path, output)]
    sound = sound_of(clip, view, output) if clip else None
    written = []
    for channel in dict.fromkeys(view.sample.channels):
        written.append(output / f"{sample_path.stem}_{channel}.mp4")
        write_mp4(written[-1], grey_frames(view, channel), view.fps)
    with page.styled():
        written.append(_written(contact_sheet(view), sample_path, output))
        written.append(output / f"{sample_path.stem}_sound.mp4")
        write_mp4(written[-1], side_by_side(view), view.fps, sound)
    return written


def still_sheet(view: View, clip: Path | None, scratch: Path) -> Picture:
    """Draw a sample that is one picture of its sound: uint8 [height, 1600, 3].

    Args:
        view: the sample.
        clip: whose waveform is drawn too; None if it was not found.
        scratch: folder for what outgrows memory.
    """
    sound = read_sound(clip, rate=view.rate, scratch=scratch) if clip else None
    return sound_sheet(view, sound)


def _written(sheet: Picture, sample_path: Path, output: Path) -> Path:
    path = output / f"{sample_path.stem}_sheet.png"
    with whole_file(path) as part:
        part.write_bytes(page.png(sheet))
    return path


def find_source(sample: Sample, path: Path, given: Path | None) -> Path | None:
    """Return the clip of a sample, proved by its checksum wherever one is recorded.

    Args:
        sample: that was made from the clip.
        path: of the sample; without `given`, the clip is looked for beside it.
        given: the clip that the user names.

    Raises:
        InputError: if `given` is not there or is another clip.
    """
    source = known(sample, "source")
    name, wanted = source.get("name"), source.get("sha256")
    if given is None:
        # Only a bare name: a sample must not make us read files elsewhere.
        if not wanted or not isinstance(name, str) or Path(name).name != name:
            return None
        beside = path.parent / name
        return beside if beside.is_file() and sha256(beside) == wanted else None
    if not given.is_file():
        raise InputError(f"no such clip: {shown(given)}; name it with --source")
    if wanted and (got := sha256(given)) != wanted:
        raise InputError(
            f"{shown(given)} is not the clip that {shown(path)} was made from: "
            f"expected {shown(str(name))} with SHA-256 {str(wanted)[:12]}..., "
            f"got {got[:12]}...; name the right one with --source"
        )
    return given


def sound_of(clip: Path, view: View, scratch: Path) -> Sound | None:
    """Read the clip's sound, cut to the time that the sample's frames last."""
    # One tiny frame is kept: only the sound is wanted.
    sound = read_clip(clip, size=(2, 2), skip=1 << 40, scratch=scratch).sound
    if sound is None:
        return None
    start = sound.start_s - view.edges[0]
    last = round((view.edges[-1] - view.edges[0] - start) * sound.rate)
    samples = sound.samples[max(0, round(-start * sound.rate)) : max(0, last)]
    return Sound(samples, sound.rate, max(0.0, start)) if len(samples) else None


def grey_frames(view: View, channel: str) -> Iterator[Picture]:
    """Yield a channel's frames in grey [H, W, 3]: even sides, small ones enlarged."""
    _, height, width, _ = view.sample.shape
    factor = max(1, SMALL_SIDE // max(height, width))
    for t in range(len(view.sample.times)):
        picture = view.read(t, channel).repeat(factor, axis=0).repeat(factor, axis=1)
        yield page.even(picture)


def contact_sheet(view: View) -> Picture:
    """Draw all channels over time: uint8 [height, 1600, 3]."""
    sample, middles = view.sample, (view.edges[1:] + view.edges[:-1]) / 2
    _, height, width, _ = sample.shape
    room = SHEET - LEFT - RIGHT
    wanted = int(np.clip(room // (THUMB * width / height + 8), 3, 10))
    n_columns = min(wanted, len(middles))
    cell = room / n_columns
    picked = view.at(np.linspace(middles[0], middles[-1], n_columns))
    size = page.fit(width, height, (cell - 8, 2 * THUMB))
    # The first row is the whole picture, in colour.
    rows = [""] * (sample.visual.shape[-1] // 3) + list(sample.channels)
    sizes = [
        (min(round(cell) - 8, 460), TILE) if c in view.curves else size for c in rows
    ]
    tops = np.cumsum([108, *(h + 8 for _, h in sizes)]).tolist()
    fig = page.page(SHEET, tops[-1] + len(view.heard) * (PLOT + GAP) + 24)
    _headline(fig, view, 24)
    for i, t in enumerate(picked):
        said = f"{view.edges[t]:.2f} s"
        page.write(fig, LEFT + (i + 0.5) * cell, 94, said, ha="center")
    for channel, tile, top in zip(rows, sizes, tops, strict=False):
        _row(fig, view, channel, picked, top, tile)
    # Every column stands above its own moment in the plots.
    step = np.ptp(middles) / (n_columns - 1) if n_columns > 1 else 1 / view.fps
    for i, channel in enumerate(view.heard):
        box = (LEFT, tops[-1] + 44 + i * (PLOT + GAP), room, PLOT)
        axes = _plot(fig, view, channel, box)
        page.span(axes, middles[0] - step / 2, middles[-1] + step / 2)
        for t in picked:
            axes.axvline(middles[t], color="#888888", linewidth=0.7, linestyle=":")
    return page.pixels(fig)


def _row(
    fig: Figure, view: View, channel: str, picked: Any, top: int, tile: tuple[int, int]
) -> None:
    """Draw frames of one channel, each in the middle of its cell, and their values."""
    page.write(fig, 24, top + tile[1] / 2, channel or "picture", weight="bold")
    for i, t in enumerate(picked):
        middle = LEFT + (i + 0.5) * (SHEET - LEFT - RIGHT) / len(picked)
        picture = page.sized(view.read(t, channel), tile)
        page.paste(fig, picture, middle - tile[0] / 2, top)
        if channel in view.curves:
            ink = "white" if picture[0, 0, 0] < 128 else "black"
            said = view.reading(channel, t)
            page.write(fig, middle, top + TILE / 2, said, ha="center", color=ink)


def _plot(fig: Figure, view: View, channel: str, box: Box) -> Axes:
    """Draw a sound plane over time: a curve, or one long picture."""
    sample = view.sample
    plane = view.curves.get(channel, sample.sound[channel])
    levels = view.levels[channel]
    axes = page.plot(fig, box, channel, plane, view.edges, levels, view.rate)
    if sample.silent or not sample.has_sound:
        page.note(axes, "silent" if sample.has_sound else "no sound track")
    return axes


def _headline(
    fig: Figure, view: View, left: float, top: float = 0, limit: int = 70
) -> None:
    """Write name, label, sizes, rates and kind of sound in two lines."""
    sample = view.sample
    sound = "with sound" if sample.has_sound else "no sound track"
    if sample.has_sound and sample.silent:
        sound = "silent sound track"
    seconds = sample.meta.get("seconds")
    if not isinstance(seconds, int | float):
        seconds = view.edges[-1] - view.edges[0]
    facts = [
        f"label {page.plain(sample.label, limit // 2)}" if sample.label else "no label",
        f" {TIMES} ".join(map(str, sample.shape))
        + f" (T {TIMES} H {TIMES} W {TIMES} C)",
        f"{view.fps:.4g} fps",
        f"{seconds:.2f} s",
        sound,
    ]
    page.title(fig, left, top, view.name, facts, limit)


def side_by_side(view: View) -> Iterator[Picture]:
    """Yield the picture beside (or above) its sound planes, with a moving cursor.

    The picture is the one on screen at each moment of the constant rate, so that it
    keeps step with the sound also where the clip's own rate varies.
    """
    _, height, width, _ = view.sample.shape
    size = page.fit(width, height, LARGEST, least=HEAD + 2 * ROW)
    beside = size[0] <= WIDE * size[1]
    left, top = (size[0], 0) if beside else (0, size[1])
    panel_high = HEAD + ROW * max(1, len(view.heard))
    wide, high = max(size[0], left + PANEL), max(size[1], top + panel_high)
    x, y = (0, (high - size[1]) // 2) if beside else ((wide - size[0]) // 2, 0)
    still, plots = _panel(view, (left, top, wide - left, high - top))
    moments = view.edges[0] + (np.arange(len(view.sample.times)) + 0.5) / view.fps
    for moment, t in zip(moments, view.at(moments), strict=True):
        shot = page.even(still)
        shot[y : y + size[1], x : x + size[0]] = page.sized(view.read(t), size)
        page.stamp(shot, f"{view.edges[t]:.2f} s", wide - 90, top + 30)
        for channel, axes in plots.items():
            _move(shot, view, channel, axes, t)
            page.cursor(shot, axes, moment)
        yield shot


def _panel(
    view: View, box: tuple[int, int, int, int]
) -> tuple[Picture, dict[str, Axes]]:
    """Draw all that stands still, on a page that ends with the box."""
    left, top, width, height = box
    fig = page.page(left + width, top + height)
    _headline(fig, view, left + 20, top, limit=38)
    plots = {}
    for i, channel in enumerate(view.heard):
        room = (height - HEAD) // len(view.heard)
        y = top + HEAD + 28 + i * room
        plot = (left + NOW + 90, y, width - NOW - 180, room - 76)
        plots[channel] = _plot(fig, view, channel, plot)
        page.span(plots[channel], view.edges[0], view.edges[-1])
    return page.pixels(fig), plots


def _move(shot: Picture, view: View, channel: str, axes: Axes, t: int) -> None:
    """Show a sound plane as it is in frame t, left of its plot."""
    left, top, right, bottom = page.place(axes)
    _, height, width, _ = view.sample.shape
    size = page.fit(width, height, (NOW, bottom - top), least=bottom - top)
    if channel in view.curves:
        size = (NOW, min(NOW * 3 // 4, bottom - top))
        page.stamp(shot, view.reading(channel, t), right, top - 14)
    now = page.sized(view.read(t, channel), size)
    left -= NOW + 70
    shot[top : top + size[1], left : left + size[0]] = now
