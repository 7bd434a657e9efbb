"""The fast ways of training against the plain ones of benchmarks/training_plain.py."""

import ctypes
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from torch import Tensor, nn
from torch.nn import functional

from fmrgb import arena
from fmrgb.arena import freed_memory_is_kept
from fmrgb.card import View
from fmrgb.checkpoint import Network
from fmrgb.learner import Learner, Settings
from fmrgb.models import MODELS, recurrence
from fmrgb.models.chance import Dropout, Skip, kept
from fmrgb.models.conv3d import every
from fmrgb.models.recurrence import recur
from fmrgb.models.senses import normalise_
from fmrgb.trainer import train

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from training_plain import PLAIN, plain

N_CLIPS, N_STEPS = 3, 4
VIEW = View(tiny.CHANNELS, 7, 19, 22, sound=tiny.CHANNELS[3:])  # no two sizes alike
EVERY = [(name, fusion) for name in MODELS for fusion in ("senses", "stack")]
every_model = pytest.mark.parametrize(("name", "fusion"), EVERY)


def network(name: str, fusion: str, *, by_chance: bool = False) -> Network:
    """Return a fresh network, without chances unless they are asked for."""
    torch.manual_seed(0)
    made = Network(replace(tiny.CARD, model=name, fusion=fusion, view=VIEW))
    for module in made.modules():
        if isinstance(module, nn.Dropout) and not by_chance:
            module.p = 0.0
        if isinstance(module, Skip) and not by_chance:
            module.rate = 0.0
    return made.train()


def exact(net: Network) -> Network:
    """Let a network work in double precision."""
    net._mean, net._std = net._mean.double(), net._std.double()
    return net.double()


def levels(seed: int = 1) -> Tensor:
    """Return clips, uint8 [B, C, T, H, W]; one of them without sound."""
    dice = torch.Generator().manual_seed(seed)
    shape = (N_CLIPS, *VIEW.shape)
    clips = torch.randint(1, 256, shape, generator=dice, dtype=torch.uint8)
    clips[1, 3:] = 0
    return clips


def loss_of(net: Network, clips: Tensor) -> Tensor:
    """Return the loss of all answers."""
    logits = net.answers(clips)
    truth = torch.arange(N_CLIPS) % 2
    n_answers = logits.shape[1]
    return functional.cross_entropy(
        logits.flatten(0, 1), truth.repeat_interleave(n_answers)
    )


@every_model
def test_loss_and_gradients_are_those_of_the_plain_network(name, fusion):
    fast = exact(network(name, fusion))
    slow = plain(fast)
    assert {type(m) for m in slow.modules()} & set(PLAIN.values())
    clips = levels().double()
    found, wanted = loss_of(fast, clips), loss_of(slow, clips)
    assert torch.allclose(found, wanted, rtol=1e-6)
    found.backward()
    wanted.backward()
    for (key, ours), theirs in zip(
        fast.named_parameters(), slow.parameters(), strict=True
    ):
        assert ours.grad is not None, key
        assert (ours.grad - theirs.grad).abs().max() < 1e-5, key
    for (key, ours), theirs in zip(fast.named_buffers(), slow.buffers(), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-7), key


@every_model
def test_training_goes_the_same_way_as_the_plain_networks(name, fusion):
    # In double precision: batches of three clips make much of rounding.
    fast = exact(network(name, fusion))
    slow = plain(fast)
    losses = []
    for net in (fast, slow):
        optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
        losses.append([])
        for step in range(N_STEPS):
            loss = loss_of(net, levels(step).double())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses[-1].append(float(loss.detach()))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert max(losses[0]) - min(losses[0]) > 0.01, "nothing was learnt"


@every_model
def test_half_precision_is_near(name, fusion):
    net = network(name, fusion)
    full = loss_of(net, levels())
    with torch.autocast("cpu", torch.bfloat16):
        half = loss_of(net, levels())
    half.backward()
    assert half.item() == pytest.approx(full.item(), abs=0.05)
    assert all(p.grad.isfinite().all() for p in net.parameters())


@every_model
def test_costs_can_be_counted_without_a_processor(name, fusion):
    with torch.device("meta"):
        net = network(name, fusion).model.eval()
        logits = net(torch.empty(2, *VIEW.shape))
    assert logits.device.type == "meta"


def test_gates_kept_in_half_precision_cost_the_gradient_little():
    dice = torch.Generator().manual_seed(0)
    heard = torch.randn(6 * 2, 12, 5, 4, generator=dice)
    weight = torch.randn(12, 3, 3, 3, generator=dice) / 5
    upstream = torch.randn(6 * 2, 3, 5, 4, generator=dice)
    found = []
    for kind in (torch.float64, torch.bfloat16):
        own = [values.to(kind).requires_grad_() for values in (heard, weight)]
        memory = recur(*own, 6)
        assert memory.dtype == kind
        slopes = torch.autograd.grad(memory, own, upstream.to(kind))
        assert all(one.dtype == kind for one in slopes)
        found.append([one.double() for one in slopes])
    for exact, half in zip(*found, strict=True):
        # bfloat16 has 8 bits: 0.4 % for each rounding, a few of them after each other.
        assert float((half - exact).norm() / exact.norm()) < 0.02


