"""From the paths that a table names to those that may be opened.

A table may come from anybody. What it names is opened, shown in reports and drawn, so
by itself it speaks for its own folder alone.
"""

import os
from pathlib import Path

from fmrgb.address import Remote, names_address, place
from fmrgb.errors import ManifestError
from fmrgb.files import shown

RUN_TABLE, RUN_MARK = "split.csv", "config.json"


def real(folder: Path | str) -> str:
    """Return where a folder lies, links followed; an address is that itself."""
    text = str(folder)
    return text if names_address(text) else os.path.realpath(text)


class Fence:
    """Keeps a table's paths within the table's own folder, links followed.

    The split.csv of a run always leads out, to the samples that the run was trained
    on, and may.
    """

    def __init__(self, table: Path, *, outside: bool = False) -> None:
        """Fence in the paths of `table`, or with `outside` let them lead anywhere."""
        self._table = table
        self._folder = str(table.parent)
        self._is_remote = isinstance(table, Remote)  # runs are of this disk
        is_of_run = table.name == RUN_TABLE and not self._is_remote
        is_of_run = is_of_run and (table.parent / RUN_MARK).is_file()
        self._is_open = outside or is_of_run
        self._home = real(table.parent)
        self._known: dict[str, bool] = {}  # folders, and whether they lie within

    def path(self, named: str) -> Path:
        """Return the path that the table names, relative to the table's folder.

        Raises:
            ManifestError: if it leads out of the fence, or cannot be a path.
        """
        if "\0" in named:
            raise ManifestError(
                f"{shown(self._table)}: {shown(named)} holds a zero and can be no path"
            )
        if not self._is_open and not self._is_within(named):
            raise ManifestError(
                f"{shown(self._table)}: {shown(named)} leads out of the table's own "
                "folder; give --outside if you trust where the table comes from"
            )
        if names_address(named):
            return place(named)
        if self._is_remote:
            return place(os.path.join(self._folder, named))
        return self._table.parent / named

    def _is_within(self, named: str) -> bool:
        if self._is_remote or names_address(named):
            # An address keeps no "..", so that its text tells where it leads.
            path = named if "://" in named else os.path.join(self._folder, named)
            return str(place(path)).startswith(f"{self._folder}/")
        # As text, for there may be a million: a Path that was asked keeps its answers.
        path = os.path.join(self._folder, named)
        if os.path.islink(path):
            path = os.path.realpath(path)
        folder, name = os.path.split(path)
        if folder not in self._known:
            whole = real(folder)
            inside = os.path.commonpath([whole, self._home]) == self._home
            self._known[folder] = inside
        return self._known[folder] and name != ".."
