"""cleanup.py and its tools: an mp4 goes only if what replaces it is proved sound."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fmrgb_tools.delete_allmp4 import main as delete_allmp4_main
from fmrgb_tools.delete_not_resized import main as delete_not_resized_main

from fmrgb import cleanup
from fmrgb.cleanup import delete_allmp4, delete_not_resized
from fmrgb.errors import InputError
from fmrgb.files import sha256
from fmrgb.mp4 import write_mp4
from fmrgb.sample import Sample, load_sample, save_sample
from fmrgb.tracks import Sound

FPS = 10
N_FRAMES = 8
RATE = 16_000  # Hz


def make(
    path: Path,
    *,
    n_frames: int = N_FRAMES,
    fps: float = FPS,
    height: int = 32,
    sound_s: float | None = 0.8,
) -> Path:
    """Write an mp4 of noise; sound_s None means no sound track."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (n_frames, height, 48, 3), np.uint8)
    sound = None
    if sound_s is not None:
        noise = rng.uniform(-0.5, 0.5, round(sound_s * RATE)).astype(np.float32)
        sound = Sound(noise, RATE, 0.0)
    write_mp4(path, list(frames), fps, sound)
    return path


def make_sample(clip: Path, path: Path | None = None) -> Path:
    """Write the sample of a clip; its pixels do not matter here."""
    path = path or clip.with_suffix(".pt")
    path.parent.mkdir(parents=True, exist_ok=True)
    sample = Sample(
        visual=np.full((N_FRAMES, 20, 30, 3), 7, np.uint8),
        sound={n: np.zeros(N_FRAMES, np.uint8) for n in ("amplitude", "frequency")},
        channels=("R", "G", "B", "amplitude", "frequency"),
        times=np.arange(N_FRAMES, dtype=np.float32) / FPS,
        has_sound=True,
        silent=False,
        label="one",
        meta={"source": {"name": clip.name, "sha256": sha256(clip)}},
    )
    save_sample(path, sample)
    return path


def pair(folder: Path, name: str = "a") -> tuple[Path, Path]:
    """Write a clip and a sound copy of it."""
    clip = make(folder / f"{name}.mp4")
    return clip, make(folder / f"resized_{name}.mp4", height=16)


def files(folder: Path) -> list[str]:
    return sorted(
        str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# --- delete_not_resized


@pytest.mark.parametrize("workers", [1, 2])
def test_an_original_with_a_sound_copy_goes(tmp_path, workers):
    clips = [pair(tmp_path)[0], pair(tmp_path / "sub", "b")[0]]
    n_bytes = sum(clip.stat().st_size for clip in clips)
    steps = []
    result = delete_not_resized(
        tmp_path, workers=workers, progress=lambda *step: steps.append(step)
    )
    assert (result.gone, result.kept, result.n_bytes) == (clips, {}, n_bytes)
    assert files(tmp_path) == ["resized_a.mp4", "sub/resized_b.mp4"]
    assert steps == [(1, 2), (2, 2)]


def test_a_single_file_may_be_the_target(tmp_path):
    clip, _ = pair(tmp_path)
    pair(tmp_path, "b")
    assert delete_not_resized(clip).gone == [clip]
    assert files(tmp_path) == ["b.mp4", "resized_a.mp4", "resized_b.mp4"]


@pytest.mark.parametrize(
    ("copy", "reason"),
    [
        ({"n_frames": 7}, "7 frames instead of 8"),
        ({"fps": FPS / 2}, "1.60 s of picture instead of 0.80 s"),
        ({"sound_s": None}, "no sound"),
        ({"sound_s": 0.3}, "s of sound, not 0.8"),
    ],
)
def test_a_copy_that_lacks_something_keeps_the_original(tmp_path, copy, reason):
    clip = make(tmp_path / "a.mp4")
    make(tmp_path / "resized_a.mp4", height=16, **copy)
    result = delete_not_resized(tmp_path)
    assert result.gone == []
    assert reason in result.kept[clip]
    assert files(tmp_path) == ["a.mp4", "resized_a.mp4"]


def test_a_copy_with_a_sound_of_its_own_keeps_the_original(tmp_path):
    clip = make(tmp_path / "a.mp4", sound_s=None)
    make(tmp_path / "resized_a.mp4")
    assert "a sound track that is not the clip's" in delete_not_resized(clip).kept[clip]


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (Path.unlink, "it has no copy resized_a.mp4; run resize_video"),
        (cut, "resized_a.mp4 is not a video or lost its header"),
        (lambda p: p.write_text("no video"), "resized_a.mp4 is not a video"),
        (lambda p: p.write_bytes(b""), "is empty"),
    ],
)
def test_a_missing_or_broken_copy_keeps_the_original(tmp_path, harm, reason):
    clip, copy = pair(tmp_path)
    harm(copy)
    assert reason in delete_not_resized(tmp_path).kept[clip]
    assert clip.exists()


