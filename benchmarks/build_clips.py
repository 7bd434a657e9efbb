"""The clips that the building of samples is measured on, and the floor: decoding them.

Drawn by ffmpeg's own sources: moving test pictures with grain, as much of it as makes
the encoder need the stated bit rate, and a tone with beeps.
"""

import resource
import subprocess
from pathlib import Path

import av

from fmrgb.ffmpeg_program import find_program

SECONDS, FPS = 5, 30
# Name -> size, bit rate of the picture asked for, grain.
CLIPS = {
    "480x270": ("480x270", "1M", 12),
    "640x360": ("640x360", "1500k", 12),
    "1280x720": ("1280x720", "4M", 12),
    "480x270 low": ("480x270", "57k", 0),
}
FIGHTS = (
    Path(__file__).parents[2] / "shared" / "data" / "fights"
)  # real clips, if there
EVERY = 12  # of the real clips one in so many


def ffmpeg(*words: str | Path) -> None:
    """Run the ffmpeg program."""
    program = [str(find_program().path), "-v", "error", "-nostdin", "-y"]
    subprocess.run([*program, *map(str, words)], check=True)


def make_clip(folder: Path, name: str) -> Path:
    """Draw one clip of CLIPS, unless it is there."""
    size, rate, grain = CLIPS[name]
    path = folder / f"{name.replace(' ', '_')}.mp4"
    picture = f"testsrc2=size={size}:rate={FPS}:duration={SECONDS}"
    picture += f",noise=alls={grain}:allf=t" if grain else ""
    sound = f"sine=frequency=700:beep_factor=3:sample_rate=44100:duration={SECONDS}"
    sources = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound]
    video = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-b:v", rate]
    if not path.exists():
        ffmpeg(*sources, *video, "-c:a", "aac", "-b:a", "128k", path)
    return path


def lengthen(clip: Path, minutes: int) -> Path:
    """Write a clip over and over until it is so long."""
    path = clip.with_stem(f"{clip.stem}_{minutes}min")
    again = ["-stream_loop", "-1", "-i", clip, "-c", "copy", "-t", str(60 * minutes)]
    if not path.exists():
        ffmpeg(*again, path)
    return path


def picture_rate(clip: Path) -> float:
    """Return the bit rate of a clip's picture, in kb/s."""
    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        n_bytes = sum(packet.size for packet in container.demux(video))
        return n_bytes * 8e-3 / float(video.duration * video.time_base)


def real_clips() -> list[Path]:
    """List some real clips; none where they are not at hand."""
    return sorted(FIGHTS.glob("*/*.mp4"))[::EVERY]


def floor(clip: Path) -> None:
    """Decode picture and sound once, one thread, and keep nothing."""
    with av.open(str(clip)) as container:
        container.streams.video[0].thread_type = "NONE"
        tracks = [container.streams.video[0], *container.streams.audio[:1]]
        for _ in container.decode(*tracks):
            pass


def spent_s() -> float:
    """Return the processor time of this program and those it ran to their end, in s."""
    used = [
        resource.getrusage(who)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    return sum(u.ru_utime + u.ru_stime for u in used)
