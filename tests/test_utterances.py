"""utterances.py: bursts at known times give cuts at known times."""

import clips
import numpy as np
import pytest

from fmrgb.utterances import (
    STEP_S,
    Listening,
    Segmenter,
    Utterance,
    drawn,
    loudness,
)

RATE = 8000  # Hz
QUIET, LOUD = -60.0, -20.0  # dBFS, of the noise and of the bursts


def noise(seconds: float, level_db: float, seed: int = 0) -> np.ndarray:
    """Return white noise [S] of a level."""
    dice = np.random.default_rng(seed)
    gain = 10 ** (level_db / 20)
    return (gain * dice.standard_normal(round(seconds * RATE))).astype(np.float32)


def scene(seconds: float, *bursts: tuple[float, float]) -> np.ndarray:
    """Return quiet noise [S] with louder bursts from ... to ... s."""
    sound = noise(seconds, QUIET)
    for start, end in bursts:
        first, last = round(start * RATE), round(end * RATE)
        sound[first:last] += noise(end - start, LOUD, seed=1)[: last - first]
    return sound


def heard(sound: np.ndarray, *, block: int = 1000, **how: float) -> list[Utterance]:
    """Cut a sound that comes in blocks."""
    listening = Listening(rate=RATE, **{"lead_s": 0.1, **how})  # type: ignore[arg-type]
    segmenter = Segmenter(listening)
    parts = [sound[at : at + block] for at in range(0, len(sound), block)]
    found = [one for part in parts for one in segmenter.add(part)]
    return found + list(segmenter.finish())


def times(found: list[Utterance]) -> list[tuple[float, float]]:
    """Return when utterances begin and end, in s."""
    return [(round(one.start_s, 3), round(one.end_s, 3)) for one in found]


def test_bursts_at_known_times_give_cuts_at_known_times():
    found = heard(scene(6, (1.0, 1.5), (3.0, 3.72)))
    assert times(found) == [(0.9, 1.6), (2.9, 3.82)]
    assert not any(one.is_cut_off for one in found)


@pytest.mark.parametrize("block", [1, 37, 80, 4096, 10**6])
def test_blocks_of_any_size_give_the_same_cuts(block):
    sound = scene(2.5, (1.0, 1.5))
    assert times(heard(sound, block=block)) == [(0.9, 1.6)]


def test_an_utterance_is_the_sound_itself():
    sound = scene(6, (1.0, 1.5), (3.0, 3.72))
    for one in heard(sound):
        first, last = round(one.start_s * RATE), round(one.end_s * RATE)
        np.testing.assert_array_equal(one.kept, sound[first:last])
        start = round(one.take_s * RATE)
        np.testing.assert_array_equal(
            one.samples, sound[start : start + len(one.samples)]
        )
        assert one.take_s < one.start_s  # something is seen before the cut


def test_noise_below_the_level_gives_nothing():
    assert heard(noise(5, -45), level_db=-40) == []
    assert len(heard(noise(5, -35), level_db=-40)) > 0
    assert heard(np.zeros(5 * RATE, np.float32)) == []
    assert heard(np.empty(0, np.float32)) == []


def test_a_click_is_no_utterance_and_swallows_nothing_after_it():
    sound = scene(5, (1.0, 1.02), (1.3, 1.9))
    # The click begins a take, which the burst then lasts on in: one cut holds both.
    assert times(heard(sound)) == [(0.9, 2.0)]
    alone = scene(5, (1.0, 1.02), (2.5, 2.9))
    assert times(heard(alone)) == [(2.4, 3.0)]


def test_a_pause_shorter_than_the_silence_does_not_cut():
    sound = scene(5, (1.0, 1.3), (1.7, 2.0))
    assert times(heard(sound, silence_s=0.5)) == [(0.9, 2.1)]
    assert times(heard(sound, silence_s=0.3)) == [(0.9, 1.4), (1.6, 2.1)]


def test_a_sound_that_begins_as_the_silence_ends_keeps_its_quiet_beginning():
    sound = scene(5, (1.0, 1.3), (1.81, 2.1))
    assert times(heard(sound, silence_s=0.5)) == [(0.9, 1.4), (1.71, 2.2)]


def test_a_long_sound_is_cut_off_and_goes_on():
    found = heard(scene(6, (1.0, 4.0)), longest_s=2.0)
    assert times(found) == [(0.9, 2.9), (2.9, 4.1)]
    assert [one.is_cut_off for one in found] == [True, False]
    whole = np.concatenate([one.kept for one in found])
    np.testing.assert_array_equal(
        whole, scene(6, (1.0, 4.0))[round(0.9 * RATE) : round(4.1 * RATE)]
    )


def test_nothing_kept_is_longer_than_the_longest():
    found = heard(scene(4, (1.0, 1.85)), longest_s=1.0)
    assert [round(len(one.kept) / RATE, 3) for one in found] == [1.0]
    assert not found[0].is_cut_off  # it ended by itself; only its tail is shorter


def test_a_sound_at_the_very_beginning_and_end_is_whole():
    found = heard(scene(3, (0.0, 0.4), (2.5, 3.0)))
    assert times(found) == [(0.0, 0.5), (2.4, 3.0)]


def test_an_offset_of_the_microphone_is_no_sound():
    offset = noise(3, -60) + np.float32(0.3)
    assert heard(offset) == []


def test_broken_samples_are_silence():
    sound = scene(4, (1.0, 1.5))
    sound[100], sound[101] = np.nan, np.inf
    assert times(heard(sound)) == [(0.9, 1.6)]


def test_loudness_of_a_sine_is_3_db_below_its_peak():
    tone = clips.tone(1 / STEP_S, 1.0, rate=RATE, peak=1.0)
    steps = tone.reshape(-1, round(STEP_S * RATE))
    assert loudness(steps) == pytest.approx(np.full(len(steps), -3.01), abs=0.01)
    assert loudness(np.zeros((2, 80), np.float32)).tolist() == [-100, -100]


def test_the_segmenter_holds_no_more_than_an_utterance():
    segmenter = Segmenter(Listening(rate=RATE, longest_s=1.0))
    for _ in range(100):
        list(segmenter.add(noise(1.0, QUIET)))
    held = [x for x in vars(segmenter).values() if isinstance(x, list)]
    assert sum(map(len, held)) + len(segmenter._before) < 100


def test_the_drawing_shows_bursts_between_cuts():
    (one,) = heard(scene(3, (1.0, 1.6)))
    lines = drawn(one)
    assert [line[:7] for line in lines] == [f" {-10 * n} dB" for n in range(1, 7)]
    top, loud = lines[0], lines[2]  # louder than -10 dBFS, than -30 dBFS
    assert "#" not in top
    assert max(map(len, lines)) <= 7 + 1 + 60 + 2
    bars = loud[8:]
    # The take: 0.2 s, the cut, 0.1 s, 0.6 s of burst, 0.1 s, the cut, 0.5 s; that is
    # 1.5 s in 50 columns of three steps.
    assert bars.index("|") == pytest.approx(0.2 / 0.03, abs=1)
    assert bars.index("#") - bars.index("|") == pytest.approx(0.1 / 0.03, abs=1.5)
    assert bars.count("#") == pytest.approx(0.6 / 0.03, abs=1)
    assert bars.rindex("|") - bars.index("|") - 1 == pytest.approx(0.8 / 0.03, abs=1)
