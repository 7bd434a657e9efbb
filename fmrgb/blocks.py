"""From rows to the shards that hold their samples, for readers that go by shards."""

from collections.abc import Sequence
from pathlib import Path

from fmrgb.manifest import Row
from fmrgb.packed import shard_of


def blocks_of(rows: Sequence[Row]) -> list[list[int]]:
    """Return the numbers of rows, those of a shard together.

    No shard is looked into: rows lie in their shard in the order of the packed set's
    manifest.

    Args:
        rows: of samples that are packed or files of their own, in any mixture.

    Returns:
        a block per shard, in the order of the first row of each. A sample that is a
        file of its own is a block by itself.
    """
    blocks: dict[Path, list[int]] = {}
    for number, row in enumerate(rows):
        packed = shard_of(row.path)
        blocks.setdefault(packed[0] if packed else row.path, []).append(number)
    return list(blocks.values())
