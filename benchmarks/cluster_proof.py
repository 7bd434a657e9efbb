"""What a rehearsal has to prove: nothing lost, nothing twice, the same bytes."""

import shutil
import threading
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from fmrgb.cells import read_csv
from fmrgb.files import sha256

LISTS = ("manifest.csv", "features.csv", "failed.csv")
LOOK_S = 0.5  # between two looks at the folder


@dataclass(frozen=True)
class Proof:
    """What was found of a build, held against one that a single host made undisturbed.

    Attributes:
        lost: clips whose sample is missing, or is not listed.
        twice: clips that are listed more than once, or have more than one sample.
        unlike: files whose bytes are not those of the undisturbed build.
        left: half-written files that are still there.
        again: samples that were made more than once, which shows in none of the others.
    """

    lost: int
    twice: int
    unlike: int
    left: int
    again: int

    @property
    def holds(self) -> bool:
        """Whether a user would see no difference."""
        return not (self.lost or self.twice or self.unlike)


class Watch:
    """Looks at a folder while it is built, for samples that are made anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: defaultdict[str, set[int]] = defaultdict(set)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look_on(self) -> None:
        while not self._over.wait(LOOK_S):
            self._look()
        self._look()

    def _look(self) -> None:
        for path in samples(self.folder):
            with suppress(OSError):  # replaced at this very moment
                self._seen[path].add((self.folder / path).stat().st_mtime_ns)

    @property
    def n_made(self) -> int:
        """How many samples were seen to appear."""
        return len(self._seen)

    @property
    def again(self) -> int:
        """How many samples were replaced by new ones."""
        return sum(len(times) - 1 for times in self._seen.values())


def samples(folder: Path) -> list[str]:
    """Return the names of the whole samples below a folder."""
    found = (p for p in folder.rglob("*.pt") if not p.name.startswith("."))
    return [path.relative_to(folder).as_posix() for path in found]


def digest(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every sample and list of a build, by name."""
    lists = [name for name in LISTS if (folder / name).exists()]
    return {name: sha256(folder / name) for name in [*samples(folder), *lists]}


def prove(watch: Watch, wanted: dict[str, str]) -> Proof:
    """Hold a build that was watched against the digest of the undisturbed one."""
    folder, have = watch.folder, digest(watch.folder)
    listed = Counter(r["path"] for r in read_csv(folder / "manifest.csv", ("path",)))
    should = {name for name in wanted if name.endswith(".pt")}
    return Proof(
        lost=len(should - (set(have) & set(listed))),
        twice=sum(n > 1 for n in listed.values()) + len(set(have) - set(wanted)),
        unlike=sum(have.get(name) != wanted[name] for name in wanted),
        left=sum(1 for _ in folder.rglob(".*.part*")),
        again=watch.again,
    )


def fresh(folder: Path) -> Path:
    """Return a folder with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
