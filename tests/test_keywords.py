"""keywords.py and excerpts.py: a set of spoken words is read as it is."""

import argparse
from collections import Counter
from pathlib import Path

import clips
import numpy as np
import pytest
from fmrgb_tools import create_fmrgbdata as tool

from fmrgb.build import Built, Recipe, build
from fmrgb.errors import InputError, ManifestError
from fmrgb.excerpts import Excerpt, Noise, mixed, shifted
from fmrgb.keywords import Item, read_keywords
from fmrgb.manifest import Row, read_manifest
from fmrgb.names import excerpt_path, track_path
from fmrgb.preflight import survey_items
from fmrgb.recipe import SoundLook
from fmrgb.record import write_wav
from fmrgb.sample import load_sample
from fmrgb.splits import split
from fmrgb.tracks import Sound
from fmrgb.word_options import CLASSIC, asked_words

LABELS = ("yes", "no", "unknown", "silence")
WORDS = ("bird", "go", "no", "yes")
SPEAKERS = tuple(f"{n:08x}" for n in range(20))  # of whom 3 are heard in val, 2 in test
VAL, TEST = SPEAKERS[:3], SPEAKERS[3:5]
LASTS = {"hum.wav": 30.0, "rain.wav": 20.0, "tap.wav": 12.0, "wind.wav": 61.5}  # s


def keywords(
    folder: Path, noises: tuple[str, ...] = tuple(LASTS), n_each: int = 2
) -> Path:
    """Make a set in the layout, of empty files; each speaker says each word twice."""
    names = []
    for word in WORDS:
        (folder / word).mkdir(parents=True)
        for speaker in SPEAKERS:
            for n in range(n_each):
                names.append(f"{word}/{speaker}_nohash_{n}.wav")
                (folder / names[-1]).touch()
    lists = {"validation": VAL, "testing": TEST}
    for name, speakers in lists.items():
        held = [n for n in names if n.split("/")[1].split("_")[0] in speakers]
        (folder / f"{name}_list.txt").write_text("".join(f"{n}\n" for n in held))
    (folder / "_background_noise_").mkdir()
    (folder / "_background_noise_" / "README.md").touch()
    for name in noises:
        (folder / "_background_noise_" / name).touch()
    return folder


def read(folder: Path, *labels: str, **how: int) -> list[Item]:
    return read_keywords(folder, labels, seconds_of=lambda p: LASTS[p.name], **how)


def counts(items: list[Item]) -> dict[tuple[str, str], int]:
    """Count the items of each label and split."""
    return dict(Counter((item.label, item.split) for item in items))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return keywords(tmp_path_factory.mktemp("set") / "set")


def test_the_lists_give_the_splits_and_the_names_the_speakers(folder):
    items = read(folder, "yes", "no")
    assert counts(items) == {
        **{(word, "train"): 30 for word in ("yes", "no")},
        **{(word, "val"): 6 for word in ("yes", "no")},
        **{(word, "test"): 4 for word in ("yes", "no")},
    }
    for item in items:
        assert item.group == item.clip.name.split("_")[0]
        assert item.label == item.clip.parent.name
        where = {**dict.fromkeys(VAL, "val"), **dict.fromkeys(TEST, "test")}
        assert item.split == where.get(item.group, "train")
    assert [item.clip for item in items] == sorted(item.clip for item in items)


def test_all_is_every_word(folder):
    assert {item.label for item in read(folder, "all")} == set(WORDS)


def test_as_many_are_unknown_in_each_split_as_a_word_has(folder):
    items = read(folder, "yes", "no", "unknown")
    unknown = [item for item in items if item.label == "unknown"]
    assert counts(unknown) == {
        ("unknown", "train"): 30,
        ("unknown", "val"): 6,
        ("unknown", "test"): 4,
    }
    assert {item.clip.parent.name for item in unknown} == {"bird", "go"}
    assert len({item.clip for item in unknown}) == len(unknown)
    assert [item for item in items if item.label != "unknown"] == read(
        folder, "yes", "no"
    )


def test_of_few_other_words_all_are_taken(folder):
    items = read(folder, "yes", "no", "go", "unknown")
    assert sum(item.label == "unknown" for item in items) == 40


