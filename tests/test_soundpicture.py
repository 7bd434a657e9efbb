"""soundpicture.py and soundfeatures.py: known sounds in, known pictures out."""

import librosa
import numpy as np
import pytest
from clips import tone

from fmrgb.names import FEATURE_NAMES, PICTURED
from fmrgb.soundfeatures import feature_levels, feature_ranges, measure, named
from fmrgb.soundpicture import SOUND_PICTURES, Drawing, Stretch

RATE = 16_000  # Hz
HOW = Drawing(bands=40, columns=25)
LOUD = Drawing(bands=40, columns=25, relative=True)
SILENCE = np.zeros(RATE, np.float32)
SPECTRA = ("stft", "mel", "logmel")


def drawn(name: str, samples: np.ndarray, how: Drawing = HOW) -> np.ndarray:
    """Return a picture [bands, columns] as whole numbers with a sign."""
    return SOUND_PICTURES[name](Stretch(samples, RATE), how)[0].astype(int)


def units(name: str, samples: np.ndarray, how: Drawing = HOW) -> np.ndarray:
    """Return a picture in what its levels stand for."""
    picture, levels = SOUND_PICTURES[name](Stretch(samples, RATE), how)
    return levels.to_units(picture)


def row_of(name: str, hertz: float, bands: int) -> int:
    """Return the row, counted from the top, that a frequency belongs to."""
    if name == "stft":
        return bands - 1 - int(hertz / (RATE / 2) * bands)
    centres = librosa.mel_frequencies(bands + 2, fmin=0, fmax=RATE / 2)[1:-1]
    return bands - 1 - int(np.abs(centres - hertz).argmin())


def click_at(second: float) -> np.ndarray:
    """Return a second of silence with one loud sample in it."""
    samples = SILENCE.copy()
    samples[round(second * RATE)] = 1.0
    return samples


def test_the_names_of_the_flag_are_those_of_the_pictures():
    assert tuple(SOUND_PICTURES) == PICTURED


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("hertz", [300, 1050, 3100, 6900])
@pytest.mark.parametrize("bands", [34, 64, 130])
def test_a_tone_lights_the_row_of_its_frequency(name, hertz, bands):
    picture = drawn(name, tone(hertz, 1.0, peak=0.05), Drawing(bands=bands, columns=25))
    assert picture.shape == (bands, 25)
    brightest = picture[:, 12].argmax()
    assert abs(brightest - row_of(name, hertz, bands)) <= (bands > 100)


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("column", [0, 7, 24])
def test_a_click_lights_the_column_of_its_time(name, column):
    picture = drawn(name, click_at((column + 0.5) / 25), LOUD)
    assert picture.sum(axis=0).argmax() == column
    assert picture[:, (column + 12) % 25].max() == 0


@pytest.mark.parametrize("name", SPECTRA)
def test_a_click_is_not_lost_where_columns_are_long(name):
    long = np.zeros(20 * RATE, np.float32)
    long[round(7.5 * RATE)] = 1.0
    picture = drawn(name, long, Drawing(bands=40, columns=20, relative=True))
    assert picture.max(axis=0).argmax() == 7


@pytest.mark.parametrize("name", SPECTRA)
def test_silence_is_level_0(name):
    for how in (HOW, LOUD):
        assert not drawn(name, SILENCE, how).any()
        assert not drawn(name, SILENCE[:0], how).any()


@pytest.mark.parametrize("bands", [16, 34, 64])
def test_a_full_scale_tone_has_0_db(bands):
    # In the middle of a row, so that no other row has a part of it.
    row = bands // 3
    hertz = (row + 0.5) * RATE / 2 / bands
    picture = units("stft", tone(hertz, 1.0, peak=1.0), Drawing(bands=bands, columns=9))
    assert picture[bands - 1 - row, 4] == pytest.approx(0, abs=0.4)


def test_a_tone_in_the_middle_of_a_wide_mel_band_has_its_own_loudness():
    centre = librosa.mel_frequencies(22, fmin=0, fmax=RATE / 2)[15]
    picture = units("logmel", tone(centre, 1.0, peak=0.1), Drawing(bands=20, columns=9))
    assert picture[:, 4].max() == pytest.approx(-20, abs=1.5)


@pytest.mark.parametrize("name", ["stft", "logmel"])
def test_ten_times_the_amplitude_is_20_db_more_unless_relative(name):
    quiet, loud = tone(1050, 1.0, peak=0.03), tone(1050, 1.0, peak=0.3)
    rise = units(name, loud).max() - units(name, quiet).max()
    assert rise == pytest.approx(20, abs=0.5)
    assert np.abs(drawn(name, loud, LOUD) - drawn(name, quiet, LOUD)).max() <= 1


def test_mel_is_linear_in_amplitude():
    one, two = (drawn("mel", tone(1050, 1.0, peak=p)).max() for p in (0.03, 0.06))
    assert two == pytest.approx(2 * one, abs=2)
    assert drawn("mel", tone(1050, 1.0, peak=0.03), LOUD).max() == 255


