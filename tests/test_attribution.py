"""attribution.py: worths add up, and fall on what the label is made of.

Axes: C channels, T frames, H height, W width. No two sizes of axes are alike.
"""

import sys
from dataclasses import replace
from typing import Any

import lesson
import numpy as np
import pytest
import tiny
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from fmrgb.attribution import Explanation, explain_clip
from fmrgb.card import View
from fmrgb.checkpoint import Network
from fmrgb.errors import ProgramMissingError, TrainingError
from fmrgb.models import FUSIONS, MODELS
from fmrgb.sample import Sample

EXPLAINED = 8  # clips of the exclusive-or
MOVED = 25  # levels by which a pixel of the shape differs from the ground
PARTS: dict[str, tuple[str, ...]] = {
    "all": tiny.CHANNELS,
    "picture": tiny.CHANNELS[:3],
    "sound": tiny.CHANNELS[3:],
}


def network_of(
    planes: tuple[str, ...] = tiny.CHANNELS, *, seed: int = 0, **changes: Any
) -> Network:
    """Return a network with weights of chance that has seen a few clips of chance."""
    torch.manual_seed(seed)
    heard = tuple(name for name in planes if name in PARTS["sound"])
    view = View(planes, tiny.N_FRAMES, tiny.HEIGHT, tiny.WIDTH, sound=heard)
    means = [120.0 + 5 * c for c in range(len(planes))]
    card = replace(tiny.CARD, view=view, mean=means, std=[40.0] * len(planes))
    network = Network(replace(card, **changes)).train()
    with torch.no_grad():  # normalisation takes its values from clips
        for _ in range(8):
            network.answers(torch.randint(0, 256, (4, *view.shape)))
    return network.eval()


def clip_of(network: Network, lowest: int = 1) -> np.ndarray:
    """Return a clip of chance as the network sees it, uint8 [C, T, H, W]."""
    dice = np.random.default_rng(0)
    return dice.integers(lowest, 256, network.card.view.shape).astype(np.uint8)


@pytest.mark.parametrize("planes", PARTS)
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("model", MODELS)
def test_gradients_share_out_all_that_sets_a_clip_apart(model, fusion, planes):
    how = {"model": model, "fusion": fusion}
    networks = [network_of(PARTS[planes], seed=n, **how) for n in range(4)]
    clip = clip_of(networks[0], lowest=170)  # far from the mean
    first = [explain_clip(n, clip, steps=2, windows=1) for n in networks]
    apart = [told.log_odds - told.baseline for told in first]
    # Weights of chance may find the clip much like the baseline.
    most = int(np.abs(apart).argmax())
    told = explain_clip(networks[most], clip, windows=2)
    assert told.heat.shape == clip.shape
    assert abs(apart[most]) > 0.01
    assert abs(told.missing) < 0.03 * abs(apart[most])
    assert told.exact


def test_few_steps_are_found_out():
    network = network_of()
    network.trust_SA *= 30  # makes log-odds large
    clip = clip_of(network, lowest=170)
    coarse, fine = (explain_clip(network, clip, steps=n) for n in (2, 300))
    assert abs(fine.missing) < abs(coarse.missing) / 4
    assert fine.exact
    assert not coarse.exact


def test_log_odds_are_those_of_the_probability_whichever_label_is_asked_for():
    network = network_of(classes=("a", "b", "c"))
    clip = clip_of(network)
    for number, label in enumerate(network.card.classes):
        told = explain_clip(network, clip, label=label, steps=2, windows=1)
        p = told.probabilities[number]
        assert told.label == number
        assert told.log_odds == pytest.approx(np.log(p / (1 - p)), abs=1e-4)
    assert told.probabilities.sum() == pytest.approx(1)
    likeliest = explain_clip(network, clip, steps=2, windows=1)
    assert likeliest.label == likeliest.predicted == likeliest.probabilities.argmax()


