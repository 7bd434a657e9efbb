"""From a clip and what a network expects to what is unlike the clips it learned from.

Notes are sentences without the clip's name, so that they can be told once for many.
"""

import numpy as np

from fmrgb.card import Card
from fmrgb.errors import MediaError
from fmrgb.media import DEFAULT_FPS
from fmrgb.tracks import Clip

SLACK = 1.02  # rates and shapes that differ by less are the same
NO_SOUND = "no sound track: judged by the picture alone"
SILENT = "silent sound track: there is nothing to hear in it"
NO_PICTURE = "no picture: judged by the sound alone"


def usual_fps(card: Card) -> float:
    """Return frames per second that the training clips may have had."""
    return float(np.clip(DEFAULT_FPS, *card.fps)) if card.fps else DEFAULT_FPS


def notes_on(clip: Clip, card: Card, name: str) -> tuple[str, ...]:
    """Say what of a clip is unlike those of the training.

    Raises:
        MediaError: if it lacks the only sense that the network judges by.
    """
    notes = list(missing_senses(clip.sound is not None, True, card, name))
    if card.fps and _is_outside(clip.fps, card.fps):
        usual = _span(card.fps, ".4g")
        notes.append(f"{clip.fps:.4g} fps: the training clips had {usual} fps")
    if (
        card.ratio
        and clip.source
        and _is_outside(clip.source[0] / clip.source[1], card.ratio)
    ):
        width, height = clip.source
        notes.append(
            f"{width}x{height}, width / height {width / height:.2f}: the training "
            f"clips had {_span(card.ratio, '.2f')}, so it looks stretched"
        )
    return tuple(notes)


def missing_senses(
    has_sound: bool, has_picture: bool, card: Card, name: str
) -> tuple[str, ...]:
    """Say which sense that the network judges by a clip lacks.

    Raises:
        MediaError: if it lacks the only one.
    """
    view = card.view
    if not has_sound and view.sound and not view.picture_places:
        raise MediaError(f"{name} has no sound track, and the model judges by it alone")
    if not has_picture and not view.sound:
        raise MediaError(f"{name} has no picture, and the model judges by it alone")
    notes = [NO_SOUND] if not has_sound and view.sound else []
    if not has_picture and view.picture_places:
        notes.append(NO_PICTURE)
    return tuple(notes)


def silence(has_sound: bool, silent: bool, card: Card) -> tuple[str, ...]:
    """Say it if a clip has a sound track with nothing to hear, and sound matters."""
    return (SILENT,) if has_sound and silent and card.view.sound else ()


def _is_outside(value: float, span: tuple[float, float]) -> bool:
    return not span[0] / SLACK <= value <= span[1] * SLACK


def _span(span: tuple[float, float], how: str) -> str:
    low, high = (format(value, how) for value in span)
    return low if low == high else f"{low} to {high}"
