"""doctor.py: what a report of a fault should say, and whether one clip goes through."""

import json

import pytest
from fmrgb_tools import doctor as tool

from fmrgb import doctor
from fmrgb.errors import InputError, ProgramMissingError


@pytest.fixture(autouse=True)
def _little_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure the disk by one megabyte."""
    monkeypatch.setattr(doctor, "WRITTEN", 2**20)


def test_a_sound_machine_is_well(tmp_path, capsys):
    assert tool.main(["--target", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["versions", "codecs", "machine", "disk", "one clip"]
    assert found["versions"]["torch"].startswith("2.")
    assert found["codecs"]["ffmpeg"].startswith("ffmpeg version")
    assert "h264" in found["codecs"]["read"]
    assert "MB/s" in found["disk"]["speed"]
    assert "drawn, sampled and read as [24, 96, 128, 5]" in found["one clip"]["result"]
    assert not list(tmp_path.iterdir())


def test_people_are_told_what_to_paste(tmp_path, capsys):
    assert tool.main(["--target", str(tmp_path)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert "well" in told
    assert "paste all of this" in told[-1]


def test_what_is_wrong_is_named_and_the_rest_is_told(tmp_path, monkeypatch, capsys):
    def no_program() -> None:
        raise ProgramMissingError("no ffmpeg; install it")

    def no_clip(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(doctor, "find_program", no_program)
    monkeypatch.setattr(doctor.demo, "draw_clip", no_clip)
    assert tool.main(["--target", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "fault: no ffmpeg; install it" in told
    assert "fault: ZeroDivisionError: oh" in told
    assert "MB/s" in told


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        doctor.examine(tmp_path / "gone")
