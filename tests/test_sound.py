"""sound.py against tones whose loudness and frequency we chose, and against librosa."""

import librosa
import numpy as np
import pytest
from clips import RATE, tone
from numpy.typing import NDArray

from fmrgb.sound import (
    MEL_BANDS,
    MEL_COLUMNS,
    SOUND_PLANES,
    Heard,
    Levels,
    amplitude,
    frame_rms,
    frequency,
    hz_to_mel,
    is_silent,
    mel,
    mel_basis,
    mel_to_hz,
    stft_peak,
)

FPS = 10
HALF_DB_STEP = 80 / 255 / 2  # dB; half the distance of two levels

Floats = NDArray[np.floating]


def hear(
    samples: Floats, *, fps: float = FPS, rate: int = RATE, late_s: float = 0
) -> Heard:
    """Lay frames of a constant rate over samples that start `late_s` later."""
    n_frames = round((len(samples) / rate + late_s) * fps)
    edges_s = np.arange(n_frames + 1) / fps - late_s
    return Heard(samples, rate, edges_s[:-1], edges_s[1:])


def at_level(hertz: float, dbfs: float, seconds: float, *, rate: int = RATE) -> Floats:
    """Return a sine [S] whose root mean square is `dbfs`."""
    return tone(hertz, seconds, rate=rate, peak=float(np.sqrt(2) * 10 ** (dbfs / 20)))


def noise(seconds: float, *, rate: int = RATE) -> Floats:
    """Return noise with tones that come and go, [S]."""
    rng = np.random.default_rng(3)
    n = round(seconds * rate)
    times_s = np.arange(n) / rate
    gliding = np.sin(2 * np.pi * (200 + 0.1 * rate * times_s / seconds) * times_s)
    swelling = np.abs(np.sin(3 * times_s))
    return (0.2 * gliding * swelling + 0.05 * rng.standard_normal(n)).astype(np.float32)


@pytest.mark.parametrize("dbfs", [-3.1, -20, -40.5, -79])
def test_amplitude_is_the_loudness_in_dbfs(dbfs):
    levels, meaning = amplitude(hear(at_level(500, dbfs, 0.7)), relative=False)
    assert (levels.shape, levels.dtype) == ((7,), np.uint8)
    assert meaning.unit == "dBFS"
    assert meaning.to_units(levels) == pytest.approx(dbfs, abs=HALF_DB_STEP + 0.02)


def test_amplitude_ends_at_its_scale():
    loud, _ = amplitude(hear(np.full(RATE, 2.0, np.float32)), relative=False)
    assert (loud == 255).all()
    faint, _ = amplitude(hear(at_level(500, -81, 1)), relative=False)
    assert not faint.any()


def test_relative_amplitude_is_a_part_of_the_loudest():
    steps = [at_level(500, -20 + gain, 0.1) for gain in (-20, -6.0206, 0)]
    levels, meaning = amplitude(hear(np.concatenate(steps)), relative=True)
    assert levels.tolist() == pytest.approx([25.5, 127.5, 255], abs=0.5)
    assert meaning.to_units(levels) == pytest.approx([-40, -26, -20], abs=0.2)


def test_relative_scales_do_not_blow_near_silence_up():
    heard = hear(at_level(500, -75, 0.5))
    levels, meaning = amplitude(heard, relative=True)
    assert meaning.high == pytest.approx(-60)
    assert levels.tolist() == pytest.approx([45] * 5, abs=1)  # 15 dB below the top
    assert meaning.to_units(levels) == pytest.approx(-75, abs=0.2)
    pictures, meaning = mel(heard, relative=True)
    assert meaning.high == pytest.approx(-60)
    absolute, fixed = mel(hear(at_level(500, -45, 0.5)), relative=False)
    # 30 dB more on a scale that ends 60 dB higher: 30 dB lower in the picture.
    assert 0 < pictures.max() < 255
    louder = fixed.to_units(absolute).max()
    assert meaning.to_units(pictures).max() == pytest.approx(louder - 30, abs=0.4)


def test_a_frame_is_as_loud_as_its_own_samples():
    samples = np.concatenate(
        [np.full(n, v, np.float32) for n, v in [(800, 0.5), (2400, 1)]]
    )
    # Three frames of unequal length; the second lies in both parts.
    heard = Heard(
        samples, RATE, np.array([0, 0.025, 0.075]), np.array([0.025, 0.075, 0.2])
    )
    assert frame_rms(heard) == pytest.approx([0.5, np.sqrt((0.25 + 1) / 2), 1])


