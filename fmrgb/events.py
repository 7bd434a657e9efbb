"""From what a network says of windows to events, and to files that tell of them.

Axes: W windows, K classes.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrgb.cells import write_csv
from fmrgb.files import whole_file

UNSURE = "unsure"
TOUCH_S = 1e-3  # s; spans that are closer follow one another
DIGITS = 6  # of probabilities and of seconds, as they are written


@dataclass(frozen=True, eq=False)
class Judged:
    """What a network says of a window, in s after the beginning of its recording.

    `probabilities` is float64 [K] and sums to 1.
    """

    start_s: float
    end_s: float
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class Event:
    """A time during which one label held, and the highest probability it came to."""

    label: str
    start_s: float
    end_s: float
    peak_probability: float


@dataclass(frozen=True, eq=False)
class Recording:
    """What a network makes of a long recording.

    Attributes:
        name: of its file.
        classes: names of the K classes.
        seconds: how long it is, as far as it could be read.
        window_s: length of a window.
        hop_s: from the start of a window to the start of the next.
        threshold: a lower probability of the likeliest class is "unsure".
        judged: what the network says of each window.
        has_sound: whether there is a sound track.
        silent: whether there is nothing to hear in any window.
        notes: what is unlike the clips of the training.
        fault: why it could not be read to its end, if so.
    """

    name: str
    classes: tuple[str, ...]
    seconds: float
    window_s: float
    hop_s: float
    threshold: float
    judged: tuple[Judged, ...]
    has_sound: bool
    silent: bool
    notes: tuple[str, ...] = ()
    fault: str | None = None

    @property
    def events(self) -> list[Event]:
        """The times during which one label held; "unsure" times are left out."""
        return merge(self.judged, self.classes, self.threshold)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Mean over the whole time: float64 [K]."""
        spans = [end - start for start, end in spans_of(self.judged)]
        told_WK = np.stack([one.probabilities for one in self.judged])
        mean: NDArray[np.float64] = np.average(told_WK, axis=0, weights=spans)
        return mean


def label_of(
    classes: Sequence[str], probabilities_K: NDArray[np.float64], threshold: float
) -> str:
    """Return the likeliest class, or "unsure" where it is below the threshold."""
    best = int(probabilities_K.argmax())
    return classes[best] if probabilities_K[best] >= threshold else UNSURE


def spans_of(judged: Sequence[Judged]) -> list[tuple[float, float]]:
    """Share the time out among windows: (start, end) in s for each.

    Where two windows overlap, each speaks for its own half of what they share.
    """
    starts = [one.start_s for one in judged]
    ends = [one.end_s for one in judged]
    for i in range(1, len(judged)):
        if judged[i].start_s < judged[i - 1].end_s + TOUCH_S:
            middle = (judged[i].start_s + judged[i - 1].end_s) / 2
            starts[i] = ends[i - 1] = middle
    return list(zip(starts, ends, strict=True))


def merge(
    judged: Sequence[Judged], classes: Sequence[str], threshold: float = 0.0
) -> list[Event]:
    """Join windows that follow one another and have one label.

    Args:
        judged: W windows in the order of time.
        classes: names of the K classes.
        threshold: windows whose likeliest class is below it make no event.

    Returns:
        events in the order of time; they do not overlap.
    """
    events: list[Event] = []
    for one, (start, end) in zip(judged, spans_of(judged), strict=True):
        label = label_of(classes, one.probabilities, threshold)
        peak = float(one.probabilities.max())
        last = events[-1] if events else None
        if label == UNSURE:
            continue
        if last and last.label == label and start - last.end_s < TOUCH_S:
            peak = max(peak, last.peak_probability)
            events[-1] = Event(label, last.start_s, end, peak)
        else:
            events.append(Event(label, start, end, peak))
    return events


def as_dict(event: Event) -> dict[str, Any]:
    """Return an event as plain values, rounded as files have them."""
    return {k: v if k == "label" else _round(v) for k, v in asdict(event).items()}


def by_class(
    classes: Sequence[str], probabilities_K: NDArray[np.float64]
) -> dict[str, float]:
    """Return probabilities by the names of their classes."""
    told = map(_round, probabilities_K)
    return dict(zip(classes, told, strict=True))


def recording_as_dict(recording: Recording) -> dict[str, Any]:
    """Return all that is known of a recording as plain values."""
    known = {
        name: getattr(recording, name)
        for name in ("name", "window_s", "hop_s", "threshold", "has_sound", "silent")
    }
    return {
        **known,
        "seconds": _round(recording.seconds),
        "notes": list(recording.notes),
        "fault": recording.fault,
        "events": [as_dict(event) for event in recording.events],
        "windows": [
            window_as_dict(one, recording.classes, recording.threshold)
            for one in recording.judged
        ],
    }


def window_as_dict(
    one: Judged, classes: Sequence[str], threshold: float
) -> dict[str, Any]:
    """Return what is said of a window as plain values."""
    return {
        "start_s": _round(one.start_s),
        "end_s": _round(one.end_s),
        "label": label_of(classes, one.probabilities, threshold),
        "probabilities": by_class(classes, one.probabilities),
    }


def write_events(folder: Path, recording: Recording) -> list[Path]:
    """Write events.csv, events.json and windows.csv; return their paths.

    Times are in s after the first frame.
    """
    paths = [folder / n for n in ("events.csv", "events.json", "windows.csv")]
    columns = ("label", "start_s", "end_s", "peak_probability")
    write_csv(paths[0], columns, map(as_dict, recording.events))
    whole = recording_as_dict(recording)
    with whole_file(paths[1]) as part:
        part.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    records = [
        {**window, **{f"p_{k}": p for k, p in window["probabilities"].items()}}
        for window in whole["windows"]
    ]
    for record in records:
        del record["probabilities"]
    names = [f"p_{name}" for name in recording.classes]
    write_csv(paths[2], ("start_s", "end_s", "label", *names), records)
    return paths


def _round(value: float) -> float:
    return round(float(value), DIGITS)
