"""Samples of sound alone: what is cut, drawn, listed, and made again."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import clips
import numpy as np
import pytest
from clips import RATE, tone
from fmrgb_tools.create_fmrgbdata import main

from fmrgb.errors import MediaError
from fmrgb.manifest import Row, read_manifest
from fmrgb.names import FEATURE_NAMES
from fmrgb.recipe import Recipe, SoundLook
from fmrgb.sample import Sample, load_sample
from fmrgb.soundclip import starts_of, window_starts

KINDS = {  # suffix -> ffmpeg's words for coding the sound
    "wav": ("-c:a", "pcm_s16le"),
    "flac": ("-c:a", "flac"),
    "mp3": ("-c:a", "libmp3lame", "-b:a", "128k"),
    "ogg": ("-c:a", "libvorbis"),
    "opus": ("-c:a", "libopus", "-b:a", "64k"),
    "m4a": clips.AAC,
    "aac": clips.AAC,
}


def write(path: Path, sound: np.ndarray) -> Path:
    """Write a sound file; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return clips.make(path, None, sound, audio=KINDS[path.suffix[1:]])


def build(target: Path, *words: str, status: int = 0) -> list[Row]:
    """Run the tool beside `target`, into `out`; return the rows of the manifest."""
    output = target.parent / "out"
    said = ["--target", str(target), "--output", str(output), "--workers", "1"]
    assert main([*said, *words]) == status
    return read_manifest(output)


def sample_of(target: Path, *words: str) -> Sample:
    """Build the sample of a single sound file, and open it."""
    (row,) = build(target, *words)
    return load_sample(row.path)


def with_silence(before_s: float, word: np.ndarray, behind_s: float) -> np.ndarray:
    """Put silence around a sound."""
    n = [round(s * RATE) for s in (before_s, behind_s)]
    return np.concatenate([np.zeros(n[0]), word, np.zeros(n[1])]).astype(np.float32)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one worker work in this process, where librosa is imported once for all."""
    monkeypatch.setattr("fmrgb_tools.create_fmrgbdata.allowance", lambda _: None)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Return a folder of two labels with a tone each, of unlike lengths."""
    write(tmp_path / "in" / "low" / "a.wav", tone(500, 0.6))
    write(tmp_path / "in" / "high" / "b.flac", tone(4000, 0.9))
    return tmp_path / "in"


# What is in a sample


@pytest.mark.parametrize("suffix", KINDS)
def test_sound_files_of_every_kind_become_logmel_pictures(tmp_path, suffix):
    path = write(tmp_path / f"x.{suffix}", tone(1000, 1.0))
    sample = sample_of(path, "--bands", "40", "--columns", "25")
    assert sample.shape == (1, 40, 25, 1)
    assert sample.channels == ("logmel",)
    assert sample.visual.shape == (1, 40, 25, 0)
    assert (sample.has_sound, sample.silent) == (True, False)
    assert sample.meta["seconds"] == pytest.approx(1.0, abs=0.1)
    # 1000 Hz is a third of the way up in mel.
    assert sample.clip[0, :, 12, 0].argmax() == pytest.approx(40 * 2 / 3, abs=2)


def test_several_pictures_are_channels_in_their_order(notes):
    words = ("--soundpicture", "mfcc,features,waveform,stft")
    rows = build(notes, *words, "--bands", "30", "--columns", "20")
    assert [row.label for row in rows] == ["high", "low"]
    for row in rows:
        sample = load_sample(row.path)
        assert sample.channels == ("mfcc", "features", "waveform", "stft")
        assert sample.clip.shape == (1, 30, 20, 4)
        assert (row.frames, row.height, row.width, row.fps) == (1, 30, 20, None)


def test_features_stand_in_the_middle_of_their_boxes_and_in_a_csv(notes):
    words = ("--soundpicture", "logmel,features", "--bands", "45", "--columns", "31")
    rows = build(notes, *words)
    boxes = (np.arange(26)[:, None] + 0.5) * 45 / 26, (np.arange(2) + 0.5) * 31 / 2
    for row in rows:
        sample = load_sample(row.path)
        plane = sample.clip[0, ..., 1]
        read = plane[boxes[0].astype(int), boxes[1].astype(int)]
        assert read.tolist() == sample.sound["features"][0].tolist()
    with open(notes.parent / "out" / "features.csv", encoding="utf-8") as file:
        records = list(csv.DictReader(file))
    assert [r["path"] for r in records] == ["high/b.pt", "low/a.pt"]
    assert float(records[0]["centroid_mean"]) == pytest.approx(4000, rel=0.05)
    assert float(records[1]["centroid_mean"]) == pytest.approx(500, rel=0.1)
    assert all(
        f"{n}_{c}" in records[0] for n in FEATURE_NAMES for c in ("mean", "spread")
    )
    known = load_sample(rows[0].path).meta["features"]
    assert float(records[0]["mfcc20_spread"]) == known["mfcc20_spread"]


