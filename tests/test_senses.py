"""models/senses.py: a network per sense, and an answer of both."""

import pytest
import torch
from torch import Tensor, nn

from fmrgb.card import ClipShape
from fmrgb.errors import TrainingError
from fmrgb.models import ANSWERS, MODELS, Sense, Senses, build_model
from fmrgb.models.classifier import Classifier
from fmrgb.models.senses import SOUND_COLUMNS, Joint

CLIP = ClipShape(channels=5, frames=4, height=10, width=24)  # no two sizes alike
SOUND = (1, 3)  # planes of sound need not come last
PICTURE = (0, 2, 4)
N_CLASSES = 6
N_CLIPS = 3

every_model = pytest.mark.parametrize("name", MODELS)
torch.set_num_threads(1)


class Kept(Classifier):
    """Keeps what it is given; its features are the means of the planes."""

    def __init__(self, clip: ClipShape, n_classes: int) -> None:
        super().__init__()
        self.clip = clip
        self.n_features = clip.channels
        self.classify = nn.Linear(clip.channels, n_classes)

    def features(self, clip_BCTHW: Tensor) -> Tensor:
        """Return the means, [B, C]."""
        self.given = clip_BCTHW
        return clip_BCTHW.mean(dim=(2, 3, 4))


def kept(sound: bool, clip: ClipShape = CLIP) -> Sense:
    """Return a sense that keeps what its network is given."""
    return Sense(clip, N_CLASSES, Kept, sound=sound).eval()


@every_model
def test_both_senses_give_three_answers(name):
    model = build_model(name, "tiny", CLIP, N_CLASSES, sound=SOUND)
    assert isinstance(model, Senses)
    logits = model(torch.randn(N_CLIPS, *CLIP))
    assert logits.shape == (N_CLIPS, len(ANSWERS), N_CLASSES)


@every_model
@pytest.mark.parametrize(
    ("answer", "of_its_own", "of_the_other"),
    [("picture", PICTURE, SOUND), ("sound", SOUND, PICTURE)],
)
def test_an_answer_depends_on_its_own_planes_alone(
    name, answer, of_its_own, of_the_other
):
    model = build_model(name, "tiny", CLIP, N_CLASSES, sound=SOUND).eval()
    clips = torch.randn(N_CLIPS, *CLIP)
    number = ANSWERS.index(answer)
    before = model(clips)
    other = clips.clone()
    other[:, list(of_the_other)] = torch.randn(N_CLIPS, *CLIP)[:, list(of_the_other)]
    after = model(other)
    assert torch.equal(after[:, number], before[:, number])
    assert not torch.allclose(after[:, ANSWERS.index("joint")], before[:, 2])
    for plane in of_its_own:
        other = clips.clone()
        other[:, plane] += torch.randn(N_CLIPS, *CLIP[1:])
        assert not torch.allclose(model(other)[:, number], before[:, number])


@pytest.mark.parametrize("sound", [False, True])
def test_a_network_sees_levels_and_their_change_from_the_frame_before(sound):
    sense = kept(sound)
    clips = torch.randn(N_CLIPS, *CLIP)
    sense(clips)
    narrow = clips.unflatten(4, (SOUND_COLUMNS, -1)).mean(dim=5)
    wanted = narrow if sound else clips
    levels, change = sense.network.given.split(CLIP.channels, dim=1)
    assert torch.allclose(levels, wanted, atol=1e-6)
    gain = (1 + sense.scale.eps) ** -0.5  # of statistics that nothing has taught yet
    assert not change[:, :, 0].any()
    for t in range(1, CLIP.frames):
        wanted_change = gain * (wanted[:, :, t] - wanted[:, :, t - 1])
        assert torch.allclose(change[:, :, t], wanted_change, atol=1e-6)
    assert sense.network.clip == ClipShape(10, 4, 10, SOUND_COLUMNS if sound else 24)


def test_the_columns_of_a_single_frame_are_time_and_stay():
    still = CLIP._replace(frames=1)
    sense = kept(True, still)
    sense(torch.randn(N_CLIPS, *still))
    assert sense.network.given.shape[4] == CLIP.width


def test_changes_are_brought_to_the_size_of_the_levels():
    sense = kept(False).train()
    slow = 0.1 * torch.randn(50, *CLIP).cumsum(dim=2)
    sense(slow)
    change = sense.network.given[:, CLIP.channels :]
    assert change.std() == pytest.approx(1, abs=0.01)


def test_the_joint_answer_learns_an_exclusive_or():
    # Classes that no sum of what is seen and heard tells apart.
    dice = torch.Generator().manual_seed(0)
    seen, heard = torch.randn(2, 400, 1, generator=dice)
    truth = ((seen > 0) ^ (heard > 0)).squeeze(1).long()
    joint = Joint(1, 1, 2)
    optimiser = torch.optim.Adam(joint.parameters(), lr=0.01)
    for _ in range(60):
        loss = nn.functional.cross_entropy(joint(seen, heard), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    right = (joint.eval()(seen, heard).argmax(dim=1) == truth).float().mean()
    assert right > 0.95


def test_the_joint_answer_learns_from_a_single_clip_too():
    joint = Joint(3, 4, N_CLASSES).train()
    logits = joint(torch.randn(1, 3), torch.randn(1, 4))
    logits.sum().backward()
    assert logits.isfinite().all()
    assert joint.seen[0].weight.grad.any()


@pytest.mark.parametrize("sound", [(), (0, 1, 2, 3, 4)])
def test_planes_of_one_sense_make_one_network(sound):
    model = build_model("conv3d", "tiny", CLIP, N_CLASSES, sound=sound)
    assert isinstance(model, Sense)
    assert model(torch.randn(N_CLIPS, *CLIP)).shape == (N_CLIPS, N_CLASSES)


@every_model
def test_a_stack_is_the_architecture_itself(name):
    model = build_model(name, "tiny", CLIP, N_CLASSES, sound=SOUND, fusion="stack")
    assert type(model) is MODELS[name].make
    assert model(torch.randn(N_CLIPS, *CLIP)).shape == (N_CLIPS, N_CLASSES)


def test_an_unknown_fusion_is_refused_with_the_list():
    with pytest.raises(TrainingError, match=r"no fusion 'glue'.*senses, stack"):
        build_model("conv3d", "tiny", CLIP, 2, fusion="glue")
