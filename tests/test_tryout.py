"""tryout.py and scratch.py: what a dropped file tells, and which files are kept."""

import os
import time
from dataclasses import replace
from pathlib import Path

import answering
import clips
import numpy as np
import pytest
from answering import ByLight

from fmrgb.cells import read_csv
from fmrgb.errors import InputError, MediaError
from fmrgb.sample import save_sample
from fmrgb.scratch import EACH, Scratch, scratch
from fmrgb.tryout import draw_planes, length_of, sample_of, try_file

LONG_ENOUGH = 60.0  # s


def test_a_short_clip_is_judged_whole(tmp_path, talkie):
    told = try_file(ByLight(), talkie, tmp_path, max_seconds=LONG_ENOUGH)
    assert (told.name, told.timeline, told.moments) == ("talkie.mp4", None, ())
    assert told.label == max(told.probabilities, key=told.probabilities.__getitem__)
    assert told.seconds == pytest.approx(1.2, abs=0.05)
    (row,) = read_csv(told.files[0], ("path", "predicted"))
    assert (row["path"], row["predicted"]) == ("talkie.mp4", told.label)


def test_a_long_file_gets_a_timeline_and_its_events(tmp_path):
    path = answering.dusk(tmp_path / "dusk.mp4")
    told = try_file(ByLight(), path, tmp_path, max_seconds=LONG_ENOUGH)
    assert [m.label for m in told.moments] == ["dark", "bright", "dark"]
    bright = told.moments[1]
    assert bright.start_s == pytest.approx(3, abs=0.7)
    assert bright.end_s == pytest.approx(5, abs=0.7)
    assert told.timeline is not None
    assert told.timeline.shape[1:] == (1400, 3)
    tables = [path.name for path in told.files]
    assert tables == ["predictions.csv", "events.csv", "windows.csv"]
    assert str(tmp_path) not in "".join(path.read_text() for path in told.files)
    lit = sample_of(ByLight(), path, bright.window_s)
    assert lit.visual.mean() > 200
    dark = sample_of(ByLight(), path, told.moments[0].window_s)
    assert dark.visual.mean() < 50


def test_a_sample_is_judged_too(tmp_path, talkie):
    save_sample(tmp_path / "a.pt", sample_of(ByLight(), talkie))
    told = try_file(ByLight(), tmp_path / "a.pt", tmp_path, max_seconds=LONG_ENOUGH)
    raw = try_file(ByLight(), talkie, tmp_path, max_seconds=LONG_ENOUGH)
    assert told.probabilities == raw.probabilities


def test_planes_of_a_clip_are_drawn(talkie):
    sheet = draw_planes(sample_of(ByLight(), talkie), talkie)
    assert sheet.shape[1:] == (1600, 3)
    assert np.ptp(sheet) > 200


def test_a_file_of_another_kind_is_refused_with_the_kinds_that_are_known(tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("no clip")
    with pytest.raises(InputError, match=r"^notes.txt is of a kind .*\.mp4, .*\.pt$"):
        try_file(ByLight(), notes, tmp_path, max_seconds=LONG_ENOUGH)


def test_words_named_like_a_video_are_refused(tmp_path):
    fake = tmp_path / "fake.mp4"
    fake.write_text("no clip")
    with pytest.raises(MediaError, match="is not a video"):
        try_file(ByLight(), fake, tmp_path, max_seconds=LONG_ENOUGH)


def test_a_clip_that_is_too_long_is_refused(tmp_path, talkie):
    with pytest.raises(InputError, match=r"lasts 1\.\d+ s, .* up to 1 s; cut it"):
        try_file(ByLight(), talkie, tmp_path, max_seconds=1.0)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
def test_the_length_is_that_of_the_packets(tmp_path, name):
    codecs = {"video": ("-c:v", "libvpx"), "audio": ("-c:a", "libopus")}
    how = codecs if name == "a.webm" else {}
    # A live container tells no length in its header, as cameras of browsers write it.
    live = ("-live", "1") if name == "a.webm" else ()
    video = (*how.get("video", (*clips.BT601, *clips.H264)), *live)
    audio = how.get("audio", clips.AAC)
    frames, sound = clips.colours(31), clips.tone(500, 3.1)
    path = clips.make(tmp_path / name, frames, sound, video=video, audio=audio)
    assert length_of(path) == pytest.approx(3.1, abs=0.15)


def file_of(folder: Path, name: str, n_bytes: int, age_s: float) -> Path:
    """Write a file that was changed some s ago."""
    path = folder / name
    path.write_bytes(bytes(n_bytes))
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def test_the_oldest_files_go_where_there_is_no_room(tmp_path):
    kept = Scratch(tmp_path, 1000 + 3 * EACH)
    for age, name in enumerate("abcd"):
        file_of(tmp_path, name, 300, 10 * age)
    kept.sweep()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]
    kept.sweep(room=500 + EACH)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]


def test_many_small_files_take_room_too_and_leave_no_folders(tmp_path):
    for n in range(40):
        (tmp_path / str(n)).mkdir()
        file_of(tmp_path / str(n), "a", 1, n)
    Scratch(tmp_path, 10 * (1 + EACH)).sweep()
    assert {p.name for p in tmp_path.iterdir()} == {str(n) for n in range(10)}


def test_what_nobody_touched_for_an_hour_goes(tmp_path):
    file_of(tmp_path, "young", 3, 3500)
    file_of(tmp_path, "old", 3, 3700)
    Scratch(tmp_path, 3 * EACH).sweep()
    assert [p.name for p in tmp_path.iterdir()] == ["young"]


def test_a_file_is_held_only_if_it_lies_inside(tmp_path):
    inside = tmp_path / "in"
    inside.mkdir()
    kept = Scratch(inside, 1000)
    own = file_of(inside, "own", 3, 0)
    other = file_of(tmp_path, "other", 3, 0)
    (inside / "link").symlink_to(other)
    assert kept.holds(own)
    assert not kept.holds(other)
    assert not kept.holds(inside / "link")
    assert not kept.holds(inside / ".." / "other")
    assert not kept.holds(inside)
    assert not kept.holds(inside / "none")


def test_the_folder_goes_at_the_end():
    with scratch(1000) as kept:
        (kept.new() / "a").write_text("a")
        folder = kept.folder
        assert folder.stat().st_mode & 0o077 == 0, "others may look into it"
    assert not folder.exists()


def test_what_is_no_longer_than_the_longest_training_clip_is_judged_whole(
    talkie, tmp_path
):
    seconds = length_of(talkie)
    for name, longest in (("whole", seconds), ("windows", seconds / 2)):
        judge = ByLight()
        judge.card = replace(judge.card, seconds=seconds / 4, longest=longest)
        (tmp_path / name).mkdir()
        told = try_file(judge, talkie, tmp_path / name, max_seconds=LONG_ENOUGH)
        assert (told.timeline is None) == (name == "whole")
