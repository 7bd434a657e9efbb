"""Raw sounds are seen by a network as their samples were, whole or by windows."""

from dataclasses import replace
from pathlib import Path

import answering
import clips
import numpy as np
import pytest
import tiny
from clips import RATE, tone

from fmrgb.build import build
from fmrgb.card import Card, View
from fmrgb.errors import MediaError, TrainingError
from fmrgb.judging import Wishes, judge_files
from fmrgb.loader import untrimmed
from fmrgb.manifest import Row
from fmrgb.opened import open_model
from fmrgb.predict import prepare_clip, recipe_of
from fmrgb.preflight import survey
from fmrgb.rawclips import prepare_clips
from fmrgb.recipe import Recipe, SoundLook
from fmrgb.recording import predict_recording
from fmrgb.sample import load_sample
from fmrgb.unlike import SILENT

WAV = ("-c:a", "pcm_s16le")
LOOKS = {
    "whole": SoundLook(pictures=("logmel", "mfcc"), bands=30, columns=21),
    "features": SoundLook(pictures=("features", "stft"), bands=33, columns=17),
    "trimmed": SoundLook(pictures=("waveform",), bands=18, columns=40, trim_db=30.0),
    "padded": SoundLook(pictures=("mel",), bands=20, columns=30, seconds=3.0),
    "cropped": SoundLook(pictures=("mel",), bands=20, columns=30, seconds=0.4),
}


class ByLoudness:
    """Says "dark" of what is mostly silent; keeps what it was asked."""

    def __init__(self, card: Card) -> None:
        """Judge as if trained by this card."""
        self.card = card
        self.asked: list[np.ndarray] = []

    def logits(self, levels_BCTHW: np.ndarray) -> np.ndarray:
        """Return float32 [B, 2] by the mean level."""
        self.asked.append(levels_BCTHW)
        light_B = levels_BCTHW.mean(axis=(1, 2, 3, 4)) / 10 - 1
        return np.stack([light_B, -light_B], axis=1).astype(np.float32)


def card_for(look: SoundLook, *, seconds: float = 1.0, scale: str = "absolute") -> Card:
    """Return the card of a network that sees all pictures of a look."""
    width, height = look.sides
    n = len(look.pictures)
    return replace(
        tiny.CARD,
        view=View(look.pictures, 1, height, width, look.pictures),
        mean=[90.0] * n,
        std=[60.0] * n,
        recipe=Recipe.of_sound(look, scale).options(),
        seconds=seconds,
        longest=seconds,
    )