def test_silence_is_cut_out_of_noise_that_one_split_alone_has(folder):
    items = read(folder, "yes", "no", "silence")
    silence = [item for item in items if item.label == "silence"]
    assert counts(silence) == {
        ("silence", "train"): 30,
        ("silence", "val"): 6,
        ("silence", "test"): 4,
    }
    homes = {(item.clip.name, item.split) for item in silence}
    assert len(homes) == len({name for name, _ in homes}) == 4  # files
    for item in silence:
        assert item.group == item.clip.name
        assert item.excerpt is not None
        assert item.excerpt.piece is not None
        start, seconds = item.excerpt.piece
        assert seconds == 1
        assert 0 <= start <= LASTS[item.clip.name] - 1
    names = {(item.clip, item.excerpt) for item in silence}
    assert len(names) == len(silence)


@pytest.mark.parametrize("noises", [("rain.wav",), ("rain.wav", "wind.wav")])
def test_of_few_noises_every_split_has_a_stretch_of_its_own(tmp_path, noises):
    items = read(keywords(tmp_path, noises), "yes", "no", "silence")
    bounds = {"train": (0, 0.8), "val": (0.8, 0.9), "test": (0.9, 1)}
    silence = [item for item in items if item.label == "silence"]
    assert {item.split for item in silence} == set(bounds)
    for item in silence:
        low, high = (share * LASTS[item.clip.name] for share in bounds[item.split])
        assert item.excerpt is not None
        assert item.excerpt.piece is not None
        assert low <= item.excerpt.piece[0] <= high - 1
        assert item.group == f"{item.clip.name} {item.split}"


def test_noise_that_is_too_short_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(LASTS, "rain.wav", 9.0)
    folder = keywords(tmp_path, ("rain.wav",))
    with pytest.raises(InputError, match=r"three files or more of 1 s .* of 10 s"):
        read(folder, "yes", "no", "silence")
    assert read(folder, "yes", "no")


def test_noisy_copies_are_of_training_clips_with_training_noise_alone(folder):
    items = read(folder, "yes", "no", "unknown", "silence", noisy=2)
    noises = {i.clip.name: i.split for i in items if i.label == "silence"}
    copies = [item for item in items if item.excerpt and item.excerpt.noise]
    assert counts(copies) == {(w, "train"): 60 for w in ("yes", "no", "unknown")}
    plain = {item.clip: item for item in items if item.excerpt is None}
    for item in copies:
        assert item.excerpt is not None
        noise = item.excerpt.noise
        assert noise is not None
        assert noises[noise.clip.name] == "train"
        assert 0 <= noise.snr_db <= 20
        assert -0.1 <= noise.shift_s <= 0.1
        assert 0 <= noise.start_s <= LASTS[noise.clip.name] - 1
        one = plain[item.clip]
        assert (one.label, one.group) == (item.label, item.group)
    assert {item.excerpt.number for item in copies if item.excerpt} == {1, 2}
    spread = [i.excerpt.noise.snr_db for i in copies if i.excerpt and i.excerpt.noise]
    assert np.mean(spread) == pytest.approx(10, abs=1.5)


def test_the_seed_decides_what_is_drawn_and_nothing_else(folder):
    labels = ("yes", "no", "unknown", "silence")
    first = read(folder, *labels, noisy=1, seed=3)
    assert first == read(folder, *labels, noisy=1, seed=3)
    other = read(folder, *labels, noisy=1, seed=4)
    assert first != other
    assert counts(first) == counts(other)
    # One thing more that is wanted does not change what is drawn for the others.
    fewer = read(folder, *labels, seed=3)
    assert set(fewer) <= set(first)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (("yes", "maybe"), r"no folder for the words maybe; there are: bird, go, no"),
        ((*WORDS, "unknown"), "all words of the folder are asked for"),
    ],
)
def test_what_is_not_there_cannot_be_asked_for(folder, labels, said):
    with pytest.raises(InputError, match=said):
        read(folder, *labels)


def test_another_layout_is_refused(tmp_path):
    folder = keywords(tmp_path)
    (folder / "testing_list.txt").unlink()
    with pytest.raises(InputError, match=r"not in the layout.*no testing_list\.txt"):
        read(folder, "yes")


def test_a_folder_of_a_word_with_a_meaning_is_refused(tmp_path):
    folder = keywords(tmp_path)
    (folder / "bird").rename(folder / "silence")
    with pytest.raises(InputError, match=r"a folder silence.*rename it"):
        read(folder, "yes")


def test_lists_of_other_files_are_refused(tmp_path):
    folder = keywords(tmp_path)
    for name in ("testing_list.txt", "validation_list.txt"):
        (folder / name).write_text(f"up/{name[0]}_nohash_0.wav\n")
    with pytest.raises(ManifestError, match=r"none of its 160 clips.*like bird/0000"):
        read(folder, "yes", "no")


