"""windows.py, recording.py, events.py: long recordings, window by window."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import answering
import clips
import numpy as np
import pytest
from answering import ByLight

from fmrgb.build import prepare
from fmrgb.cells import read_csv
from fmrgb.errors import InputError, MediaError
from fmrgb.events import Event, Judged, Recording, merge, spans_of, write_events
from fmrgb.media import read_clip
from fmrgb.predict import predict_one
from fmrgb.recording import is_long, predict_recording, window_and_hop
from fmrgb.streams import open_recording
from fmrgb.timeline import (
    COLOURS,
    clock,
    draw_timeline,
    leading,
    tick_s,
    write_timeline,
)
from fmrgb.unlike import NO_PICTURE, NO_SOUND
from fmrgb.windows import Cutter, Layout, Window, cut

CLASSES = ("bright", "dark")


@pytest.fixture(scope="module")
def dusk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 8 s at 10 fps: dark for 3, bright for 2, dark for 3, with a tone."""
    return answering.dusk(tmp_path_factory.mktemp("dusk") / "dusk.mp4")


def windows_of(
    path: Path, window_s: float, hop_s: float, **how: object
) -> list[Window]:
    """Cut a file."""
    with open_recording(path) as stream:
        layout = Layout(
            window_s=window_s,
            hop_s=hop_s,
            fps=stream.fps or clips.FPS,
            size=(14, 10),
            skip=1,
            rate=clips.RATE,
            has_picture=stream.fps is not None,
            has_sound=stream.has_sound,
        )
        return list(cut(stream.frames, Cutter(replace(layout, **how))))  # type: ignore[arg-type]


def judged(*bright: float, window_s: float = 2.0, hop_s: float = 2.0) -> list[Judged]:
    """Return windows with these probabilities of the first class."""
    return [
        Judged(i * hop_s, i * hop_s + window_s, np.array([p, 1 - p]))
        for i, p in enumerate(bright)
    ]


def recording(*bright: float, **how: object) -> Recording:
    """Return a recording with these probabilities of the first class."""
    known = {
        "name": "a/b.mp4",
        "classes": CLASSES,
        "seconds": 2.0 * len(bright),
        "window_s": 2.0,
        "hop_s": 2.0,
        "threshold": 0.0,
        "judged": tuple(judged(*bright)),
        "has_sound": True,
        "silent": False,
    }
    return Recording(**{**known, **how})  # type: ignore[arg-type]


def test_windows_hold_the_frames_and_the_sound_of_their_time(dusk):
    whole = read_clip(dusk, size=(14, 10))
    assert whole.sound is not None
    found = windows_of(dusk, 2.0, 2.0)
    assert [(w.start_s, w.end_s) for w in found] == [(0, 2), (2, 4), (4, 6), (6, 8)]
    for i, window in enumerate(found):
        frames = slice(20 * i, 20 * i + 20)
        np.testing.assert_array_equal(window.clip.frames, whole.frames[frames])
        np.testing.assert_allclose(window.clip.starts_s, whole.starts_s[frames])
        np.testing.assert_allclose(window.clip.ends_s, whole.ends_s[frames])
        sound = window.clip.sound
        assert sound is not None
        assert sound.start_s == pytest.approx(max(2.0 * i, whole.sound.start_s))
        first = round((sound.start_s - whole.sound.start_s) * sound.rate)
        same = whole.sound.samples[first : first + len(sound.samples)]
        np.testing.assert_array_equal(sound.samples, same)
        assert len(sound.samples) / sound.rate == pytest.approx(2, abs=0.1)


def test_windows_that_overlap_share_frames(dusk):
    found = windows_of(dusk, 3.0, 0.5)
    assert [w.start_s for w in found] == [0.5 * i for i in range(11)]
    assert {len(w.clip.frames) for w in found} == {30}


