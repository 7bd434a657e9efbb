"""The corpus: bad and odd media by the hundred, the same each time it is made."""

from pathlib import Path

from damage import spoilt
from items import Item, Shelf
from liars import SECRET, lying
from oddities import odd

__all__ = ["SECRET", "corpus"]


def corpus(folder: Path, canary: str = "http://127.0.0.1:9") -> list[Item]:
    """List all items; clean clips are made in `folder` as they are needed.

    Args:
        folder: for the clean clips, and a file that no item may get at.
        canary: the address of a server that must never be asked.
    """
    shelf = Shelf(folder)
    return [*odd(shelf), *lying(shelf, folder, canary), *spoilt(shelf)]
