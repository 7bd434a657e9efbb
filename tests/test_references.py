"""ConvLSTM and ViViT against independent statements of the same arithmetic."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from fmrgb.card import ClipShape
from fmrgb.models.convlstm import ConvLSTM
from fmrgb.models.vivit import TUBELET, Encoder, ViViT

TOLERANCE = 1e-5  # largest difference of two float32 results


def step_by_step(layer: ConvLSTM, maps_BDTHW: torch.Tensor) -> torch.Tensor:
    """Run equation 3 of Shi et al. gate by gate: eight convolutions per frame."""
    memory = layer.memory
    weight, bias = layer.gates.weight, layer.gates.bias
    n_in = weight.shape[1] - memory
    names = "ifog"
    parts = {k: slice(n * memory, (n + 1) * memory) for n, k in enumerate(names)}
    of_input = {k: weight[s, :n_in] for k, s in parts.items()}
    of_memory = {k: weight[s, n_in:] for k, s in parts.items()}
    shape = (len(maps_BDTHW), memory, *maps_BDTHW.shape[3:])
    hidden, cell = torch.zeros(shape), torch.zeros(shape)
    hiddens = []
    for t in range(maps_BDTHW.shape[2]):
        sums = {
            k: functional.conv2d(maps_BDTHW[:, :, t], of_input[k], padding=1)
            + functional.conv2d(hidden, of_memory[k], padding=1)
            + bias[s].reshape(1, -1, 1, 1)
            for k, s in parts.items()
        }
        forget, enter = torch.sigmoid(sums["f"]), torch.sigmoid(sums["i"])
        cell = forget * cell + enter * torch.tanh(sums["g"])
        hidden = torch.sigmoid(sums["o"]) * torch.tanh(cell)
        hiddens.append(hidden)
    return torch.stack(hiddens, dim=2)


@pytest.mark.parametrize(("batch", "width", "memory"), [(2, 5, 7), (1, 3, 4)])
def test_convlstm_is_the_papers_equation(batch, width, memory):
    layer = ConvLSTM(width, memory)
    maps = torch.randn(batch, width, 6, 9, 11, requires_grad=True)
    ours, plain = layer(maps), step_by_step(layer, maps)
    assert (ours - plain).abs().max() < TOLERANCE
    upstream = torch.randn_like(ours)
    (gradient,) = torch.autograd.grad(ours, maps, upstream, retain_graph=True)
    (expected,) = torch.autograd.grad(plain, maps, upstream)
    assert (gradient - expected).abs().max() < TOLERANCE


@pytest.fixture(scope="module")
def published() -> type[nn.Module]:
    """Return vit-pytorch's ViViT, from its own file: the package needs torchvision."""
    package = importlib.util.find_spec("vit_pytorch")
    if package is None or package.origin is None:
        pytest.skip("vit-pytorch is not installed; make setup brings it")
    file = Path(package.origin).with_name("vivit.py")
    spec = importlib.util.spec_from_file_location("published_vivit", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ViViT


def copy_encoder(ours: Encoder, token: nn.Parameter, theirs: nn.Module) -> None:
    """Give one of our encoders the published one's weights."""
    ours.token.data.copy_(token)
    ours.norm.load_state_dict(theirs.norm.state_dict())
    for block, (attend, feed) in zip(ours.blocks, theirs.layers, strict=True):
        block.attend.norm.load_state_dict(attend.norm.state_dict())
        block.attend.to_qkv.load_state_dict(attend.to_qkv.state_dict())
        block.attend.to_out.load_state_dict(attend.to_out[0].state_dict())
        block.feed.load_state_dict(feed.net.state_dict())


@pytest.mark.parametrize(("channels", "frames", "rows"), [(5, 6, 16), (3, 4, 32)])
def test_vivit_is_the_published_factorised_encoder(published, channels, frames, rows):
    clip = ClipShape(channels, frames, rows, 24)
    ours = ViViT(clip, 3, dim=20, depth=(3, 2), heads=5).eval()
    theirs = published(
        image_size=(rows, 24),
        image_patch_size=TUBELET[1],
        frames=frames,
        frame_patch_size=TUBELET[0],
        num_classes=3,
        dim=20,
        spatial_depth=3,
        temporal_depth=2,
        heads=5,
        dim_head=4,
        mlp_dim=80,
        channels=channels,
    ).eval()
    # The published code normalises tubelets around their projection; the paper
    # does not, and a tubelet of one brightness would then be like any other.
    cut, _, project, _ = theirs.to_patch_embedding
    theirs.to_patch_embedding = nn.Sequential(cut, project)
    ours.embed.load_state_dict(project.state_dict())
    ours.positions.data.copy_(theirs.pos_embedding)
    copy_encoder(ours.over_places, theirs.spatial_cls_token, theirs.spatial_transformer)
    copy_encoder(
        ours.over_moments, theirs.temporal_cls_token, theirs.temporal_transformer
    )
    ours.classify.load_state_dict(theirs.mlp_head.state_dict())
    clips = torch.randn(2, *clip)
    with torch.no_grad():
        assert (ours(clips) - theirs(clips)).abs().max() < TOLERANCE