def test_a_clip_in_both_lists_is_refused(tmp_path):
    folder = keywords(tmp_path)
    both = (folder / "testing_list.txt").read_text()
    (folder / "validation_list.txt").write_text(both)
    with pytest.raises(ManifestError, match=r"stands in validation_list\.txt and in"):
        read(folder, "yes", "no")


def test_a_name_without_a_speaker_is_its_own_group(tmp_path):
    folder = keywords(tmp_path)
    (folder / "yes" / "mine.wav").touch()
    (mine,) = [i for i in read(folder, "yes", "no") if i.clip.name == "mine.wav"]
    assert (mine.group, mine.split) == ("", "train")


# What is taken of a file.

RATE = 100  # Hz


def ramp(seconds: float) -> np.ndarray:
    return np.linspace(0.1, 0.2, round(seconds * RATE), dtype=np.float32)


def test_a_piece_is_that_part_of_the_file():
    whole = Sound(ramp(5), RATE, 0.25)
    piece = Excerpt(1, piece=(2.0, 1.5)).of(whole, lambda _: pytest.fail("read"))
    np.testing.assert_array_equal(piece.samples, whole.samples[200:350])
    assert (piece.rate, piece.start_s) == (RATE, 2.25)


@pytest.mark.parametrize("snr_db", [0.0, 6.0, 20.0])
def test_the_clip_is_so_many_db_louder_than_the_noise(snr_db):
    dice = np.random.default_rng(0)
    clip = (0.02 * dice.standard_normal(1000)).astype(np.float32)
    noise = (0.3 * dice.standard_normal(1000)).astype(np.float32)
    added = mixed(clip, noise, snr_db).astype(float) - clip
    ratio = np.mean(np.square(clip, dtype=float)) / np.mean(np.square(added))
    assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.01)
    assert abs(np.corrcoef(added, noise)[0, 1]) == pytest.approx(1, abs=1e-5)


def test_noise_is_repeated_or_cut_to_the_clip():
    clip = np.full(7, 0.1, np.float32)
    added = mixed(clip, np.array([0.1, -0.1, 0.2], np.float32), 10) - clip
    np.testing.assert_allclose(added[:3], added[3:6], atol=1e-7)
    assert len(mixed(clip, np.ones(100, np.float32), 10)) == 7


def test_a_sum_that_would_be_too_loud_keeps_its_proportions():
    clip, noise = np.full(50, 0.9, np.float32), np.full(50, 0.5, np.float32)
    np.testing.assert_allclose(mixed(clip, noise, 0.0), np.ones(50), rtol=1e-6)


def test_silence_stays_silent():
    nothing = np.zeros(20, np.float32)
    assert not mixed(nothing, np.ones(20, np.float32), 0.0).any()
    assert mixed(ramp(1), nothing, 0.0).tolist() == ramp(1).tolist()
    assert len(mixed(np.empty(0, np.float32), nothing, 0.0)) == 0


@pytest.mark.parametrize(
    ("n_later", "moved"),
    [(0, [1, 2, 3]), (1, [0, 1, 2]), (-2, [3, 0, 0]), (9, [0, 0, 0]), (-9, [0, 0, 0])],
)
def test_a_shift_keeps_the_length(n_later, moved):
    assert shifted(np.array([1, 2, 3], np.float32), n_later).tolist() == moved


def test_a_noisy_copy_is_the_shifted_clip_with_that_noise():
    clip, other = Sound(ramp(2), RATE, 0.0), Sound(-ramp(6), RATE, 0.0)
    how = Noise(
        clip=Path("rain.wav"), start_s=3.0, seconds=1.0, snr_db=10.0, shift_s=0.05
    )
    asked: list[Path] = []

    def read_other(path: Path) -> Sound:
        asked.append(path)
        return other

    made = Excerpt(2, noise=how).of(clip, read_other)
    wanted = mixed(shifted(clip.samples, 5), other.samples[300:400], 10.0)
    np.testing.assert_array_equal(made.samples, wanted)
    assert asked == [Path("rain.wav")]


def test_an_excerpt_tells_what_it_is_in_plain_values():
    how = Noise(
        clip=Path("a/rain.wav"), start_s=3.0, seconds=1.0, snr_db=10.0, shift_s=0.05
    )
    assert Excerpt(1, piece=(2.0, 1.0)).told() == {"piece": [2.0, 1.0]}
    assert Excerpt(1, noise=how).told()["noise"] == {
        "clip": "rain.wav",
        "start_s": 3.0,
        "seconds": 1.0,
        "snr_db": 10.0,
        "shift_s": 0.05,
    }


