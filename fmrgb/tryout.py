"""From a file that somebody dropped on the page to what the page tells of it.

Axes: K classes, W windows; H height, W width of pictures.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np

from fmrgb import media, page
from fmrgb.build import prepare
from fmrgb.errors import InputError, MediaError
from fmrgb.events import Judged, Recording, by_class, spans_of, write_events
from fmrgb.files import shown
from fmrgb.judging import Verdicts, write_predictions
from fmrgb.names import SAMPLE
from fmrgb.opened import Opened
from fmrgb.page import Picture
from fmrgb.predict import Answer, predict_one, prepare_sample, recipe_of
from fmrgb.recording import (
    layout_of,
    most_whole_s,
    predict_recording,
    window_and_hop,
)
from fmrgb.sample import Sample
from fmrgb.streams import open_recording
from fmrgb.timeline import clock, draw_timeline
from fmrgb.view import look
from fmrgb.visualise import contact_sheet
from fmrgb.windows import Cutter, cut

KNOWN = (*media.VIDEO_SUFFIXES, *media.SOUND_SUFFIXES, SAMPLE)
MOST_MOMENTS = 200  # of a recording that can be looked at


@dataclass(frozen=True)
class Moment:
    """A stretch of a recording that had one label, and its surest window."""

    label: str
    start_s: float
    end_s: float
    probability: float
    window_s: float  # when that window begins

    def __str__(self) -> str:
        """Write it in one line."""
        when = f"{clock(self.start_s)} to {clock(self.end_s)}"
        return f"{when}: {shown(self.label)} (up to {self.probability:.0%})"


@dataclass(frozen=True, eq=False)
class Told:
    """What the page tells of a file.

    Attributes:
        name: of the file.
        label: the likeliest class.
        probabilities: of each class; of a recording, means over its whole time.
        seconds: how long it lasts.
        notes: what is unlike the clips of the training, as sentences.
        timeline: of a recording, uint8 [H, W, 3].
        moments: of a recording, in the order of time.
        files: tables to take home.
    """

    name: str
    label: str
    probabilities: dict[str, float]
    seconds: float
    notes: tuple[str, ...]
    timeline: Picture | None
    moments: tuple[Moment, ...]
    files: tuple[Path, ...]


def try_file(
    opened: Opened,
    path: Path,
    folder: Path,
    *,
    max_seconds: float,
    progress: Callable[[float, float], None] | None = None,
) -> Told:
    """Judge a file, short or long, and write what can be downloaded.

    Args:
        opened: the network.
        path: a video, a sound file, or a `.pt` sample.
        folder: empty, for the tables.
        max_seconds: a longer file is refused, whatever its header says.
        progress: called with how many of how many s of a long file are judged.

    Raises:
        InputError: if it is of no kind that is known, or too long.
        MediaError or SampleError: if it cannot be read.
        TrainingError: if the network cannot judge it.
    """
    if path.suffix.lower() not in KNOWN:
        raise InputError(
            f"{shown(path.name)} is of a kind that is not known here; give a video, a "
            f"sound file or a sample: {', '.join(KNOWN)}"
        )
    if path.suffix.lower() == SAMPLE:
        return _told(replace(predict_one(opened, path), name=path.name), folder)
    seconds = length_of(path)
    if seconds > max_seconds:
        raise InputError(
            f"{shown(path.name)} lasts {lasting(seconds)}, and this page takes up to "
            f"{lasting(max_seconds)}; cut it, use fmrgb predict, or start the page "
            "with a greater --max_seconds"
        )
    window_s, _ = window_and_hop(opened.card, None, None)
    if seconds <= most_whole_s(window_s, opened.card.longest):
        return _told(replace(predict_one(opened, path), name=path.name), folder)
    recording = predict_recording(opened, path, progress=progress)
    return _told(replace(recording, name=path.name), folder)


def lasting(seconds: float) -> str:
    """Write how long something lasts: in s, or in minutes from one on."""
    return f"{seconds:.3g} s" if seconds < 60 else f"{clock(round(seconds))} min"


def length_of(path: Path) -> float:
    """Return how long a file lasts in s, by its packets; its header may be wrong.

    Raises:
        MediaError: if it cannot be read.
    """
    first, last = float("inf"), 0.0
    with media.opened(path) as container:
        try:
            for packet in container.demux():
                if packet.pts is None or packet.time_base is None:
                    continue
                start = float(packet.pts * packet.time_base)
                first = min(first, start)
                lasts = float((packet.duration or 0) * packet.time_base)
                last = max(last, start + lasts)
        except av.FFmpegError as error:
            raise MediaError(
                f"{shown(path.name)} cannot be read: {media.said(error)}"
            ) from error
    return max(0.0, last - first)


def _told(judged: Answer | Recording, folder: Path) -> Told:
    """Draw and write what there is to tell."""
    table = folder / "predictions.csv"
    files, timeline, moments, notes = [table], None, list[Moment](), list(judged.notes)
    done = Verdicts()
    if isinstance(judged, Answer):
        done.answers.append(judged)
    else:
        done.recordings.append(judged)
        events, _, windows = write_events(folder, judged)
        files += [events, windows]
        with page.styled():
            timeline = draw_timeline(judged)
        moments = moments_of(judged)
        if judged.fault:
            notes.append(f"read only in part: {judged.fault}")
    write_predictions(table, done, 0.0)
    probabilities = by_class(judged.classes, judged.probabilities)
    return Told(
        name=judged.name,
        label=max(probabilities, key=lambda name: probabilities[name]),
        probabilities=probabilities,
        seconds=judged.seconds,
        notes=tuple(notes),
        timeline=timeline,
        moments=tuple(moments),
        files=tuple(files),
    )


def moments_of(recording: Recording) -> list[Moment]:
    """Return the events of a recording, each with where its surest window begins."""
    spans = spans_of(recording.judged)
    middles = np.array([(start + end) / 2 for start, end in spans])
    moments = []
    for event in recording.events[:MOST_MOMENTS]:
        within = np.flatnonzero((middles > event.start_s) & (middles < event.end_s))
        surest = max((recording.judged[i] for i in within), key=lambda one: _peak(one))
        moments.append(
            Moment(
                event.label,
                event.start_s,
                event.end_s,
                event.peak_probability,
                surest.start_s,
            )
        )
    return moments


def _peak(one: Judged) -> float:
    return float(one.probabilities.max())


def sample_of(opened: Opened, path: Path, window_s: float | None = None) -> Sample:
    """Make the sample of a file, or of the window of it that begins at `window_s`.

    Raises:
        MediaError or SampleError: if it cannot be read.
        TrainingError: if the network does not say how its clips were prepared.
    """
    card = opened.card
    if window_s is None:
        return prepare_sample(path, card)[0]
    recipe, name = recipe_of(card), shown(path.name)
    length_s, hop_s = window_and_hop(card, None, None)
    with open_recording(path) as stream:
        layout = layout_of(stream, card, recipe, length_s, hop_s)
        for window in cut(stream.frames, Cutter(layout, name)):
            if window.start_s > window_s - hop_s / 2:
                return prepare(window.clip, recipe, source={"name": path.name})
    raise MediaError(f"{name} has nothing at {clock(window_s)}; drop it again")


def draw_planes(sample: Sample, path: Path) -> Picture:
    """Draw a sample's planes over time: uint8 [H, 1600, 3].

    Raises:
        SampleError: if names or meanings of its planes are not sound.
    """
    with page.styled():
        return contact_sheet(look(sample, path))