def test_the_last_window_ends_where_the_recording_ends(dusk):
    found = windows_of(dusk, 3.0, 3.0)
    assert [(w.start_s, w.end_s) for w in found] == [(0, 3), (3, 6), (5, 8)]
    assert len(found[-1].clip.frames) == 30
    found = windows_of(dusk, 7.9, 7.9)  # a tenth of a second is not judged alone
    assert [(w.start_s, w.end_s) for w in found] == [(0, pytest.approx(7.9))]
    found = windows_of(dusk, 100.0, 10.0)
    assert [(w.start_s, w.end_s) for w in found] == [(0, 8)]


def test_a_window_as_long_as_a_clip_gets_the_clips_own_answer(talkie):
    opened = ByLight()
    alone = predict_one(opened, talkie)
    whole = predict_recording(opened, talkie, window_s=1.2)
    np.testing.assert_array_equal(*opened.asked)
    np.testing.assert_array_equal(whole.judged[0].probabilities, alone.probabilities)
    assert len(whole.judged) == 1


def test_a_picture_that_stays_is_seen_in_every_window(tmp_path):
    frames = answering.lights((answering.DARK, 0.1), (answering.BRIGHT, 0.1))
    slow = clips.make(tmp_path / "slow.mkv", frames, clips.tone(440, 8), fps="1/4")
    found = windows_of(slow, 1.0, 1.0)
    assert [w.start_s for w in found] == list(range(8))
    lights = [w.clip.frames.mean() > 128 for w in found]
    assert lights == [False] * 4 + [True] * 4
    for window in found:
        assert len(window.clip.frames) == 1
        assert window.clip.starts_s[0] == pytest.approx(window.start_s)
        assert window.clip.ends_s[0] == pytest.approx(window.end_s, abs=0.01)
        sound = window.clip.sound
        assert sound is not None
        assert clips.strongest_hz(sound.samples, sound.rate) == pytest.approx(
            440, abs=5
        )


def test_sound_alone_is_cut_beside_black_pictures(tmp_path):
    sound = np.concatenate([clips.tone(500, 2), clips.tone(2000, 2)])
    path = clips.make(tmp_path / "two.wav", None, sound, audio=())
    found = windows_of(path, 2.0, 2.0)
    assert [w.clip.frames.shape for w in found] == [(20, 10, 14, 3)] * 2
    assert not any(w.clip.frames.any() for w in found)
    heard = [w.clip.sound for w in found]
    told = [clips.strongest_hz(s.samples, s.rate) for s in heard if s]
    assert told == [pytest.approx(500, abs=2), pytest.approx(2000, abs=2)]


def test_sound_that_ends_early_keeps_no_window_waiting(tmp_path):
    frames = answering.lights((answering.DARK, 6))
    path = clips.make(tmp_path / "early.mkv", frames, clips.tone(440, 1))
    found = windows_of(path, 2.0, 2.0, patience_s=1.0)
    assert [w.start_s for w in found] == [0, 2, 4]
    lengths = [len(w.clip.sound.samples) for w in found if w.clip.sound]
    assert lengths[0] > 0
    assert lengths[1:] == [0, 0]


def test_memory_does_not_grow_with_length(tmp_path):
    peaks = []
    for seconds in (10, 60):
        frames = answering.lights((answering.DARK, seconds))
        path = clips.make(tmp_path / f"{seconds}.mp4", frames, clips.tone(440, seconds))
        with open_recording(path) as stream:
            layout = Layout(2.0, 2.0, 10.0, (140, 100), 1, clips.RATE, True, True)
            tracemalloc.start()
            n_windows = sum(1 for _ in cut(stream.frames, Cutter(layout)))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert n_windows == seconds / 2
    assert peaks[1] < 1.2 * peaks[0]


def test_events_are_found_where_they_are(dusk):
    told = predict_recording(ByLight(), dusk, window_s=1.0, hop_s=0.5)
    labels = [(e.label, e.start_s, e.end_s) for e in told.events]
    rounded = [(label, round(start), round(end)) for label, start, end in labels]
    assert rounded == [("dark", 0, 3), ("bright", 3, 5), ("dark", 5, 8)]
    assert all(e.peak_probability > 0.9 for e in told.events)
    assert told.seconds == pytest.approx(8)
    assert (told.notes, told.fault, told.silent) == ((), None, False)
    share = told.probabilities[0]
    assert share == pytest.approx(2 / 8, abs=0.05)


