"""From a folder of mp4s to a folder of smaller mp4s.

The copy of `x.mp4` is `resized_x.mp4` beside it.
"""

import math
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ffmpeg

from fmrgb import engine
from fmrgb.errors import MediaError
from fmrgb.ffmpeg_program import ENCODER, Children, Program, find_program
from fmrgb.files import find_files, refuse_changed, shown, stamp, whole_file
from fmrgb.header import Header, read_header
from fmrgb.leftovers import sweep_parts
from fmrgb.limits import Allowance
from fmrgb.media import decode_to_end, only_this
from fmrgb.names import copy_path, is_copy
from fmrgb.origin import TAG, Origin, carried_by, origin_of

_SOURCE, _COPY = "file:source", "file:copy"  # stand for the names until the very end


@dataclass(frozen=True)
class Resized:
    """A clip and its smaller copy."""

    copy: Path
    made: bool  # now; False if it was there already
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True)
class ResizeResult:
    """What became of every mp4 of a target."""

    done: list[Path]  # copies made now
    skipped: list[Path]  # copies that were there, sound and newer than their clips
    failed: dict[Path, str]  # clip -> reason
    left_alone: list[Path]  # resized_*, never resized again
    bytes_before: int  # of the clips whose copies were made now
    bytes_after: int  # of those copies


