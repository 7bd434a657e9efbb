"""log.py: what happens, as lines of JSON, whoever asks for them."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import clips
import pytest
import tiny
from fmrgb_tools import create_fmrgbdata, train

from fmrgb.errors import InputError
from fmrgb.log import event, to_file


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_clip_is_a_line_with_stage_seconds_and_reason(tmp_path, talkie):
    folder, log = tmp_path / "clips", tmp_path / "log.jsonl"
    folder.mkdir()
    (good,) = clips.copies(talkie, folder, "good.mp4")
    (folder / "bad \x1b[31m\u202e.mp4").touch()
    words = ["--target", str(folder), "--workers", "1", "--log_file", str(log)]
    assert create_fmrgbdata.main(words) == 1
    lines = read(log)
    assert {line["tool"] for line in lines} == {"create_fmrgbdata"}
    assert (lines[0]["stage"], lines[-1]["stage"]) == ("begin", "end")
    (made,) = [line for line in lines if line["stage"] == "make_sample"]
    assert (made["clip"], made["error"], made["level"]) == (str(good), "", "info")
    assert made["seconds"] > 0
    (bad,) = [line for line in lines if line["error"]]
    assert "is empty" in bad["error"]
    assert bad["level"] == "warning"
    assert log.read_text().isascii()
    assert "\x1b" not in log.read_text()
    assert create_fmrgbdata.main(words) == 1
    assert len(read(log)) == 2 * len(lines)


def test_a_training_tells_its_epochs(tmp_path):
    data, log = tiny.manifest(tmp_path / "s", 6), tmp_path / "log"
    words = ["--data", str(data), "--output", str(tmp_path / "run"), "--epochs", "2"]
    assert train.main([*words, "--log_file", str(log)]) == 0
    stages = [line["stage"] for line in read(log)]
    assert stages == ["begin", "epoch 0", "epoch 1", "end"]


def test_a_fault_is_the_last_line(tmp_path):
    with pytest.raises(InputError), to_file(tmp_path / "log", "tool"):
        raise InputError("no such thing")
    last = read(tmp_path / "log")[-1]
    assert (last["stage"], last["error"]) == ("end", "no such thing")
    assert last["time"].endswith("+00:00")


def test_words_of_the_library_are_kept_too(tmp_path):
    with to_file(tmp_path / "log", "tool"):
        logging.getLogger("fmrgb.app_text").error("odd %s", "thing")
    (line,) = [one for one in read(tmp_path / "log") if one["level"] == "error"]
    assert (line["stage"], line["error"]) == ("fmrgb.app_text", "odd thing")


def test_without_a_file_nothing_is_kept_and_nothing_left_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with to_file(None, "tool"):
        event("x")
    with to_file(tmp_path / "log", "tool"):
        pass
    event("later")
    assert len(read(tmp_path / "log")) == 2
    assert len(os.listdir("/proc/self/fd")) == before
    assert not logging.getLogger("fmrgb").handlers


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    with (
        pytest.raises(InputError, match="cannot write"),
        to_file(tmp_path / "gone" / "log", "tool"),
    ):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
def test_a_full_disk_ends_the_log_and_not_the_work():
    with to_file(Path("/dev/full"), "tool"):
        event("x")
