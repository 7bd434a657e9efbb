"""From a network and a clip to what each plane, moment and region is worth.

All worths are in log-odds of one label, natural logarithm: `log(p / (1 - p))`. One of
+1 makes the odds of the label 2.7 times as high. Above 0 speaks for the label, below 0
against it.

Two ways of asking that can check each other. Integrated gradients (Sundararajan et al.
2017, arXiv:1703.01365, equation 1) share out among all levels the log-odds that the
clip has above those of a baseline; they add up. Occlusion (Zeiler and Fergus 2014,
arXiv:1311.2901, section 4.2) hides a part of the clip and tells what is lost: the
baseline takes the place of a plane, and a moment is blended over from the frame before
to the one after. (Usual levels in place of a moment would be a flash, which is an event
of its own.)

The baseline holds in every plane the mean level of the training clips: a clip that is
nothing but usual, in which nothing moves and no tone changes. Levels of 0 would be no
absence but a black picture and deep silence, far from what the network has seen, and a
sense of which all levels are 0 is taken for missing. So that on the way from baseline
to clip no sense comes or goes, the answers are weighed for the kind of the clip itself
all along, and a sense that the clip does not have stays as it is: its worth is 0.

A clip is taken as the sum of what lasts, its mean over time, and of what passes, the
rest, and each gets its share; what lasts spreads its own evenly over the frames. A
network that subtracts frames would otherwise give a steady plane it does not use much
worth in one frame and take it back in the next.

Axes: C channels, T frames, H height, W width, K classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmrgb.card import Card
from fmrgb.checkpoint import Network
from fmrgb.errors import ProgramMissingError, TrainingError
from fmrgb.explain_options import STEPS, WINDOWS
from fmrgb.trust import PICTURE, SOUND
from fmrgb.worth import parts_of

AT_ONCE = 8  # clips given to the network together
FAR_OFF = 0.05  # share of the log-odds to be shared out that may be missing

Ask = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Explanation:
    """What a network's answer about one clip rests on; worths in log-odds.

    Attributes:
        card: what the network is.
        label: number of the class that is explained.
        probabilities: float64 [K], what the network says of the clip.
        log_odds: of the label, for the clip.
        baseline: of the label, for the baseline.
        heat: float32 [C, T, H, W], the worth of every level by integrated gradients.
        planes: what is lost without each plane, and without each sense.
        windows: first frame of each part of the time, and the end: [N + 1].
        moments: float64 [N], what is lost without each part of the time.
    """

    card: Card
    label: int
    probabilities: NDArray[np.float64]
    log_odds: float
    baseline: float
    heat: NDArray[np.float32]
    planes: dict[str, float]
    windows: NDArray[np.int64]
    moments: NDArray[np.float64]

    @property
    def predicted(self) -> int:
        """Number of the class that the network says."""
        return int(self.probabilities.argmax())

    @property
    def missing(self) -> float:
        """Log-odds that integrated gradients did not share out; 0 if they are exact.

        They are exact with steps without end (completeness, proposition 1).
        """
        shared = float(self.heat.sum(dtype=np.float64))
        return self.log_odds - self.baseline - shared

    @property
    def exact(self) -> bool:
        """Whether what is missing is small."""
        return abs(self.missing) <= FAR_OFF * max(
            1.0, abs(self.log_odds - self.baseline)
        )

    @property
    def shares(self) -> dict[str, float]:
        """What integrated gradients give each plane, and each sense as a whole."""
        by_plane = self.heat.sum(axis=(1, 2, 3), dtype=np.float64)
        parts = parts_of(self.card.view)
        return {name: float(by_plane[places].sum()) for name, places in parts.items()}

    def over_time(self, places: Sequence[int]) -> NDArray[np.float64]:
        """Return what integrated gradients give some planes in each frame, [T]."""
        worth: NDArray[np.float64] = self.heat[list(places)].sum(
            axis=(0, 2, 3), dtype=np.float64
        )
        return worth


def explain_clip(
    network: Network,
    levels_CTHW: NDArray[np.uint8],
    *,
    label: str | None = None,
    steps: int = STEPS,
    windows: int = WINDOWS,
) -> Explanation:
    """Find out what the answer about a clip rests on.

    Args:
        network: in evaluation mode, on the device to be used.
        levels_CTHW: the clip as the network sees it, uint8 [C, T, H, W].
        label: class to explain; None takes the one that the network says.
        steps: points between baseline and clip; more are more exact.
        windows: equal parts of the time to occlude, at most one per frame.

    Raises:
        TrainingError: if the network knows no such label.
        ProgramMissingError: if captum is not installed.
    """
    device = next(network.parameters()).device
    clip_1CTHW = torch.from_numpy(levels_CTHW)[None].to(device)
    number, probabilities = _told(network, clip_1CTHW, label)
    ask = log_odds_of(network, network.kinds(clip_1CTHW), number)
    clip_1CTHW = clip_1CTHW.float()
    usual_1CTHW = baseline_of(network, clip_1CTHW)
    n_frames = clip_1CTHW.shape[2]
    n_parts = min(windows, n_frames)
    edges = np.linspace(0, n_frames, n_parts + 1).round().astype(np.int64)
    parts = parts_of(network.card.view)
    without = [_without_planes(clip_1CTHW, usual_1CTHW, p) for p in parts.values()]
    without += [_without_moment(clip_1CTHW, *edges[i : i + 2]) for i in range(n_parts)]
    losses = _lost(ask, clip_1CTHW, without)
    with torch.inference_mode():
        ends = torch.cat((clip_1CTHW, usual_1CTHW))
        log_odds, baseline = ask(ends).tolist()
    return Explanation(
        card=network.card,
        label=number,
        probabilities=probabilities,
        log_odds=log_odds,
        baseline=baseline,
        heat=integrate(ask, clip_1CTHW, usual_1CTHW, steps)[0].cpu().numpy(),
        planes=dict(zip(parts, losses.tolist(), strict=False)),
        windows=edges,
        moments=losses[len(parts) :],
    )


def _told(
    network: Network, clip_1CTHW: Tensor, label: str | None
) -> tuple[int, NDArray[np.float64]]:
    """Return the number of the class to explain, and all probabilities [K]."""
    classes = network.card.classes
    if label is not None and label not in classes:
        raise TrainingError(
            f"--label: the network knows no {label!r}; it knows {', '.join(classes)}"
        )
    with torch.inference_mode():
        logits = network(clip_1CTHW)[0].double().cpu()
    probabilities: NDArray[np.float64] = logits.softmax(dim=0).numpy()
    number = int(probabilities.argmax()) if label is None else classes.index(label)
    return number, probabilities


def log_odds_of(network: Network, kinds_1: Tensor, label: int) -> Ask:
    """Return a function from levels, float [B, C, T, H, W], to log-odds, [B].

    Args:
        network: in evaluation mode.
        kinds_1: [1], which senses are taken to be there, see `Network.kinds`.
        label: number of the class.
    """
    others = [k for k in range(len(network.card.classes)) if k != label]

    def ask(levels_BCTHW: Tensor) -> Tensor:
        answers_BAK = network.answers(levels_BCTHW)
        logits_BK = network.weigh(answers_BAK, kinds_1.expand(len(answers_BAK)))
        return logits_BK[:, label] - logits_BK[:, others].logsumexp(dim=1)

    return ask


def baseline_of(network: Network, clip_1CTHW: Tensor) -> Tensor:
    """Return the mean levels of the training clips, float [1, C, T, H, W].

    A sense that the clip does not have stays as it is in the clip.
    """
    view = network.card.view
    mean = torch.tensor(network.card.mean, device=clip_1CTHW.device)
    usual = mean.reshape(1, -1, 1, 1, 1).expand(clip_1CTHW.shape).clone()
    kind = int(network.kinds(clip_1CTHW))
    for sense, places in ((PICTURE, view.picture_places), (SOUND, view.sound_places)):
        if not kind & sense:
            usual[:, list(places)] = clip_1CTHW[:, list(places)].float()
    return usual


def integrate(
    ask: Ask, clip_1CTHW: Tensor, usual_1CTHW: Tensor, steps: int = STEPS
) -> Tensor:
    """Share out the log-odds between baseline and clip, float32 [1, C, T, H, W].

    Slopes are taken at the points of Gauss-Legendre quadrature.

    Raises:
        ProgramMissingError: if captum is not installed.
    """
    try:
        from captum.attr import IntegratedGradients
    except ModuleNotFoundError:
        raise ProgramMissingError(
            "explain needs the package captum; install it with: "
            "pip install 'fmrgb[explain]'"
        ) from None
    lasting = clip_1CTHW.mean(dim=2, keepdim=True)
    usual = usual_1CTHW.mean(dim=2, keepdim=True)
    passing = clip_1CTHW - lasting
    gradients = IntegratedGradients(lambda lasts, passes: ask(lasts + passes))
    lasts_1C1HW, passes_1CTHW = gradients.attribute(
        (lasting, passing),
        (usual, usual_1CTHW - usual),
        n_steps=steps,
        internal_batch_size=AT_ONCE,
    )
    heat: Tensor = passes_1CTHW + lasts_1C1HW / clip_1CTHW.shape[2]
    return heat.detach().float()


def _without_planes(
    clip_1CTHW: Tensor, usual_1CTHW: Tensor, places: Sequence[int]
) -> Tensor:
    """Put the baseline in place of some planes."""
    other = clip_1CTHW.clone()
    other[:, places] = usual_1CTHW[:, places]
    return other


def _without_moment(clip_1CTHW: Tensor, first: int, end: int) -> Tensor:
    """Blend over the frames from `first` to before `end`.

    The frame before them turns evenly into the one after; at the clip's ends one of
    both stands still. A clip of that moment alone becomes its mean.
    """
    n_frames = clip_1CTHW.shape[2]
    others = [t for t in (first - 1, end) if 0 <= t < n_frames]
    if not others:
        return clip_1CTHW.mean(dim=2, keepdim=True).expand(clip_1CTHW.shape)
    before, after = clip_1CTHW[:, :, others[0]], clip_1CTHW[:, :, others[-1]]
    blended = clip_1CTHW.clone()
    for t in range(first, end):
        part = (t - first + 1) / (end - first + 1)
        blended[:, :, t] = before + part * (after - before)
    return blended


def _lost(ask: Ask, clip_1CTHW: Tensor, others: Sequence[Tensor]) -> Any:
    """Return by how much the log-odds of other clips are lower, float64 [N]."""
    with torch.inference_mode():
        whole = float(ask(clip_1CTHW))
        told = [float(ask(other)) for other in others]
    return whole - np.array(told)