def test_what_lies_outside_the_sound_is_silence():
    samples = np.ones(RATE // 10, np.float32)
    starts_s = np.array([-0.3, -0.05, 0.05, 0.1, 0.5])
    heard = Heard(samples, RATE, starts_s, starts_s + 0.1)
    half = np.sqrt(0.5)
    assert frame_rms(heard) == pytest.approx([0, half, half, 0, 0])


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("hertz", [60, 440, 1000, 3500])
def test_frequency_is_that_of_a_pure_tone(hertz, rate):
    heard = hear(tone(hertz, 1.1, rate=rate), rate=rate)
    bin_hz = rate / 4096 if rate < 40_000 else rate / 8192
    assert stft_peak(heard) == pytest.approx(np.full(11, hertz), abs=bin_hz)
    levels, meaning = frequency(heard, relative=False)
    assert (levels.shape, levels.dtype, meaning.unit) == ((11,), np.uint8, "Hz")
    assert meaning.to_units(levels) == pytest.approx(
        np.full(11, hertz), rel=0.02, abs=8
    )


def test_frequency_follows_a_change_of_tone():
    samples = np.concatenate([tone(500, 0.3), tone(2000, 0.4)])
    peaks = stft_peak(hear(samples))
    assert peaks == pytest.approx([500] * 3 + [2000] * 4, abs=4)


def test_relative_frequency_is_a_part_of_the_highest_peak():
    samples = np.concatenate([tone(500, 0.3), tone(2000, 0.4)])
    levels, meaning = frequency(hear(samples), relative=True)
    assert levels.tolist() == pytest.approx([64] * 3 + [255] * 4, abs=1)
    assert meaning.to_units(levels[[0, 6]]) == pytest.approx([500, 2000], abs=6)


def test_rumble_and_offset_are_no_frequency():
    samples = tone(700, 1, peak=0.1) + tone(8, 1, peak=0.4) + np.float32(0.3)
    assert stft_peak(hear(samples)) == pytest.approx(np.full(10, 700), abs=4)


def test_a_faint_frame_has_no_frequency():
    samples = np.concatenate([at_level(900, -61, 0.3), at_level(900, -59, 0.2)])
    levels, _ = frequency(hear(samples), relative=False)
    assert not levels[:3].any()
    assert levels[3:].all()


def test_frequencies_above_the_scale_end_at_its_top():
    high = tone(11_000, 0.5, rate=48_000)
    levels, _ = frequency(hear(high, rate=48_000), relative=False)
    assert (levels == 255).all()


@pytest.mark.parametrize(
    ("fps", "rate"), [(10, 8000), (25, 16_000), (30, 16_020), (5, 800)]
)
def test_frequency_is_the_column_of_librosas_stft_at_the_frames_middle(fps, rate):
    samples = noise(1.2, rate=rate)
    heard = hear(samples, fps=fps, rate=rate)
    per_frame = rate // fps
    window = max(per_frame, round(0.032 * rate))
    n_fft = 1 << int(np.ceil(np.log2(2 * window)))
    columns = librosa.stft(
        samples,
        n_fft=n_fft,
        hop_length=per_frame // 2,
        win_length=window,
        window="hann",
    )
    # Column 2 t is centred on the beginning of frame t, column 2 t + 1 on its middle.
    middles = np.abs(columns[:, 1::2][:, : len(heard.starts_s)])
    freqs_hz = librosa.fft_frequencies(sr=rate, n_fft=n_fft)
    middles[freqs_hz < 20] = 0
    assert len(set(stft_peak(heard))) > 3
    assert stft_peak(heard) == pytest.approx(freqs_hz[middles.argmax(axis=0)])


def librosas_mel(samples: Floats, rate: int, hop: int, n_columns: int) -> Floats:
    """Return librosa's mel spectrogram [M, n_columns] in dB; a full sine has 0 dB.

    Column k is centred on sample `hop * (k + 1 / 2)`.
    """
    window = round(0.032 * rate)
    n_fft = 1 << int(np.ceil(np.log2(rate / 31.25)))
    power = librosa.feature.melspectrogram(
        y=np.pad(samples, (n_fft // 2 - hop // 2, n_fft)),
        sr=rate,
        n_fft=n_fft,
        win_length=window,
        hop_length=hop,
        center=False,
        n_mels=MEL_BANDS,
        fmax=8000,
        norm=None,
    )
    full_scale = np.square(librosa.filters.get_window("hann", window).sum() / 2)
    return 10 * np.log10(np.maximum(power[:, :n_columns] / full_scale, 1e-20))


@pytest.mark.filterwarnings("ignore:Empty filters")  # above half of a low rate
@pytest.mark.parametrize("rate", [8000, 12_500, 16_000, 32_000])
@pytest.mark.parametrize("relative", [False, True])
def test_mel_is_librosas_mel_spectrogram(rate, relative):
    samples = noise(1.2, rate=rate)
    levels, meaning = mel(hear(samples, fps=12.5, rate=rate), relative=relative)
    assert (levels.shape, levels.dtype) == ((15, MEL_BANDS, MEL_COLUMNS), np.uint8)
    hop = round(rate / 12.5) // MEL_COLUMNS
    decibel = librosas_mel(samples, rate, hop, 15 * MEL_COLUMNS)
    high = decibel.max() if relative else 0.0
    wanted = np.clip(1 + (decibel - high) / 80, 0, 1) * 255
    pictures = wanted.reshape(MEL_BANDS, 15, MEL_COLUMNS).transpose(1, 0, 2)[:, ::-1]
    assert np.abs(levels - pictures).max() <= 1
    assert (meaning.unit, meaning.high) == ("dB", pytest.approx(high, abs=1e-3))
    assert np.ptp(levels) > 100


def test_mel_has_the_lowest_band_at_the_bottom_and_time_to_the_right():
    samples = np.concatenate([tone(120, 0.1), tone(6000, 0.1)])
    levels, _ = mel(hear(samples, fps=5), relative=False)
    (picture,) = levels
    rows = picture.argmax(axis=0)
    assert (rows[:2] > 55).all()
    assert (rows[2:] < 10).all()


def test_a_full_sine_in_the_middle_of_a_band_has_0_db():
    middle_hz = librosa.mel_frequencies(MEL_BANDS + 2, fmin=0, fmax=8000)[40]
    bin_hz = 31.25
    middle_hz = round(middle_hz / bin_hz) * bin_hz
    levels, meaning = mel(hear(tone(middle_hz, 1, peak=1.0)), relative=False)
    loudest = meaning.to_units(levels).max(axis=(1, 2))[1:-1]
    assert loudest == pytest.approx(
        0, abs=1.8
    )  # the band's triangle lies beside the bin
    assert (levels.argmax(axis=1)[1:-1] == MEL_BANDS - 1 - 39).all()


def test_mel_bands_mean_the_same_at_every_rate():
    rows = {
        int(
            mel(hear(tone(1500, 1, rate=r), rate=r), relative=False)[0][
                5, :, 1
            ].argmax()
        )
        for r in (8000, 16_000, 48_000)
    }
    assert len(rows) == 1


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("name", SOUND_PLANES)
@pytest.mark.parametrize("n", [0, 1, RATE])
def test_silence_is_0_everywhere(name, relative, n):
    times_s = np.arange(10) / FPS
    heard = Heard(np.zeros(n, np.float32), RATE, times_s, times_s + 0.1)
    levels, meaning = SOUND_PLANES[name](heard, relative=relative)
    assert not levels.any()
    assert not levels.any()
    assert np.isfinite([meaning.low, meaning.high]).all()


@pytest.mark.parametrize("name", SOUND_PLANES)
def test_absolute_planes_do_not_depend_on_the_rest_of_the_clip(name):
    own = tone(800, 0.5, peak=0.1)
    both = np.concatenate([own, tone(3000, 0.5, peak=0.9)])
    alone, meaning = SOUND_PLANES[name](hear(own), relative=False)
    beside, same = SOUND_PLANES[name](hear(both), relative=False)
    assert np.array_equal(alone[:4], beside[:4])
    assert meaning == same


@pytest.mark.parametrize("name", SOUND_PLANES)
def test_relative_planes_reach_the_top_and_forget_the_gain(name):
    loud, quiet = tone(800, 0.5), tone(800, 0.5, peak=0.05)
    one, _ = SOUND_PLANES[name](hear(loud), relative=True)
    two, _ = SOUND_PLANES[name](hear(quiet), relative=True)
    assert one.max() == two.max() == 255
    assert np.abs(one.astype(int) - two).max() <= 1


@pytest.mark.parametrize("name", SOUND_PLANES)
def test_planes_know_frames_of_unequal_length_and_late_sound(name):
    edges_s = np.array([-0.5, -0.2, 0.0, 0.3, 0.36, 1.0, 1.5, 1.9])
    heard = Heard(tone(800, 1.0), RATE, edges_s[:-1], edges_s[1:])
    levels, _ = SOUND_PLANES[name](heard, relative=False)
    per_frame = levels.reshape(7, -1).max(axis=1)
    assert not per_frame[[0, 6]].any()
    assert per_frame[2:5].all()


@pytest.mark.parametrize("name", SOUND_PLANES)
def test_long_clips_are_worked_on_in_pieces(name, monkeypatch):
    heard = hear(noise(1.2))
    whole, _ = SOUND_PLANES[name](heard, relative=False)
    monkeypatch.setattr("fmrgb.sound.WINDOWS_AT_ONCE", 5)
    assert np.array_equal(SOUND_PLANES[name](heard, relative=False)[0], whole)


@pytest.mark.parametrize(
    ("meaning", "units"),
    [
        (Levels("dBFS", -80, 0, "dB"), np.linspace(-80, 0, 256)),
        (Levels("Hz", 0, 2040, "Hz"), np.arange(256) * 8.0),
        (
            Levels("Hz", 0, 8000, "mel"),
            librosa.mel_frequencies(256, fmin=0, fmax=8000),
        ),
    ],
)
def test_levels_are_turned_back_into_units(meaning, units):
    assert meaning.to_units(np.arange(256, dtype=np.uint8)) == pytest.approx(units)


def test_levels_of_a_gain_are_turned_back_into_dbfs():
    meaning = Levels("dBFS", -80, -20, "gain")
    units = meaning.to_units(np.array([255, 51, 0], np.uint8))
    assert units == pytest.approx([-20, -20 - 13.9794, -80])


def test_half_a_track_of_noise_is_not_silent():
    assert is_silent(np.zeros(0, np.float32))
    assert is_silent(np.zeros(7, np.float32))
    assert is_silent(at_level(500, -60.5, 1))
    assert not is_silent(at_level(500, -59.5, 1))
    assert not is_silent(np.concatenate([np.zeros(RATE, np.float32), tone(500, 0.01)]))


def test_mel_is_librosas_mel_number_for_number():
    hertz = np.append(np.linspace(0, 24_000, 1001), [999.999999, 1000.0, 1000.000001])
    assert np.array_equal(hz_to_mel(hertz), librosa.hz_to_mel(hertz))
    assert np.array_equal(
        mel_to_hz(hz_to_mel(hertz)), librosa.mel_to_hz(librosa.hz_to_mel(hertz))
    )


@pytest.mark.filterwarnings("ignore:Empty filters")  # above half of a low rate
@pytest.mark.parametrize("rate", [800, 8000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize("n_fft", [512, 1024])
def test_the_filter_bank_is_librosas_number_for_number(rate, n_fft):
    wanted = librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=MEL_BANDS, fmax=8000, norm=None
    )
    assert np.array_equal(mel_basis(rate, n_fft), wanted)
    assert mel_basis(rate, n_fft).dtype == np.float32


@pytest.mark.parametrize("relative", [False, True])
def test_sound_on_disk_is_heard_like_sound_in_memory(tmp_path, monkeypatch, relative):
    samples = noise(2.3)
    samples.tofile(tmp_path / "samples")
    mapped = np.memmap(tmp_path / "samples", np.float32, mode="r+")
    monkeypatch.setattr("fmrgb.sound.WINDOWS_AT_ONCE", 8)  # so that pages are let go
    for draw in SOUND_PLANES.values():
        on_disk, in_memory = (
            draw(hear(s), relative=relative) for s in (mapped, samples)
        )
        assert np.array_equal(on_disk[0], in_memory[0])
        assert on_disk[1] == in_memory[1]
    assert is_silent(mapped) == is_silent(samples)
    assert np.array_equal(mapped, samples)
