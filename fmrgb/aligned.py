"""From a clip to pictures that are aligned as they are decoded, and to its sound.

Pictures that no aligned frame is made of are not even scaled, and no more than two are
held, however long the clip.

Axes: T frames, H height, W width.
"""

from pathlib import Path

from fmrgb.align import Aligner
from fmrgb.errors import MediaError
from fmrgb.files import shown
from fmrgb.media import read_clip
from fmrgb.pt_file import PtFile
from fmrgb.tracks import Clip


def read_aligned(
    path: Path,
    frames: int | None,
    *,
    promised: int,
    size: tuple[int, int] | None = None,
    skip: int = 1,
    samples_per_frame: int | None = None,
    gray: bool = False,
    scratch: Path | None = None,
    pixels: PtFile | None = None,
) -> Clip:
    """Decode a clip as `read_clip` does, its pictures aligned to `frames` frames.

    They are those that `align` makes of all pictures at once. A clip that has more or
    fewer frames than promised is decoded a second time.

    Args:
        path: the clip.
        frames: how many are wanted; None keeps the clip's own number.
        promised: frames that the clip has by its header, before any are skipped.
        size: (width, height) in pixels; None keeps the clip's own.
        skip: keep one frame in this many.
        samples_per_frame: decides the sound's rate; None means 16 kHz.
        gray: turn pictures gray, [T, H, W, 1], before they are aligned.
        scratch: folder for what outgrows memory.
        pixels: where pictures go; None keeps them in memory while there are few.

    Returns:
        a clip whose frames [frames, H, W, 3 or 1] are aligned; its times [T] are not.

    Raises:
        MediaError: if the file is not whole, has no picture or cannot be decoded.
        DiskFullError: if what outgrows memory does not fit on the disk.
    """
    n_frames = -(-promised // skip)
    for _ in range(2):
        clip = read_clip(
            path,
            size=size,
            skip=skip,
            samples_per_frame=samples_per_frame,
            scratch=scratch,
            pixels=pixels,
            aligner=Aligner(n_frames, frames) if frames else None,
            gray=gray,
        )
        if frames is None or len(clip.starts_s) == n_frames:
            return clip
        n_frames = len(clip.starts_s)
        if pixels:
            pixels.clear()
    raise MediaError(
        f"{shown(path)} has {len(clip.starts_s)} frames, and had others a moment ago: "
        "something writes to it; run the same command again when it is whole"
    )
