"""From a file of weights to the weights that a training begins with.

The file is a checkpoint of this toolkit, perhaps of other planes, classes or clip
sizes, or a state dict of torchvision (`fmrgb.kinetics`). What fits is taken, first
layers by the names of the planes (`fmrgb.inflate`), last ones by those of the classes.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fmrgb import kinetics
from fmrgb.card import Card
from fmrgb.checkpoint import Network, is_ours, network_of, read_weights
from fmrgb.errors import TrainingError
from fmrgb.files import shown
from fmrgb.inflate import Match, inflate, matches, resample
from fmrgb.models import Sense, Senses
from fmrgb.models.classifier import Classifier
from fmrgb.models.timm_net import TimmNet
from fmrgb.models.vivit import ViViT

FIRST_LAYER = {
    "conv3d": "stem.0.0.weight",
    "convlstm": "encoder.0.0.weight",
    "vivit": "embed.weight",
    "cnn2d": "pictures.convolve.0.weight",
    "fusion": "pictures.convolve.0.weight",
}
NAMES_TOLD = 5  # classes that a line names before it only counts them


@dataclass(frozen=True)
class Origin:
    """A trained network to begin with."""

    name: str  # of its file
    card: Card
    model: nn.Module


@dataclass(frozen=True)
class Taken:
    """What a network took from a file."""

    origin: str  # name of the file
    n_taken: int  # weights that come from it
    n_weights: int  # weights that the network has
    normalised: tuple[str, ...]  # planes that keep the file's mean and deviation
    inflated: tuple[str, ...]  # first layers, and where their planes come from
    left: tuple[str, ...]  # what begins fresh, and why

    def lines(self) -> list[str]:
        """Say it in words."""
        share = f"{self.n_taken:,} of {self.n_weights:,} weights"
        return [
            f"taken: {share} from {self.origin}, and the normalisation of "
            f"{', '.join(self.normalised)}",
            *(f"inflated: {what}" for what in self.inflated),
            *(f"left fresh: {what}" for what in self.left),
        ]


def read_origin(path: Path) -> Origin:
    """Read a file of weights.

    Raises:
        TrainingError: if the file is neither a checkpoint of this toolkit nor a state
            dict of one of torchvision's networks, is damaged or would run code.
    """
    name = shown(path)
    content = read_weights(
        path,
        missing=f"--init: no such file: {name}",
        unfit=f"--init: {name} is not a whole file of weights, or holds code that "
        "would run when opened; it was not opened",
    )
    if is_ours(content):
        network = network_of(content, name)
        origin = Origin(name, network.card, network.model)
    elif found := kinetics.from_torchvision(content):
        origin = Origin(name, *found)
    else:
        raise TrainingError(
            f"--init: {name} fits no network here: expected the best.ckpt of a run or "
            "the bare state dict of torchvision's "
            f"{', '.join(kinetics.NETWORKS.values())}, got {_described(content)}"
        )
    numbers = origin.model.state_dict().items()
    if odd := [k for k, v in numbers if not v.isfinite().all()]:
        raise TrainingError(
            f"--init: {name} holds values that are no numbers, in {odd[0]}"
        )
    return origin


def _described(content: object) -> str:
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    return shown(f"{len(content)} entries, {_few([str(k) for k in content])}")


def _few(names: Sequence[str]) -> str:
    told = ", ".join(map(shown, names[:NAMES_TOLD]))
    more = len(names) - NAMES_TOLD
    return told + (f" and {more} more" if more > 0 else "")


def suited(card: Card, origin: Origin) -> Card:
    """Return `card` for a network that begins with `origin`.

    conv3d's base becomes mc3 or r3d where the file is of that kind. A plane that the
    file knows keeps the normalisation that its weights were trained with (Kinetics' for
    torchvision's).

    Raises:
        TrainingError: if the file is of another architecture or size, or knows none of
            the planes.
    """
    known = origin.card
    is_base = known.model == "conv3d" and known.model_size in kinetics.NETWORKS
    flag = "base" if is_base else known.model_size
    if card.model != known.model or card.model_size not in (known.model_size, flag):
        raise TrainingError(
            f"--init: {origin.name} fits --learnmethod {known.model} --model_size "
            f"{flag}, got --learnmethod {card.model} --model_size {card.model_size}"
        )
    found = matches(card, known)
    if not any(match.known for match in found):
        raise TrainingError(
            f"--init: {origin.name} knows the planes {', '.join(known.view.channels)}, "
            f"none of {', '.join(card.view.channels)}"
        )
    mean, std = list(card.mean), list(card.std)
    for match in found:
        for plane in _known_levels(match, card):
            shares_Q = match.shares_PQ[match.planes.index(plane)].numpy()
            at = card.view.channels.index(plane)
            for ours, theirs in ((mean, known.mean), (std, known.std)):
                there = dict(zip(known.view.channels, theirs, strict=True))
                values = [there.get(q, 0.0) for q in match.theirs]
                ours[at] = float(np.average(values, weights=shares_Q))
    return replace(card, model_size=known.model_size, mean=mean, std=std)


def _known_levels(match: Match, card: Card) -> tuple[str, ...]:
    """Return the known planes that are levels of the clip, not changes of them."""
    return tuple(plane for plane in match.known if plane in card.view.channels)


def take_weights(
    network: Network, origin: Origin, elsewhere: Collection[str] = ()
) -> Taken:
    """Give a network, built from a suited card, all weights of a file that fit.

    Parts known `elsewhere` are not left fresh. Rows of the classifier are taken by the
    names of the classes. With two senses the joint answer is taken where the file has
    one and both senses fit.
    """
    ours, theirs, card = network.model, origin.model, network.card
    known = {name: row for row, name in enumerate(origin.card.classes)}
    rows = {row: known[name] for row, name in enumerate(card.classes) if name in known}
    found = matches(card, origin.card)
    n_taken, inflated, left = 0, [], []
    for match in found:
        if not match.known:
            if match.part in elsewhere:
                continue
            planes = ", ".join(p for p in match.planes if p in card.view.channels)
            left.append(f"{match.part}, {planes} unknown there")
            continue
        mine, source = _network(ours, match.part), _network(theirs, match.source)
        first = _first_layer(mine, card.model)
        n_taken += _take_network(mine, source, match, first, rows)
        _take_scales(
            ours.get_submodule(match.part), theirs.get_submodule(match.source), match
        )
        inflated += _inflated(mine, source, first, match)
        left += _unfit(mine, source, first, match)
    if isinstance(ours, Senses):
        same = all(m.known and m.part == m.source for m in found)
        if same and isinstance(theirs, Senses):
            n_taken += _take(ours.joint, theirs.joint, rows, {})
        else:
            left.append("joint, which is not there for these senses")
    if new := [name for name in card.classes if name not in known]:
        left.append(f"rows of the classifier for {_few(new)}, unknown there")
    return Taken(
        origin=origin.name,
        n_taken=n_taken,
        n_weights=sum(p.numel() for p in ours.parameters()),
        normalised=tuple(p for match in found for p in _known_levels(match, card)),
        inflated=tuple(inflated),
        left=tuple(left),
    )


def _first_layer(network: Classifier, model: str) -> str:
    """Return the name of the weights that meet the planes."""
    return network.first_layer if isinstance(network, TimmNet) else FIRST_LAYER[model]


def _network(model: nn.Module, part: str) -> Classifier:
    """Return the architecture itself, without what prepares its clips."""
    found = model.get_submodule(part)
    found = found.network if isinstance(found, Sense) else found
    assert isinstance(found, Classifier)
    return found


def _take_network(
    ours: Classifier, theirs: Classifier, match: Match, first: str, rows: dict[int, int]
) -> int:
    """Take the network of one sense; count the weights that the file knows."""
    kernels = inflate(theirs.state_dict()[first], match.shares_PQ)
    changed = {first: kernels}
    if isinstance(ours, ViViT) and isinstance(theirs, ViViT):
        changed["positions"] = resample(theirs.positions, theirs.counts, ours.counts)
    n_planes = len(match.planes)
    from_zero = kernels.numel() * (n_planes - len(match.known)) // n_planes
    return _take(ours, theirs, rows, changed) - from_zero


def _take_scales(ours: nn.Module, theirs: nn.Module, match: Match) -> None:
    """Take how much each plane changes, where both networks see changes."""
    if not (isinstance(ours, Sense) and isinstance(theirs, Sense)):
        return
    if ours.scale is None or theirs.scale is None:
        return
    # Changes stand behind as many levels.
    shares_PQ = match.shares_PQ[len(match.planes) // 2 :, len(match.theirs) // 2 :]
    known_P = shares_PQ.any(dim=1)
    mix_PQ = shares_PQ[known_P] / shares_PQ[known_P].sum(dim=1, keepdim=True)
    for name in ("running_mean", "running_var"):
        values_Q = theirs.scale.get_buffer(name)
        ours.scale.get_buffer(name)[known_P] = mix_PQ @ values_Q


def _take(
    ours: nn.Module, theirs: nn.Module, rows: dict[int, int], changed: dict[str, Tensor]
) -> int:
    """Take all layers, `changed` in another form, and known rows of the last; count."""
    *_, (name, last) = _linears(ours)
    *_, (_, known) = _linears(theirs)
    state = theirs.state_dict() | changed
    shapes = {k: v.shape for k, v in ours.state_dict().items()}
    state = {
        k: v
        for k, v in state.items()
        if not k.startswith(f"{name}.") and v.shape == shapes.get(k)
    }
    ours.load_state_dict(state, strict=False)
    with torch.no_grad():
        for row, place in rows.items():
            last.weight[row] = known.weight[place]
            last.bias[row] = known.bias[place]
    n_taken = sum(p.numel() for name, p in ours.named_parameters() if name in state)
    return n_taken + len(rows) * (last.in_features + 1)


def _linears(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Yield the linear layers by name; the last one has a row for each class."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            yield name, layer


def _unfit(ours: Classifier, theirs: Classifier, first: str, match: Match) -> list[str]:
    """Name the layers that fit only the size of picture that they were trained on."""
    where = f"{match.part}." if match.part else ""
    *_, (last, _) = _linears(ours)
    known = theirs.state_dict()
    apart = (first, "positions", f"{last}.weight", f"{last}.bias")  # seen to elsewhere
    return [
        f"{where}{name}, for pictures of another size there"
        for name, weight in ours.state_dict().items()
        if name not in apart and name in known and known[name].shape != weight.shape
    ]


def _inflated(
    ours: Classifier, theirs: Classifier, first: str, match: Match
) -> list[str]:
    """Say which layers were taken in another form."""
    where = f"{match.part}." if match.part else ""
    told = []
    if match.planes != match.theirs:
        told.append(f"{where}{first}: {match.derivation}")
    if (
        isinstance(ours, ViViT)
        and isinstance(theirs, ViViT)
        and ours.counts != theirs.counts
    ):
        there, here = ("x".join(map(str, v.counts)) for v in (theirs, ours))
        told.append(f"{where}positions: {there} tubelets to {here}")
    return told
