"""build.py: known clips in, known levels out; the same again, and only what changed.

Axes: T frames, H height, W width, C channels.
"""

import csv
import hashlib
from pathlib import Path
from typing import Any

import clips
import librosa
import numpy as np
import pytest
from clips import CODEC_TOLERANCE, COLOURS, FPS, HEIGHT, N_FRAMES, WIDTH

from fmrgb.build import Built, Recipe, build
from fmrgb.errors import InputError
from fmrgb.manifest import COLUMNS, read_manifest
from fmrgb.preflight import survey
from fmrgb.sample import Sample, load_sample
from fmrgb.sound import SOUND_PLANES
from fmrgb.stack import to_gray

TONE_LEVEL = round(255 * (1 - (20 * np.log10(0.5) - 3.01) / -80))  # of a peak of 0.5
NOTE_LEVEL = round(255 * librosa.hz_to_mel(1000) / librosa.hz_to_mel(8000))


def make(
    target: Path,
    output: Path,
    *,
    workers: int = 1,
    groups: Path | None = None,
    **recipe: Any,
) -> Built:
    """Build samples of a target in an output folder."""
    surveyed = survey(target, output=output, groups=groups)
    return build(surveyed, Recipe(**recipe), folder=output, workers=workers)


def sample_of(clip: Path, output: Path, **recipe: Any) -> Sample:
    """Build the sample of one clip and open it."""
    make(clip, output, **recipe)
    return load_sample(output / f"{clip.stem}.pt")


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, hidden ones too, by its name."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def times(folder: Path) -> dict[str, int]:
    """Return when each sample below a folder was written, in ns."""
    return {p.stem: p.stat().st_mtime_ns for p in sorted(folder.rglob("*.pt"))}


