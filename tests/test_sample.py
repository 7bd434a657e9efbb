"""sample.py: what is written is read, and what is not sound is refused."""

import os
import pickle
import re
import signal
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clips import full_device

from fmrgb import plain
from fmrgb.errors import DiskFullError, SampleError
from fmrgb.sample import FORMAT, VERSION, Sample, load_sample, save_sample

# torch's own remark on a file that it then refuses.
pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")

T, H, W = 6, 9, 14
RNG = np.random.default_rng(2)
VISUAL = RNG.integers(0, 256, (T, H, W, 3), np.uint8)
AMPLITUDE = RNG.integers(0, 256, T, np.uint8)
MEL = RNG.integers(0, 256, (T, 8, 4), np.uint8)
DENSE = RNG.integers(0, 256, (T, H, W, 5), np.uint8)


def a_sample(**changes: Any) -> Sample:
    """Return a sound sample, but for the changes."""
    values = {
        "visual": VISUAL,
        "sound": {"amplitude": AMPLITUDE, "mel": MEL},
        "channels": ("R", "G", "B", "amplitude", "mel"),
        "times": np.arange(T, dtype=np.float32) / 10,
        "has_sound": True,
        "silent": False,
        "label": "dög\n1",
        "meta": {
            "fps": 10.0,
            "options": {"skip": 1, "size": None},
            "names": ["a", "b"],
        },
    }
    return Sample(**{**values, **changes})


def content(**changes: Any) -> dict[str, Any]:
    """Return what a sample's file holds, but for the changes; None leaves a key out."""
    whole = {
        "format": FORMAT,
        "version": VERSION,
        "visual": torch.from_numpy(VISUAL),
        "sound": {"amplitude": torch.from_numpy(AMPLITUDE)},
        "channels": ["R", "G", "B", "amplitude"],
        "times": torch.arange(T) / 10,
        "has_sound": True,
        "silent": False,
        "label": "dog",
        "meta": {},
    }
    return {k: v for k, v in {**whole, **changes}.items() if v is not None}


def test_what_is_saved_is_loaded(tmp_path):
    sample = a_sample()
    save_sample(tmp_path / "a.pt", sample)
    loaded = load_sample(tmp_path / "a.pt")
    assert np.array_equal(loaded.visual, VISUAL)
    assert loaded.visual.dtype == np.uint8
    assert set(loaded.sound) == {"amplitude", "mel"}
    assert np.array_equal(loaded.sound["amplitude"], AMPLITUDE)
    assert np.array_equal(loaded.sound["mel"], MEL)
    assert loaded.times == pytest.approx(sample.times)
    assert loaded.times.dtype == np.float32
    assert (loaded.has_sound, loaded.silent) == (True, False)
    assert (loaded.label, loaded.channels) == (sample.label, sample.channels)
    assert loaded.meta == sample.meta


def test_the_clip_is_all_planes_stacked(tmp_path):
    save_sample(tmp_path / "a.pt", a_sample())
    loaded = load_sample(tmp_path / "a.pt")
    assert loaded.shape == loaded.clip.shape == (T, H, W, 5)
    assert np.array_equal(loaded.clip[..., :3], VISUAL)
    assert (loaded.clip[..., 3] == AMPLITUDE[:, None, None]).all()
    assert np.array_equal(loaded.clip, a_sample().clip)


@pytest.mark.parametrize("frames", [[0, 2, 5], [4], [5, 0, 0], np.array([1, -1])])
def test_some_frames_and_channels_can_be_read(tmp_path, frames):
    save_sample(tmp_path / "a.pt", a_sample())
    loaded = load_sample(tmp_path / "a.pt")
    assert np.array_equal(loaded.read(frames), loaded.clip[np.array(frames)])
    part = loaded.read(frames, ["mel", "G"])
    assert np.array_equal(part, loaded.clip[np.array(frames)][..., [4, 1]])


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_pixels_stay_on_disk_until_they_are_asked_for(tmp_path):
    path = tmp_path / "mapped.pt"
    save_sample(path, a_sample())
    loaded = load_sample(path)
    assert str(path) in Path("/proc/self/maps").read_text()
    assert np.array_equal(loaded.visual, VISUAL)
    del loaded
    assert str(path) not in Path("/proc/self/maps").read_text()


