"""predict.py: raw clips are seen as their samples were; each gets its answer."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import answering
import clips
import numpy as np
import pytest
import tiny
from answering import ByLight

from fmrgb.build import Recipe, build
from fmrgb.card import Card
from fmrgb.errors import (
    MediaError,
    NoPictureError,
    ProgramMissingError,
    TrainingError,
)
from fmrgb.media import read_clip
from fmrgb.opened import Checkpoint, open_model, probabilities
from fmrgb.predict import (
    Answer,
    Failure,
    predict_many,
    predict_one,
    prepare_clip,
    recipe_of,
)
from fmrgb.preflight import survey
from fmrgb.sample import load_sample, save_sample
from fmrgb.unlike import NO_PICTURE, NO_SOUND, SILENT

RECIPES = {
    "simple": Recipe(frames=7, size=(18, 16)),
    "mel, gray, own size": Recipe(frames=9, audiomethod="mel", n_channels=3),
    "relative, skipped": Recipe(
        frames=5, skip=2, size=(20, 12), scale="relative", samples_per_frame=700
    ),
}


def card_for(recipe: Recipe, sample_shape: tuple[int, ...]) -> Card:
    """Return the card of a network that sees all planes, smaller and fewer frames."""
    n_frames, height, width, _ = sample_shape
    sound = recipe.channels[-2:]
    view = replace(
        tiny.VIEW,
        channels=recipe.channels,
        frames=n_frames - 1,
        height=height - 3,
        width=width + 4,
        sound=sound,
    )
    n_planes = len(recipe.channels)
    return replace(
        answering.CARD,
        view=view,
        mean=[120.0] * n_planes,
        std=[70.0] * n_planes,
        recipe=recipe.options(),
    )


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip of noise with two tones: every level of it counts."""
    dice = np.random.default_rng(3)
    frames = dice.integers(0, 256, (clips.N_FRAMES, 32, 48, 3), np.uint8)
    sound = np.concatenate([clips.tone(600, 0.5), clips.tone(2500, 0.7, peak=0.1)])
    folder = tmp_path_factory.mktemp("moving") / "noisy"
    folder.mkdir()
    return clips.make(folder / "moving.mp4", frames, sound)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("fusion", ["senses", "stack"])
def test_logits_of_a_raw_clip_equal_those_of_its_sample_bit_for_bit(
    moving, tmp_path, recipe, fusion
):
    built = build(survey(moving, output=tmp_path), recipe, folder=tmp_path)
    sample = load_sample(built.rows[0].path)
    card = replace(card_for(recipe, sample.shape), fusion=fusion)
    opened = open_model(answering.checkpoint(tmp_path, card))
    raw = prepare_clip(moving, opened.card)
    kept = prepare_clip(built.rows[0].path, opened.card)
    np.testing.assert_array_equal(raw.levels, kept.levels)
    assert raw.levels.std() > 20  # there was something to get wrong
    logits = opened.logits(raw.levels[None])
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits, opened.logits(kept.levels[None]))
    assert raw.seconds == pytest.approx(1.2, abs=0.01)
    assert (raw.has_sound, raw.silent) == (True, False)


def test_a_clip_gets_label_probabilities_and_facts(tmp_path):
    bright = clips.make(tmp_path / "b.mp4", answering.lights((answering.BRIGHT, 1.2)))
    opened = ByLight()
    answer = predict_one(opened, bright)
    assert (answer.label, answer.classes) == ("bright", ("bright", "dark"))
    assert answer.name == str(bright)
    wanted = probabilities(opened.logits(opened.asked[0]))[0]
    np.testing.assert_allclose(answer.probabilities, wanted)
    assert answer.probabilities.sum() == pytest.approx(1)
    assert opened.asked[0].shape == (1, *opened.card.view.shape)
    assert (answer.has_sound, answer.silent) == (False, True)
    assert answer.seconds == pytest.approx(1.2, abs=0.01)


def test_below_the_threshold_the_answer_is_unsure(tmp_path):
    grey = clips.make(tmp_path / "g.mp4", answering.lights(((150, 150, 150), 1.2)))
    told = predict_one(ByLight(), grey)
    assert 0.6 < told.probabilities.max() < 0.9
    best = float(told.probabilities.max())
    assert predict_one(ByLight(), grey, best + 1e-6).label == "unsure"
    assert predict_one(ByLight(), grey, best - 1e-6).label == "bright"


def test_what_is_unlike_the_training_is_noted(tmp_path, talkie, mute):
    card = answering.CARD
    assert prepare_clip(talkie, card).notes == ()
    assert prepare_clip(mute, card).notes == (NO_SOUND,)
    wide = clips.make(
        tmp_path / "wide.mp4",
        clips.colours(40, 24, 48),
        np.zeros(clips.RATE, np.float32),
        fps=25,
    )
    fps, ratio, silent = prepare_clip(wide, card).notes
    assert fps == "25 fps: the training clips had 8 to 12 fps"
    assert ratio.startswith(
        "48x24, width / height 2.00: the training clips had 1.40 to"
    )
    assert silent == SILENT
    unknown = replace(card, fps=None, ratio=None)
    assert prepare_clip(wide, unknown).notes == (SILENT,)
    assert prepare_clip(mute, answering.picture_alone()).notes == ()