def test_of_two_labels_one_loses_what_the_other_gains():
    network = network_of()
    clip = clip_of(network)
    dark, bright = (explain_clip(network, clip, label=c) for c in ("dark", "bright"))
    np.testing.assert_allclose(dark.heat, -bright.heat, atol=1e-6)
    np.testing.assert_allclose(dark.moments, -bright.moments, atol=1e-5)


def linear(weights_C: list[float]) -> Network:
    """Return a network whose log-odds are a weighted sum of its planes' means."""
    network = network_of(fusion="stack")
    weights = torch.tensor(weights_C)

    class Sum(torch.nn.Module):
        def forward(self, clip_BCTHW: torch.Tensor) -> torch.Tensor:
            # The third frame counts double.
            frames_BCT = clip_BCTHW.mean(dim=(3, 4))
            sums = (frames_BCT.sum(dim=2) + frames_BCT[:, :, 2]) @ weights
            return torch.stack((torch.zeros_like(sums), sums), dim=1)

    network.model = Sum()
    network.register_parameter("unused", torch.nn.Parameter(torch.zeros(1)))
    return network


def test_planes_of_a_weighted_sum_get_their_terms_by_both_ways():
    network = linear([1.0, 0.0, -2.0, 0.5, 0.0])
    clip = clip_of(network)
    told = explain_clip(network, clip, label="dark")
    mean, std = np.array(network.card.mean), np.array(network.card.std)
    frames_CT = (clip.mean(axis=(2, 3)) - mean[:, None]) / std[:, None]
    terms = (frames_CT.sum(axis=1) + frames_CT[:, 2]) * [1.0, 0.0, -2.0, 0.5, 0.0]
    expected = dict(zip(tiny.CHANNELS, terms, strict=True))
    expected["all picture planes"] = terms[:3].sum()
    expected["all sound planes"] = terms[3:].sum()
    assert told.shares == pytest.approx(expected, abs=1e-4)
    assert told.planes == pytest.approx(expected, abs=1e-4)


def test_a_moment_is_worth_what_its_frames_have_beyond_those_around_it():
    network = linear([6.0, 0.0, 0.0, 0.0, 0.0])
    clip = np.full(network.card.view.shape, 120, np.uint8)
    clip[0, 2] = 160  # one standard deviation; this frame counts double
    told = explain_clip(network, clip, label="dark", windows=6)
    np.testing.assert_array_equal(told.windows, np.arange(7))
    # Frames 1 and 3 become halfway between their neighbours: brighter.
    np.testing.assert_allclose(told.moments, [0, -3, 12, -3, 0, 0], atol=1e-4)
    worth = told.over_time([0])
    assert worth.argmax() == 2
    assert worth.sum() == pytest.approx(12, abs=1e-3)


@pytest.mark.parametrize("windows", [1, 4, 6, 50])
def test_windows_cover_the_time_once(windows):
    told = explain_clip(linear([1.0] * 5), clip_of(network_of()), windows=windows)
    n_windows = min(windows, tiny.N_FRAMES)
    assert (told.windows[0], told.windows[-1]) == (0, tiny.N_FRAMES)
    assert (np.diff(told.windows) > 0).all()
    assert told.moments.shape == (n_windows,)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("missing", ["picture", "sound"])
def test_a_sense_that_is_not_there_is_worth_nothing(missing, fusion):
    network = network_of(fusion=fusion)
    clip = clip_of(network)
    places = [tiny.CHANNELS.index(name) for name in PARTS[missing]]
    clip[places] = 0
    told = explain_clip(network, clip)
    assert not told.heat[places].any()
    assert told.planes[f"all {missing} planes"] == pytest.approx(0, abs=1e-5)
    others = [c for c in range(5) if c not in places]
    assert np.abs(told.heat[others]).max() > 0


def test_a_label_that_is_not_known_is_refused_with_the_list():
    with pytest.raises(TrainingError, match="no 'red'; it knows bright, dark"):
        explain_clip(network_of(), clip_of(network_of()), label="red")