def test_a_value_per_frame_takes_a_byte_per_frame(tmp_path):
    save_sample(
        tmp_path / "a.pt", a_sample(sound={"amplitude": AMPLITUDE}, channels=("R",))
    )
    assert (tmp_path / "a.pt").stat().st_size < VISUAL.nbytes + 5000


def test_the_same_sample_gives_the_same_bytes_under_any_name(tmp_path):
    (tmp_path / "x").mkdir()
    for name in ("a.pt", "x/another name.pt"):
        save_sample(tmp_path / name, a_sample())
    one, two = (tmp_path / n for n in ("a.pt", "x/another name.pt"))
    assert one.read_bytes() == two.read_bytes()
    save_sample(tmp_path / "again.pt", load_sample(one))
    assert (tmp_path / "again.pt").read_bytes() == one.read_bytes()


def test_a_view_is_saved_without_what_it_is_a_part_of(tmp_path):
    wide = np.zeros((T, H, W, 5), np.uint8)
    wide[..., 1:4] = VISUAL
    mirrored = np.ascontiguousarray(MEL[:, ::-1])[:, ::-1]  # strides below 0
    view = a_sample(
        visual=wide[..., 1:4], sound={"amplitude": AMPLITUDE, "mel": mirrored}
    )
    save_sample(tmp_path / "view.pt", view)
    save_sample(tmp_path / "copy.pt", a_sample())
    assert (tmp_path / "view.pt").read_bytes() == (tmp_path / "copy.pt").read_bytes()


def test_a_sample_on_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    full_device(tmp_path / "a.pt")
    with pytest.raises(DiskFullError, match=r"no room left to write .*a\.pt"):
        save_sample(tmp_path / "a.pt", a_sample())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.int16])
@pytest.mark.parametrize("legacy", [False, True])
def test_bare_tensors_of_the_first_version_are_read(tmp_path, kind, legacy):
    (tmp_path / "cat").mkdir()
    path = tmp_path / "cat" / "old.pt"
    torch.save(
        torch.from_numpy(DENSE).to(kind),
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    assert zipfile.is_zipfile(path) != legacy
    loaded = load_sample(path)
    assert loaded.label == "cat"
    assert loaded.channels == ("R", "G", "B", "amplitude", "frequency")
    assert np.array_equal(loaded.clip, DENSE)
    assert np.array_equal(
        loaded.read([3, 1], ["frequency"])[..., 0], DENSE[[3, 1], ..., 4]
    )
    assert (loaded.has_sound, loaded.silent) == (True, False)
    assert loaded.times == pytest.approx(np.arange(T) / 30)


def test_a_bare_tensor_of_three_channels_is_gray_and_sound(tmp_path):
    torch.save(torch.from_numpy(DENSE[..., :3].copy()), tmp_path / "old.pt")
    loaded = load_sample(tmp_path / "old.pt")
    assert loaded.channels == ("gray", "amplitude", "frequency")
    assert loaded.visual.shape == (T, H, W, 1)
    assert np.array_equal(loaded.clip, DENSE[..., :3])


def test_a_bare_tensor_without_sound_is_silent_and_can_be_saved_anew(tmp_path):
    quiet = DENSE.copy()
    quiet[..., 3:] = 0
    torch.save(torch.from_numpy(quiet), tmp_path / "old.pt")
    loaded = load_sample(tmp_path / "old.pt")
    assert (loaded.has_sound, loaded.silent) == (False, True)
    save_sample(tmp_path / "new.pt", loaded)
    assert np.array_equal(load_sample(tmp_path / "new.pt").clip, quiet)


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (
            torch.zeros(6, 9, 14, 4),
            r"expected a tensor \[T, H, W, 3 or 5\], got \[6, 9, 14",
        ),
        (
            torch.zeros(6, 9, 5),
            r"expected a tensor \[T, H, W, 3 or 5\], got \[6, 9, 5\]",
        ),
        (torch.zeros(6, 9, 14, 5), "expected whole levels 0 to 255, got torch.float32"),
        (torch.full((6, 9, 14, 5), 256), "expected levels 0 to 255, got others"),
        (torch.full((6, 9, 14, 5), -1), "expected levels 0 to 255, got others"),
        (
            torch.zeros(0, 9, 14, 5, dtype=torch.uint8),
            r"holds no pixel: visual is \[0, 9",
        ),
    ],
)
def test_a_bare_tensor_that_is_no_clip_is_refused(tmp_path, tensor, said):
    torch.save(tensor, tmp_path / "old.pt")
    with pytest.raises(SampleError, match=rf"old\.pt:? {said}"):
        load_sample(tmp_path / "old.pt")


