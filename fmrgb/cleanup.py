"""From mp4s that something sound has replaced to free disk.

An mp4 goes only if what replaces it is proved sound; the others are kept, each with
its reason.
"""

import os
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fmrgb import engine
from fmrgb.errors import FmrgbError, InputError, MediaError, SampleError
from fmrgb.files import Stamp, find_files, sha256, shown, stamp
from fmrgb.limits import Allowance, limits_of
from fmrgb.media import Decoded, decode_to_end
from fmrgb.names import copy_path, is_copy, sample_path
from fmrgb.origin import carried_by, origin_of
from fmrgb.sample import load_sample

PICTURE_TOLERANCE_S = 0.1  # the last frame's own duration is not always written down
SOUND_TOLERANCE_S = 0.3  # encoder delay, which programs skip or do not: 2112 samples

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Pair:
    """An mp4 and what replaces it."""

    clip: Path
    replacement: Path
    shared: bool = False  # another clip, x.MP4 beside x.mp4, has the same replacement


@dataclass(frozen=True)
class Proof:
    """The two files as they were when one was found to replace the other."""

    clip: Stamp
    replacement: Stamp


@dataclass(frozen=True)
class CleanupResult:
    """What became of every mp4 of a target."""

    gone: list[Path]  # proved to be replaced; in a dry run they are still there
    forced: dict[Path, str]  # gone without proof, and what the proof lacks
    kept: dict[Path, str]  # clip -> reason
    n_bytes: int  # of gone and forced together


def delete_not_resized(
    target: Path,
    *,
    dry_run: bool = False,
    force: bool = False,
    workers: int = 1,
    allowance: Allowance | None = None,
    progress: Progress | None = None,
) -> CleanupResult:
    """Delete every mp4 whose smaller copy, `resized_<name>.mp4`, is proved sound.

    A copy is sound if it decodes to its end and has as many frames, as many seconds and
    as much sound as its clip, and does not name another file as the one it was made
    from. Copies themselves are never deleted.

    Args:
        target: an mp4, or a folder with mp4s (sub-folders included).
        dry_run: prove, but delete nothing.
        force: delete also what is not proved.
        workers: how many clips at once.
        allowance: what a clip's proof may take; None means anything.
        progress: called with how many of how many are judged.

    Raises:
        InputError: if there is no mp4.
    """
    clips = [c for c in find_files(target, (".mp4",)) if not is_copy(c)]
    copies = [copy_path(clip) for clip in clips]
    named = Counter(copies)
    pairs = [Pair(c, r, named[r] > 1) for c, r in zip(clips, copies, strict=True)]
    return _Cleanup(dry_run, force, allowance).run(prove_copy, pairs, workers, progress)


def delete_allmp4(
    target: Path,
    *,
    samples: Path | None = None,
    dry_run: bool = False,
    force: bool = False,
    workers: int = 1,
    allowance: Allowance | None = None,
    progress: Progress | None = None,
) -> CleanupResult:
    """Delete every mp4, resized or not, whose sample is proved sound.

    A sample is sound if all of it can be read, its arrays fit together, and it was made
    from exactly this file (SHA-256), picture and all.

    Args:
        target: an mp4, or a folder with mp4s (sub-folders included).
        samples: folder of the samples; None means beside the mp4s.
        dry_run: prove, but delete nothing.
        force: delete also what is not proved.
        workers: how many clips at once.
        allowance: what a clip's proof may take; None means anything.
        progress: called with how many of how many are judged.

    Raises:
        InputError: if there is no mp4, or no folder of samples.
    """
    if samples is not None and not samples.is_dir():
        raise InputError(f"no such folder of samples: {shown(samples)}")
    clips = find_files(target, (".mp4",))
    pairs = [Pair(clip, sample_path(clip, target, samples)) for clip in clips]
    return _Cleanup(dry_run, force, allowance).run(_prove, pairs, workers, progress)


def prove_copy(pair: Pair) -> Proof:
    """Prove that a smaller copy replaces its clip.

    Raises:
        MediaError: if it does not, or if the clip itself cannot be decoded.
    """
    clip, copy = pair.clip, pair.replacement
    if copy.is_symlink():
        # It may well lead back to the clip that is to be deleted.
        raise MediaError(f"its copy {shown(copy)} is a link; put the file itself there")
    if not copy.is_file():
        raise MediaError(f"it has no copy {shown(copy.name)}; run resize_video")
    if copy.samefile(clip):
        raise MediaError(f"its copy {shown(copy)} is the same file; run resize_video")
    if pair.shared:
        raise MediaError(f"{shown(copy)} may be another clip's; rename one of them")
    proof = Proof(stamp(clip), stamp(copy))
    if lack := _lack(decode_to_end(clip), decode_to_end(copy)):
        raise MediaError(f"its copy {shown(copy)} has {lack}; run resize_video again")
    origin = carried_by(copy)
    if origin and origin != origin_of(clip):
        raise MediaError(
            f"its copy {shown(copy)} was made from another file; move that copy away "
            "and run resize_video"
        )
    return proof


