"""From sound as it comes to what a network makes of each utterance in it.

Axes: S audio samples.
"""

import re
import tempfile
import wave
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmrgb import page
from fmrgb.errors import InputError
from fmrgb.files import make_folder, whole_file
from fmrgb.hearing import Source
from fmrgb.media import SOUND_RATE, sound_rate
from fmrgb.mixdown import Waveform
from fmrgb.opened import Opened
from fmrgb.predict import Answer, predict_one, prepare_sample, recipe_of
from fmrgb.unlike import usual_fps
from fmrgb.utterances import Listening, Segmenter, Utterance
from fmrgb.view import is_still, look
from fmrgb.visualise import contact_sheet, still_sheet
from fmrgb.windows import cut

_TAKE = re.compile(r"take(\d+)\.wav")


@dataclass(frozen=True, eq=False)
class Answered:
    """An utterance and what a network says of it.

    Attributes:
        utterance: with what surrounds it.
        answer: as `predict` gives it for the file.
        files: that were kept: the utterance as WAV and a picture of its sample.
    """

    utterance: Utterance
    answer: Answer
    files: tuple[Path, ...] = ()


def refuse_deaf(opened: Opened) -> None:
    """Raise InputError if a network does not use sound."""
    if not opened.card.view.sound:
        raise InputError(
            "the model judges by the picture alone, and a microphone has none; give "
            "one that was trained with sound planes"
        )


def rate_for(opened: Opened) -> int:
    """Return the rate, in Hz, that a network's clips were heard at, at least 16 kHz."""
    card, recipe = opened.card, recipe_of(opened.card)
    own = sound_rate(usual_fps(card), recipe.samples_per_frame)
    if recipe.soundpicture:
        own = recipe.soundpicture.rate
    return max(SOUND_RATE, own)


class Recorder:
    """A network that is asked about every utterance of a source."""

    def __init__(
        self, opened: Opened, *, threshold: float = 0.0, save: Path | None = None
    ) -> None:
        """Ask `opened`.

        Args:
            opened: the network; the first question, which takes far longer than the
                others, is asked here.
            threshold: a lower probability of the likeliest class makes it "unsure".
            save: folder that keeps every utterance; made if need be.

        Raises:
            InputError: if the network does not use sound, or `save` cannot be written
                to.
        """
        refuse_deaf(opened)
        self.loudest_db: float | None = None  # of all that was heard, in dBFS
        self._opened = opened
        self._threshold = threshold
        self._save = save
        if save:
            make_folder(save)
        opened.logits(np.zeros((1, *opened.card.view.shape), np.uint8))

    def answers(self, source: Source, listening: Listening) -> Iterator[Answered]:
        """Yield an answer for each utterance, until the source ends.

        Raises:
            MediaError: where the source breaks, after the utterance before that; or if
                an utterance lacks what the network judges by.
        """
        segmenter = Segmenter(listening)
        with ExitStack() as stack:
            folder = self._save
            if folder is None:
                kept_nowhere = tempfile.TemporaryDirectory(prefix="fmrgb_record_")
                folder = Path(stack.enter_context(kept_nowhere))
            for utterance in cut(source.blocks, segmenter):
                self.loudest_db = segmenter.loudest_db
                yield self._ask(utterance, folder)
            self.loudest_db = segmenter.loudest_db

    def _ask(self, utterance: Utterance, folder: Path) -> Answered:
        # By way of a file, so that predict says the same of it later.
        path = folder / f"take{_next_number(folder):05d}.wav"
        write_wav(path, utterance.kept, utterance.rate)
        answer = predict_one(self._opened, path, self._threshold)
        if self._save is None:
            path.unlink()
            return Answered(utterance, answer)
        return Answered(utterance, answer, (path, self._draw(path)))

    def _draw(self, path: Path) -> Path:
        """Draw what the network gets of a sound, as visualize does; return the PNG."""
        sample, _ = prepare_sample(path, self._opened.card)
        png = path.with_suffix(".png")
        view = look(sample, path)
        with page.styled(), whole_file(png) as part:
            if is_still(sample):
                sheet = still_sheet(view, path, path.parent)
            else:
                sheet = contact_sheet(view)
            part.write_bytes(page.png(sheet))
        return png


def _next_number(folder: Path) -> int:
    """Return a number that no take in a folder has."""
    found = map(_TAKE.fullmatch, (path.name for path in folder.iterdir()))
    return 1 + max((int(match[1]) for match in found if match), default=0)


def write_wav(path: Path, samples: Waveform, rate: int) -> None:
    """Write mono sound, float [S] in [-1, 1], as WAV of 16 bits, whole or not at all.

    Raises:
        DiskFullError: if there is no room left.
        InputError: if the folder cannot be written to.
    """
    levels = np.round(np.clip(samples, -1, 1) * 32767).astype("<i2")
    with whole_file(path) as part, wave.open(str(part), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(levels.tobytes())