def test_features_alone_are_a_picture_of_26_by_2(notes):
    (row, _) = build(notes, "--soundpicture", "features")
    sample = load_sample(row.path)
    assert sample.clip.shape == (1, 26, 2, 1)
    assert (sample.clip[0, ..., 0] == sample.sound["features"][0]).all()


def test_the_rate_sets_how_high_a_picture_reaches(tmp_path):
    path = write(tmp_path / "x.wav", tone(1000, 1.0))
    words = ("--soundpicture", "stft", "--bands", "32")
    for rate in (8000, 16_000):
        sample = sample_of(path, *words, "--rate", str(rate))
        row = 31 - sample.clip[0, :, 32, 0].argmax()
        assert row in (1000 / (rate / 2) * 32, 1000 / (rate / 2) * 32 - 1)


def test_videos_are_taken_by_their_sound_where_that_is_wanted(talkie, mute, tmp_path):
    clips.copies(talkie, tmp_path / "in", "a/x.mp4")
    clips.copies(mute, tmp_path / "in", "b/y.mp4")
    write(tmp_path / "in" / "c" / "z.wav", tone(300, 0.5))
    rows = build(tmp_path / "in", "--soundpicture", "logmel", status=1)
    assert [(row.label, row.width) for row in rows] == [("a", 64), ("c", 64)]
    assert "has no sound track" in (tmp_path / "out" / "failed.csv").read_text()


def test_a_video_whose_picture_is_longer_than_its_sound_is_taken(tmp_path):
    (tmp_path / "in").mkdir()
    clips.make(tmp_path / "in" / "a.mp4", clips.colours(60), tone(1000, 2.0))
    sample = sample_of(tmp_path / "in", "--soundpicture", "logmel")
    assert sample.meta["seconds"] == pytest.approx(2.0, abs=0.1)