def test_without_captum_one_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ProgramMissingError, match=r"pip install 'fmrgb\[explain\]'"):
        explain_clip(network_of(), clip_of(network_of()))


class Xor:
    """What a network that knows the exclusive-or, and one that does not, are told."""

    def __init__(self, seed: int) -> None:
        network, samples, self.accuracy = lesson.taught(seed)
        torch.manual_seed(seed + 100)
        ignorant = Network(network.card).eval()
        self.samples = samples[:EXPLAINED]
        self.told = [self.ask(network, s) for s in self.samples]
        names = [network.card.classes[told.label] for told in self.told]
        self.random = [
            self.ask(ignorant, s, name)
            for s, name in zip(self.samples, names, strict=True)
        ]

    @staticmethod
    def ask(network: Network, sample: Sample, label: str | None = None) -> Explanation:
        """Explain one clip."""
        return explain_clip(network, lesson.levels_of(sample), label=label, steps=32)


@pytest.fixture(
    scope="module",
    params=[1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3))],
)
def xor(request: pytest.FixtureRequest) -> Xor:
    """Return explanations of the exclusive-or."""
    return Xor(request.param)


def heat_of(told: Explanation) -> np.ndarray:
    """Return the worth of each place of the picture, [T, H, W]."""
    return told.heat[:3].sum(axis=0)


def test_the_lesson_is_learned(xor):
    assert xor.accuracy > 0.9


def on_shape(told: list[Explanation], samples: list[Sample]) -> np.ndarray:
    """Return heat per pixel of the shape over heat per pixel of the ground, [N]."""
    ratios = []
    for each, sample in zip(told, samples, strict=True):
        visual = sample.visual.astype(int)
        shape = np.abs(visual - np.median(visual, axis=0)).max(axis=-1) > MOVED
        assert 0.02 < shape.mean() < 0.25
        heat = np.abs(heat_of(each))
        ratios.append(heat[shape].mean() / heat[~shape].mean())
    return np.array(ratios)


def test_heat_falls_on_the_shape_that_moves(xor):
    ratios = on_shape(xor.told, xor.samples)
    # Measured on four seeds: medians 10.9 to 23, least of all clips 6.0.
    assert np.median(ratios) > 5
    assert ratios.min() > 3
    # What moves is far from the baseline, which draws some heat by itself, whatever the
    # weights: medians 4.3 to 6.8 for weights of chance, a half to a quarter.
    assert np.median(ratios) > 1.3 * np.median(on_shape(xor.random, xor.samples))


def test_of_the_sound_planes_frequency_counts(xor):
    amplitude, frequency = (
        np.mean([np.abs(told.over_time([place])).sum() for told in xor.told])
        for place in (3, 4)
    )
    assert frequency > 2.5 * amplitude  # measured on four seeds: 5.3 to 23
    quiet, pitch = (
        np.mean([abs(told.planes[name]) for told in xor.told])
        for name in ("amplitude", "frequency")
    )
    assert pitch > 2.5 * quiet  # 6.4 to 59
    assert pitch > 3  # log-odds; 8 to 9
    unknown = [abs(told.planes["frequency"]) for told in xor.random]
    assert np.mean(unknown) < pitch / 20  # 0.003 at most


def test_random_weights_give_another_map(xor):
    """Model parameter randomisation (Adebayo et al. 2018, section 3.1)."""
    found = []
    for told, other in zip(xor.told, xor.random, strict=True):
        maps = [gaussian_filter(heat_of(t), (0, 1, 1)).ravel() for t in (told, other)]
        found.append(spearmanr(*maps).statistic)
    # Measured on four seeds: means -0.05 to 0.02, single clips up to 0.16.
    assert abs(np.mean(found)) < 0.15
    assert np.abs(found).max() < 0.4


def test_the_same_weights_give_the_same_map():
    maps = [
        explain_clip(network_of(seed=1), clip_of(network_of()), steps=8).heat
        for _ in range(2)
    ]
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-6)
