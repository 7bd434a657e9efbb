"""From files, short and long, to answers, and to the files that tell of them.

Axes: K classes.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fmrgb import engine
from fmrgb.cells import write_csv
from fmrgb.errors import FmrgbError
from fmrgb.events import (
    Recording,
    by_class,
    label_of,
    recording_as_dict,
    write_events,
)
from fmrgb.files import make_folder, shown
from fmrgb.limits import Allowance, limits_of
from fmrgb.log import event
from fmrgb.names import SAMPLE
from fmrgb.opened import Opened
from fmrgb.predict import Answer, Failure, predict_many
from fmrgb.recording import is_long, predict_recording, window_and_hop
from fmrgb.render import render
from fmrgb.stills import STILL_SUFFIXES
from fmrgb.timeline import write_timeline

Progress = Callable[[float, float], None]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How files are judged.

    Attributes:
        window_s: length of the windows of long recordings; if given, every clip counts
            as long. None takes that of the training clips.
        hop_s: from the start of a window to the start of the next; None takes the
            window's length.
        threshold: a lower probability of the likeliest class makes "unsure".
        workers: processes that prepare clips, or threads that decode a recording.
        allowance: what the preparation of a clip may take; None means anything.
    """

    window_s: float | None = None
    hop_s: float | None = None
    threshold: float = 0.0
    workers: int = 1
    allowance: Allowance | None = None


@dataclass
class Verdicts:
    """What a network makes of many files."""

    answers: list[Answer] = field(default_factory=list)  # to short clips
    recordings: list[Recording] = field(default_factory=list)  # long ones
    failures: list[Failure] = field(default_factory=list)

    def notes(self) -> list[str]:
        """Say what is unlike the clips of the training, each kind of thing once."""
        judged: list[Answer | Recording] = [*self.answers, *self.recordings]
        kinds: dict[str, list[str]] = {}
        for one in judged:
            for note in one.notes:
                named = f"{shown(Path(one.name).name)}: {note}"
                kinds.setdefault(note.partition(": ")[2], []).append(named)
        total = len(judged)
        return [
            named[0]
            if total == 1
            else f"{len(named)} of {total} clips, like {named[0]}"
            for named in kinds.values()
        ]


def judge_files(
    opened: Opened,
    paths: Sequence[Path],
    wishes: Wishes,
    *,
    clips: Progress | None = None,
    seconds: Progress | None = None,
) -> Verdicts:
    """Judge clips side by side, then long recordings one after the other.

    Files that cannot be judged, or not to their end, are among the failures.

    Args:
        opened: the network.
        paths: videos, sound files, samples.
        wishes: how.
        clips: called with how many of how many clips are judged.
        seconds: called with how many of how many s of a recording are judged.

    Raises:
        InputError: if windows would leave time between them.
        TrainingError: if the network does not say how its clips were prepared.
    """
    done = Verdicts()
    short, long = _part(opened, paths, wishes, done)
    how: dict[str, Any] = {
        **{"workers": wishes.workers, "threshold": wishes.threshold},
        "allowance": wishes.allowance,
    }
    for answer in predict_many(opened, short, progress=clips, **how):
        if isinstance(answer, Failure):
            done.failures.append(answer)
        else:
            done.answers.append(answer)
    for path in long:
        _judge_long(opened, path, wishes, done, seconds)
    done.answers.sort(key=lambda one: one.name)
    done.failures.sort(key=lambda one: one.name)
    return done


def _judge_long(
    opened: Opened,
    path: Path,
    wishes: Wishes,
    done: Verdicts,
    progress: Progress | None,
) -> None:
    """Judge one long recording into `done`."""
    began_s = time.perf_counter()
    try:
        recording = predict_recording(
            opened,
            path,
            window_s=wishes.window_s,
            hop_s=wishes.hop_s,
            threshold=wishes.threshold,
            threads=wishes.workers,
            progress=progress,
        )
    except (FmrgbError, OSError) as error:
        done.failures.append(Failure(str(path), str(error)))
        event("recording", clip=str(path), error=str(error))
        return
    event("recording", clip=str(path), seconds=time.perf_counter() - began_s)
    done.recordings.append(recording)
    if recording.fault:
        done.failures.append(Failure(str(path), recording.fault))


