"""loader.py: which frames and planes a network sees, and in which batches."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from fmrgb import loader
from fmrgb.card import View
from fmrgb.errors import TrainingError
from fmrgb.loader import (
    ClipSet,
    batches,
    class_weights,
    readable,
    statistics,
)
from fmrgb.manifest import Row
from fmrgb.order import Order
from fmrgb.sample import Sample, save_sample
from fmrgb.seen import choose_view, view_of

CLASSES = ("bright", "dark")


def counting() -> Sample:
    """Return a sample whose frame t has the level 10 t, and other levels of sound."""
    levels = 10 * np.arange(tiny.N_FRAMES, dtype=np.uint8)
    visual = np.broadcast_to(levels[:, None, None, None], tiny.sample().visual.shape)
    sound = {"amplitude": levels + 1, "frequency": levels + 2}
    return replace(tiny.sample(), visual=visual.copy(), sound=sound)


@pytest.mark.parametrize(
    ("n_frames", "drawn"),
    [
        (6, [0, 1, 2, 3, 4, 5]),
        (4, [0, 2, 3, 5]),
        (2, [0, 5]),
        (1, [0]),
        (11, [0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5]),
    ],
)
def test_frames_are_drawn_at_even_distances(n_frames, drawn):
    view = replace(tiny.VIEW, frames=n_frames)
    clip = view_of(counting(), view, "a.pt")
    assert clip.shape == view.shape == (5, n_frames, tiny.HEIGHT, tiny.WIDTH)
    assert clip.dtype == np.uint8
    assert (clip[0, :, 0, 0] // 10).tolist() == drawn
    np.testing.assert_array_equal(clip[4], clip[0] + 2)


def test_planes_come_in_the_views_order():
    view = replace(tiny.VIEW, channels=("frequency", "B", "amplitude"))
    clip, sample = view_of(tiny.sample(), view, "a.pt"), tiny.sample()
    np.testing.assert_array_equal(clip[1], sample.visual[..., 2])
    wanted = np.broadcast_to(sample.sound["frequency"][:, None, None], clip[0].shape)
    np.testing.assert_array_equal(clip[0], wanted)
    assert clip.flags.c_contiguous


def test_the_whole_view_is_the_sample_itself():
    clip = view_of(tiny.sample(), tiny.VIEW, "a.pt")
    np.testing.assert_array_equal(clip, tiny.sample().clip.transpose(3, 0, 1, 2))


@pytest.mark.parametrize("channels", [("R",), ("R", "G", "B"), tiny.CHANNELS])
def test_half_the_size_averages_blocks_of_four(channels):
    view = View(channels, 6, tiny.HEIGHT // 2, tiny.WIDTH // 2)
    clip = view_of(tiny.sample(), view, "a.pt").astype(float)
    whole = view_of(tiny.sample(), replace(tiny.VIEW, channels=channels), "a.pt")
    blocks = whole.reshape(len(channels), 6, 5, 2, 7, 2).mean(axis=(3, 5))
    assert np.abs(clip - blocks).max() <= 0.5


def test_any_number_of_planes_shrinks_to_any_size():
    planes = {name: np.full((tiny.N_FRAMES, 64, 4), 77, np.uint8) for name in "abc"}
    every = tuple("RGB") + tuple(planes)
    sample = replace(tiny.sample(), sound=planes, channels=every)
    view = View(every, tiny.N_FRAMES, 7, 9, sound=tuple(planes))
    clip_CTHW = view_of(sample, view, "x.pt")
    assert clip_CTHW.shape == view.shape
    assert (clip_CTHW[3:] == 77).all()


def test_a_larger_size_invents_no_levels():
    view = replace(tiny.VIEW, height=2 * tiny.HEIGHT, width=3 * tiny.WIDTH)
    clip, sample = view_of(tiny.sample(), view, "a.pt"), tiny.sample()
    assert clip.shape == (5, 6, 20, 42)
    assert clip[:3].min() >= sample.visual.min()
    assert clip[:3].max() <= sample.visual.max()
    np.testing.assert_array_equal(clip[3, :, 7, 9], sample.sound["amplitude"])


def test_a_sample_without_the_plane_is_named():
    sound = {"mel": np.zeros((6, 8, 4), np.uint8)}
    other = replace(tiny.sample(), sound=sound, channels=("R", "G", "B", "mel"))
    with pytest.raises(
        TrainingError,
        match=r"odd\.pt lacks the plane amplitude, frequency.*R, G, B, mel",
    ):
        view_of(other, tiny.VIEW, "odd.pt")


@pytest.mark.parametrize(
    ("words", "channels"),
    [
        ("all", tiny.CHANNELS),
        ("picture", ("R", "G", "B")),
        ("sound", ("amplitude", "frequency")),
        ("G", ("G",)),
        ("frequency, R", ("frequency", "R")),
    ],
)
def test_channels_are_chosen_by_sense_or_name(words, channels):
    view = choose_view(tiny.sample(), channels=words)
    sound = tuple(c for c in channels if c in ("amplitude", "frequency"))
    assert view == replace(tiny.VIEW, channels=channels, sound=sound)
    assert view.shape.channels == len(channels)


def test_frames_and_size_are_the_samples_own_unless_chosen():
    assert choose_view(tiny.sample()) == tiny.VIEW
    view = choose_view(tiny.sample(), frames=3, size=(8, 4))
    assert (view.frames, view.width, view.height) == (3, 8, 4)


@pytest.mark.parametrize("words", ["red", "R,mel", "", "R,,G"])
def test_planes_that_are_not_there_are_refused_with_the_list(words):
    with pytest.raises(TrainingError, match=r"no plane.*they have R, G, B, amplitude"):
        choose_view(tiny.sample(), channels=words)


def test_a_plane_named_twice_is_refused():
    with pytest.raises(TrainingError, match=r"names a plane twice: R,G,R"):
        choose_view(tiny.sample(), channels="R,G,R")


def test_samples_without_sound_planes_have_no_sound_to_train_on():
    mute = replace(tiny.sample(), sound={}, channels=("R", "G", "B"))
    with pytest.raises(TrainingError, match=r"no plane 'sound'; they have R, G, B"):
        choose_view(mute, channels="sound")


def test_broken_samples_are_named_and_the_others_kept(tmp_path):
    rows = tiny.dark_and_bright(tmp_path, ["train", "val"])
    cut, gone = rows[0].path, rows[3].path
    cut.write_bytes(cut.read_bytes()[:900])
    gone.unlink()
    good, faults = readable(rows)
    assert good == rows[1:3]
    assert set(faults) == {str(cut), str(gone)}
    assert "no such sample" in faults[str(gone)]
    assert "cannot be opened" in faults[str(cut)]


def test_no_readable_sample_at_all_is_refused(tmp_path):
    rows = [Row(path=tmp_path / "none.pt", label="dark")]
    with pytest.raises(TrainingError, match=r"no sample can be read; .*none\.pt"):
        readable(rows)


def test_an_item_is_the_clip_its_class_and_its_row(tmp_path):
    rows = tiny.dark_and_bright(tmp_path, ["train", "train"])
    clips = ClipSet(rows, CLASSES, tiny.VIEW)
    assert len(clips) == 4
    assert [clips[n][1:] for n in range(4)] == [(1, 0), (0, 1), (1, 2), (0, 3)]
    levels = clips[1][0]
    assert (levels.dtype, tuple(levels.shape)) == (torch.uint8, tuple(tiny.VIEW.shape))
    assert levels[:3].float().mean() == pytest.approx(tiny.LEVELS["bright"], abs=5)


def test_an_unknown_label_is_refused_before_anything_is_read(tmp_path):
    rows = [Row(path=tmp_path / "none.pt", label=k) for k in ("dark", "grey", "black")]
    with pytest.raises(
        TrainingError, match=r"does not know: black, grey; it knows bright, dark"
    ):
        ClipSet(rows, CLASSES, tiny.VIEW)


@pytest.mark.parametrize(("room", "reads"), [(2**20, 1), (0, 3)])
def test_clips_that_fit_into_memory_are_read_once(tmp_path, monkeypatch, room, reads):
    seen: list[Path] = []

    def load(path: Path) -> Sample:
        seen.append(path)
        return tiny.sample()

    monkeypatch.setattr(loader, "CACHE_BYTES", room)
    monkeypatch.setattr(loader, "load_sample", load)
    rows = [Row(path=tmp_path / name, label="dark") for name in ("a.pt", "b.pt")]
    clips = ClipSet(rows, CLASSES, tiny.VIEW)
    items = [[clips[n] for n in range(2)] for _ in range(3)]
    assert len(seen) == 2 * reads
    for again in items[1:]:
        for (levels, *rest), (first, *same) in zip(again, items[0], strict=True):
            assert torch.equal(levels, first)
            assert rest == same


def test_statistics_are_those_of_all_values(tmp_path):
    rows = tiny.dark_and_bright(tmp_path, ["train"] * 3)
    save_sample(rows[0].path, tiny.sample(60, "dark", loudness=220))
    clips = ClipSet(rows, CLASSES, tiny.VIEW)
    mean, std = statistics(clips)
    values_CN = np.concatenate(
        [clips[n][0].flatten(1).numpy() for n in range(6)], axis=1
    )
    assert mean == pytest.approx(values_CN.mean(axis=1), rel=1e-6)
    assert std == pytest.approx(values_CN.std(axis=1), rel=1e-5)


def test_a_plane_that_never_varies_is_not_stretched(tmp_path):
    rows = tiny.dark_and_bright(tmp_path, ["train"])
    for row in rows:
        sample = tiny.sample()
        sound = {name: np.full(6, 255, np.uint8) for name in sample.sound}
        save_sample(row.path, replace(sample, sound=sound))
    mean, std = statistics(ClipSet(rows, CLASSES, tiny.VIEW))
    assert mean[3:] == [255, 255]
    assert std[3:] == [loader.STILL, loader.STILL]


@pytest.mark.parametrize(
    ("n_clips", "batch_size", "shuffle", "sizes"),
    [
        (5, 2, True, [2, 3]),  # in training a last batch of one joins the one before
        (5, 2, False, [2, 2, 1]),
        (5, 3, True, [3, 2]),
        (4, 2, True, [2, 2]),
        (1, 2, True, [1]),
        (3, 1, True, [1, 1, 1]),
    ],
)
def test_every_clip_is_served_and_none_trains_alone(
    monkeypatch, n_clips, batch_size, shuffle, sizes
):
    monkeypatch.setattr(loader, "load_sample", lambda path: tiny.sample())
    rows = [Row(path=Path(f"{n}.pt"), label="dark") for n in range(n_clips)]
    clips = ClipSet(rows, CLASSES, tiny.VIEW)
    served = list(batches(clips, batch_size=batch_size, shuffle=shuffle))
    assert [len(labels) for _, labels, _ in served] == sizes
    assert all(levels.shape[1:] == tiny.VIEW.shape for levels, _, _ in served)


def order(clips: ClipSet, seed: int, workers: int = 0) -> list[int]:
    """Return the numbers of the rows in the order of two passes."""
    served = batches(clips, batch_size=4, shuffle=True, seed=seed, workers=workers)
    assert isinstance(served.batch_sampler, Order)
    seen: list[int] = []
    for epoch in range(2):
        served.batch_sampler.set_epoch(epoch)
        seen += [int(n) for *_, numbers in served for n in numbers]
    return seen


def test_the_order_is_the_seeds(tmp_path):
    rows = tiny.dark_and_bright(tmp_path, ["train"] * 4)
    clips = ClipSet(rows, CLASSES, tiny.VIEW)
    first = order(clips, seed=3)
    assert sorted(first[:8]) == sorted(first[8:]) == list(range(8))
    assert first[:8] != first[8:], "every pass has its own order"
    assert order(clips, seed=3) == first
    assert order(clips, seed=4) != first


# From Python 3.12 on, starting a worker beside torch's threads is remarked upon.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_workers_serve_the_same_clips_and_repeat_their_order(tmp_path):
    rows = tiny.dark_and_bright(tmp_path, ["train"] * 4)
    clips = ClipSet(rows, CLASSES, tiny.VIEW)
    first = order(clips, seed=3, workers=2)
    assert sorted(first[:8]) == sorted(first[8:]) == list(range(8))
    assert order(clips, seed=3, workers=0) == first
    for levels, labels, numbers in batches(
        clips, batch_size=4, shuffle=False, workers=2
    ):
        for level, label, number in zip(levels, labels, numbers, strict=True):
            assert torch.equal(level, clips[int(number)][0])
            assert int(label) == clips[int(number)][1]


def test_without_shuffling_rows_keep_their_order(tmp_path):
    clips = ClipSet(tiny.dark_and_bright(tmp_path, ["val"] * 2), CLASSES, tiny.VIEW)
    (batch,) = batches(clips, batch_size=9, shuffle=False)
    assert batch[1].tolist() == [1, 0, 1, 0]
    assert batch[2].tolist() == [0, 1, 2, 3]


def test_all_classes_together_weigh_the_same():
    labels = ["dark"] * 6 + ["bright"] * 2
    rows = [Row(path=Path(f"{n}.pt"), label=name) for n, name in enumerate(labels)]
    weights = class_weights(ClipSet(rows, ("bright", "dark", "none"), tiny.VIEW))
    assert weights == pytest.approx([8 / (2 * 2), 8 / (2 * 6), 0])
    assert sum(weights[label == "dark"] for label in labels) == pytest.approx(8)


def test_a_clip_without_sound_says_nothing_of_what_sound_is_like(tmp_path):
    rows = tiny.dark_and_bright(tmp_path, ["train"] * 3)
    heard = ClipSet(rows[1:], CLASSES, tiny.VIEW)
    silence = {"amplitude": np.zeros(6, np.uint8), "frequency": np.zeros(6, np.uint8)}
    save_sample(rows[0].path, replace(tiny.sample(), sound=silence))
    every = statistics(ClipSet(rows, CLASSES, tiny.VIEW))
    others = statistics(heard)
    assert every[0][3:] == pytest.approx(others[0][3:])
    assert every[1][3:] == pytest.approx(others[1][3:])