def test_an_original_that_cannot_be_decoded_is_kept(tmp_path):
    clip, _ = pair(tmp_path)
    cut(clip)
    assert "/a.mp4" in delete_not_resized(tmp_path).kept[clip]
    assert clip.exists()


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_copy_that_is_the_original_itself_keeps_it(tmp_path, link):
    clip = make(tmp_path / "a.mp4")
    link(tmp_path / "resized_a.mp4", clip)
    reason = delete_not_resized(tmp_path).kept[clip]
    assert "is a link" in reason or "is the same file" in reason
    assert clip.exists()


def test_a_copy_that_two_originals_claim_keeps_both(tmp_path):
    clip, _ = pair(tmp_path)
    twin = make(tmp_path / "a.MP4")
    kept = delete_not_resized(tmp_path).kept
    assert set(kept) == {clip, twin}
    assert all("may be another clip's" in reason for reason in kept.values())


def test_copies_alone_are_nothing_to_do(tmp_path):
    make(tmp_path / "resized_a.mp4")
    result = delete_not_resized(tmp_path, force=True)
    assert (result.gone, result.forced, result.kept) == ([], {}, {})
    assert files(tmp_path) == ["resized_a.mp4"]


@pytest.mark.parametrize("force", [True, False])
def test_links_are_kept_and_not_followed(tmp_path, force):
    outside = make(tmp_path / "outside" / "a.mp4")
    make(tmp_path / "outside" / "resized_a.mp4")
    target = tmp_path / "target"
    make(target / "resized_a.mp4")
    (target / "a.mp4").symlink_to(outside)
    (target / "folder").symlink_to(outside.parent)
    result = delete_not_resized(target, force=force)
    assert result.kept == {target / "a.mp4": "it is a link; delete it by hand"}
    assert (result.gone, result.forced) == ([], {})
    assert (target / "a.mp4").is_symlink()
    assert files(outside.parent) == ["a.mp4", "resized_a.mp4"]


def test_a_dry_run_deletes_nothing(tmp_path):
    clip, _ = pair(tmp_path)
    lonely = make(tmp_path / "b.mp4")
    before = files(tmp_path)
    result = delete_not_resized(tmp_path, dry_run=True)
    assert (result.gone, list(result.kept)) == ([clip], [lonely])
    assert result.n_bytes == clip.stat().st_size
    assert list(delete_not_resized(tmp_path, dry_run=True, force=True).forced) == [
        lonely
    ]
    assert files(tmp_path) == before


def test_force_deletes_mp4s_only(tmp_path):
    for name in ("a.mp4", "b.MP4"):
        make(tmp_path / name)
    for name in ("a.txt", "a.mov", "a.mp4.bak", ".hidden.mp4", "mp4"):
        (tmp_path / name).write_text("keep me")
    result = delete_not_resized(tmp_path, force=True)
    assert sorted(p.name for p in result.forced) == ["a.mp4", "b.MP4"]
    assert all("no copy" in reason for reason in result.forced.values())
    assert files(tmp_path) == [".hidden.mp4", "a.mov", "a.mp4.bak", "a.txt", "mp4"]


@pytest.mark.parametrize("which", ["a.mp4", "resized_a.mp4"])
def test_what_changes_after_its_proof_is_kept(tmp_path, monkeypatch, which):
    clip, _ = pair(tmp_path)

    def prove_then_change(job: cleanup.Pair) -> cleanup.Proof:
        proof = prove(job)
        os.utime(tmp_path / which, ns=(0, 1))
        return proof

    prove = cleanup.prove_copy
    monkeypatch.setattr(cleanup, "prove_copy", prove_then_change)
    assert "has just changed" in delete_not_resized(tmp_path).kept[clip]
    assert clip.exists()