def resize(
    target: Path,
    *,
    mag: float = 3.0,
    crf: int = 20,
    workers: int = 1,
    allowance: Allowance | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ResizeResult:
    """Write a smaller copy beside every mp4; the sound is copied byte for byte.

    Args:
        target: an mp4, or a folder with mp4s (sub-folders included).
        mag: width and height are divided by this number, 1 or more, and made even.
        crf: x264 quality, 0 (lossless) to 51 (worst).
        workers: how many clips at once.
        allowance: what a clip may take; None means what its length lets expect.
        progress: called with how many of how many are done.

    Raises:
        InputError: if there is no mp4.
        ProgramMissingError: if there is no ffmpeg.
        DiskFullError: if there is no room left.
    """
    clips = find_files(target, (".mp4",))
    own = [clip for clip in clips if not is_copy(clip)]
    failed = same_copy(own)
    todo = [clip for clip in own if clip not in failed]
    sweep_parts(target)
    # Few clips on many cores: each ffmpeg takes its share of them.
    threads = max(1, workers // max(1, len(todo)))
    resizer = _Resizer(find_program(), mag, crf, threads, allowance or Allowance())
    made: list[Resized] = []
    try:
        outcomes = engine.run(resizer.resize, todo, workers=workers, kind="threads")
        for done, outcome in enumerate(outcomes, start=1):
            if outcome.result is not None:
                made.append(outcome.result)
            else:
                failed[outcome.job] = outcome.fault or "no reason was given"
            if progress:
                progress(done, len(todo))
    except BaseException:
        resizer.children.stop()  # else every ffmpeg would first go to its end
        raise
    left_alone = [clip for clip in clips if is_copy(clip)]
    return _result(made, failed, left_alone)


def same_copy(clips: list[Path]) -> dict[Path, str]:
    """Return the clips whose copies would share a name (a.mp4, a.MP4), and why."""
    named = Counter(copy_path(clip) for clip in clips)
    return {
        clip: f"{shown(clip)}: another clip's copy would also be called "
        f"{shown(copy_path(clip).name)}; rename one of them"
        for clip in clips
        if named[copy_path(clip)] > 1
    }


def _result(
    made: list[Resized], failed: dict[Path, str], left_alone: list[Path]
) -> ResizeResult:
    new = [item for item in made if item.made]
    return ResizeResult(
        done=sorted(item.copy for item in new),
        skipped=sorted(item.copy for item in made if not item.made),
        failed=dict(sorted(failed.items())),
        left_alone=left_alone,
        bytes_before=sum(item.bytes_before for item in new),
        bytes_after=sum(item.bytes_after for item in new),
    )


class _Resizer:
    """Makes copies, from any thread."""

    def __init__(
        self, program: Program, mag: float, crf: int, threads: int, may: Allowance
    ) -> None:
        self.children = Children()
        self._program = program
        self._mag = mag
        self._crf = crf
        self._threads = threads
        self._may = may

    def resize(self, clip: Path) -> Resized:
        """Make the copy of one clip, unless a sound one is there."""
        header = read_header(clip)
        before = stamp(clip)
        copy = copy_path(clip)
        made = not self._is_done(clip, header, copy)
        if made:
            with whole_file(copy) as part:
                command = self._command(clip, part, origin_of(clip))
                # By its bytes: its header may tell any length.
                limits = self._may.limits(clip)
                self.children.run(command, limits=limits, about=clip)
                if fault := self._fault(clip, header, part):
                    raise MediaError(
                        f"{shown(clip)}: ffmpeg's copy is not sound: {fault}"
                    )
                refuse_changed(clip, before)
        return Resized(copy, made, clip.stat().st_size, copy.stat().st_size)

    def _is_done(self, clip: Path, header: Header, copy: Path) -> bool:
        if not copy.is_file() or copy.stat().st_mtime_ns < clip.stat().st_mtime_ns:
            return False
        if self._fault(clip, header, copy) is not None:
            return False
        origin = carried_by(copy)
        return origin is None or origin.n_bytes == clip.stat().st_size

    def _fault(self, clip: Path, header: Header, copy: Path) -> str | None:
        """Return what the copy lacks, None if nothing."""
        try:
            small = read_header(copy)
        except MediaError as error:
            return str(error)
        if small.has_sound != header.has_sound:
            words = {True: "a sound track", False: "no sound track"}
            return f"expected {words[header.has_sound]}, got {words[small.has_sound]}"
        # The header's sides are those before any rotation, the copy's are upright.
        wanted = {self._side(header.width), self._side(header.height)}
        if {small.width, small.height} != wanted:
            sides = " x ".join(map(str, sorted(wanted)))
            return f"expected sides {sides}, got {small.width} x {small.height}"
        if small.frames == header.frames:
            return None
        # Packets that an edit list hides count in headers only: decoding has the say.
        n_frames, n_small = decode_to_end(clip).frames, decode_to_end(copy).frames
        if n_frames == n_small:
            return None
        return f"expected {n_frames} frames, got {n_small}; record the clip again"

    def _side(self, pixels: int) -> int:
        return 2 * max(1, math.floor(pixels / self._mag / 2 + 0.5))

    def _command(self, clip: Path, copy: Path, origin: Origin) -> list[str]:
        """Return ffmpeg's argument list; frames keep their own times and number."""
        source = ffmpeg.input(_SOURCE, **only_this(clip), threads=self._threads)
        # By ffmpeg's own sizes, which it knows after it has turned the picture upright.
        sides = {s: f"2*max(1,round(i{s}/{self._mag!r}/2))" for s in ("w", "h")}
        settings = {
            "c:v": ENCODER,
            "c:a": "copy",
            "vf": f"scale=w='{sides['w']}':h='{sides['h']}':flags=area",
            **self._program.keep_times,
            "movflags": "+faststart",
            "map_chapters": -1,
            "metadata": f"{TAG}={origin.words()}",
        }
        # Moving pictures only (V, not v), and whatever sound there is.
        output = ffmpeg.output(
            *(source["V:0"], source["a?"], _COPY),
            **settings,
            format="mp4",
            pix_fmt="yuv420p",
            preset="medium",
            crf=self._crf,
            threads=self._threads,
        )
        # Without -xerror a damaged clip is converted with its holes painted over.
        start = [self._program.path, "-nostdin", "-xerror", "-v", "error"]
        words = ffmpeg.compile(output, cmd=start, overwrite_output=True)
        # Put in last: ffmpeg-python fails on names that are not UTF-8.
        names = {_SOURCE: clip, _COPY: copy}
        return [
            f"file:{os.path.abspath(names[word])}" if word in names else word
            for word in words
        ]