# From the folder to samples and a manifest.


def spoken(folder: Path) -> Path:
    """Make a set of real sounds: tones for words, a little other for every speaker."""
    keywords(folder, n_each=1)
    for number, word in enumerate(WORDS):
        for voice, path in enumerate(sorted((folder / word).iterdir())):
            tone = clips.tone(400 * (number + 1) + voice, 0.8, peak=0.3)
            write_wav(path, tone, clips.RATE)
    for number, path in enumerate(
        sorted((folder / "_background_noise_").glob("*.wav"))
    ):
        write_wav(path, clips.tone(150 * (number + 1), 3.0, peak=0.05), clips.RATE)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[Row]]:
    """Build a set of two words, and what is unknown and silent, with noisy copies."""
    folder = spoken(tmp_path_factory.mktemp("spoken") / "set")
    output = folder.parent / "samples"
    assert made(folder, output, seed=0).made > 0
    return folder, output, read_manifest(output / "manifest.csv")


def made(folder: Path, output: Path, seed: int) -> Built:
    """Build as the tool does, in this process."""
    items = read_keywords(folder, LABELS, noisy=1, seed=seed)
    look = SoundLook(pictures=("logmel",), bands=17, columns=13, seconds=1.0)
    surveyed = survey_items(items, folder, output=output)
    return build(surveyed, Recipe.of_sound(look), folder=output)


def test_the_manifest_has_splits_speakers_and_all_classes(built):
    folder, _, rows = built
    items = read_keywords(folder, LABELS, noisy=1)
    kinds = Counter((row.label, row.group, row.split) for row in rows)
    assert kinds == Counter((i.label, i.group, i.split) for i in items)
    # The splits hold: train would refuse them else.
    assert split(rows, test_size=0.2, val_size=0.2, seed=0) == rows


def test_samples_hold_what_their_names_and_rows_say(built):
    _, output, rows = built
    by_path = {row.path.resolve(): row for row in rows}
    assert len(by_path) == len(rows)
    for row in rows:
        sample = load_sample(row.path)
        assert sample.shape == (1, 17, 13, 1)
        assert sample.meta["seconds"] == 1.0
        assert sample.label == row.label
        excerpt = sample.meta.get("excerpt", {})
        assert ("piece" in excerpt) == (row.label == "silence")
        start = excerpt["piece"][0] if "piece" in excerpt else 0.0
        assert sample.times.tolist() == [pytest.approx(start)]
        assert (".e0" in row.path.name) == bool(excerpt)
        assert (row.checksum == "") == ("piece" in excerpt)
    yes = output / "yes" / f"{SPEAKERS[9]}_nohash_0.pt"
    copy = excerpt_path(yes, 1)
    assert not np.array_equal(
        load_sample(yes).sound["logmel"], load_sample(copy).sound["logmel"]
    )
    assert by_path[copy.resolve()].split == "train"
    assert track_path(copy) == yes


def test_a_second_build_makes_only_what_another_seed_draws(built, capsys):
    folder, output, rows = built
    words = ["--target", str(folder), "--output", str(output), "--words", "yes,no"]
    words += ["--noisy", "1", "--bands", "17", "--columns", "13", "--workers", "1"]
    assert tool.main(words) == 0
    assert f"{len(rows)} samples of 17 x 13, logmel (0 made, {len(rows)} kept)" in (
        capsys.readouterr().out
    )
    again = made(folder, output, seed=1)
    # Words are kept; silence and noisy copies are others, some of the unknown too.
    assert len(again.rows) == len(rows)
    assert 2 * 15 + 20 <= again.made <= len(rows) - 2 * 20


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("10", CLASSIC),
        ("12", (*CLASSIC, "unknown", "silence")),
        ("all", ("all",)),
        ("yes, no", ("yes", "no", "unknown", "silence")),
        ("yes,no,unknown", ("yes", "no", "unknown")),
    ],
)
def test_words_are_read_from_the_command_line(text, labels):
    assert asked_words(text) == labels


@pytest.mark.parametrize("text", ["", "yes", "yes,yes", "yes,,no", "unknown,silence"])
def test_words_that_make_no_classes_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="two words or more"):
        asked_words(text)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--noisy", "2"], "--noisy takes its noise from the set that --words reads"),
        (["--words", "10", "--groups", "a.csv"], "drop --groups"),
    ],
)
def test_options_that_do_not_go_together_are_refused(more, said, capsys):
    with pytest.raises(SystemExit) as left:
        tool.main(["--target", "x", *more])
    assert left.value.code == 2
    assert said in capsys.readouterr().err