def test_windows_are_prepared_as_clips_of_their_length_are(dusk):
    opened = ByLight()
    predict_recording(opened, dusk, window_s=2.0)
    window = windows_of(dusk, 2.0, 2.0)[1]
    sample = prepare(window.clip, answering.RECIPE)
    seen = opened.asked[1][0]
    np.testing.assert_array_equal(seen[3, :, 0, 0], sample.sound["amplitude"])
    np.testing.assert_array_equal(seen[:3].transpose(1, 2, 3, 0), sample.visual)


def test_what_a_recording_lacks_is_noted_once(tmp_path, mute):
    told = predict_recording(ByLight(), mute, window_s=0.5)
    assert (told.notes, told.has_sound) == ((NO_SOUND,), False)
    path = clips.make(tmp_path / "t.wav", None, clips.tone(440, 3), audio=())
    told = predict_recording(ByLight(), path, window_s=1.0)
    assert told.notes == (NO_PICTURE,)
    assert len(told.judged) == 3
    with pytest.raises(MediaError, match="no sound track, and the model judges by it"):
        predict_recording(ByLight(answering.sound_alone()), mute, window_s=0.5)


def test_of_a_damaged_recording_the_sound_part_is_judged(tmp_path):
    dice = np.random.default_rng(0)
    frames = dice.integers(0, 256, (120, 32, 48, 3), np.uint8)
    whole = clips.make(tmp_path / "w.mp4", frames)
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 6000] = bytes(6000)
    path = tmp_path / "hurt.mp4"
    path.write_bytes(data)
    told = predict_recording(ByLight(), path, window_s=1.0)
    assert told.fault is not None
    assert "hurt.mp4" in told.fault
    assert 3 < told.judged[-1].end_s < 9
    nothing = tmp_path / "cut.mp4"
    clips.cut(whole, nothing, 0.5)
    with pytest.raises(MediaError, match=r"cut\.mp4"):
        predict_recording(ByLight(), nothing, window_s=1.0)


def test_a_recording_is_long_from_one_and_a_half_windows_on(dusk):
    assert is_long(dusk, 5.2)
    assert not is_long(dusk, 5.4)


def test_no_longer_than_the_longest_training_clip_is_not_long(dusk):
    assert not is_long(dusk, 1.0, longest_s=8.0)
    assert is_long(dusk, 1.0, longest_s=7.0)
    assert not is_long(dusk, 5.4, longest_s=1.0), "what the window allows stays allowed"


def test_window_and_hop_come_from_the_training_clips():
    card = answering.CARD
    assert window_and_hop(card, None, None) == (1.2, 1.2)
    assert window_and_hop(card, 3.0, None) == (3.0, 3.0)
    assert window_and_hop(card, None, 0.4) == (1.2, 0.4)
    # 6 frames, at the rate nearest to 25 fps that the training clips had.
    unknown = replace(card, seconds=None)
    assert window_and_hop(unknown, None, None)[0] == pytest.approx(6 / 12)
    with pytest.raises(
        InputError, match=r"--hop 2 s is more than the window of 1\.2 s"
    ):
        window_and_hop(card, None, 2.0)


def test_windows_share_out_what_they_overlap():
    assert spans_of(judged(0.1, 0.2, 0.3)) == [(0, 2), (2, 4), (4, 6)]
    overlapping = judged(0.1, 0.2, 0.3, window_s=2, hop_s=1)
    assert spans_of(overlapping) == [(0, 1.5), (1.5, 2.5), (2.5, 4)]
    apart = [judged(0.1)[0], Judged(700, 702, np.array([0.5, 0.5]))]
    assert spans_of(apart) == [(0, 2), (700, 702)]


