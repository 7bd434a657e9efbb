"""kinetics.py against torchvision's networks, built again with its names."""

import copy

import pytest
import torch
from video_resnet import VideoResNet, random_network

from fmrgb.card import ClipShape
from fmrgb.kinetics import MEAN, NETWORKS, STD, VIEW, from_torchvision, our_name

CLIP = ClipShape(channels=3, frames=5, height=20, width=26)  # no two sizes alike
TOLERANCE = 1e-9  # largest difference of two float64 results of about 1


@pytest.fixture(scope="module", params=NETWORKS)
def theirs(request: pytest.FixtureRequest) -> tuple[str, VideoResNet]:
    """Return each of the three networks with the size of ours that it fits."""
    torch.manual_seed(0)
    return request.param, random_network(request.param)


def test_the_networks_built_again_have_the_published_parameters(theirs):
    size, network = theirs
    published = {"base": 31_505_325, "mc3": 11_695_440, "r3d": 33_371_472}
    assert sum(p.numel() for p in network.parameters()) == published[size]


def test_ours_sees_what_torchvisions_sees(theirs):
    size, network = theirs
    found = from_torchvision(network.state_dict())
    assert found is not None
    card, model = found
    assert (card.model, card.model_size) == ("conv3d", size)
    assert not model.training
    clips = torch.randn(2, *CLIP, dtype=torch.float64)
    exact = copy.deepcopy(network).double()  # rounding would hide a small mistake
    with torch.no_grad():
        ours, wanted = model.double().features(clips), exact.features(clips)
    assert wanted.std() > 0.1
    assert (ours - wanted).abs().max() < TOLERANCE


def test_the_card_tells_planes_and_kinetics_levels(theirs):
    found = from_torchvision(theirs[1].state_dict())
    assert found is not None
    assert found[0].view.channels == ("R", "G", "B")
    assert found[0].mean == MEAN == pytest.approx([110.20, 100.64, 95.99], abs=0.01)
    assert found[0].std == STD == pytest.approx([58.15, 56.47, 55.33], abs=0.01)
    assert found[0].view == VIEW


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.update({"fc.weight": torch.zeros(2, 512)}),
        lambda state: [state.pop(name) for name in ("fc.weight", "fc.bias")],
        lambda state: state.update({"fc.1.weight": state.pop("fc.weight")}),
        lambda state: [state.pop(k) for k in list(state) if "num_batches" in k],
        lambda state: state.update({k: v.double() for k, v in state.items()}),
    ],
)
def test_another_classifier_or_number_format_does_no_harm(change, theirs):
    state = dict(theirs[1].state_dict())
    change(state)
    found = from_torchvision(state)
    assert found is not None
    assert found[0].model_size == theirs[0]
    weights = found[1].state_dict()["stem.0.0.weight"]
    assert weights.dtype == torch.float32
    assert torch.equal(weights.flatten(), theirs[1].stem[0].weight.flatten())


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("layer3.1.conv2.1.running_var"),
        lambda state: state.update({"layer5.0.conv1.0.weight": torch.zeros(3)}),
        lambda state: state.update({"layer4.0.conv1.1.bias": torch.zeros(511)}),
        lambda state: state.update({"stem.0.weight": torch.zeros(64, 5, 3, 7, 7)}),
        lambda state: state.update({"stem.1.weight": [1.0] * 64}),
        lambda state: state.update({3: torch.zeros(3)}),
        lambda state: state.clear(),
    ],
)
def test_what_is_no_such_network_is_told_apart(change, theirs):
    state = dict(theirs[1].state_dict())
    change(state)
    assert from_torchvision(state) is None


@pytest.mark.parametrize("content", [[], torch.zeros(3), None, "text", {"a": 1}])
def test_what_is_no_state_dict_is_told_apart(content):
    assert from_torchvision(content) is None


@pytest.mark.parametrize(
    ("name", "pairs", "ours"),
    [
        ("stem.0.weight", True, "stem.0.0.weight"),
        ("stem.4.running_mean", True, "stem.2.1.running_mean"),
        ("stem.1.bias", False, "stem.0.1.bias"),
        ("layer1.0.conv1.0.0.weight", True, "stages.0.first.0.0.weight"),
        ("layer2.1.conv2.0.3.weight", True, "stages.3.second.2.0.weight"),
        ("layer3.0.conv1.1.weight", True, "stages.4.first.2.1.weight"),
        ("layer3.0.conv1.1.weight", False, "stages.4.first.1.weight"),
        ("layer4.0.downsample.1.bias", True, "stages.6.shortcut.1.bias"),
        ("layer4.0.downsample.1.bias", False, "stages.6.shortcut.1.bias"),
        ("blocks.0.weight", True, "blocks.0.weight"),
    ],
)
def test_names_are_translated(name, pairs, ours):
    assert our_name(name, pairs=pairs) == ours