def test_silence_is_a_sample_that_says_so(tmp_path):
    path = write(tmp_path / "x.wav", np.zeros(RATE // 2, np.float32))
    sample = sample_of(path, "--trim")
    assert (sample.has_sound, sample.silent) == (True, True)
    assert not sample.clip.any()
    assert sample.meta["trim"] == [0, 0.5]


# Videos and sounds in one folder


def test_sound_among_videos_is_refused_with_the_way_out(talkie, tmp_path, capsys):
    clips.copies(talkie, tmp_path / "in", "a/x.mp4", "a/y.mp4")
    write(tmp_path / "in" / "b" / "z.wav", tone(300, 0.5))
    rows = build(tmp_path / "in", status=1)
    assert [row.path.name for row in rows] == ["x.pt", "y.pt"]
    assert "z.wav is a sound file among videos" in (said := capsys.readouterr().err)
    assert "--soundpicture logmel" in said


def test_sound_taken_out_of_a_video_beside_it_is_left_out(talkie, tmp_path, capsys):
    clips.copies(talkie, tmp_path / "in", "a/x.mp4", "a/y.mp4")
    write(tmp_path / "in" / "a" / "x.wav", tone(300, 0.5))
    assert len(build(tmp_path / "in")) == 2
    assert "1 sound files left out: videos of the same" in capsys.readouterr().out


def test_two_sounds_of_one_name_are_refused(tmp_path, capsys):
    for name in ("x.wav", "x.flac", "y.wav"):
        write(tmp_path / "in" / name, tone(300, 0.5))
    (row,) = build(tmp_path / "in", status=1)
    assert row.path.name == "y.pt"
    assert "would have the same name as that of" in capsys.readouterr().err


def test_videos_with_pictures_are_not_cut_as_sounds(talkie, tmp_path, capsys):
    clips.copies(talkie, tmp_path / "in", "a/x.mp4")
    said = ["--target", str(tmp_path / "in"), "--window", "1"]
    assert main(said) == 1
    assert "give --soundpicture logmel" in capsys.readouterr().err


def test_sounds_are_not_drawn_as_videos(notes, capsys):
    assert main(["--target", str(notes), "--size", "32"]) == 1
    assert "--bands and --columns set the size" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--soundpicture", "logmel,cochlea"), "got 'cochlea'"),
        (("--soundpicture", "mel,mel"), "stands twice"),
        (("--soundpicture", "features", "--bands", "20"), "at least 26, got 20"),
        (("--window", "1", "--seconds", "2"), "both set the length"),
        (("--hop", "1"), "give --window too"),
        (("--floor", "3"), "--floor must be at most -1"),
        (("--rate", "10"), "--rate must be at least 1000"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(notes, capsys, words, said):
    with pytest.raises(SystemExit) as left:
        main(["--target", str(notes), *words])
    assert left.value.code == 2
    assert said in capsys.readouterr().err


# Windows, lengths and silence


def test_a_track_is_cut_into_windows_of_one_group(tmp_path):
    steps = np.concatenate([tone(hertz, 1.0) for hertz in (500, 1000, 2000, 4000)])
    write(tmp_path / "in" / "x" / "long.wav", steps)
    words = ("--window", "1", "--hop", "0.5", "--soundpicture", "stft")
    rows = build(tmp_path / "in", *words, "--bands", "16")
    assert [row.path.name for row in rows] == [f"long.w{n:05d}.pt" for n in range(7)]
    assert [row.start for row in rows] == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert {(row.group, row.track) for row in rows} == {("x/long.wav", "x/long.wav")}
    assert {row.seconds for row in rows} == {1.0}
    for n, hertz in enumerate((500, 1000, 2000, 4000)):
        sample = load_sample(rows[2 * n].path)
        brightest = 15 - sample.clip[0, :, 32, 0].argmax()
        assert brightest in (hertz / 500, hertz / 500 - 1)
        assert sample.times.tolist() == [n]


def test_groups_of_a_csv_hold_for_windows(tmp_path):
    write(tmp_path / "in" / "a.wav", tone(500, 2.0))
    (tmp_path / "groups.csv").write_text("path,group\nin/a.wav,anna\n")
    words = ("--window", "1", "--groups", str(tmp_path / "groups.csv"))
    rows = build(tmp_path / "in", *words)
    assert [(row.group, row.track) for row in rows] == [("anna", "a.wav")] * 2


@pytest.mark.parametrize(
    ("seconds", "window", "hop", "wanted"),
    [
        (4.0, 1.0, 1.0, [0, 1, 2, 3]),
        (4.5, 1.0, 1.0, [0, 1, 2, 3, 4]),  # half of the last is sound
        (4.4, 1.0, 1.0, [0, 1, 2, 3]),
        (0.6, 1.0, 1.0, [0]),
        (7.0, 5.0, 0.5, [0, 0.5, 1, 1.5, 2]),
        (7.2, 5.0, 0.5, [0, 0.5, 1, 1.5, 2, 2.5]),
        (5.0, 1.0, 2.0, [0, 2, 4]),
    ],
)
def test_the_last_window_is_kept_if_half_of_it_is_sound(seconds, window, hop, wanted):
    look = SoundLook(pictures=("mel",), window_s=window, hop_s=hop)
    starts = window_starts(round(seconds * 1000), look, 1000)
    assert [start / 1000 for start in starts] == wanted


def test_a_track_shorter_than_half_a_window_is_set_aside(tmp_path, capsys):
    write(tmp_path / "in" / "a.wav", tone(500, 0.4))
    write(tmp_path / "in" / "b.wav", tone(500, 0.5))
    rows = build(tmp_path / "in", "--window", "1", status=1)
    assert [row.path.name for row in rows] == ["b.w00000.pt"]
    assert "0.40 s of sound, less than half a window" in capsys.readouterr().err


def test_the_rest_of_a_last_window_is_silence(tmp_path):
    write(tmp_path / "in" / "a.wav", tone(500, 1.5))
    rows = build(tmp_path / "in", "--window", "1", "--columns", "10")
    columns = load_sample(rows[1].path).clip[0, ..., 0].max(axis=0)
    assert (columns[:5] > 150).all()
    assert (columns[6:] == 0).all()


def test_seconds_puts_silence_behind_and_takes_the_middle(tmp_path):
    write(tmp_path / "in" / "short.wav", tone(500, 0.5))
    tones = [tone(500, 0.5), tone(2000, 1.0), tone(500, 0.5)]
    write(tmp_path / "in" / "long.wav", np.concatenate(tones))
    rows = build(tmp_path / "in", "--seconds", "1", "--columns", "20")
    long, short = (load_sample(row.path) for row in rows)
    assert (long.meta["seconds"], long.meta["start"]) == (1.0, 0.5)
    assert (short.meta["seconds"], short.meta["start"]) == (1.0, 0.0)
    assert (short.clip[0, :, :9, 0].max(axis=0) > 150).all()
    assert not short.clip[0, :, 12:].any()
    brightest = long.clip[0, ..., 0].argmax(axis=0)
    assert np.ptp(brightest[1:-1]) == 0


def test_trim_cuts_silence_and_says_where(tmp_path):
    sound = with_silence(0.7, tone(1000, 0.8), 0.5)
    path = write(tmp_path / "x.wav", sound)
    sample = sample_of(path, "--trim", "--columns", "30")
    start, end = sample.meta["trim"]
    assert (start, end) == (pytest.approx(0.7, abs=0.07), pytest.approx(1.5, abs=0.07))
    assert sample.meta["untrimmed"] == 2.0
    assert sample.meta["seconds"] == pytest.approx(end - start)
    assert (sample.clip[0, :, 3:-3, 0].max(axis=0) > 150).all()
    whole = sample_of(path, "--columns", "30")
    assert "trim" not in whole.meta
    assert not whole.clip[0, :, :9].any()


def test_windows_of_a_trimmed_track_tell_times_of_the_whole(tmp_path):
    path = write(tmp_path / "x.wav", with_silence(1.0, tone(1000, 2.0), 1.0))
    rows = build(path, "--trim", "--window", "1")
    assert [row.start for row in rows] == [pytest.approx(n, abs=0.08) for n in (1, 2)]


def test_a_quieter_end_is_cut_with_a_smaller_trim_db(tmp_path):
    faint = tone(1000, 1.0, peak=0.005)
    sound = np.concatenate([faint, tone(1000, 1.0), faint])
    path = write(tmp_path / "x.wav", sound)
    lengths = [
        sample_of(path, "--trim", "--trim_db", db).meta["seconds"]
        for db in ("30", "60")
    ]
    assert lengths == [pytest.approx(1.0, abs=0.15), pytest.approx(3.0, abs=0.01)]


def test_a_whole_clip_without_wishes_is_one_piece():
    look = SoundLook(pictures=("mel",))
    assert starts_of((30, 100), look, 100) == [30]
    with pytest.raises(MediaError, match="less than half a window of 2 s"):
        window_starts(50, SoundLook(pictures=("mel",), window_s=2.0), 100)


# The same again, and what changed


def contents(rows: Sequence[Row]) -> list[tuple[str, bytes]]:
    """Return the names and the bytes of samples."""
    return [(row.path.name, row.path.read_bytes()) for row in rows]


@pytest.mark.parametrize("words", [(), ("--window", "0.3", "--trim")])
def test_what_is_up_to_date_is_kept_and_what_is_not_is_made_again(notes, capsys, words):
    before = contents(build(notes, *words))
    rows = build(notes, *words)
    assert contents(rows) == before
    assert f"(0 made, {len(rows)} kept)" in capsys.readouterr().out
    rows[-1].path.unlink()
    assert contents(build(notes, *words)) == before
    build(notes, *words, "--floor", "-70")
    assert "0 kept)" in capsys.readouterr().out.splitlines()[-3]
    write(notes / "low" / "a.wav", tone(600, 0.6))
    assert contents(build(notes, *words))[0] == before[0]


def test_two_processes_make_the_same_bytes_as_one(notes):
    words = ("--soundpicture", "logmel,mfcc,features", "--window", "0.25")
    rows = build(notes, *words)
    before = contents(rows)
    for row in rows:
        row.path.unlink()
    assert contents(build(notes, *words, "--workers", "2")) == before


def test_damaged_and_empty_sounds_are_set_aside_with_reasons(notes):
    (notes / "low" / "empty.wav").touch()
    (notes / "low" / "noise.mp3").write_bytes(b"\x01\x02" * 400)
    whole = write(notes / "low" / "whole.wav", tone(300, 3.0))
    clips.cut(whole, notes / "low" / "cut.wav", 0.5)
    rows = build(notes, status=1)
    assert {row.path.stem for row in rows} == {"a", "b", "whole"}
    with open(notes.parent / "out" / "failed.csv", encoding="utf-8") as file:
        reasons = {Path(r["path"]).name: r["reason"] for r in csv.DictReader(file)}
    assert set(reasons) == {"empty.wav", "noise.mp3", "cut.wav"}
    assert "is empty" in reasons["empty.wav"]


def test_the_result_is_told_in_words_and_as_json(notes, capsys):
    build(notes, "--soundpicture", "features")
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["label", "clips", "Hz", "seconds", "unreadable"]
    assert out[1].split() == ["high", "1", "16000", "0.9", "0"]
    assert out[-4] == "2 samples of 26 x 2, features (2 made, 0 kept), 0 silent"
    build(notes, "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["samples"], told["frames"], told["silent"]) == (2, 1, 0)


def test_options_of_a_sound_recipe_are_read_back_as_it_was():
    look = SoundLook(pictures=("mfcc", "mel"), window_s=2.0, hop_s=0.5, trim_db=30.0)
    recipe = Recipe.of_sound(look, "relative")
    told = json.loads(json.dumps(recipe.options()))
    assert Recipe.from_options(told) == recipe
    assert "soundpicture" not in Recipe().options()
    assert Recipe.from_options(Recipe(size=(8, 6)).options()) == Recipe(size=(8, 6))