@pytest.fixture(scope="module")
def shorts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two labels with three unlike clips each."""
    folder = tmp_path_factory.mktemp("shorts")
    for i, label in enumerate(("calm", "fight")):
        (folder / label).mkdir()
        for n in (8, 10, 12):
            sound = clips.tone(300 * (i + 1), n / FPS) if n != 10 else None
            clips.make(folder / label / f"{label}{n}.mp4", clips.colours(n), sound)
    return folder


def copy_of(folder: Path, to: Path) -> Path:
    """Copy a folder of clips, to be changed."""
    for clip in folder.rglob("*.mp4"):
        clips.copies(clip, to, str(clip.relative_to(folder)))
    return to


# What is in a sample


def test_colours_and_tone_end_in_their_planes(talkie, tmp_path):
    sample = sample_of(talkie, tmp_path)
    assert sample.channels == ("R", "G", "B", "amplitude", "frequency")
    clip_THWC = sample.clip
    assert clip_THWC.shape == (N_FRAMES, HEIGHT, WIDTH, 5)
    wanted = np.broadcast_to(
        np.array(COLOURS)[:, None, None], (N_FRAMES, HEIGHT, WIDTH, 3)
    )
    assert clip_THWC[..., :3].astype(int) == pytest.approx(wanted, abs=CODEC_TOLERANCE)
    # The ends of the tone are softened by the sound's own coding.
    assert clip_THWC[1:-1, ..., 3].astype(int) == pytest.approx(TONE_LEVEL, abs=2)
    assert clip_THWC[1:-1, ..., 4].astype(int) == pytest.approx(NOTE_LEVEL, abs=2)


def test_three_channels_are_gray_amplitude_frequency(talkie, tmp_path):
    sample = sample_of(talkie, tmp_path, n_channels=3)
    assert sample.channels == ("gray", "amplitude", "frequency")
    clip_THWC = sample.clip
    assert clip_THWC.shape == (N_FRAMES, HEIGHT, WIDTH, 3)
    luma = np.array(COLOURS) @ (0.299, 0.587, 0.114)
    gray = clip_THWC[..., 0].mean(axis=(1, 2))
    assert gray == pytest.approx(luma, abs=CODEC_TOLERANCE)
    assert clip_THWC[1:-1, ..., 1].astype(int) == pytest.approx(TONE_LEVEL, abs=2)
    assert clip_THWC[1:-1, ..., 2].astype(int) == pytest.approx(NOTE_LEVEL, abs=2)


@pytest.mark.parametrize("n_channels", [3, 5])
def test_mel_draws_the_tone_in_its_band(talkie, tmp_path, n_channels):
    sample = sample_of(talkie, tmp_path, audiomethod="mel", n_channels=n_channels)
    assert sample.channels[-2:] == ("amplitude", "mel")
    assert sample.clip.shape == (N_FRAMES, HEIGHT, WIDTH, n_channels)
    picture = sample.sound["mel"][N_FRAMES // 2].astype(int)
    centres = librosa.mel_frequencies(picture.shape[0] + 2, fmin=0, fmax=8000)[1:-1]
    nearest = int(np.abs(centres - 1000).argmin())
    # The lowest band is the last row.
    assert picture.mean(axis=1).argmax() == picture.shape[0] - 1 - nearest
    # A peak of 0.5 has -6 dB, a little less between two bands.
    assert 220 <= picture.max() <= round(255 * (1 - 6.02 / 80))


def test_a_relative_scale_takes_the_clips_own_maximum(talkie, tmp_path):
    sample = sample_of(talkie, tmp_path, scale="relative")
    assert sample.sound["amplitude"].max() == 255
    assert sample.sound["frequency"].max() == 255
    assert sample.meta["options"]["scale"] == "relative"


def test_a_clip_without_a_track_hears_nothing(mute, tmp_path):
    sample = sample_of(mute, tmp_path, audiomethod="mel")
    assert (sample.has_sound, sample.silent) == (False, True)
    assert not any(plane.any() for plane in sample.sound.values())
    (row,) = read_manifest(tmp_path)
    assert (row.has_sound, row.silent) == (False, True)


def test_a_silent_track_is_told_from_none(tmp_path):
    clip = clips.make(tmp_path / "a.mp4", clips.colours(), np.zeros(19_200, np.float32))
    sample = sample_of(clip, tmp_path / "out")
    assert (sample.has_sound, sample.silent) == (True, True)
    assert not any(plane.any() for plane in sample.sound.values())
    (row,) = read_manifest(tmp_path / "out")
    assert (row.has_sound, row.silent) == (True, True)


def test_a_sample_says_where_it_comes_from(talkie, tmp_path):
    sample = sample_of(talkie, tmp_path, samples_per_frame=400, size=(20, 16), skip=2)
    assert sample.label == talkie.parent.name
    data = talkie.read_bytes()
    assert sample.meta["source"] == {
        "name": "talkie.mp4",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    assert sample.meta["fps"] == FPS
    assert sample.meta["seconds"] == pytest.approx(N_FRAMES / FPS)
    assert sample.meta["options"] == {
        "audiomethod": "simple",
        "samples_per_frame": 400,
        "n_channels": 5,
        "scale": "absolute",
        "frames": 6,
        "skip": 2,
        "size": [20, 16],
    }
    levels = sample.meta["levels"]
    assert set(levels) == {"amplitude", "frequency"}
    assert levels["amplitude"] == {
        **{"unit": "dBFS", "low": -80.0, "high": 0.0, "curve": "dB"}
    }


def test_a_frames_plane_is_what_its_own_sound_was(tmp_path):
    parts = [clips.tone(hertz, 0.4) for hertz in (500, 2000)]
    sound = np.concatenate([parts[0], np.zeros(6400, np.float32), parts[1]])
    clip = clips.make(tmp_path / "a.mp4", clips.colours(), sound)
    planes = sample_of(clip, tmp_path).sound
    assert (planes["amplitude"][[1, 2, 9, 10]] > 200).all()
    assert (planes["amplitude"][[5, 6]] < 60).all()
    notes = [255 * librosa.hz_to_mel(f) / librosa.hz_to_mel(8000) for f in (500, 2000)]
    assert planes["frequency"][[1, 2]] == pytest.approx(notes[0], abs=3)
    assert planes["frequency"][[9, 10]] == pytest.approx(notes[1], abs=3)
    assert not planes["frequency"][[5, 6]].any()


# Options


@pytest.mark.parametrize(("skip", "frames"), [(1, 20), (3, 7)])
def test_max_takes_the_longest_clips_frames(talkie, tmp_path, skip, frames):
    clips.copies(talkie, tmp_path, "in/short.mp4")
    clips.make(tmp_path / "in" / "long.mp4", clips.colours(20))
    built = make(tmp_path / "in", tmp_path / "out", skip=skip)
    assert built.frames == frames
    assert [row.frames for row in built.rows] == [frames, frames]
    long = load_sample(tmp_path / "out" / "long.pt")
    assert long.visual[:, 5, 5].astype(int) == pytest.approx(
        clips.colours(20)[::skip, 5, 5].astype(int), abs=CODEC_TOLERANCE
    )


@pytest.mark.parametrize("frames", [1, 2, 5, 30])
def test_alignment_keeps_the_first_and_the_last_frame(talkie, tmp_path, frames):
    own = sample_of(talkie, tmp_path / "own")
    sample = sample_of(talkie, tmp_path / "aligned", frames=frames)
    assert sample.shape == (frames, HEIGHT, WIDTH, 5)
    assert all(len(plane) == frames for plane in sample.sound.values())
    ends = [0] if frames == 1 else [0, -1]
    assert np.array_equal(sample.visual[ends], own.visual[ends])
    assert np.array_equal(sample.times[ends], own.times[ends])
    for name, plane in sample.sound.items():
        assert np.array_equal(plane[ends], own.sound[name][ends])


@pytest.mark.parametrize("size", [(24, 24), (30, 18), (60, 80)])
def test_pictures_have_the_size_asked_for(talkie, tmp_path, size):
    sample = sample_of(talkie, tmp_path, size=size)
    assert sample.shape == (N_FRAMES, size[1], size[0], 5)
    assert sample.visual[2, 9, 9].astype(int) == pytest.approx(
        np.array(COLOURS[2]), abs=CODEC_TOLERANCE
    )


@pytest.mark.parametrize(
    ("fps", "n", "rate"), [(10, 400, 4000), ("30000/1001", 55, 1648)]
)
def test_samples_per_frame_set_the_rate(tmp_path, monkeypatch, fps, n, rate):
    heard_rates = []
    measure = SOUND_PLANES["amplitude"]

    def spy(heard, **scale):
        heard_rates.append(heard.rate)
        return measure(heard, **scale)

    monkeypatch.setitem(SOUND_PLANES, "amplitude", spy)
    sound = clips.tone(600, 1.0)
    clip = clips.make(tmp_path / "a.mp4", clips.colours(), sound, fps=fps)
    planes = sample_of(clip, tmp_path / "out", samples_per_frame=n).sound
    assert heard_rates == [rate]
    note = 255 * librosa.hz_to_mel(600) / librosa.hz_to_mel(8000)
    assert planes["frequency"][3:6] == pytest.approx(note, abs=3)


def test_tones_above_half_the_rate_are_not_heard(talkie, tmp_path):
    low = sample_of(talkie, tmp_path, samples_per_frame=150).sound  # 1500 Hz
    assert (low["amplitude"][2:-2] < 60).all()


# The manifest


def test_the_manifest_says_what_was_built(shorts, tmp_path):
    output = tmp_path / "out"
    built = make(shorts, output, frames=9, size=(20, 14))
    assert built.manifest == output / "manifest.csv"
    assert (built.made, built.failed, built.frames) == (6, {}, 9)
    with open(built.manifest, newline="", encoding="utf-8") as file:
        records = list(csv.DictReader(file))
    assert tuple(records[0]) == COLUMNS
    names = [f"{k}/{k}{n}" for k in ("calm", "fight") for n in (10, 12, 8)]
    assert [record["path"] for record in records] == [f"{name}.pt" for name in names]
    for name, record in zip(names, records, strict=True):
        label, n = name.split("/")[0], int(name.lstrip("calm/fight"))
        mute = n == 10
        clip = shorts / f"{name}.mp4"
        assert record == {
            "path": f"{name}.pt",
            "label": label,
            "group": "",
            "split": "",
            "has_sound": str(not mute).lower(),
            "silent": str(mute).lower(),
            "fps": "10",
            "frames": "9",
            "seconds": f"{n / FPS:.6g}",
            "height": "14",
            "width": "20",
            "checksum": hashlib.sha256(clip.read_bytes()).hexdigest(),
            "source_width": "48",
            "source_height": "32",
            **dict.fromkeys(("track", "start", "text"), ""),
        }
        sample = load_sample(output / record["path"])
        assert (sample.shape, sample.label) == ((9, 14, 20, 5), label)


def test_samples_lie_beside_their_clips_unless_told_otherwise(shorts, tmp_path):
    target = copy_of(shorts, tmp_path / "clips")
    build(survey(target), Recipe(size=(8, 6)), folder=target)
    assert (target / "calm" / "calm8.pt").is_file()
    assert len(read_manifest(target / "manifest.csv")) == 6


def test_groups_and_labels_come_from_the_groups_csv(shorts, tmp_path):
    target = copy_of(shorts, tmp_path / "clips")
    (target / "calm" / "calm8.mp4").rename(target / "calm" / "resized_calm8.mp4")
    named = "calm/calm8.mp4,film 1,quiet\nfight/fight8.mp4,film 2,\n"
    (target / "groups.csv").write_text("path,group,label\n" + named)
    built = make(target, tmp_path / "out", groups=target / "groups.csv", size=(8, 6))
    rows = read_manifest(built.manifest)
    told = {row.path.stem: (row.label, row.group) for row in rows}
    assert told["resized_calm8"] == ("quiet", "film 1")
    assert told["fight8"] == ("fight", "film 2")
    assert told["fight12"] == ("fight", "")
    assert load_sample(tmp_path / "out" / "calm" / "resized_calm8.pt").label == "quiet"


def test_an_original_beside_its_copy_gets_no_sample(talkie, tmp_path):
    clips.copies(talkie, tmp_path / "in", "a.mp4", "resized_a.mp4", "b.mp4")
    built = make(tmp_path / "in", tmp_path / "out")
    assert [row.path.name for row in built.rows] == ["b.pt", "resized_a.pt"]
    assert not (tmp_path / "out" / "a.pt").exists()


# The same again


def test_two_builds_are_the_same_bytes(shorts, tmp_path):
    for name in ("one", "two"):
        make(copy_of(shorts, tmp_path / name / "clips"), tmp_path / name / "out")
    one, two = (contents(tmp_path / name / "out") for name in ("one", "two"))
    assert len(one) == 7
    assert one == two


def test_any_number_of_workers_gives_the_same_bytes(shorts, tmp_path):
    (shorts / "calm" / "broken.mp4").write_bytes(b"no clip")
    try:
        for workers in (1, 2):
            make(shorts, tmp_path / str(workers), workers=workers, audiomethod="mel")
    finally:
        (shorts / "calm" / "broken.mp4").unlink()
    one, two = contents(tmp_path / "1"), contents(tmp_path / "2")
    assert len(one) == 8
    assert one == two


def test_words_that_meet_in_a_sample_give_the_same_bytes(talkie, tmp_path):
    clips.copies(talkie, tmp_path, "mel/a.mp4")
    for name, word in (("one", "mel"), ("two", "".join(("m", "el")))):
        make(tmp_path / "mel", tmp_path / name, audiomethod=word)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("recipe", [{}, {"n_channels": 3}, {"frames": 17}])
def test_what_outgrows_memory_gives_the_same_bytes(
    talkie, tmp_path, monkeypatch, recipe
):
    make(talkie, tmp_path / "in memory", **recipe)
    monkeypatch.setattr("fmrgb.files.MEMORY_BYTES", 1000)
    monkeypatch.setattr("fmrgb.files.Spool.__init__.__defaults__", (None, 1000))
    on_disk = []
    memmap = np.memmap

    def spy(*args, **kwargs):
        on_disk.append(kwargs["shape"])
        return memmap(*args, **kwargs)

    monkeypatch.setattr("numpy.memmap", spy)
    make(talkie, tmp_path / "on disk", **recipe)
    monkeypatch.undo()
    assert any(len(shape) == 1 for shape in on_disk)  # the sound
    assert contents(tmp_path / "on disk") == contents(tmp_path / "in memory")


def test_a_second_run_makes_nothing(shorts, tmp_path):
    first = make(shorts, tmp_path, size=(8, 6))
    before, bytes_before = times(tmp_path), contents(tmp_path)
    again = make(shorts, tmp_path, size=(8, 6))
    assert (first.made, again.made) == (6, 0)
    assert times(tmp_path) == before
    assert contents(tmp_path) == bytes_before
    assert again.rows == first.rows


def swap_clip(target: Path, _: Path) -> None:
    """Put another recording in the place of a clip."""
    clips.copies(target / "fight" / "fight8.mp4", target, "calm/calm8.mp4")


def cut_sample(_: Path, output: Path) -> None:
    """Cut a sample short, as a dying disk would."""
    clips.cut(output / "calm" / "calm8.pt", output / "calm" / "calm8.pt", 0.6)


def empty_sample(_: Path, output: Path) -> None:
    """Leave nothing of a sample but its name."""
    (output / "calm" / "calm8.pt").write_bytes(b"")


def lose_sample(_: Path, output: Path) -> None:
    """Delete a sample."""
    (output / "calm" / "calm8.pt").unlink()


def name_label(target: Path, _: Path) -> None:
    """Give a clip another label."""
    (target / "groups.csv").write_text("path,label\ncalm/calm8.mp4,quiet\n")


@pytest.mark.parametrize(
    "change", [swap_clip, cut_sample, empty_sample, lose_sample, name_label]
)
def test_what_changed_is_made_again_and_nothing_else(shorts, tmp_path, change):
    target, output = copy_of(shorts, tmp_path / "clips"), tmp_path / "out"
    make(target, output, size=(8, 6))
    before = times(output)
    change(target, output)
    groups = target / "groups.csv"
    groups = groups if groups.exists() else None
    built = make(target, output, size=(8, 6), groups=groups)
    after = times(output)
    assert built.made == 1
    assert [name for name in before if before[name] != after[name]] == ["calm8"]
    make(target, tmp_path / "anew", size=(8, 6), groups=groups)
    assert contents(output) == contents(tmp_path / "anew")


@pytest.mark.parametrize(
    "option",
    [
        *({"audiomethod": "mel"}, {"n_channels": 3}, {"scale": "relative"}),
        *({"frames": 5}, {"skip": 2}, {"size": (6, 8)}, {"samples_per_frame": 99}),
    ],
)
def test_another_option_makes_all_again(talkie, mute, tmp_path, option):
    clips.copies(talkie, tmp_path / "in", "a.mp4")
    clips.copies(mute, tmp_path / "in", "b.mp4")
    plain = {"size": (8, 6)}
    make(tmp_path / "in", tmp_path / "out", **plain)
    assert make(tmp_path / "in", tmp_path / "out", **plain | option).made == 2
    assert make(tmp_path / "in", tmp_path / "out", **plain | option).made == 0
    make(tmp_path / "in", tmp_path / "anew", **plain | option)
    assert contents(tmp_path / "out") == contents(tmp_path / "anew")


def test_another_group_is_only_a_matter_of_the_manifest(talkie, tmp_path):
    clips.copies(talkie, tmp_path / "in", "a.mp4")
    groups = tmp_path / "in" / "groups.csv"
    for group in ("film 1", "film 2"):
        groups.write_text(f"path,group\na.mp4,{group}\n")
        built = make(tmp_path / "in", tmp_path / "out", groups=groups)
        assert [r.group for r in read_manifest(tmp_path / "out")] == [group]
    assert built.made == 0


def test_a_clip_that_went_leaves_the_manifest(shorts, tmp_path):
    target = copy_of(shorts, tmp_path / "clips")
    make(target, tmp_path / "out", size=(8, 6))
    (target / "calm" / "calm8.mp4").unlink()
    built = make(target, tmp_path / "out", size=(8, 6))
    assert (built.made, len(read_manifest(built.manifest))) == (0, 5)


def test_gray_is_made_in_pieces_without_a_seam(long_talkie, tmp_path):
    colour = sample_of(long_talkie, tmp_path / "5", frames=150)
    gray = sample_of(long_talkie, tmp_path / "3", frames=150, n_channels=3)
    assert np.array_equal(gray.visual, to_gray(colour.visual))


def test_progress_counts_the_clips(shorts, tmp_path):
    steps: list[tuple[int, int]] = []
    surveyed = survey(shorts, output=tmp_path)
    build(
        surveyed,
        Recipe(size=(8, 6)),
        folder=tmp_path,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert steps == [(n, 6) for n in range(1, 7)]


def test_where_no_clip_can_be_used_the_reasons_are_named(tmp_path):
    (tmp_path / "a.mp4").write_text("no clip")
    (tmp_path / "b.mp4").touch()
    with pytest.raises(InputError, match=r"none of the 2 clips can be used.*a\.mp4 is"):
        make(tmp_path, tmp_path / "out")
    with open(tmp_path / "out" / "failed.csv", newline="", encoding="utf-8") as file:
        listed = [record["path"] for record in csv.DictReader(file)]
    assert listed == [str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")]
    assert not (tmp_path / "out" / "manifest.csv").exists()