@pytest.mark.parametrize("n_frames", [1, 2, 5])
def test_the_recurrence_by_hand_has_autograds_gradients(monkeypatch, n_frames):
    dice = torch.Generator().manual_seed(0)
    heard = torch.randn(n_frames * 2, 12, 5, 4, generator=dice, dtype=torch.float64)
    weight = torch.randn(12, 3, 3, 3, generator=dice, dtype=torch.float64) / 5
    heard.requires_grad_()
    weight.requires_grad_()
    by_hand = recur(heard, weight, n_frames)
    monkeypatch.setattr(recurrence, "gradient_follows", lambda *_: False)
    by_autograd = recur(heard, weight, n_frames)
    assert by_hand.grad_fn.name() != by_autograd.grad_fn.name()
    assert torch.allclose(by_hand, by_autograd, atol=1e-12)
    upstream = torch.randn_like(by_hand)
    # A single frame has no memory before it, and no gradient of its weights.
    wanted = torch.autograd.grad(
        by_autograd, (heard, weight), upstream, materialize_grads=True
    )
    found = torch.autograd.grad(by_hand, (heard, weight), upstream)
    for ours, theirs in zip(found, wanted, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12)


def test_validation_keeps_nothing_for_gradients(monkeypatch, tmp_path):
    told = []

    def look(learner, batch, batch_idx):
        told.append(torch.is_grad_enabled())
        return judge(learner, batch, batch_idx)

    judge = Learner.validation_step
    monkeypatch.setattr(Learner, "validation_step", look)
    rows = tiny.dark_and_bright(tmp_path, ["train"] * 2 + ["val"])
    settings = Settings(epochs=1, batch_size=2)
    train(rows, tiny.VIEW, settings, folder=tmp_path / "run", quiet=True)
    assert told == [False]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_every_second_frame_has_the_gradient_of_a_slice(step):
    maps = torch.randn(2, 3, 7, 4, 5).contiguous(memory_format=torch.channels_last_3d)
    maps.requires_grad_()
    taken, slices = every(maps, step), maps[:, :, ::step]
    assert torch.equal(taken, slices)
    upstream = torch.randn_like(slices)
    (found,) = torch.autograd.grad(taken, maps, upstream, retain_graph=True)
    (wanted,) = torch.autograd.grad(slices, maps, upstream)
    assert torch.equal(found, wanted)


def test_changes_are_normalised_in_place_as_the_layer_would():
    maps = 3 + 2 * torch.randn(4, 3, 5, 6, 7)
    ours, theirs = (nn.BatchNorm3d(3, affine=False) for _ in range(2))
    for _ in range(2):
        wanted, found = theirs(maps), maps.clone()
        normalise_(ours, found)
        assert torch.allclose(found, wanted, atol=1e-5)
    for key, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[key], value, rtol=1e-5), key


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(1000, 999), (3, 333_334)])
def test_as_many_values_are_lost_as_asked_for(rate, shape):
    torch.manual_seed(0)
    lost = 1 - kept(torch.Size(shape), rate).double().mean()
    n_values = shape[0] * shape[1]
    error = (rate * (1 - rate) / n_values) ** 0.5
    assert lost == pytest.approx(rate, abs=4 * error)


def test_dropout_keeps_the_mean_and_follows_the_seed():
    layer, values = Dropout(0.25), torch.ones(500, 801)
    torch.manual_seed(3)
    first, second = layer(values), layer(values)
    torch.manual_seed(3)
    assert torch.equal(layer(values), first)
    assert not torch.equal(first, second)
    assert first.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert first.mean() == pytest.approx(1, abs=0.01)
    neighbours = torch.corrcoef(torch.stack([first[:, :-1], first[:, 1:]]).flatten(1))
    assert abs(neighbours[0, 1]) < 0.01
    assert torch.equal(layer.eval()(values), values)
    assert not Dropout(1.0)(values).any()


def test_what_chance_left_out_has_no_gradient():
    values = torch.ones(50, 7, requires_grad=True)
    shown = Dropout(0.5)(values)
    shown.sum().backward()
    assert torch.equal(values.grad, shown.detach())


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told")
def test_freed_memory_is_kept_for_as_long_as_it_is_wanted(monkeypatch):
    told = []
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        pytest.skip("another C library")
    monkeypatch.setattr(arena.ctypes, "CDLL", lambda _: Told(told))
    with freed_memory_is_kept() as can:
        assert can
        assert told == [("mallopt", -1, 2**31 - 1), ("mallopt", -4, 0)]
    assert told[2:] == [("mallopt", -1, 131072), ("mallopt", -4, 65536), ("trim", 0)]


class Told:
    """A C library that writes down what it is told."""

    gnu_get_libc_version = None

    def __init__(self, told: list[tuple[object, ...]]) -> None:
        self.told = told

    def mallopt(self, name: int, value: int) -> int:
        """Set an option."""
        self.told.append(("mallopt", name, value))
        return 1

    def malloc_trim(self, rest: int) -> int:
        """Give memory back."""
        self.told.append(("trim", rest))
        return 1
