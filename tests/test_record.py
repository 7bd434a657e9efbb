"""hearing.py, record.py, tools/record.py: what is heard is cut out and asked about."""

import json
import sys
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import answering
import clips
import cv2
import numpy as np
import pytest
from fmrgb_tools import record as tool

from fmrgb.card import View
from fmrgb.errors import InputError, MediaError, ProgramMissingError
from fmrgb.hearing import Source, open_file, open_microphone
from fmrgb.opened import open_model
from fmrgb.predict import predict_one
from fmrgb.recipe import Recipe, SoundLook
from fmrgb.record import Recorder, rate_for, write_wav
from fmrgb.utterances import Listening

TONES = ((1.0, 1.4, 440.0), (3.0, 3.6, 1500.0))  # from ... to ... s, Hz
LEAD = 0.15


def scene(seconds: float = 5.0, rate: int = clips.RATE) -> np.ndarray:
    """Return silence [S] with two tones."""
    sound = np.zeros(round(seconds * rate), np.float32)
    for start, end, hertz in TONES:
        first = round(start * rate)
        tone = clips.tone(hertz, end - start, rate=rate)
        sound[first : first + len(tone)] = tone
    return sound


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of two tones."""
    path = tmp_path_factory.mktemp("spoken") / "spoken.wav"
    return clips.make(path, None, scene(), audio=())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained network that judges by sound alone."""
    return answering.checkpoint(
        tmp_path_factory.mktemp("model"), answering.sound_alone()
    )


def listening(rate: int = clips.RATE) -> Listening:
    return Listening(rate=rate, lead_s=LEAD)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_file_is_heard_at_any_rate(spoken, rate):
    with open_file(spoken, rate) as source:
        sound = np.concatenate(list(source.blocks))
    assert source.rate == rate
    assert len(sound) == pytest.approx(5 * rate, abs=2)
    for start, end, hertz in TONES:
        part = sound[round((start + 0.05) * rate) : round((end - 0.05) * rate)]
        assert clips.strongest_hz(part, rate) == pytest.approx(hertz, abs=5)


def test_a_file_comes_in_small_blocks(spoken):
    with open_file(spoken) as source:
        assert max(map(len, source.blocks)) < clips.RATE


def test_a_film_without_sound_is_refused(tmp_path):
    film = clips.make(tmp_path / "mute.mp4", clips.colours())
    with pytest.raises(MediaError, match=r"mute\.mp4 has no sound"), open_file(film):
        pass


def test_the_answer_is_that_of_predict_for_the_kept_file(model, spoken, tmp_path):
    opened = open_model(model)
    save = tmp_path / "takes"
    with open_file(spoken, rate_for(opened)) as source:
        done = list(Recorder(opened, save=save).answers(source, listening()))
    assert [round(one.utterance.start_s, 2) for one in done] == [0.85, 2.85]
    assert [round(one.utterance.end_s, 2) for one in done] == [1.55, 3.75]
    assert sorted(path.name for path in save.iterdir()) == [
        *("take00001.png", "take00001.wav", "take00002.png", "take00002.wav"),
    ]
    for one in done:
        wav = one.files[0]
        alone = predict_one(opened, wav)
        np.testing.assert_array_equal(one.answer.probabilities, alone.probabilities)
        with wave.open(str(wav)) as file:
            read = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
            assert file.getframerate() == one.utterance.rate
        np.testing.assert_allclose(read, one.utterance.kept, atol=1 / 32767)


def test_a_network_of_sound_pictures_hears_at_its_own_rate(tmp_path):
    look = SoundLook(
        pictures=("logmel",), bands=17, columns=13, rate=22_050, seconds=1.0
    )
    card = replace(
        answering.CARD,
        view=View(("logmel",), 1, 17, 13, ("logmel",)),
        mean=[120.0],
        std=[80.0],
        recipe=Recipe.of_sound(look).options(),
    )
    opened = open_model(answering.checkpoint(tmp_path, card))
    assert rate_for(opened) == 22_050
    spoken = clips.make(tmp_path / "spoken.wav", None, scene(), audio=())
    with open_file(spoken, 22_050) as source:
        recorder = Recorder(opened, save=tmp_path / "takes")
        done = list(recorder.answers(source, listening(22_050)))
    assert [round(one.utterance.start_s, 1) for one in done] == [0.8, 2.8]
    # The waveform stands above the picture of it.
    sheet = cv2.imread(str(done[0].files[1]))
    assert sheet.shape[0] > 500


