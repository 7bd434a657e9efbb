"""What the process that speaks to Ray, and machines of its cluster, are told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fmrgb.limits import Limits


@dataclass(frozen=True)
class Place:
    """Where the cluster is, or what to start.

    Attributes:
        address: of a cluster to join; None starts Ray on this machine.
        workers: cores of a Ray that is started.
        memory: bytes that a task is promised; None promises nothing.
        logs: folder for the files of a Ray that is started.
    """

    address: str | None
    workers: int
    memory: int | None
    logs: str


@dataclass(frozen=True)
class Order:
    """What every task of a round needs to know.

    Attributes:
        work: function of one job.
        limits: what a job may take.
        version: of this package where the jobs come from.
        folder: in which paths that are relative begin.
        needs: files and folders that a machine must see.
        settings: variables of the environment.
    """

    work: Callable[[Any], Any]
    limits: Callable[[Any], Limits] | None
    version: str
    folder: str
    needs: tuple[str, ...]
    settings: dict[str, str]


@dataclass(frozen=True)
class Round:
    """Jobs of one kind: how many there are, and how many at most are one task."""

    order: Order
    n_jobs: int
    most: int