def _part(
    opened: Opened, paths: Sequence[Path], wishes: Wishes, done: Verdicts
) -> tuple[list[Path], list[Path]]:
    """Return the short and the long ones; what cannot be opened is a failure."""
    still = (SAMPLE, *STILL_SUFFIXES)  # these have no length
    short = [path for path in paths if path.suffix.lower() in still]
    media = [path for path in paths if path.suffix.lower() not in still]
    if not media:
        return short, []
    window_s, _ = window_and_hop(opened.card, wishes.window_s, wishes.hop_s)
    if wishes.window_s is not None:
        return short, media
    longest_s = opened.card.longest
    is_one = partial(is_long, window_s=window_s, longest_s=longest_s)
    long: list[Path] = []
    limits = limits_of(wishes.allowance, lambda path: path)
    looked = engine.run(is_one, media, workers=wishes.workers, limits=limits)
    for outcome in looked:
        if outcome.fault is not None:
            done.failures.append(Failure(str(outcome.job), outcome.fault))
        else:
            (long if outcome.result else short).append(outcome.job)
    return sorted(short), sorted(long)


def write_predictions(path: Path, done: Verdicts, threshold: float) -> None:
    """Write one line per clip and recording: path, label and each probability.

    Of a recording these are means over its whole time. Failures stand there with their
    reason and no label.
    """
    judged: list[Answer | Recording] = [*done.answers, *done.recordings]
    classes = judged[0].classes if judged else ()
    names = [f"p_{name}" for name in classes]
    records = []
    for one in judged:
        told_K = one.probabilities
        told = by_class(names, told_K)
        windows = len(one.judged) if isinstance(one, Recording) else ""
        records.append(
            {
                "path": one.name,
                "predicted": label_of(classes, told_K, threshold),
                **told,
                "seconds": round(one.seconds, 3),
                "has_sound": str(one.has_sound).lower(),
                "silent": str(one.silent).lower(),
                "windows": windows,
                "notes": "; ".join(one.notes),
            }
        )
    told_of = {record["path"]: record for record in records}
    for failure in done.failures:
        told_of.setdefault(failure.name, {"path": failure.name})["fault"] = (
            failure.reason
        )
    facts = ("seconds", "has_sound", "silent", "windows", "notes", "fault")
    ordered = sorted(told_of.values(), key=lambda record: str(record["path"]))
    write_csv(path, ("path", "predicted", *names, *facts), ordered)


def write_recording(
    folder: Path,
    recording: Recording,
    *,
    rendered: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write events, windows, timeline and, if wanted, the mp4; return their paths.

    Raises:
        InputError: if the folder cannot be written to.
        NoPictureError: if an mp4 is wanted of a recording without a picture.
        DiskFullError: if there is no room left.
    """
    make_folder(folder)
    written = write_events(folder, recording)
    written.append(folder / "timeline.png")
    write_timeline(written[-1], recording)
    if rendered:
        written.append(folder / "labelled.mp4")
        render(Path(recording.name), written[-1], recording, progress)
    return written


def as_dict(done: Verdicts) -> dict[str, Any]:
    """Return all answers as plain values."""
    clips = [
        {
            "name": one.name,
            "label": one.label,
            "probabilities": by_class(one.classes, one.probabilities),
            "seconds": one.seconds,
            "has_sound": one.has_sound,
            "silent": one.silent,
            "notes": list(one.notes),
        }
        for one in done.answers
    ]
    return {
        "clips": clips,
        "recordings": [recording_as_dict(one) for one in done.recordings],
        "failed": {one.name: one.reason for one in done.failures},
    }
