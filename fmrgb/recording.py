"""From a long recording to what a network makes of each of its windows.

Axes: T frames, H height, W width, K classes.
"""

from collections.abc import Callable
from pathlib import Path

from fmrgb.build import prepare
from fmrgb.card import Card
from fmrgb.errors import InputError, MediaError
from fmrgb.events import Judged, Recording
from fmrgb.files import shown
from fmrgb.opened import Opened, probabilities
from fmrgb.predict import recipe_of, seen_by
from fmrgb.recipe import Recipe
from fmrgb.streams import Stream, open_recording
from fmrgb.unlike import missing_senses, notes_on, silence, usual_fps
from fmrgb.windows import Cutter, Layout, Window, cut

LONG = 1.5  # windows; a clip that is longer is judged window by window
HEADER = 1.05  # a header may say so much more than is decoded


class Judge:
    """A network that is asked about window after window."""

    def __init__(self, opened: Opened, name: str) -> None:
        """Ask `opened`; `name` says in a fault which recording it is."""
        self.notes: tuple[str, ...] = ()  # known from the first window on
        self.silent = True
        self._asked = False
        self._opened = opened
        self._name = name
        self._recipe = recipe_of(opened.card).of_windows()

    def ask(self, window: Window) -> Judged:
        """Prepare a window as a clip of its own, and judge it.

        Raises:
            MediaError: if it lacks the only sense that the network judges by.
        """
        card = self._opened.card
        if not self._asked:
            self.notes, self._asked = self._unlike(window), True
        sample = prepare(window.clip, self._recipe)
        levels = seen_by(sample, card, self._name).levels
        self.silent = self.silent and sample.silent
        told_K = probabilities(self._opened.logits(levels[None]))[0]
        return Judged(window.start_s, window.end_s, told_K)

    def _unlike(self, window: Window) -> tuple[str, ...]:
        card = self._opened.card
        if window.clip.source:
            return notes_on(window.clip, card, self._name)
        return missing_senses(True, False, card, self._name)


def window_and_hop(
    card: Card, window_s: float | None, hop_s: float | None
) -> tuple[float, float]:
    """Return length and distance of windows, in s: as asked, else the training clips'.

    Where the card does not know how long those were, their frames tell it, at the rate
    they may have had.

    Raises:
        InputError: if windows would leave time between them.
        TrainingError: if the card does not say how clips were prepared.
    """
    if window_s is None:
        recipe = recipe_of(card)
        frames = (recipe.frames or card.view.frames) * recipe.skip
        window_s = card.seconds or frames / usual_fps(card)
    hop_s = window_s if hop_s is None else hop_s
    if hop_s > window_s:
        raise InputError(
            f"--hop {hop_s:g} s is more than the window of {window_s:g} s: what lies "
            "between two windows would not be judged; give a smaller one"
        )
    return window_s, hop_s


def most_whole_s(window_s: float, longest_s: float | None = None) -> float:
    """Return the length in s up to which a clip is judged whole, not by windows.

    Args:
        window_s: length of a window.
        longest_s: length of the longest training clip, if it is known.
    """
    return max(LONG * window_s, HEADER * (longest_s or 0.0))


def is_long(path: Path, window_s: float, longest_s: float | None = None) -> bool:
    """Tell by its header whether a file is to be judged window by window.

    One that does not say how long it is counts as long: it may be of any length. One
    that is no longer than the longest training clip is judged whole, as that was.

    Args:
        path: a video or sound file.
        window_s: length of a window.
        longest_s: length of the longest training clip, if it is known.

    Raises:
        MediaError: if it cannot be opened.
    """
    with open_recording(path) as stream:
        most_s = most_whole_s(window_s, longest_s)
        return not stream.seconds or stream.seconds > most_s


def layout_of(
    stream: Stream, card: Card, recipe: Recipe, window_s: float, hop_s: float
) -> Layout:
    """Return how a stream is cut and scaled, so that windows come out as clips did."""
    by_sound = recipe.soundpicture is not None
    fps = usual_fps(card) if by_sound else stream.fps or usual_fps(card)
    return Layout(
        window_s=window_s,
        hop_s=hop_s,
        fps=fps,
        size=recipe.size or (card.view.width, card.view.height),
        skip=recipe.skip,
        rate=recipe.sound_rate(fps),
        has_picture=stream.fps is not None and not by_sound,
        has_sound=stream.has_sound,
    )


def predict_recording(
    opened: Opened,
    path: Path,
    *,
    window_s: float | None = None,
    hop_s: float | None = None,
    threshold: float = 0.0,
    threads: int = 1,
    progress: Callable[[float, float], None] | None = None,
) -> Recording:
    """Judge a file window by window; memory does not grow with its length.

    Args:
        opened: the network.
        path: a video, or a sound file where the network uses sound.
        window_s: length of a window; None takes that of the training clips.
        hop_s: from the start of a window to the start of the next; None takes the
            window's length.
        threshold: a lower probability of the likeliest class makes "unsure".
        threads: that decode its picture.
        progress: called with how many of how many s are judged.

    Returns:
        what the network says; with `fault` if the file could be read only in part.

    Raises:
        MediaError: if no window of it can be read, or it lacks what the network judges
            by.
        InputError: if windows would leave time between them.
        TrainingError: if the network does not say how its clips were prepared.
    """
    card, name = opened.card, shown(path)
    window_s, hop_s = window_and_hop(card, window_s, hop_s)
    judge, judged, fault = Judge(opened, name), list[Judged](), None
    with open_recording(path, threads) as stream:
        layout = layout_of(stream, card, recipe_of(card), window_s, hop_s)
        cutter = Cutter(layout, name)
        try:
            for window in cut(stream.frames, cutter):
                judged.append(judge.ask(window))
                if progress:
                    progress(window.end_s, max(stream.seconds, window.end_s))
        except MediaError as error:
            if not judged:
                raise
            fault = str(error)
    if not judged:
        raise MediaError(f"{name}: no frame could be decoded")
    return Recording(
        name=str(path),
        classes=card.classes,
        seconds=cutter.reach_s,
        window_s=window_s,
        hop_s=hop_s,
        threshold=threshold,
        judged=tuple(judged),
        has_sound=layout.has_sound,
        silent=judge.silent,
        notes=judge.notes + silence(layout.has_sound, judge.silent, card),
        fault=fault,
    )
