"""checkpoint.py: what was trained comes back as it was, and nothing else comes in."""

import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import tiny
import torch

from fmrgb import __version__
from fmrgb.card import Card
from fmrgb.checkpoint import KEY, Network, load_checkpoint
from fmrgb.errors import TrainingError
from fmrgb.learner import Learner, Settings
from fmrgb.sample import save_sample
from fmrgb.trainer import train
from fmrgb.trust import BOTH, PICTURE, SOUND

# torch's own remark on a file that it then refuses.
pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")

RECIPE = {"audiomethod": "mel", "frames": 6, "size": [14, 10]}
VIEW = replace(tiny.VIEW, frames=4)


def card(**changes: Any) -> Card:
    """Return the card of a tiny network, but for the changes."""
    values = {
        "model": "conv3d",
        "model_size": "tiny",
        "classes": ("bright", "dark"),
        "view": VIEW,
        "mean": [100.0, 110.0, 120.0, 130.0, 140.0],
        "std": [50.0, 51.0, 52.0, 53.0, 54.0],
        "recipe": RECIPE,
    }
    return Card(**(values | changes))


def levels(n_clips: int = 3) -> torch.Tensor:
    """Return random clips uint8 [B, C, T, H, W]."""
    dice = np.random.default_rng(5)
    return torch.from_numpy(dice.integers(0, 256, (n_clips, *VIEW.shape), np.uint8))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Learner]:
    """Return the checkpoint of one epoch, and the learner as it was when it ended."""
    folder = tmp_path_factory.mktemp("trained")
    rows = tiny.dark_and_bright(folder, ["train"] * 3 + ["val"])
    kept: list[Learner] = []
    fit = L.Trainer.fit

    def keeping(self: L.Trainer, learner: Learner, *loaders: Any, **how: Any) -> None:
        kept.append(learner)
        fit(self, learner, *loaders, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(L.Trainer, "fit", keeping)
        settings = Settings(epochs=1, batch_size=3)
        done = train(rows, VIEW, settings, folder=folder, recipe=RECIPE, quiet=True)
    return done.best, kept[0].cpu()


def test_the_loaded_network_says_what_the_learner_said(trained):
    path, learner = trained
    network = load_checkpoint(path)
    assert not network.training
    with torch.no_grad():
        wanted = learner.eval().net(levels())
        assert torch.equal(network(levels()), wanted)
    assert wanted.std() > 0


def test_the_card_comes_back_whole(trained):
    path, learner = trained
    assert load_checkpoint(path).card == learner.net.card
    got = load_checkpoint(path).card
    assert (got.classes, got.view, got.recipe) == (("bright", "dark"), VIEW, RECIPE)
    assert got.version == __version__


def test_levels_are_normalised_by_the_cards_numbers():
    network = Network(card())
    seen: list[torch.Tensor] = []
    network.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.eval()(levels())
    for c in range(5):
        wanted = (levels()[:, c].double() - (100 + 10 * c)) / (50 + c)
        assert torch.allclose(seen[0][:, c].double(), wanted, atol=1e-6)


def test_a_sense_is_not_there_where_all_its_levels_are_zero():
    clips = torch.zeros(4, *VIEW.shape, dtype=torch.uint8)
    clips[1, 1, 2, 3, 4] = 1  # one pixel of a picture plane
    clips[2, 4, 3, 2, 1] = 1  # one place of a sound plane
    clips[3] = 1
    assert Network(card()).kinds(clips).tolist() == [0, PICTURE, SOUND, BOTH]


def test_the_answer_is_the_sum_of_the_answers_times_their_trust():
    network = Network(card(fusion="senses")).eval()
    network.trust_SA = np.array([[0, 0, 0], [0.5, 0, 0], [0, 0.25, 0], [1, 2, 3.0]])
    clips = levels(4)
    clips[0] = 0
    clips[1, 3:] = 0
    clips[2, :3] = 0
    with torch.no_grad():
        picture, sound, joint = network.answers(clips).unbind(dim=1)
        told = network(clips)
    assert (told[0] == 0).all()
    torch.testing.assert_close(told[1], 0.5 * picture[1])
    torch.testing.assert_close(told[2], 0.25 * sound[2])
    torch.testing.assert_close(told[3], picture[3] + 2 * sound[3] + 3 * joint[3])


def test_normalisation_is_kept_once_on_the_card_not_among_the_weights(trained):
    content = torch.load(trained[0], weights_only=True)
    assert set(content[KEY]) == set(card().as_dict()) | {"trust"}
    assert not [
        k
        for k in content["state_dict"]
        if k.endswith(("mean", "std")) and "running" not in k
    ]


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_checkpoint_that_would_run_code_is_refused_and_runs_nothing(
    tmp_path, trained
):
    mark, path = tmp_path / "executed", tmp_path / "best.ckpt"
    content = torch.load(trained[0], weights_only=True)
    torch.save({**content, "more": Trap(mark)}, path)
    with pytest.raises(TrainingError, match=r"best\.ckpt .*holds code that would run"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps({KEY: Trap(mark)}))
    with pytest.raises(TrainingError, match=r"best\.ckpt .*holds code that would run"):
        load_checkpoint(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists(), "the trap would not have snapped"


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.7, 0.99, 0.9999])
def test_a_checkpoint_cut_short_is_refused(tmp_path, trained, share):
    whole = trained[0].read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(TrainingError, match=r"cut\.ckpt is not a whole checkpoint"):
        load_checkpoint(tmp_path / "cut.ckpt")


