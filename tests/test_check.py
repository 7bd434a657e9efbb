"""check.py: what is proved, what is damaged, and what has nobody it belongs to."""

import json
import os
from pathlib import Path

import clips
import pytest
from fmrgb_tools import check as tool
from fmrgb_tools import create_fmrgbdata

from fmrgb.check import check
from fmrgb.errors import InputError


@pytest.fixture
def built(tmp_path: Path, talkie: Path, mute: Path) -> Path:
    """Return a folder with clips of two labels and the samples made of them."""
    for label, clip in (("a", talkie), ("b", mute)):
        (tmp_path / "clips" / label).mkdir(parents=True)
        clips.copies(clip, tmp_path / "clips" / label, "one.mp4", "two.mp4")
    words = ["--target", str(tmp_path / "clips"), "--output", str(tmp_path / "s")]
    assert create_fmrgbdata.main([*words, "--workers", "1"]) == 0
    return tmp_path


def checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict]:
    """Run the tool; return its status and what it found."""
    capsys.readouterr()
    words = ["--target", str(folder / "clips"), "--samples", str(folder / "s")]
    status = tool.main([*words, "--workers", "1", "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_whole_samples_beside_their_clips_are_proved(built, capsys):
    status, found = checked(built, capsys)
    assert status == 0
    assert len(found.pop("proved")) == 4
    assert found.pop("is_sound")
    assert not any(found.values())


def test_a_flipped_byte_and_another_clip_are_faults(built, capsys):
    path = built / "s" / "a" / "one.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (built / "clips" / "b" / "two.mp4").write_bytes(
        (built / "clips" / "a" / "two.mp4").read_bytes()
    )
    status, found = checked(built, capsys)
    assert status == 1
    assert len(found["proved"]) == 2
    faults = found["faults"]
    assert "is damaged" in faults[str(path)]
    assert "made from another file" in faults[str(built / "s" / "b" / "two.pt")]


def test_orphans_of_every_kind_are_found_and_left_alone(built, capsys):
    (built / "clips" / "a" / "one.mp4").unlink()
    (built / "s" / "a" / "two.pt").unlink()
    extra = built / "s" / "b" / "extra.pt"
    extra.write_bytes((built / "s" / "b" / "one.pt").read_bytes())
    part = built / "s" / ".x.0123abcd.elsewhere-7.part.pt"
    part.touch()
    before = sorted(os.walk(built))
    status, found = checked(built, capsys)
    assert status == 1
    assert found["without_source"] == [str(built / "s" / "a" / "one.pt"), str(extra)]
    assert found["without_sample"] == [str(built / "clips" / "a" / "two.mp4")]
    assert found["unlisted"] == [str(extra)]
    assert found["missing"] == [str(built / "s" / "a" / "two.pt")]
    assert found["leftovers"] == [str(part)]
    assert sorted(os.walk(built)) == before


def test_samples_whose_clips_were_deleted_on_purpose_are_sound(built, capsys):
    for clip in (built / "clips").rglob("*.mp4"):
        clip.unlink()
    status, found = checked(built, capsys)
    assert (status, len(found["without_source"])) == (0, 4)


def test_people_are_told_in_lines(built, capsys):
    (built / "clips" / "a" / "one.mp4").unlink()
    capsys.readouterr()
    words = ["--target", str(built / "clips"), "--samples", str(built / "s")]
    assert tool.main([*words, "--workers", "1"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "3 samples proved: whole, and of the clip beside them"
    assert second.endswith("one.pt: whole, but its clip is not there")


def test_a_folder_without_samples_or_no_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        check(tmp_path / "gone")
    with pytest.raises(InputError, match=r"no \.pt file"):
        check(tmp_path)


def test_windows_are_proved_against_the_track_they_share(tmp_path, capsys):
    for name, label in (("one.wav", "a"), ("two.wav", "b")):
        (tmp_path / "clips" / label).mkdir(parents=True)
        sound = clips.tone(500, 1.5)
        clips.make(tmp_path / "clips" / label / name, None, sound, audio=())
    words = ["--target", str(tmp_path / "clips"), "--output", str(tmp_path / "s")]
    assert create_fmrgbdata.main([*words, "--workers", "1", "--window", "0.5"]) == 0
    status, found = checked(tmp_path, capsys)
    assert status == 0
    assert len(found["proved"]) == 6
    assert not any(found[k] for k in ("without_source", "without_sample", "unlisted"))
    clips.make(tmp_path / "clips" / "b" / "two.wav", None, sound[:-9], audio=())
    status, found = checked(tmp_path, capsys)
    assert status == 1
    assert len(found["proved"]) == len(found["faults"]) == 3


def test_sound_taken_out_of_a_video_does_not_stand_for_it(built, capsys):
    path = built / "clips" / "a" / "one.wav"
    clips.make(path, None, clips.tone(500, 1.0), audio=())
    status, found = checked(built, capsys)
    assert (status, len(found["proved"])) == (0, 4)