def test_takes_that_are_there_are_not_written_over(model, spoken, tmp_path):
    opened = open_model(model)
    (tmp_path / "take00007.wav").write_bytes(b"mine")
    with open_file(spoken) as source:
        done = list(Recorder(opened, save=tmp_path).answers(source, listening()))
    assert [one.files[0].name for one in done] == ["take00008.wav", "take00009.wav"]
    assert (tmp_path / "take00007.wav").read_bytes() == b"mine"


def test_nothing_is_kept_unless_it_is_asked_for(model, spoken, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_file(spoken) as source:
        done = list(Recorder(open_model(model)).answers(source, listening()))
    assert [one.files for one in done] == [(), ()]
    assert list(tmp_path.iterdir()) == []


def test_what_came_before_a_fault_is_answered(model):
    def breaks() -> Iterator[np.ndarray]:
        yield scene()[: round(1.2 * clips.RATE)]  # in the middle of the first tone
        raise MediaError("unplugged")

    answers = Recorder(open_model(model)).answers(
        Source(clips.RATE, breaks()), listening()
    )
    assert round(next(answers).utterance.end_s, 2) == 1.2
    with pytest.raises(MediaError, match="unplugged"):
        next(answers)


def test_a_network_that_does_not_use_sound_is_refused(tmp_path):
    model = answering.checkpoint(tmp_path, answering.picture_alone())
    with pytest.raises(InputError, match="judges by the picture alone"):
        Recorder(open_model(model))


def test_wav_does_not_wrap_what_is_too_loud(tmp_path):
    write_wav(tmp_path / "a.wav", np.array([2.0, -2.0, 0.5], np.float32), 8000)
    with wave.open(str(tmp_path / "a.wav")) as file:
        levels = np.frombuffer(file.readframes(3), "<i2")
    assert levels.tolist() == [32767, -32767, 16384]


# The microphone: what sounddevice does, without one.


class PortAudioError(Exception):
    """As sounddevice has it."""


class Stream:
    """Gives a sound, block by block, as soon as it is started; then stops."""

    def __init__(self, sound: np.ndarray, **how: Any) -> None:
        self.how, self.active, self.closed = how, True, False
        self._sound = sound

    def start(self) -> None:
        """Call back with every block, in the one array that PortAudio fills anew."""
        size = self.how["blocksize"]
        block_SA = np.empty((size, 1), np.float32)
        quiet = SimpleNamespace(input_overflow=False)
        for at in range(0, len(self._sound) - size + 1, size):
            block_SA[:, 0] = self._sound[at : at + size]
            self.how["callback"](block_SA, size, None, quiet)
        block_SA[:] = 9
        self.active = False

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


@pytest.fixture
def audio(monkeypatch) -> ModuleType:
    """Stand in for sounddevice with a device of 8 kHz that gives two tones."""
    module: Any = ModuleType("sounddevice")
    module.PortAudioError = PortAudioError
    module.streams = []

    def query_devices(device: object, kind: str) -> dict[str, float]:
        assert kind == "input"
        if device not in (None, 3, "desk"):
            raise ValueError(f"No input device matching {device!r}")
        return {"default_samplerate": 8000.0}

    def open_stream(**how: Any) -> Stream:
        module.streams.append(Stream(scene(rate=8000), **how))
        return module.streams[-1]

    module.query_devices, module.InputStream = query_devices, open_stream
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


@pytest.mark.parametrize("device", [None, "3", "desk"])
def test_the_microphone_is_heard_at_its_own_rate(audio, device):
    with open_microphone(device) as source:
        assert source.rate == 8000
        assert len(next(source.blocks)) == 400
    (stream,) = audio.streams
    assert stream.how["device"] == (3 if device == "3" else device)
    assert stream.closed


def test_what_the_microphone_gives_arrives_whole(audio):
    with open_microphone() as source:
        parts = [next(source.blocks) for _ in range(100)]
        with pytest.raises(MediaError, match="still plugged in"):
            next(source.blocks)
    np.testing.assert_array_equal(np.concatenate(parts), scene(rate=8000))
    (stream,) = audio.streams
    assert (stream.how["channels"], stream.how["dtype"]) == (1, "float32")


def test_sound_that_is_lost_is_told(audio, monkeypatch):
    monkeypatch.setattr("fmrgb.hearing.WAITING_S", 1.0)
    said: list[str] = []
    with open_microphone(say=said.append) as source, pytest.raises(MediaError):
        list(source.blocks)
    assert said == ["80 blocks of 0.05 s were lost"]  # of 5 s, 4 found no room


def test_a_device_that_is_not_there_is_named(audio):
    with (
        pytest.raises(MediaError, match=r"microphone attic cannot.*python -m sounddev"),
        open_microphone("attic"),
    ):
        pass


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with (
        pytest.raises(ProgramMissingError, match=r"pip install 'fmrgb\[record\]'"),
        open_microphone(),
    ):
        pass


def test_a_missing_portaudio_is_named(monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text(
        "raise OSError('PortAudio library not found')\n"
    )
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with (
        pytest.raises(ProgramMissingError, match=r"no PortAudio .*libportaudio2"),
        open_microphone(),
    ):
        pass


# The tool.


def test_the_tool_draws_and_answers_every_sound_of_a_file(model, spoken, capsys):
    assert tool.main(["--model", str(model), "--source", str(spoken)]) == 0
    out, err = capsys.readouterr()
    assert out.count("-20 dB") == 2
    assert "0.85 to 1.55 s, 0.70 s of" in out
    assert "2.85 to 3.75 s, 0.90 s of" in out
    answers = [line.split() for line in out.splitlines() if line.startswith("  ")]
    assert sorted(words[0] for words in answers) == ["bright"] * 2 + ["dark"] * 2
    first, second = (float(words[1]) for words in answers[:2])
    assert first >= second
    assert first + second == pytest.approx(1, abs=0.002)
    assert "listening at 16000 Hz for sounds above -40 dBFS" in err
    assert "2 sounds answered" in err


def test_the_tool_stops_after_so_many_times(model, spoken, capsys):
    words = ["--model", str(model), "--source", str(spoken), "--times", "1", "--json"]
    assert tool.main(words) == 0
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    told = json.loads(line)
    assert (told["start_s"], told["end_s"], told["files"]) == (0.85, 1.55, [])
    assert sum(told["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert "1 sound answered" in err


def test_the_tool_says_how_loud_it_was_if_nothing_was_loud_enough(
    model, spoken, capsys
):
    words = ["--model", str(model), "--source", str(spoken), "--level", "-5"]
    assert tool.main(words) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "the loudest of it had -9 dBFS; a lower --level lets it through" in err


def test_the_tool_says_that_a_sound_was_cut_off(model, spoken, capsys):
    words = ["--model", str(model), "--source", str(spoken), "--longest", "0.5"]
    assert tool.main(words) == 0
    err = capsys.readouterr().err
    assert "note: cut off at --longest 0.5 s while still loud" in err


def test_ctrl_c_ends_the_tool_well(model, audio, capsys, monkeypatch):
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "tell", pressed)
    assert tool.main(["--model", str(model)]) == 0
    assert "stopped by Ctrl-C\n1 sound answered" in capsys.readouterr().err
    assert audio.streams[0].closed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--level", "3"], "--level must lie between -100 and 0, got 3.0"),
        (["--silence", "0"], "--silence must lie in 0.05 to 600, got 0.0"),
        (["--longest", "nan"], "--longest must lie in 0.1 to 600, got nan"),
        (["--times", "0"], "--times must be at least 1, got 0"),
        (["--source", "a.wav", "--device", "1"], "either --source (a file) or"),
    ],
)
def test_wrong_numbers_are_refused(words, said, capsys):
    with pytest.raises(SystemExit) as left:
        tool.main(["--model", "x.ckpt", *words])
    assert left.value.code == 2
    assert said in capsys.readouterr().err
