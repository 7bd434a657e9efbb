"""From clips and their samples to what is proved, what is not, and what is left."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fmrgb import engine
from fmrgb.cleanup import Pair, Progress, prove_sample, prove_whole
from fmrgb.errors import InputError
from fmrgb.files import find_files, shown
from fmrgb.leftovers import is_part
from fmrgb.limits import Allowance, limits_of
from fmrgb.manifest import read_manifest
from fmrgb.media import SOUND_SUFFIXES, VIDEO_SUFFIXES
from fmrgb.names import SAMPLE, copy_path, sample_path, track_path
from fmrgb.ondisk import look_up

MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class Checked:
    """What became of every file of a target; names in the order of the alphabet.

    Attributes:
        proved: samples that are whole and made from exactly the clip beside them.
        without_source: samples that are whole, and whose clip is not there any more.
        faults: samples that are damaged, or not of the clip that bears their name.
        without_sample: clips that no sample was made of, nor of their smaller copy.
        unlisted: samples that no line of the manifest names.
        missing: lines of the manifest whose sample is not there.
        leftovers: files that killed runs left half written.
    """

    proved: list[str] = field(default_factory=list)
    without_source: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    without_sample: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged, of another clip, or missing."""
        return not (self.faults or self.missing)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "is_sound": self.is_sound}


def check(
    target: Path,
    *,
    samples: Path | None = None,
    workers: int = 1,
    allowance: Allowance | None = None,
    progress: Progress | None = None,
) -> Checked:
    """Prove every sample anew, by its checksums and against its clip; change nothing.

    Args:
        target: folder of the clips, sub-folders included.
        samples: folder of their samples; None means beside the clips.
        workers: how many samples at once.
        allowance: what the proof of one may take; None means anything.
        progress: called with how many of how many are done.

    Raises:
        InputError: if a folder is not there, or there is no sample in it.
        ManifestError: if the manifest is not sound.
    """
    if not target.is_dir():
        raise InputError(f"no such folder: {shown(target)}")
    home = samples or target
    made = find_files(home, (SAMPLE,))
    clips = _clips(target)
    # Sound that was taken out of a video lies beside it; the sample is the video's.
    by_kind = sorted(clips, key=lambda clip: clip.suffix.lower() in VIDEO_SUFFIXES)
    source = {sample_path(clip, target, samples): clip for clip in by_kind}
    found = Checked()
    # The windows of a track share its file.
    jobs = [(path, source.get(path) or source.get(track_path(path))) for path in made]
    limits = limits_of(allowance, lambda job: job[0])
    outcomes = engine.run(_prove, jobs, workers=workers, limits=limits)
    for done, outcome in enumerate(outcomes, start=1):
        path, clip = outcome.job
        if outcome.fault is not None:
            found.faults[str(path)] = outcome.fault
        else:
            (found.proved if clip else found.without_source).append(str(path))
        if progress:
            progress(done, len(jobs))
    present = {*made, *map(track_path, made)}
    for clip in clips:
        ways = (sample_path(one, target, samples) for one in (clip, copy_path(clip)))
        if not present.intersection(ways):
            found.without_sample.append(str(clip))
    _compare_with_manifest(found, home, made)
    found.leftovers.extend(sorted({*_leftovers(target), *_leftovers(home)}))
    for names in (found.proved, found.without_source):
        names.sort()
    return found


def _clips(target: Path) -> list[Path]:
    try:
        return find_files(target, (*VIDEO_SUFFIXES, *SOUND_SUFFIXES))
    except InputError:  # all are gone, as delete_allmp4 leaves a folder
        return []


def _prove(job: tuple[Path, Path | None]) -> None:
    path, clip = job
    if clip is None:
        prove_whole(path)
    else:
        prove_sample(Pair(clip, path))


def _compare_with_manifest(found: Checked, home: Path, made: list[Path]) -> None:
    """Find samples that are not listed, and lines without a sample."""
    if not (home / MANIFEST).is_file():
        return
    listed = {row.path.resolve() for row in read_manifest(home, outside=True)}
    look_up(listed, home)
    there = {path.resolve(): path for path in made}
    found.unlisted.extend(sorted(str(p) for r, p in there.items() if r not in listed))
    found.missing.extend(sorted(str(p) for p in listed if not p.is_file()))


def _leftovers(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob(".*") if is_part(path.name)]