def test_windows_of_one_label_are_one_event():
    assert merge(judged(0.9, 0.7, 0.2, 0.6), CLASSES) == [
        Event("bright", 0, 4, 0.9),
        Event("dark", 4, 6, 0.8),
        Event("bright", 6, 8, 0.6),
    ]
    assert merge(judged(0.9, 0.6, 0.95), CLASSES, 0.8) == [
        Event("bright", 0, 2, 0.9),
        Event("bright", 4, 6, 0.95),
    ]
    apart = [*judged(0.9), Judged(700, 702, np.array([0.8, 0.2]))]
    assert merge(apart, CLASSES) == [
        Event("bright", 0, 2, 0.9),
        Event("bright", 700, 702, 0.8),
    ]
    assert merge([], CLASSES) == []


def test_the_files_tell_all(tmp_path):
    told = recording(0.9, 0.7, 0.2, threshold=0.75, notes=("grey",))
    paths = write_events(tmp_path, told)
    assert [p.name for p in paths] == ["events.csv", "events.json", "windows.csv"]
    rows = read_csv(paths[0], ("label",))
    assert rows == [
        dict(label="bright", start_s="0.0", end_s="2.0", peak_probability="0.9"),
        dict(label="dark", start_s="4.0", end_s="6.0", peak_probability="0.8"),
    ]
    whole = json.loads(paths[1].read_text())
    assert [e["label"] for e in whole["events"]] == ["bright", "dark"]
    assert whole["windows"][1] == {
        "start_s": 2.0,
        "end_s": 4.0,
        "label": "unsure",
        "probabilities": {"bright": 0.7, "dark": 0.3},
    }
    assert (whole["seconds"], whole["notes"]) == (6.0, ["grey"])
    lines = read_csv(paths[2], ("label",))
    assert [line["label"] for line in lines] == ["bright", "unsure", "dark"]
    assert lines[0]["p_bright"] == "0.9"


def band_colours(picture: np.ndarray) -> list[tuple[int, int, int]]:
    """Return the colours in the middle of the band of labels, from left to right."""
    line = picture[107, 95:1205]
    changes = np.flatnonzero((line[1:] != line[:-1]).any(axis=1)) + 1
    parts = [p for p in np.split(line, changes) if len(p) > 20]
    return [tuple(map(int, part[0])) for part in parts]


def rgb(colour: str) -> tuple[int, int, int]:
    """Read a colour like #0072B2."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def test_the_timeline_shows_labels_in_their_colours(tmp_path):
    told = recording(0.9, 0.8, 0.1, 0.55, threshold=0.7)
    write_timeline(tmp_path / "t.png", told)
    assert (tmp_path / "t.png").read_bytes()[1:4] == b"PNG"
    bright, dark = map(rgb, COLOURS[:2])
    assert band_colours(draw_timeline(told)) == [bright, dark, (221, 221, 221)]
    plain = draw_timeline(recording(0.9, 0.8, 0.1))
    assert band_colours(plain) == [bright, dark]


def test_of_many_classes_those_that_lead_longest_are_drawn():
    names = tuple(f"c{k}" for k in range(20))
    said = []
    for i, k in enumerate([17, 17, 3, 3, 9]):
        told = np.full(20, 0.01)
        told[k] = 0.81
        said.append(Judged(2.0 * i, 2.0 * i + 2, told))
    many = recording(classes=names, judged=tuple(said), seconds=10.0)
    chosen = leading(many)
    assert len(chosen) == len(COLOURS)
    assert {"c3", "c9", "c17"} <= set(chosen)
    assert draw_timeline(many).shape[1] == 1400


def test_names_that_look_like_formulas_are_drawn_as_they_are():
    odd = recording(0.9, 0.2, classes=("_x", "$a$\n"), name="$\\b/_$.mp4")
    assert draw_timeline(odd).shape[1] == 1400


def test_marks_of_time_are_round_numbers_and_few():
    told = {s: tick_s(s) for s in (1, 8, 60, 3755, 7 * 3600, 100 * 3600)}
    assert list(told.values()) == [0.1, 1, 5, 600, 3600, 9 * 3600]
    assert all(s / step <= 12 for s, step in told.items())


def test_a_clock_counts_to_hours():
    told = [clock(s) for s in (0, 59.96, 61.25, 3600, 5025.5)]
    assert told == ["0:00", "1:00", "1:01.2", "1:00:00", "1:23:45.5"]
