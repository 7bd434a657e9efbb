"""From files of weights to a network that begins with them: one file, or one a sense.

Senses that have learned apart, each for as long as it needs, and then go on together
("pretraining each sense") keep what they know: in a network of both, the answers of the
single senses are a few points below those of networks of their own
(benchmarks/LOG.md).
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from fmrgb.card import Card
from fmrgb.checkpoint import Network
from fmrgb.errors import TrainingError
from fmrgb.inflate import matches
from fmrgb.pretrained import Origin, Taken, read_origin, suited, take_weights

BETWEEN = ","  # two files


def begin(card: Card, files: str | None) -> tuple[Network, Taken | None]:
    """Build a network; give it what fits of some files.

    Args:
        card: what it is.
        files: a file of weights, or several with commas between; None for none.

    Returns:
        The network, and what it took, if there are files.

    Raises:
        TrainingError: if a file is no such file, does not fit, or two of them know the
            same sense.
    """
    origins = [read_origin(path) for path in _paths(files)] if files else []
    _refuse_twice(card, origins)
    for origin in origins:
        card = suited(card, origin)
    network = Network(card)
    every = {part for origin in origins for part in _known(card, origin)}
    taken = [take_weights(network, origin, elsewhere=every) for origin in origins]
    return network, _together(taken) if taken else None


def _paths(files: str) -> list[Path]:
    """Divide at the commas that are in no name, as in that of `run_R,G,B/best.ckpt`."""
    found, name = [], ""
    for piece in files.split(BETWEEN):
        name = f"{name}{BETWEEN}{piece}" if name else piece
        if Path(name).is_file():
            found.append(Path(name))
            name = ""
    return [*found, Path(name)] if name else found  # the last is told to be missing


def _known(card: Card, origin: Origin) -> dict[str, tuple[str, ...]]:
    """Return the planes that a file knows, by the network of `card` that sees them."""
    return {
        match.part: match.known for match in matches(card, origin.card) if match.known
    }


def _refuse_twice(card: Card, origins: Sequence[Origin]) -> None:
    for one, other in combinations(origins, 2):
        both = _known(card, one).keys() & _known(card, other).keys()
        for part in sorted(both):
            planes = ", ".join(_known(card, one)[part])
            raise TrainingError(
                f"--init: {one.name} and {other.name} both know {planes}; expected one "
                "file, or one for the picture and one for the sound"
            )


def _together(every: Sequence[Taken]) -> Taken:
    return Taken(
        origin=" and ".join(taken.origin for taken in every),
        n_taken=sum(taken.n_taken for taken in every),
        n_weights=every[0].n_weights,
        normalised=tuple(plane for taken in every for plane in taken.normalised),
        inflated=tuple(line for taken in every for line in taken.inflated),
        left=tuple(dict.fromkeys(line for taken in every for line in taken.left)),
    )
