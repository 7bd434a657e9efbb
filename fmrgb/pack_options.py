"""The options of `fmrgb pack`, as a dataclass that argparse-dataclass can read.

What `fmrgb.options` says of types and imports holds here too.
"""

from dataclasses import dataclass
from pathlib import Path

from fmrgb.fields import (
    check_at_least,
    default_workers,
    location,
    needed,
    option,
    outside_switch,
)
from fmrgb.options import ToolOptions
from fmrgb.store_options import StoreOptions


@dataclass(frozen=True, kw_only=True)
class PackOptions(StoreOptions, ToolOptions):
    """Pack samples into shards, tars that WebDataset reads too, and list them.

    The packed set is trained on like any other, and the samples stay where they are.
    """

    target: Path = needed(
        "manifest of the samples, or their folder; or an address", location
    )
    output: Path = needed(
        "folder of the shards and of their manifest.csv, or an address", location
    )
    shard_mb: int = option(256, "MiB of a shard; a larger sample gets its own")
    seed: int = option(0, "decides the order of the samples in the shards")
    outside: bool = outside_switch()
    workers: int = option(
        default_workers(), "how many shards to write at once", said="one per core"
    )

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_at_least(self, 1, "shard_mb", "workers")