@pytest.fixture(scope="module")
def word(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wav of 1.1 s: silence, two tones, silence."""
    quiet = np.zeros(RATE // 5, np.float32)
    sound = np.concatenate([quiet, tone(600, 0.3), tone(2500, 0.4, peak=0.1), quiet])
    path = tmp_path_factory.mktemp("words") / "said" / "word.wav"
    path.parent.mkdir()
    return clips.make(path, None, sound, audio=WAV)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wav of 8 s: silent but for a tone from 3 to 5 s."""
    sound = np.zeros(8 * RATE, np.float32)
    sound[3 * RATE : 5 * RATE] = tone(900, 2.0)
    path = tmp_path_factory.mktemp("long") / "long.wav"
    return clips.make(path, None, sound, audio=WAV)


@pytest.mark.parametrize("scale", ["absolute", "relative"])
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_a_raw_sound_is_seen_as_its_sample_level_for_level(word, tmp_path, look, scale):
    surveyed = survey(word, output=tmp_path, by_sound=True)
    recipe = Recipe.of_sound(look, scale)
    (row,) = build(surveyed, recipe, folder=tmp_path).rows
    card = card_for(look, scale=scale)
    assert recipe_of(card) == recipe
    raw, kept = prepare_clip(word, card), prepare_clip(row.path, card)
    np.testing.assert_array_equal(raw.levels, kept.levels)
    assert raw.levels.shape == card.view.shape
    assert raw.levels.std() > 10
    assert (raw.seconds, raw.notes) == (kept.seconds, ())


def test_a_real_network_answers_to_a_sound(word, tmp_path):
    opened = open_model(answering.checkpoint(tmp_path, card_for(LOOKS["whole"])))
    done = judge_files(opened, [word], Wishes())
    assert not done.failures
    assert done.answers[0].probabilities.sum() == pytest.approx(1)


def test_a_video_is_judged_by_its_sound_track(talkie, mute):
    card = card_for(LOOKS["whole"])
    assert prepare_clip(talkie, card).seconds == pytest.approx(1.2, abs=0.1)
    with pytest.raises(MediaError, match=r"mute.mp4 has no sound"):
        prepare_clip(mute, card)


def test_silence_is_noted(tmp_path):
    path = clips.make(tmp_path / "x.wav", None, np.zeros(RATE, "f4"), audio=WAV)
    prepared = prepare_clip(path, card_for(LOOKS["whole"]))
    assert prepared.silent
    assert prepared.notes == (SILENT,)


@pytest.mark.parametrize("window_s", [None, 2.0])
def test_a_long_sound_is_judged_by_windows(long, window_s):
    look = SoundLook(
        pictures=("logmel",), bands=20, columns=30, window_s=window_s, trim_db=30.0
    )
    opened = ByLoudness(card_for(look, seconds=2.0))
    (told,) = judge_files(opened, [long], Wishes()).recordings
    spans = [(one.start_s, one.end_s) for one in told.judged]
    assert spans == [pytest.approx(s) for s in ((0, 2), (2, 4), (4, 6), (6, 8))]
    loud = [clip.any(axis=(0, 1, 2, 3)) for clip in opened.asked]
    assert [bool(columns.any()) for columns in loud] == [False, True, True, False]
    if window_s:  # windows of a track keep their silence, as in training
        assert loud[1][:10].sum() < loud[1][-10:].sum() == 10
    assert told.has_sound


def test_a_video_is_cut_into_windows_by_its_sound(long_talkie):
    card = card_for(LOOKS["cropped"], seconds=1.0)
    told = predict_recording(ByLoudness(card), long_talkie)
    assert [round(one.start_s, 1) for one in told.judged] == [0, 1, 2, 3, 4]


def test_a_clip_is_brought_to_the_windows_of_the_training(word, long):
    look = SoundLook(pictures=("logmel",), columns=40, window_s=2.0, hop_s=0.5)
    card = card_for(look, seconds=2.0)
    columns = prepare_clip(word, card).levels[0, 0].max(axis=0)
    assert prepare_clip(word, card).seconds == 2.0
    assert columns[:18].max() > 150
    assert columns[24:].max() == 0
    assert prepare_clip(long, card).levels[0, 0].max(axis=0).min() > 150


def test_raw_sounds_of_a_table_are_prepared_with_what_is_known_of_them(word, talkie):
    rows = [Row(path=word, label="a"), Row(path=talkie, label="b")]
    card = card_for(LOOKS["features"])
    raw = prepare_clips(rows, [card])
    assert not raw.faults
    assert [row.height for row in raw.rows] == [33, 33]
    assert raw.rows[0].seconds == pytest.approx(1.1)
    assert (raw.rows[0].fps, raw.rows[0].has_sound) == (None, True)


def test_a_recipe_of_another_version_is_refused():
    card = card_for(LOOKS["whole"])
    card.recipe["soundpicture"]["cochlea"] = True
    with pytest.raises(TrainingError, match="in a way that this version knows"):
        recipe_of(card)


def test_the_sample_of_a_sound_tells_how_it_was_made(word, tmp_path):
    surveyed = survey(word, output=tmp_path, by_sound=True)
    recipe = Recipe.of_sound(LOOKS["trimmed"])
    (row,) = build(surveyed, recipe, folder=tmp_path).rows
    meta = load_sample(row.path).meta
    assert Recipe.from_options(meta["options"]) == recipe
    assert meta["source"]["name"] == "word.wav"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [({"trim_db": 30.0}, [2.3]), ({}, []), ({"trim_db": 30.0, "window_s": 0.1}, [])],
)
def test_a_trimmed_sound_is_as_long_as_it_was_before(tmp_path, changes, wanted):
    quiet = np.zeros(RATE, np.float32)
    path = tmp_path / "words" / "one" / "a.wav"
    path.parent.mkdir(parents=True)
    said = np.concatenate([quiet, tone(440.0, 0.3), quiet])
    clips.make(path, None, said, audio=WAV)
    recipe = Recipe.of_sound(
        SoundLook(pictures=("waveform",), bands=8, columns=9, **changes)
    )
    surveyed = survey(tmp_path / "words", by_sound=True)
    rows = build(surveyed, recipe, folder=tmp_path / "words").rows
    assert rows[0].seconds is not None
    if "trim_db" in changes:
        assert rows[0].seconds < 0.5
    assert untrimmed(rows, recipe.options())[:1] == pytest.approx(wanted)