def test_a_lower_floor_shows_quieter_sound():
    faint = tone(1050, 1.0, peak=1e-4)  # -80 dBFS
    assert drawn("logmel", faint).max() <= 3
    deep = Drawing(bands=40, columns=25, floor=-120.0)
    assert drawn("logmel", faint, deep).max() > 50


@pytest.mark.parametrize("name", PICTURED)
@pytest.mark.parametrize("n_samples", [0, 1, 5, 63, 700, 2047])
def test_sounds_of_any_length_are_drawn(name, n_samples):
    picture = drawn(name, tone(1000, 1.0)[:n_samples])
    assert picture.shape == ((26, 2) if name == "features" else (40, 25))


def test_cepstra_are_those_of_librosa_in_their_rows():
    samples = tone(700, 1.0, peak=0.3) + tone(2900, 1.0, peak=0.1)
    how = Drawing(bands=12, columns=25)
    mel_db = units("logmel", samples, Drawing(bands=64, columns=25))[::-1] + 40
    wanted = librosa.feature.mfcc(S=mel_db, n_mfcc=12, lifter=24) / 8  # 8 ** 2 bands
    found = drawn("mfcc", samples, how)[::-1] - 128
    within = np.abs(wanted) < 127
    assert found[within] == pytest.approx(wanted[within], abs=2)
    assert np.ptp(found) > 50


def test_cepstra_of_silence_are_zero_but_for_the_first():
    picture = drawn("mfcc", SILENCE)
    assert (picture[:-1] == 128).all()
    assert (picture[-1] < 40).all()


def test_a_drawn_waveform_is_white_above_and_black_below_zero():
    samples = np.repeat([0.0, 0.5, 0.0, -0.5, 0.0], 1000).astype(np.float32)
    samples[1000:2000:2] = 0.0  # so that it runs from 0 to 0.5 and back
    samples[3000:4000:2] = 0.0
    picture = drawn("waveform", samples, Drawing(bands=8, columns=5))
    assert (picture[:, 4] == 128).all()
    assert picture[:, 1].tolist() == [128, 128, 255, 255, 128, 128, 128, 128]
    assert picture[:, 3].tolist() == [128, 128, 128, 128, 1, 1, 128, 128]
    assert (drawn("waveform", SILENCE) == 128).all()


def test_a_relative_waveform_fills_the_picture():
    quiet = tone(440, 1.0, peak=0.05)
    absolute, relative = drawn("waveform", quiet), drawn("waveform", quiet, LOUD)
    assert (absolute[:10] == 128).all()
    assert (relative[1] == 255).all()
    levels = SOUND_PICTURES["waveform"](Stretch(quiet, RATE), LOUD)[1]
    assert levels.to_units(np.array([128, 255])) == pytest.approx([0, 0.05], abs=1e-3)


def test_the_26_values_are_those_of_librosa():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, RATE).astype(np.float32)
    samples = noise * np.linspace(0, 1, RATE, dtype=np.float32)
    values = named(measure(samples, RATE))
    assert len(values) == 52
    for name, wanted in (
        ("rms", librosa.feature.rms(y=samples)),
        ("centroid", librosa.feature.spectral_centroid(y=samples, sr=RATE)),
        ("bandwidth", librosa.feature.spectral_bandwidth(y=samples, sr=RATE)),
        ("rolloff", librosa.feature.spectral_rolloff(y=samples, sr=RATE)),
        ("zero_crossing_rate", librosa.feature.zero_crossing_rate(samples)),
        ("mfcc3", librosa.feature.mfcc(y=samples, sr=RATE)[2]),
    ):
        assert values[f"{name}_mean"] == pytest.approx(wanted.mean(), rel=0.02)
        assert values[f"{name}_spread"] == pytest.approx(wanted.std(), rel=0.02)


def test_the_centroid_of_a_tone_is_its_frequency():
    values = named(measure(tone(2000, 1.0), RATE))
    assert values["centroid_mean"] == pytest.approx(2000, rel=0.05)
    assert values["zero_crossing_rate_mean"] == pytest.approx(0.25, abs=0.02)
    assert values["rms_mean"] == pytest.approx(0.35, abs=0.02)


def test_features_give_their_values_back_within_one_level():
    samples = tone(700, 1.0, peak=0.3) + tone(2900, 1.0, peak=0.1)
    values, levels = measure(samples, RATE), drawn("features", samples)
    low, high = np.moveaxis(feature_ranges(RATE), -1, 0)
    back = low + levels / 255 * (high - low)
    rows = np.arange(26) != FEATURE_NAMES.index("rms")
    step = (high - low)[rows] / 255
    assert (np.abs(back - values)[rows] <= step).all()
    rms_dbfs = back[FEATURE_NAMES.index("rms"), 0]
    assert rms_dbfs == pytest.approx(20 * np.log10(values[1, 0]), abs=0.4)


def test_silence_has_features_too():
    values = measure(SILENCE, RATE)
    assert np.isfinite(values).all()
    levels = feature_levels(values, RATE)
    assert levels[FEATURE_NAMES.index("rms")].tolist() == [0, 0]
    assert levels[FEATURE_NAMES.index("mfcc2"), 0] in (127, 128)