class Trap:
    """An object that makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """Tell pickle to call open(path, "w")."""
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle", "inside"])
def test_code_in_a_file_never_runs(tmp_path, how):
    sprung = tmp_path / "sprung"
    path = tmp_path / "trap.pt"
    trap = Trap(sprung)
    if how == "pickle":
        path.write_bytes(pickle.dumps(trap))
    elif how == "inside":
        torch.save(content(meta={"fps": trap}), path)
    else:
        torch.save(trap, path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(
        SampleError, match=r"damaged or holds code .* it was not opened"
    ):
        load_sample(path)
    assert not sprung.exists()


def test_the_trap_would_spring_if_it_could(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung"))).close()
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_sample_cut_short_is_refused(tmp_path, share, legacy):
    path = tmp_path / "cut.pt"
    torch.save(content(), path, _use_new_zipfile_serialization=not legacy)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SampleError, match=r"cut\.pt (cannot be opened|is not a plain)"):
        load_sample(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_ctrl_c_while_a_sample_is_read_is_no_fault_of_the_sample(
    tmp_path, monkeypatch, legacy
):
    path = tmp_path / "sound.pt"
    torch.save(content(), path, _use_new_zipfile_serialization=not legacy)
    read = plain._Part.readinto
    left = 0

    def interrupted(part: plain._Part, buffer: bytearray) -> int:
        nonlocal left
        left -= 1
        if left == 0:
            signal.raise_signal(signal.SIGINT)
        return read(part, buffer)

    monkeypatch.setattr(plain._Part, "readinto", interrupted)
    load_sample(path)
    for reads in range(1, 1 - left):
        left = reads
        with pytest.raises(KeyboardInterrupt):
            load_sample(path)


def test_words_are_no_sample(tmp_path):
    (tmp_path / "text.pt").write_text("just words\n" * 20)
    with pytest.raises(
        SampleError, match=r"text\.pt (cannot be opened|is not a plain)"
    ):
        load_sample(tmp_path / "text.pt")


@pytest.mark.parametrize("seed", range(12))
def test_random_bytes_are_refused_and_nothing_else_happens(tmp_path, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path / "a.pt"
    if seed % 3:
        torch.save(content(), path, _use_new_zipfile_serialization=seed % 3 == 1)
        data = bytearray(path.read_bytes())
        for at in rng.integers(0, 400, 25):  # what is read first
            data[at] = rng.integers(256)
        path.write_bytes(data)
    else:
        path.write_bytes(rng.bytes(300))
    with pytest.raises(SampleError, match=r"a\.pt"):
        load_sample(path)


@pytest.mark.parametrize(
    "data",
    [
        *[
            b"I1\n.",
            b"}.",
            b"N.",
            b"\x80\x02]q\x00.",
            b"(",
            b"0",
            b"\x80",
            b"cos\nsystem\n.",
        ],
        *[b"\x80\x02R.", b"\x80\x02h\x05.", b"Vx\xff\n.", b"Ix\n.", b"\x80\x02X\xff"],
    ],
)
def test_other_pickles_are_refused(tmp_path, data):
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(SampleError, match=r"a\.pt"):
        load_sample(tmp_path / "a.pt")


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(SampleError, match=r"no such sample: .*gone\.pt"):
        load_sample(tmp_path / "gone.pt")
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(
        SampleError, match=r"expected a \.pt sample, got the folder .*folder\.pt"
    ):
        load_sample(tmp_path / "folder.pt")


@pytest.mark.parametrize("other", [{"a": 1}, [1, 2], "words", 7, {"format": "other"}])
def test_other_things_in_a_pt_are_no_sample(tmp_path, other):
    torch.save(other, tmp_path / "a.pt")
    with pytest.raises(
        SampleError, match=r"a\.pt is not an fmrgb sample; make samples"
    ):
        load_sample(tmp_path / "a.pt")


def test_another_version_is_refused(tmp_path):
    torch.save(content(version=VERSION + 1), tmp_path / "a.pt")
    with pytest.raises(SampleError, match="has sample version 2, this program reads 1"):
        load_sample(tmp_path / "a.pt")


def test_missing_parts_are_named(tmp_path):
    torch.save(content(times=None, label=None), tmp_path / "a.pt")
    with pytest.raises(SampleError, match=r"a\.pt lacks times, label; make it again"):
        load_sample(tmp_path / "a.pt")


def zeros(*shape: int, dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    """Return zeros."""
    return torch.zeros(shape, dtype=dtype)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"visual": zeros(T, H, W)},
            "expected visual uint8 [T, H, W, 0, 1 or 3], got uint8",
        ),
        ({"visual": zeros(T, H, W, 2)}, "expected visual uint8 [T, H, W, 0, 1 or 3]"),
        (
            {"visual": zeros(T, H, W, 3, dtype=torch.float32)},
            "expected visual uint8 [T, H, W, 0, 1 or 3], got float32",
        ),
        ({"visual": zeros(T, 0, W, 3)}, "holds no pixel: visual is [6, 0, 14, 3]"),
        ({"visual": zeros(T + 1, H, W, 3)}, "7 frames, but times (6,)"),
        ({"times": zeros(T, 1)}, "6 frames, but times (6, 1)"),
        ({"sound": {"mel": zeros(T - 1)}}, "expected mel uint8 [6] or [6, h, w], got"),
        ({"sound": {"mel": zeros(T, 4)}}, "expected mel uint8 [6] or [6, h, w], got"),
        (
            {"sound": {"mel": zeros(T, 0, 4)}},
            "expected mel uint8 [6] or [6, h, w], got",
        ),
        ({"sound": {"mel": zeros(T, dtype=torch.int16)}}, "expected mel uint8 [6] or"),
        ({"channels": ["R", "fever"]}, "names channels it does not hold: ['fever']"),
        ({"visual": "picture"}, "is not a sound sample: "),
        ({"sound": [1, 2]}, "is not a sound sample: "),
        ({"channels": 5}, "is not a sound sample: "),
        ({"meta": 5}, "is not a sound sample: "),
        ({"visual": zeros(T, H, W, 3).to_sparse()}, "is not a plain tensor file: "),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, changes, said):
    torch.save(content(**changes), tmp_path / "a.pt")
    with pytest.raises(SampleError, match=rf"a\.pt:? {re.escape(said)}"):
        load_sample(tmp_path / "a.pt")


def test_what_does_not_fit_is_not_written(tmp_path):
    with pytest.raises(
        SampleError, match="the sample to be written: 6 frames, but times"
    ):
        save_sample(tmp_path / "a.pt", a_sample(times=np.zeros(5, np.float32)))
    assert os.listdir(tmp_path) == []


def test_a_name_that_is_no_utf8_is_read_too(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.pt"))
    save_sample(path, a_sample())
    assert np.array_equal(load_sample(path).clip, a_sample().clip)


def test_a_sample_of_sound_alone_has_the_sides_of_its_pictures(tmp_path):
    logmel = np.arange(1 * 5 * 7, dtype=np.uint8).reshape(1, 5, 7)
    sample = Sample(
        visual=np.zeros((1, 5, 7, 0), np.uint8),
        sound={"logmel": logmel},
        channels=("logmel",),
        times=np.zeros(1, np.float32),
        has_sound=True,
        silent=False,
        label="yes",
    )
    save_sample(tmp_path / "yes.pt", sample)
    read = load_sample(tmp_path / "yes.pt")
    assert read.shape == (1, 5, 7, 1)
    np.testing.assert_array_equal(read.clip, logmel[..., None])