def test_the_copy_is_on_the_disk_before_the_original_goes(tmp_path, monkeypatch):
    clip, copy = pair(tmp_path)
    seen = []

    def fsync(handle: int) -> None:
        seen.append((os.fstat(handle).st_ino, clip.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    delete_not_resized(tmp_path)
    assert seen[0] == (copy.stat().st_ino, True)
    assert not clip.exists()


def test_a_file_that_cannot_be_deleted_is_kept(tmp_path, monkeypatch):
    clip, _ = pair(tmp_path)

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "unlink", refuse)
    result = delete_not_resized(tmp_path)
    assert "Permission denied" in result.kept[clip]
    assert (result.gone, result.n_bytes) == ([], 0)


# --- delete_allmp4


def test_clips_with_their_own_samples_go(tmp_path):
    clip, copy = pair(tmp_path / "one")
    for path in (clip, copy):
        make_sample(path)
    result = delete_allmp4(tmp_path, workers=2)
    assert result.gone == [clip, copy]
    assert files(tmp_path) == ["one/a.pt", "one/resized_a.pt"]


def test_samples_may_lie_in_a_folder_of_their_own(tmp_path):
    clip = make(tmp_path / "clips" / "one" / "a.mp4")
    single = make(tmp_path / "clips" / "two" / "b.mp4")
    make_sample(clip, tmp_path / "samples" / "one" / "a.pt")
    make_sample(single, tmp_path / "samples" / "b.pt")
    assert delete_allmp4(single, samples=tmp_path / "samples").gone == [single]
    assert delete_allmp4(clip.parent.parent, samples=tmp_path / "samples").gone == [
        clip
    ]
    assert files(tmp_path) == ["samples/b.pt", "samples/one/a.pt"]


def another(clip: Path, path: Path) -> None:
    make_sample(make(clip.with_name("other.mov"), n_frames=5), path)


def no_source(_: Path, path: Path) -> None:
    sample = load_sample(path)
    save_sample(path, replace(sample, visual=sample.visual.copy(), meta={}))


def rotten(_: Path, path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(bytes([7]) * 64) + 32] ^= 1  # one bit of one pixel
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda _, path: path.unlink(), "it has no sample"),
        (lambda _, path: cut(path), "cannot be opened, it is cut short"),
        (lambda _, path: path.write_text("x"), "make it again"),
        (another, "was made from another file"),
        (no_source, "does not name its source"),
        (
            lambda _, path: torch.save(torch.zeros(8, 4, 6, 5).byte(), path),
            "does not name",
        ),
        (rotten, "is damaged"),
    ],
)
def test_a_clip_without_a_sound_sample_is_kept(tmp_path, harm, reason):
    clip = make(tmp_path / "a.mp4")
    harm(clip, make_sample(clip))
    result = delete_allmp4(tmp_path)
    assert reason in result.kept[clip]
    assert clip.exists()


def test_a_clip_whose_sample_holds_its_sound_alone_is_kept(tmp_path):
    clip = make(tmp_path / "a.mp4")
    whole = load_sample(make_sample(clip))
    alone = {"visual": whole.visual[..., :0], "channels": ("amplitude", "frequency")}
    save_sample(clip.with_suffix(".pt"), replace(whole, **alone))
    assert "holds its sound alone" in delete_allmp4(tmp_path).kept[clip]


def test_a_clip_changed_since_its_sample_was_made_is_kept(tmp_path):
    clip = make(tmp_path / "a.mp4")
    make_sample(clip)
    make(clip, n_frames=9)
    assert "was made from another file" in delete_allmp4(tmp_path).kept[clip]


def test_a_missing_folder_of_samples_is_told(tmp_path):
    clip = make(tmp_path / "a.mp4")
    with pytest.raises(InputError, match="no such folder of samples"):
        delete_allmp4(tmp_path, samples=tmp_path / "none", force=True)
    assert clip.exists()


# --- the tools


def test_the_tool_prints_what_went_and_what_was_kept(tmp_path, capsys):
    clip, _ = pair(tmp_path)
    lonely = make(tmp_path / "line\nbreak.mp4")
    n_bytes = clip.stat().st_size
    words = ["--target", str(tmp_path), "--workers", "1"]
    assert delete_not_resized_main([*words, "--dry_run"]) == 1
    out, err = capsys.readouterr()
    assert (
        out == f"would delete {clip}\nwould delete 1 mp4s, {n_bytes:,} bytes; 1 kept\n"
    )
    assert err.count("\n") == 1
    assert r"line\nbreak.mp4: it has no copy" in err
    assert delete_not_resized_main([*words, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["gone"], told["n_bytes"]) == ([str(clip)], n_bytes)
    assert list(told["kept"]) == [str(lonely)]
    assert delete_not_resized_main([*words, "--force"]) == 0
    assert "without proof: it has no copy" in capsys.readouterr().out
    assert files(tmp_path) == ["resized_a.mp4"]


def test_the_other_tool_does_the_same_with_samples(tmp_path, capsys):
    clip = make(tmp_path / "a.mp4")
    make_sample(clip)
    words = ["--target", str(tmp_path)]
    assert delete_allmp4_main([*words, "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith(f"would delete {clip}\n")
    assert delete_allmp4_main(words) == 0
    assert files(tmp_path) == ["a.pt"]
    assert delete_allmp4_main(words) == 1
    assert "no .mp4 file" in capsys.readouterr().err