def test_sound_alone_is_judged_beside_an_empty_picture(tmp_path):
    loud = clips.make(tmp_path / "loud.wav", None, clips.tone(900, 2), audio=())
    clip = prepare_clip(loud, answering.CARD)
    assert clip.notes == (NO_PICTURE,)
    assert not clip.levels[:3].any()
    assert clip.levels[3].min() > 200  # -9 dBFS
    assert clip.seconds == pytest.approx(2)
    assert (clip.has_sound, clip.silent) == (True, False)
    told = clip.levels[4]
    assert told.min() == told.max() > 0  # one tone throughout


def test_sound_within_a_video_and_alone_gives_the_same_planes(tmp_path):
    sound = clips.tone(1200, 1.2)
    film = clips.make(
        tmp_path / "a.mkv", clips.colours(), sound, audio=("-c:a", "flac")
    )
    alone = clips.make(tmp_path / "a.flac", None, sound, audio=("-c:a", "flac"))
    card = replace(answering.CARD, fps=(10.0, 10.0))
    np.testing.assert_array_equal(
        prepare_clip(film, card).levels[3:], prepare_clip(alone, card).levels[3:]
    )


def test_a_clip_without_the_only_sense_that_counts_is_refused(tmp_path, mute):
    with pytest.raises(MediaError, match=r"no sound track, and the model judges by it"):
        prepare_clip(mute, answering.sound_alone())
    tone = clips.make(tmp_path / "t.wav", None, clips.tone(900, 1), audio=())
    with pytest.raises(NoPictureError, match=r"t\.wav has no picture"):
        prepare_clip(tone, answering.picture_alone())
    mute_sample = replace(tiny.sample(), has_sound=False, silent=True)
    save_sample(tmp_path / "m.pt", mute_sample)
    with pytest.raises(MediaError, match="no sound track"):
        prepare_clip(tmp_path / "m.pt", answering.sound_alone())


@pytest.mark.parametrize(
    "recipe", [{}, {"audiomethod": "simple"}, {**answering.CARD.recipe, "later": 1}]
)
def test_a_model_that_does_not_say_how_clips_were_prepared_takes_samples_only(
    tmp_path, talkie, recipe
):
    card = replace(answering.CARD, recipe=recipe)
    with pytest.raises(TrainingError, match=r"does not say .* give samples"):
        prepare_clip(talkie, card)
    save_sample(tmp_path / "s.pt", tiny.sample())
    assert prepare_clip(tmp_path / "s.pt", card).levels.shape == card.view.shape


def test_the_recipe_comes_back_from_the_card():
    for recipe in RECIPES.values():
        assert recipe_of(replace(answering.CARD, recipe=recipe.options())) == recipe
        plain = Card.from_dict(
            replace(answering.CARD, recipe=recipe.options()).as_dict()
        )
        assert recipe_of(plain) == recipe
    assert Card.from_dict(answering.CARD.as_dict()) == answering.CARD


@pytest.mark.parametrize("workers", [1, 2])
def test_of_many_a_bad_one_is_named_and_the_rest_goes_on(
    tmp_path, talkie, mute, workers
):
    bad = clips.cut(talkie, tmp_path / "cut.mp4", 0.5)
    told = []
    answers = list(
        predict_many(
            ByLight(),
            [talkie, bad, mute],
            workers=workers,
            progress=lambda done, total: told.append((done, total)),
        )
    )
    by_name = {Path(one.name).name: one for one in answers}
    assert isinstance(by_name["cut.mp4"], Failure)
    assert "cut.mp4" in by_name["cut.mp4"].reason
    assert told == [(1, 3), (2, 3), (3, 3)]
    for path in (talkie, mute):
        one, other = by_name[path.name], predict_one(ByLight(), path)
        assert isinstance(one, Answer)
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        assert (one.label, one.notes) == (other.label, other.notes)


def test_a_checkpoint_answers_by_its_card(tmp_path):
    opened = open_model(answering.checkpoint(tmp_path))
    assert isinstance(opened, Checkpoint)
    assert opened.card == answering.CARD
    levels = np.full((3, *opened.card.view.shape), 90, np.uint8)
    assert opened.logits(levels).shape == (3, 2)


def test_clips_are_prepared_where_torch_is_not_installed(tmp_path, talkie):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; import json\n"
        "from fmrgb.card import Card\n"
        "from fmrgb.predict import prepare_clip\n"
        "from fmrgb import recording, live, judging\n"
        "card = Card.from_dict(json.loads(sys.argv[1]))\n"
        "print(prepare_clip(Path(sys.argv[2]), card).levels.sum())\n"
    )
    card = json.dumps(answering.CARD.as_dict())
    command = [sys.executable, "-c", code, card, str(talkie)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(said) == prepare_clip(talkie, answering.CARD).levels.sum()


def test_what_needs_torch_says_so(tmp_path, monkeypatch):
    path = answering.checkpoint(tmp_path)
    save_sample(tmp_path / "s.pt", tiny.sample())
    for name in ("fmrgb.checkpoint", "fmrgb.loader"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ProgramMissingError, match=r"best\.ckpt needs torch"):
        open_model(path)
    with pytest.raises(ProgramMissingError, match=r"s\.pt: samples are read by torch"):
        prepare_clip(tmp_path / "s.pt", answering.CARD)


def test_the_picture_knows_its_size_before_scaling(talkie):
    assert read_clip(talkie, size=(8, 6)).source == (clips.WIDTH, clips.HEIGHT)
