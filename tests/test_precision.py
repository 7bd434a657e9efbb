"""precision.py: the faster of two precisions is found, and nothing else happens."""

from types import SimpleNamespace

import pytest
import tiny
import torch
from torch import Tensor, nn

from fmrgb import precision
from fmrgb.checkpoint import Network
from fmrgb.errors import TrainingError
from fmrgb.precision import BUDGET_S, choose_precision

NETWORK = Network(tiny.CARD)


class Timed(nn.Module):
    """A network whose clips cost as many seconds as we say, on a clock of our own."""

    def __init__(self, full: float, half: float) -> None:
        super().__init__()
        self.card = SimpleNamespace(view=tiny.VIEW)
        self.weight = nn.Parameter(torch.ones(1))
        self.costs = {False: full, True: half}

    def answers(self, levels: Tensor) -> Tensor:
        """Let the time of a step pass."""
        steps.append(len(levels))
        clock.now += len(levels) * self.costs[torch.is_autocast_enabled("cpu")]
        return self.weight * levels.float().mean()


clock = SimpleNamespace(now=0.0)
steps: list[int] = []  # clips of each step taken


@pytest.fixture(autouse=True)
def our_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time pass only as networks say, on a machine without a GPU."""
    monkeypatch.setattr(precision.time, "process_time", lambda: clock.now)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    clock.now = 0.0
    steps.clear()


@pytest.mark.parametrize(
    ("full", "half", "found"),
    [
        (0.010, 0.005, "bf16-mixed"),
        (0.010, 0.008, "bf16-mixed"),
        (0.010, 0.0095, "32"),  # hardly faster is not worth being less exact
        (0.010, 0.010, "32"),
        (0.010, 0.070, "32"),
        (30.0, 20.0, "bf16-mixed"),  # slow networks, which are looked at once
        (30.0, 200.0, "32"),
    ],
)
def test_the_faster_precision_is_found(full, half, found):
    assert choose_precision("auto", Timed(full, half), 20) == found


@pytest.mark.parametrize("cost", [1e-6, 0.001, 0.05, 0.2, 1.0, 30.0])
def test_it_takes_no_longer_than_allowed_or_one_glance(cost):
    choose_precision("auto", Timed(cost, cost), 20)
    assert clock.now <= BUDGET_S + 4 * cost
    assert max(steps) <= 20, "no more clips than a step of the training has"


def test_a_batch_of_one_is_tried_with_two_clips_as_normalisation_needs():
    assert choose_precision("auto", NETWORK, 1) in ("32", "bf16-mixed")


@pytest.mark.parametrize(
    ("kind", "found"), [(None, "32"), ((7, 5), "32"), ((8, 0), "bf16-mixed")]
)
def test_processes_that_must_agree_go_by_the_kind_of_gpu(monkeypatch, kind, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: kind is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: kind)
    assert choose_precision("auto", Timed(1, 1), 20, alone=False) == found
    assert not steps


@pytest.mark.parametrize("name", ["32", "bf16-mixed"])
def test_what_is_wanted_is_taken_untried(name):
    assert choose_precision(name, Timed(1, 1), 20) == name
    assert not steps


def test_half_precision_without_a_gpu_is_refused():
    with pytest.raises(TrainingError, match=r"16-mixed needs a GPU; take bf16-mixed"):
        choose_precision("16-mixed", NETWORK, 20)


def test_neither_the_network_nor_chance_is_changed():
    before = {k: v.clone() for k, v in NETWORK.state_dict().items()}
    state = torch.get_rng_state()
    choose_precision("auto", NETWORK, 20)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in NETWORK.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in NETWORK.parameters())
