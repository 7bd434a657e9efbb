"""The options that say on which machines work is done, for the tools that can choose.

No `from __future__ import annotations` here and no `X | None`: argparse-dataclass
calls each field's type, so the types must be real objects (its issue #47).
"""

from dataclasses import dataclass
from typing import Literal, Optional

from fmrgb.fields import option

EngineName = Literal["local", "ray"]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Where the work on many files is done."""

    engine: EngineName = option(
        "local",
        "where clips are worked on: local, in processes of this machine; ray, on the "
        "machines of a Ray cluster, which need fmrgb[ray] of this very version "
        "installed and must see --target and --output under the same names",
    )
    address: Optional[str] = option(
        None,
        "with --engine ray: the cluster to join, host:6379, or auto for the one that "
        "this machine is part of; all its cores work, whatever --workers says",
        said="what RAY_ADDRESS says, else Ray is started here with --workers cores",
    )

    def check_engine(self) -> None:
        """Check that no cluster is named that would not be used."""
        if self.address is not None and self.engine != "ray":
            raise ValueError("--address is that of a Ray cluster: add --engine ray")
