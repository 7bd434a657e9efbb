"""live.py and streams.py against streams that ffmpeg serves on this machine."""

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import answering
import clips
import imageio_ffmpeg
import numpy as np
import pytest
from answering import ByLight

from fmrgb.errors import MediaError
from fmrgb.live import LiveAnswer, predict_live
from fmrgb.streams import is_address, without_secrets

SECONDS = 4


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 4 s, half dark, half bright, with a tone."""
    frames = answering.lights((answering.DARK, 2), (answering.BRIGHT, 2))
    sound = clips.tone(440, SECONDS)
    more = ("-g", "5", "-bf", "0")
    return clips.make(
        tmp_path_factory.mktemp("live") / "source.ts",
        frames,
        sound,
        video=(*clips.BT601, *clips.H264, *more),
    )


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def served(source: Path, *words: str, port: int | None = None) -> Iterator[str]:
    """Serve a file once, at the pace of a camera, to the first who asks."""
    address = f"http://127.0.0.1:{port or free_port()}/live.ts"
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        *("-v", "error", "-nostdin", "-re", *words, "-i", str(source)),
        *("-c", "copy", "-f", "mpegts", "-listen", "1", address),
    ]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield address
    finally:
        server.kill()
        server.wait()


def test_windows_are_judged_as_they_arrive(source):
    said: list[str] = []
    with served(source) as address:
        start, arrivals = time.monotonic(), []
        told: list[LiveAnswer] = []
        for answer in predict_live(
            ByLight(), address, window_s=1.0, reconnects=0, say=said.append
        ):
            told.append(answer)
            arrivals.append(time.monotonic() - start)
    assert [(round(a.judged.start_s), round(a.judged.end_s)) for a in told] == [
        (0, 1),
        (1, 2),
        (2, 3),
        (3, 4),
    ]
    labels = ["bright" if a.judged.probabilities[0] > 0.5 else "dark" for a in told]
    assert labels == ["dark", "dark", "bright", "bright"]
    assert arrivals[0] < arrivals[-1] - 0.4  # not all of them at the end
    assert all(0 <= a.latency_s < 2 for a in told)
    assert [a.notes for a in told] == [()] * 4
    assert not any(a.silent for a in told)
    assert said == ["the stream ended"]


def test_a_stream_that_drops_is_tried_again(monkeypatch, source):
    monkeypatch.setattr("fmrgb.live.FIRST_WAIT_S", 0.1)
    port = free_port()
    said: list[str] = []
    told: list[LiveAnswer] = []

    def serve_twice() -> None:
        for _ in range(2):
            with served(source, port=port):
                time.sleep(SECONDS - 1)  # killed before its end

    server = threading.Thread(target=serve_twice)
    server.start()
    time.sleep(0.6)
    address = f"http://127.0.0.1:{port}/live.ts"
    for answer in predict_live(
        ByLight(), address, window_s=1.0, reconnects=4, say=said.append
    ):
        told.append(answer)
    server.join()
    starts = [a.judged.start_s for a in told]
    assert starts == sorted(starts)
    assert starts[-1] > SECONDS  # the clock goes on over the gap
    lights = [a.judged.probabilities[0] > 0.5 for a in told]
    assert lights[0] < max(lights)
    later = [a for a in told if a.judged.start_s > SECONDS - 0.7]
    assert later[0].judged.probabilities[0] < 0.5  # it began anew, in the dark
    assert sum("try 1 to reconnect" in line for line in said) == 2
    assert said[-1].endswith("4 tries to reconnect")


def test_an_address_that_nobody_answers_at_is_a_fault_at_once():
    address = f"http://me:secret@127.0.0.1:{free_port()}/x"
    start = time.monotonic()
    with pytest.raises(MediaError, match=r"does not answer") as caught:
        list(predict_live(ByLight(), address, window_s=1.0))
    assert time.monotonic() - start < 5
    assert "secret" not in str(caught.value)


def test_a_stream_without_the_only_sense_that_counts_is_a_fault(tmp_path):
    frames = answering.lights((answering.DARK, 2))
    mute = clips.make(tmp_path / "mute.ts", frames)
    opened = ByLight(answering.sound_alone())
    with (
        served(mute) as address,
        pytest.raises(MediaError, match="no sound track, and the model"),
    ):
        list(predict_live(opened, address, window_s=1.0, reconnects=0))


def test_a_slow_network_leaves_windows_out_and_says_so(monkeypatch, source):
    monkeypatch.setattr("fmrgb.live.LATE_S", 0.2)

    class Slow(ByLight):
        def logits(self, levels_BCTHW: np.ndarray) -> np.ndarray:
            time.sleep(0.4)
            return super().logits(levels_BCTHW)

    said: list[str] = []
    with served(source) as address:
        told = list(
            predict_live(
                Slow(), address, window_s=0.4, hop_s=0.2, reconnects=0, say=said.append
            )
        )
    assert len(told) < 15  # of 19
    assert told[-1].judged.end_s == pytest.approx(SECONDS, abs=0.3)
    assert any("windows left out: the network is too slow" in line for line in said)


def test_a_device_is_watched_until_nobody_wants_more():
    address = "lavfi://testsrc2=size=48x32:rate=10,realtime"
    card = replace(answering.CARD, seconds=0.5)
    answers = predict_live(ByLight(card), address, reconnects=0)
    first, second = next(answers), next(answers)
    answers.close()
    assert first.judged.end_s == pytest.approx(0.5, abs=0.01)
    assert second.judged.start_s == pytest.approx(0.5, abs=0.01)
    assert first.notes != ()
    assert not [t for t in threading.enumerate() if t.name == "fmrgb-live"]


@pytest.mark.parametrize(
    ("target", "is_one"),
    [
        ("rtsp://camera/1", True),
        ("https://host/a.m3u8", True),
        ("udp://0.0.0.0:1234", True),
        ("/dev/video0", True),
        ("v4l2:///dev/video1", True),
        ("file:///etc/passwd", False),
        ("concat:a|b", False),
        ("clips/rtsp.mp4", False),
        ("/dev/null", False),
    ],
)
def test_addresses_are_told_from_files(target, is_one):
    assert is_address(target) is is_one


def test_name_and_password_are_not_shown():
    assert without_secrets("rtsp://me:pw@host:554/a@b") == "rtsp://host:554/a@b"
    assert without_secrets("http://host/a") == "http://host/a"
