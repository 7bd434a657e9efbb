"""From what a user points at to the files to be judged."""

from pathlib import Path

from fmrgb.cells import read_csv
from fmrgb.errors import InputError
from fmrgb.fence import Fence
from fmrgb.files import find_files, shown
from fmrgb.media import SOUND_SUFFIXES, VIDEO_SUFFIXES
from fmrgb.names import SAMPLE, copy_path
from fmrgb.packed import shard_of

LIST = ".csv"


def find_targets(
    target: Path, *, with_sound: bool, outside: bool = False
) -> list[Path]:
    """List the clips that a target stands for.

    Of a folder these are its videos and sound files, without the originals of which a
    resized copy stands beside them; if it has none, its samples.

    Args:
        target: a clip, a sample, a folder, or a CSV with a column `path`, whose paths
            are relative to its own folder.
        with_sound: whether files of sound alone can be judged.
        outside: let paths of a CSV lead out of its folder; see `fmrgb.fence`.

    Raises:
        InputError: if there is no such target, or nothing in it.
        ManifestError: if the CSV has no such column, or a path leads out of its folder.
    """
    if target.is_dir():
        suffixes = VIDEO_SUFFIXES + (SOUND_SUFFIXES if with_sound else ())
        try:
            found = find_files(target, suffixes)
        except InputError:
            return find_files(target, (SAMPLE,))
        present = set(found)
        return [path for path in found if copy_path(path) not in present]
    if target.suffix.lower() == LIST:
        named = [record["path"] for record in read_csv(target, ("path",))]
        fence = Fence(target, outside=outside)
        paths = list(dict.fromkeys(fence.path(name) for name in named if name))
        if not paths:
            raise InputError(f"{shown(target)} lists no clip")
        return paths
    if not target.exists() and not shard_of(target):
        raise InputError(f"no such file or folder: {shown(target)}")
    return [target]


def own_folder(clip: Path, target: Path, output: Path) -> Path:
    """Return the folder for what is written about one recording of many.

    `output` with the target's sub-folders, and in it one named like the file.
    """
    base = target if target.is_dir() else target.parent
    try:
        inside = clip.relative_to(base)
    except ValueError:  # a CSV may name clips anywhere
        inside = Path(clip.name)
    return output if clip == target else output / inside
