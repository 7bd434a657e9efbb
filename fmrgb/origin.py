"""From a clip to a few words in its smaller copy, and back to which clip that was.

Clips of a collection are often alike in length and size: only its own bytes tell which
of them a copy was made from.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from fmrgb.files import sha256
from fmrgb.media import opened

TAG = "grouping"  # kept by mp4 and by what copies one; hardly anything else uses it
_WORDS = re.compile(r"fmrgb copy of (?P<n_bytes>\d+) bytes (?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True)
class Origin:
    """A file, told by its bytes."""

    n_bytes: int
    sha256: str

    def words(self) -> str:
        """Write it down for a copy to carry."""
        return f"fmrgb copy of {self.n_bytes} bytes {self.sha256}"


def origin_of(clip: Path) -> Origin:
    """Read all of a file and tell it by its bytes."""
    return Origin(clip.stat().st_size, sha256(clip))


def carried_by(copy: Path) -> Origin | None:
    """Return what a copy was made from; None if it does not say.

    Raises:
        MediaError: if it cannot be opened.
    """
    with opened(copy) as container:
        match = _WORDS.fullmatch(container.metadata.get(TAG, ""))
    return Origin(int(match["n_bytes"]), match["sha256"]) if match else None