def _lack(clip: Decoded, copy: Decoded) -> str | None:
    """Say what the copy has instead of what the clip has, None if all is there."""
    if copy.frames != clip.frames:
        return f"{copy.frames} frames instead of {clip.frames}"
    tolerance_s = max(PICTURE_TOLERANCE_S, clip.seconds / clip.frames)
    if abs(copy.seconds - clip.seconds) > tolerance_s:
        return f"{copy.seconds:.2f} s of picture instead of {clip.seconds:.2f} s"
    if copy.has_sound != clip.has_sound:
        return "a sound track that is not the clip's" if copy.has_sound else "no sound"
    if abs(copy.sound_seconds - clip.sound_seconds) > SOUND_TOLERANCE_S:
        return f"{copy.sound_seconds:.2f} s of sound, not {clip.sound_seconds:.2f} s"
    return None


def prove_sample(pair: Pair) -> Proof:
    """Prove that a sample was made from exactly this clip and can be read to its end.

    Raises:
        SampleError: if it was not or cannot.
    """
    clip, path = pair.clip, pair.replacement
    if not path.is_file():
        raise SampleError(f"it has no sample {shown(path)}; run create_fmrgbdata")
    proof = Proof(stamp(clip), stamp(path))
    sample = load_sample(path)
    source = sample.meta.get("source")
    checksum = source.get("sha256") if isinstance(source, dict) else None
    if not checksum:
        raise SampleError(
            f"its sample {shown(path)} does not name its source; make it again"
        )
    if checksum != sha256(clip):
        raise SampleError(
            f"its sample {shown(path)} was made from another file; make it again"
        )
    _check_sums(path)
    return proof


def _prove(pair: Pair) -> Proof:
    proof = prove_sample(pair)
    if not load_sample(pair.replacement).visual.shape[-1]:
        raise SampleError(f"its sample {shown(pair.replacement)} holds its sound alone")
    return proof


def prove_whole(path: Path) -> None:
    """Prove that a sample can be read to its end.

    Raises:
        SampleError: if it cannot.
    """
    load_sample(path)
    _check_sums(path)


def _check_sums(path: Path) -> None:
    # Opening maps the pixels without reading them; each part carries a checksum.
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as parts:
            damaged = parts.testzip()
    except zipfile.BadZipFile as error:
        damaged = str(error)
    if damaged:
        raise SampleError(f"its sample {shown(path)} is damaged ({damaged}); remake it")


class _Cleanup:
    """Has pairs proved and deletes their clips, or tells what it would delete."""

    def __init__(self, dry_run: bool, force: bool, allowance: Allowance | None) -> None:
        self._allowance = allowance
        self._dry_run = dry_run
        self._force = force
        self._gone: list[Path] = []
        self._forced: dict[Path, str] = {}
        self._kept: dict[Path, str] = {}
        self._n_bytes = 0

    def run(
        self,
        prove: Callable[[Pair], Proof],
        pairs: Sequence[Pair],
        workers: int,
        progress: Progress | None,
    ) -> CleanupResult:
        """Judge every pair as soon as it is proved or not."""
        # A link is never followed: what it leads to may lie outside the target.
        links = [pair for pair in pairs if pair.clip.is_symlink()]
        for pair in links:
            self._kept[pair.clip] = "it is a link; delete it by hand"
        judged = [pair for pair in pairs if not pair.clip.is_symlink()]
        limits = limits_of(self._allowance, lambda pair: pair.clip)
        outcomes = engine.run(prove, judged, workers=workers, limits=limits)
        for done, outcome in enumerate(outcomes, start=1):
            fault = outcome.fault or "it was not proved"
            self._judge(outcome.job, outcome.result, fault)
            if progress:
                progress(done, len(judged))
        return CleanupResult(
            gone=sorted(self._gone),
            forced=dict(sorted(self._forced.items())),
            kept=dict(sorted(self._kept.items())),
            n_bytes=self._n_bytes,
        )

    def _judge(self, pair: Pair, proof: Proof | None, fault: str) -> None:
        if proof is None and not self._force:
            self._kept[pair.clip] = fault
            return
        try:
            n_bytes = self._delete(pair, proof)
        except (FmrgbError, OSError) as error:
            self._kept[pair.clip] = str(error)
            return
        self._n_bytes += n_bytes
        if proof is None:
            self._forced[pair.clip] = fault
        else:
            self._gone.append(pair.clip)

    def _delete(self, pair: Pair, proof: Proof | None) -> int:
        """Unlink a clip unless something changed since its proof; return its bytes."""
        n_bytes = pair.clip.lstat().st_size
        if proof and not self._dry_run:
            _flush(pair.replacement)
        now = proof and Proof(stamp(pair.clip), stamp(pair.replacement))
        if now != proof or pair.clip.is_symlink():
            raise InputError("it or what replaces it has just changed; run this again")
        if not self._dry_run:
            pair.clip.unlink()
        return n_bytes


def _flush(path: Path) -> None:
    """Have a file and its name written to the disk, so that they outlive the clip."""
    _sync(path)
    with suppress(OSError):  # some file systems know no such thing for folders
        _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
