"""From a CSV of groups to the label and the group of each clip."""

from pathlib import Path

from fmrgb.address import Remote
from fmrgb.cells import read_csv
from fmrgb.errors import ManifestError
from fmrgb.files import shown
from fmrgb.names import TWIN

Facts = dict[Path, tuple[str, str]]  # label and group by clip, see `original`


def original(clip: Path) -> Path:
    """Return the name that a groups CSV knows a clip by, resized or not."""
    return clip.parent.resolve() / clip.stem.removeprefix(TWIN)


def read_groups(path: Path, target: Path) -> Facts:
    """Read a CSV with path and group, label or both.

    Its paths are relative to its own folder; to the target where one of the two is at
    an address and the other is not.

    Raises:
        ManifestError: if it lacks a column, or names a clip twice and differently.
        InputError: if there is no such file.
    """
    home = path.parent
    if isinstance(path, Remote) != isinstance(target, Remote):
        home = target if target.is_dir() else target.parent
    records = read_csv(path, ("path",))
    if records and not {"group", "label"} & set(records[0]):
        raise ManifestError(f"{shown(path)} needs a column group, label or both")
    facts: Facts = {}
    for record in records:
        said = (record.get("label", ""), record.get("group", ""))
        if facts.setdefault(original(home / record["path"]), said) != said:
            raise ManifestError(
                f"{shown(path)} names {shown(record['path'])} twice, with different "
                "labels or groups; keep one of the two rows"
            )
    return facts
