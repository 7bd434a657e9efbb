"""learner.py: what a step sees, what a clip counts, how the rate runs."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor
from torch.nn import functional

from fmrgb.augment import OFF, USUAL
from fmrgb.card import Card
from fmrgb.checkpoint import KEY
from fmrgb.learner import Learner, Settings
from fmrgb.trust import BOTH

PLAIN = Settings(augmentation=OFF)
CARD = Card(
    model="conv3d",
    model_size="tiny",
    classes=("bright", "dark", "grey"),
    view=tiny.VIEW,
    mean=[120.0] * 5,
    std=[80.0] * 5,
    recipe={"scale": "absolute"},
    fusion="stack",
)
TRUTH = torch.tensor([0, 2, 2, 0])
NUMBERS = torch.arange(4)


@pytest.fixture
def levels() -> Tensor:
    """Return four clips of noise, uint8 [B, C, T, H, W]."""
    dice = torch.Generator().manual_seed(1)
    return torch.randint(
        1, 256, (4, *tiny.VIEW.shape), generator=dice, dtype=torch.uint8
    )


def made(
    settings: Settings, weights: list[float] | None = None, card: Card = CARD
) -> Learner:
    """Return a learner that needs no trainer to log, always with the same weights."""
    torch.manual_seed(0)
    made = Learner(card, settings, weights)
    made.log = lambda *args, **how: None
    made.eval()  # no dropout: the loss is that of the weights alone
    return made


def seen(one: Learner, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Return a list that gets the levels of each batch that the network is shown."""
    shown: list[Tensor] = []
    plain = one.net.answers

    def answers(levels: Tensor) -> Tensor:
        shown.append(levels.clone())
        return plain(levels)

    monkeypatch.setattr(one.net, "answers", answers)
    return shown


def test_training_clips_are_changed_and_validation_clips_are_not(levels, monkeypatch):
    usual = made(Settings())
    shown = seen(usual, monkeypatch)
    usual.validation_step((levels, TRUTH, NUMBERS), 0)
    usual.training_step((levels, TRUTH, NUMBERS), 0)
    assert torch.equal(shown[0], levels)
    assert not any(torch.equal(a, b) for a, b in zip(shown[1], levels, strict=True))


def test_a_change_is_decided_by_seed_epoch_and_step_whoever_makes_it(
    levels, monkeypatch
):
    def changed(seed: int = 0, epoch: int = 0, step: int = 0, rank: int = 0) -> Tensor:
        one = made(Settings(seed=seed))
        one._trainer = SimpleNamespace(current_epoch=epoch, global_rank=rank)
        shown = seen(one, monkeypatch)
        torch.rand(7)  # what else was left to chance before
        one.training_step((levels, TRUTH, NUMBERS), step)
        return shown[0]

    first = changed()
    assert torch.equal(changed(), first)
    assert torch.equal(changed(rank=1), first)
    for other in ({"seed": 1}, {"epoch": 1}, {"step": 1}):
        assert not torch.equal(changed(**other), first), other


def test_loudness_is_changed_only_where_levels_are_decibels():
    relative = replace(CARD, recipe={"scale": "relative"})
    assert Learner(relative, Settings()).augmentation == replace(USUAL, gain=0, noise=0)
    assert Learner(CARD, Settings()).augmentation == USUAL


@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0]])
def test_every_clip_counts_as_much_as_its_class(levels, weights):
    one = made(PLAIN, weights)
    loss = one.training_step((levels, TRUTH, NUMBERS), 0).detach()
    logits = one.net.answers(levels)[:, 0].detach()
    each = functional.cross_entropy(logits, TRUTH, reduction="none")
    counts = torch.tensor(weights or [1.0] * 3)[TRUTH]
    assert float(loss) == pytest.approx(float((counts * each).mean()), rel=1e-5)


def test_an_answer_learns_only_from_clips_that_it_can_judge(levels):
    levels[0, 3:] = 0  # no sound
    levels[1, :3] = 0  # no picture
    one = made(PLAIN, card=replace(CARD, fusion="senses"))
    loss = one.training_step((levels, TRUTH, NUMBERS), 0).detach()
    logits = one.net.answers(levels).detach()
    each = [
        functional.cross_entropy(logits[n, a], TRUTH[n])
        for n, answers in enumerate([(0,), (1,), (0, 1, 2), (0, 1, 2)])
        for a in answers
    ]
    torch.testing.assert_close(loss, torch.stack(each).mean())


def test_what_each_answer_counts_is_settled_in_validation(levels):
    one = made(PLAIN, card=replace(CARD, fusion="senses"))
    one._trainer = SimpleNamespace(world_size=1)
    said = torch.zeros(4, 3, 3)
    said[torch.arange(4), 1, TRUTH] = 5.0  # the sound's answer is right
    said[:, 0, 1] = 5.0  # the picture's is wrong; the joint one says nothing
    one.net.answers = lambda levels: said
    one.validation_step((levels, TRUTH, NUMBERS), 0)
    one.on_validation_epoch_end()
    picture, sound, _ = one.net.trust_SA[BOTH]
    assert picture < sound / 10
    assert sound > 0.5
    kept: dict[str, Any] = {}
    one.on_save_checkpoint(kept)
    assert kept[KEY]["trust"] == one.net.trust_SA.tolist()


def test_a_batch_of_one_class_counts_as_much_as_its_class(levels):
    truth = torch.full((4,), 2)
    plain, heavy = (
        made(PLAIN, weights).training_step((levels, truth, NUMBERS), 0)
        for weights in (None, [0.5, 1.0, 2.0])
    )
    torch.testing.assert_close(heavy, 2 * plain)


def test_classes_count_the_same_in_the_validation_loss_too(levels):
    said: dict[str, float] = {}
    one = made(PLAIN, [0.5, 1.0, 2.0])
    one.log = lambda name, value, **how: said.update({name: float(value)})
    one._trainer = SimpleNamespace(world_size=1)
    with torch.no_grad():
        one.validation_step((levels, TRUTH, NUMBERS), 0)
        one.on_validation_epoch_end()
        each = functional.cross_entropy(one.net(levels), TRUTH, reduction="none")
    by_class = (each[TRUTH == 0].mean(), each[TRUTH == 2].mean())
    wanted = float(0.5 * by_class[0] + 2 * by_class[1]) / 2.5
    assert said["val_loss"] == pytest.approx(wanted, rel=1e-5)


def rates(settings: Settings, n_steps: int) -> list[float]:
    """Return the learning rate of each step."""
    one = made(settings)
    one._trainer = SimpleNamespace(estimated_stepping_batches=n_steps)
    found: Any = one.configure_optimizers()
    optimiser = found["optimizer"] if isinstance(found, dict) else found
    steps = []
    for _ in range(n_steps):
        steps.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if isinstance(found, dict):
            found["lr_scheduler"]["scheduler"].step()
    return steps


def test_the_rate_rises_and_falls_or_stays():
    moving = rates(Settings(lr=0.5), 20)
    assert moving[0] < max(moving) == pytest.approx(0.5)
    assert moving[-1] < 0.01
    assert rates(Settings(lr=0.5, usescheduler=False), 20) == [0.5] * 20