def test_damage_in_the_description_never_ends_in_another_fault(tmp_path, trained):
    whole = trained[0].read_bytes()
    begin = whole.index(b"data.pkl")
    end = whole.index(b"PK\x03\x04", begin)  # where the next member begins
    dice = np.random.default_rng(1)
    path, refused = tmp_path / "odd.ckpt", 0
    for _ in range(250):
        damaged = bytearray(whole)
        damaged[int(dice.integers(begin, end))] = int(dice.integers(256))
        path.write_bytes(damaged)
        try:
            load_checkpoint(path)
        except TrainingError:
            refused += 1
    assert refused > 100


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"no such checkpoint: .*none\.ckpt"):
        load_checkpoint(tmp_path / "none.ckpt")
    (tmp_path / "text.ckpt").write_text("path,label\n")
    for path in (tmp_path, tmp_path / "text.ckpt"):
        with pytest.raises(TrainingError, match="is not a whole checkpoint"):
            load_checkpoint(path)


def test_what_others_wrote_is_refused(tmp_path):
    torch.save({"state_dict": Network(card()).state_dict()}, tmp_path / "other.ckpt")
    torch.save(torch.zeros(3), tmp_path / "bare.ckpt")
    save_sample(tmp_path / "sample.pt", tiny.sample())
    for name in ("other.ckpt", "bare.ckpt", "sample.pt"):
        with pytest.raises(TrainingError, match=f"{name} was not written by fmrgb"):
            load_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda known: known.pop("view"),
        lambda known: known.pop("mean"),
        lambda known: known.update(later=1),
        lambda known: known.update(model="transformer9"),
        lambda known: known.update(model_size="base"),
        lambda known: known.update(classes=["a", "b", "c"]),
        lambda known: known.update(classes=None),
        lambda known: known.update(mean="none"),
        lambda known: known.update(std=[1.0, 2.0]),
        lambda known: known["view"].update(channels=["R"]),
    ],
)
def test_a_card_that_does_not_fit_is_refused_with_the_file_named(
    tmp_path, trained, spoil
):
    content = torch.load(trained[0], weights_only=True)
    spoil(content[KEY])
    torch.save(content, tmp_path / "odd.ckpt")
    with pytest.raises(TrainingError, match=r"odd\.ckpt does not fit this version"):
        load_checkpoint(tmp_path / "odd.ckpt")


def test_a_checkpoint_may_be_moved(tmp_path, trained):
    moved = tmp_path / "clé\n.ckpt"
    shutil.copy(trained[0], moved)
    assert load_checkpoint(moved).card == load_checkpoint(trained[0]).card


@pytest.mark.parametrize("fusion", ["senses", "stack"])
def test_a_sense_that_is_not_there_is_shown_as_the_mean_of_the_training_clips(fusion):
    network = Network(card(fusion=fusion)).eval()
    seen: list[torch.Tensor] = []
    network.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    clips = levels(3)
    clips[1, :3] = 0  # no picture
    clips[2, 3:] = 0  # no sound
    clips[0, 4] = 0  # a plane of a sense that is there means what it says
    network(clips)
    assert not seen[0][1, :3].any()
    assert not seen[0][2, 3:].any()
    assert seen[0][0, 4].all()
    assert seen[0][1, 3:].any()
    assert seen[0][2, :3].any()
