"""Items that are whole but odd, and items that are not what their names say."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
from clips import AAC, BT601, H264, HEIGHT, N_FRAMES, WIDTH, tone
from items import PCM, SECONDS, Item, Shelf, damaged

SOUND_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
HIGH_RATES = (88_200, 96_000, 176_400, 192_000)
LAYOUTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")
RATES = (1, 5, 12.5, "24000/1001", "30000/1001", 60, 120, 240, 480)
SMALL = (*BT601, *H264[:-1], "yuv444p")
SIZES = ((1, 1), (2, 2), (1, 240), (240, 1), (3, 5), (17, 33), (2, 4096), (4096, 2))
CODINGS = {  # ffmpeg's words for the picture, by the file's name
    "ten_bits.mp4": (*BT601, *H264[:-1], "yuv420p10le"),
    "four_two_two.mp4": (*BT601, *H264[:-1], "yuv422p"),
    "full_range.mp4": (*H264[:-1], "yuvj420p", "-color_range", "pc"),
    "rgb.mp4": ("-c:v", "libx264rgb", "-crf", "0"),
    "interlaced.mp4": (*BT601, *H264, "-flags", "+ilme+ildct"),
    "long_groups.mp4": (*BT601, *H264, "-bf", "4", "-g", "300"),
    "mpeg4.avi": ("-c:v", "mpeg4", "-q:v", "1"),
    "mjpeg.mov": ("-c:v", "mjpeg", "-q:v", "1"),
    "png.mov": ("-c:v", "png"),
    "transparent.mov": ("-vf", "format=rgba", "-c:v", "qtrle"),
    "lossless.mkv": ("-c:v", "ffv1"),
    "raw.avi": ("-c:v", "rawvideo", "-pix_fmt", "bgr24"),
    "vp9.webm": (*BT601, "-c:v", "libvpx-vp9", "-crf", "4", "-deadline", "realtime"),
    "hevc.mp4": (*BT601, "-c:v", "libx265", "-x265-params", "log-level=error"),
    "av1.mkv": (*BT601, "-c:v", "libaom-av1", "-cpu-used", "8", "-crf", "10"),
}


def odd(shelf: Shelf) -> Iterator[Item]:
    """Yield every item that is odd by nature."""
    for kind in (_rates, _sizes, _codings, _times, _sounds, _tracks):
        yield from kind(shelf)


def _made(frames: int = N_FRAMES, **how: object) -> Callable[[Path], object]:
    """Return a writer of colours with the tone."""
    height, width = how.pop("height", HEIGHT), how.pop("width", WIDTH)
    seconds = how.pop("seconds", SECONDS)

    def write(path: Path) -> object:
        pictures = clips.colours(frames, height, width)  # type: ignore[arg-type]
        heard = tone(1000, seconds) if seconds else None  # type: ignore[arg-type]
        return clips.make(path, pictures, heard, **how)  # type: ignore[arg-type]

    return write


def _again(source: Callable[[], bytes], *words: str) -> Callable[[Path], object]:
    """Return a writer that has ffmpeg make a file of a clean one."""

    def write(path: Path) -> None:
        clean = path.with_name(f".{path.name}.clean")
        clean.write_bytes(source())
        clips.ffmpeg("-i", clean, *words, path)
        clean.unlink()

    return write


def _rates(_: Shelf) -> Iterator[Item]:
    """Yield clips of 1 to 480 frames a second, of 0.04 s and of one frame."""
    for fps in RATES:
        seconds = N_FRAMES / float(Fraction(fps))
        yield Item(
            f"fps_{str(fps).replace('/', '_')}.mp4",
            f"{fps} frames a second",
            _made(fps=fps, seconds=seconds),
            seconds=seconds,
        )
    yield Item(
        "short.mp4", "0.04 s", _made(1, fps=25, seconds=0.04), n_frames=1, seconds=0.04
    )
    yield Item(
        "one_frame.mp4", "one frame", _made(1, seconds=0.1), n_frames=1, seconds=0.1
    )


def _sizes(_: Shelf) -> Iterator[Item]:
    """Yield clips of 1x1 to 8K, turned ones and ones of oblong pixels."""
    for width, height in SIZES:
        yield Item(
            f"size_{width}x{height}.mp4",
            f"{width}x{height} pixels",
            _made(width=width, height=height, video=SMALL),
            size=(width, height),
            tolerance=20,
        )
    yield Item(
        "size_8k.mp4",
        "7680x4320 pixels",
        _made(2, width=7680, height=4320, seconds=0.2),
        n_frames=2,
        size=(7680, 4320),
        seconds=0.2,
    )


def _codings(shelf: Shelf) -> Iterator[Item]:
    """Yield other ways of coding, turned pictures and oblong pixels."""
    for name, video in CODINGS.items():
        audio = ("-c:a", "libopus") if name.endswith("webm") else AAC
        audio = PCM if name.endswith(("avi", "mov")) else audio
        tolerance = 24 if name.startswith(("mpeg4", "mjpeg", "hevc", "av1")) else 14
        yield Item(
            f"coded_{name}",
            f"{name} coding",
            _made(video=video, audio=audio),
            tolerance=tolerance,
        )
    mp4 = lambda: shelf.bytes_of("back.mp4")  # noqa: E731
    for turn in (90, 180, 270, 45):
        flat = turn in (180, 45)  # the nearest quarter of a turn counts
        yield Item(
            f"turned_{turn}.mp4",
            f"turned by {turn} degrees",
            _turned(mp4, turn),
            size=(WIDTH, HEIGHT) if flat else (HEIGHT, WIDTH),
        )
    yield Item(
        "oblong.mp4",
        "oblong pixels",
        _again(mp4, "-c", "copy", "-aspect", "4:1"),
    )


def _turned(source: Callable[[], bytes], degrees: int) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        clean = path.with_name(f".{path.name}.clean")
        clean.write_bytes(source())
        turned = ("-display_rotation", str(degrees), "-i", clean)
        clips.ffmpeg(*turned, "-c", "copy", path)
        clean.unlink()

    return write


def _times(shelf: Shelf) -> Iterator[Item]:
    """Yield clips with negative, late, wrapping, uneven and repeated times."""
    mp4 = lambda: shelf.bytes_of("back.mp4")  # noqa: E731
    for offset in (-5, 3, 95_443.7, 1_000_000):
        for suffix in ("mp4", "mkv"):
            yield Item(
                f"offset_{offset}_{suffix}.{suffix}",
                f"all times {offset} s later",
                _again(mp4, "-c", "copy", "-output_ts_offset", str(offset)),
                outcome="either",
            )
    for name, times in {
        "uneven": "PTS*(1+N/12)",
        "jump": "if(gt(N,5),PTS+100/TB,PTS)",
        "still": "floor(N/6)*6/10/TB",
        "sparse": "PTS*1000",
    }.items():
        words = ("-vf", f"setpts='{times}'", "-fps_mode", "passthrough", *H264)
        yield Item(
            f"times_{name}.mp4",
            f"times {times}",
            _again(mp4, *words, "-c:a", "copy"),
            outcome="either",
            audible=False,
            seconds=None,
        )
    for delay in (0.5, 5.0, 300.0):
        yield Item(
            f"late_sound_{delay}.mov",
            f"sound that starts {delay} s late",
            _made(delay_s=delay, audio=PCM),
            audible=delay < 0.6,
        )
    for seconds in (0.1, 12.0):
        yield Item(
            f"sound_of_{seconds}.mp4",
            f"sound of {seconds} s",
            _made(seconds=seconds),
            audible=seconds > 1,
        )
    yield Item(
        "hours.mp4",
        "3 h",
        _hours(shelf),
        n_frames=None,
        audible=False,
        seconds=10_800.0,
        tolerance=14,
    )


def _hours(shelf: Shelf) -> Callable[[Path], object]:
    """Return a writer of three hours: the clean clip nine thousand times."""

    def write(path: Path) -> None:
        clean = path.with_name(f".{path.name}.clean.mp4")
        clean.write_bytes(shelf.bytes_of("mute.mp4"))
        loops = ("-stream_loop", str(9000 - 1), "-i", clean)
        hush = ("-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono:d=10800")
        clips.ffmpeg(*loops, *hush, "-c:v", "copy", "-c:a", "aac", path)
        clean.unlink()

    return write


def _sounds(_: Shelf) -> Iterator[Item]:
    """Yield sound of 8 to 192 kHz and of 1 to 8 channels, and none."""
    for rate in (*SOUND_RATES, *HIGH_RATES):
        yield Item(
            f"sound_{rate}.mov",
            f"sound of {rate} Hz",
            _with_sound(np.atleast_2d(tone(1000, SECONDS, rate=rate)), rate, "mono"),
        )
    for n, layout in enumerate(LAYOUTS, start=1):
        sound = np.stack([tone(1000, SECONDS)] * n)
        yield Item(
            f"sound_of_{n}_channels.mov",
            f"sound of {n} channels",
            _with_sound(sound, 16_000, layout),
        )
    for codec in ("aac", "libmp3lame", "ac3", "flac", "libopus", "libvorbis"):
        yield Item(
            f"sound_{codec}.mkv",
            f"sound by {codec}",
            _made(audio=("-c:a", codec, "-ar", "48000", "-ac", "2")),
        )
    yield Item(*("mute.mp4", "no sound", _made(seconds=0)), sound=False, audible=False)
    yield Item(
        *("silent.mov", "silence", _with_sound(np.zeros((1, 19_200)), 16_000, "mono")),
        audible=False,
    )
    spoilt = np.full((1, 19_200), np.nan, np.float32)
    floats = ("-c:a", "pcm_f32le")
    yield Item(
        "not_a_number.mov",
        "sound that is not a number",
        lambda path: clips.make(path, clips.colours(), spoilt, audio=floats),
        audible=False,
    )


def _with_sound(sound: np.ndarray, rate: int, layout: str) -> Callable[[Path], object]:
    return lambda path: clips.make(
        *(path, clips.colours(), sound.astype(np.float32)),
        **{"rate": rate, "layout": layout, "audio": PCM},
    )


def _tracks(shelf: Shelf) -> Iterator[Item]:
    """Yield missing, doubled and additional tracks, and names and dates by the MB."""
    mp4 = lambda: shelf.bytes_of("back.mp4")  # noqa: E731
    words = {
        "two_pictures.mp4": ("-map", "0:v", "-map", "0:v", "-map", "0:a"),
        "three_sounds.mp4": ("-map", "0", "-map", "0:a", "-map", "0:a"),
        "sound_first.mp4": ("-map", "0:a", "-map", "0:v"),
        "timecode.mov": ("-timecode", "01:00:00:00"),
        "long_title.mp4": ("-metadata", f"title={'x' * 100_000}"),
        "marks.mp4": ("-metadata", "comment=$(touch executed) {{7*7}} \x1b[31m"),
    }
    for name, more in words.items():
        made = _again(mp4, *more, "-c", "copy")
        yield Item(f"tracks_{name}", name.partition(".")[0], made)
    for first in (False, True):
        for suffix in ("mp4", "mov"):
            name = f"tracks_cover_{'first' if first else 'last'}_{suffix}.{suffix}"
            yield Item(name, "a cover", _covered(mp4, first))
    for suffix, codec in (("mp4", "mov_text"), ("mkv", "srt"), ("mkv", "ass")):
        yield Item(
            f"tracks_{codec}.{suffix}",
            f"{codec} subtitles",
            _subtitled(mp4, codec),
        )
    yield damaged(
        "tracks_sound_alone.mp4",
        "sound alone",
        lambda: shelf.bytes_of("alone.mp4"),
        "refused",
    )


def _subtitled(source: Callable[[], bytes], codec: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        clean = path.with_name(f".{path.name}.clean")
        clean.write_bytes(source())
        words = path.with_name(f".{path.name}.srt")
        words.write_text("1\n00:00:00,100 --> 00:10:00,000\nHello {\\b1}there\n")
        both = ("-i", clean, "-i", words, "-map", "0", "-map", "1")
        clips.ffmpeg(*both, "-c", "copy", "-c:s", codec, path)
        clean.unlink()
        words.unlink()

    return write


def _covered(source: Callable[[], bytes], first: bool) -> Callable[[Path], object]:
    """Return a writer of a clip with a red cover, as music programs attach one."""

    def write(path: Path) -> None:
        clean = path.with_name(f".{path.name}.clean")
        clean.write_bytes(source())
        cover = path.with_name(f".{path.name}.png")
        clips.ffmpeg(
            "-f", "lavfi", "-i", "color=red:s=600x400", "-frames:v", "1", cover
        )
        order = ("-map", "1", "-map", "0") if first else ("-map", "0", "-map", "1")
        number = 0 if first else 1
        mark = (f"-disposition:v:{number}", "attached_pic")
        clips.ffmpeg("-i", clean, "-i", cover, *order, "-c", "copy", *mark, path)
        clean.unlink()
        cover.unlink()

    return write
