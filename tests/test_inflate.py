"""inflate.py: what a network sees through other planes is what it saw."""

import pytest
import torch
from torch.nn import functional

from fmrgb.card import Card, View
from fmrgb.inflate import LUMA, inflate, matches, resample
from fmrgb.stack import to_gray

ALL = ("R", "G", "B", "amplitude", "mel")
SOUND = {"amplitude", "frequency", "mel"}


def card(*planes: str, fusion: str = "stack") -> Card:
    """Return the card of a network that sees these planes."""
    heard = tuple(plane for plane in planes if plane in SOUND)
    return Card(
        model="conv3d",
        model_size="tiny",
        classes=("a", "b"),
        view=View(planes, 6, 10, 14, heard),
        mean=[0.0] * len(planes),
        std=[1.0] * len(planes),
        fusion=fusion,
        recipe={},
    )


def clip_of(planes: tuple[str, ...], seen: dict[str, torch.Tensor]) -> torch.Tensor:
    """Stack planes to [1, C, H, W]."""
    return torch.stack([seen[plane] for plane in planes])[None]


@pytest.fixture
def seen() -> dict[str, torch.Tensor]:
    """Return planes [H, W] by name; gray is made of R, G, B."""
    planes = {plane: torch.randn(9, 11) for plane in (*ALL, "frequency")}
    gray = sum(share * planes[colour] for colour, share in LUMA.items())
    return planes | {"gray": gray}


def answers(seen, ours, theirs):
    """Return what a first layer says, widened from `theirs` to `ours`, and before."""
    (match,) = matches(card(*ours), card(*theirs))
    kernels = torch.randn(7, len(theirs), 5, 3)
    wanted = functional.conv2d(clip_of(theirs, seen), kernels)
    widened = inflate(kernels, match.shares_PQ)
    return functional.conv2d(clip_of(ours, seen), widened), wanted


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (ALL, ALL, "R, G, B, amplitude, mel by name"),
        (ALL, ("R", "G", "B"), "R, G, B by name; amplitude, mel from zero"),
        (("mel", "B", "R", "G"), ("R", "G", "B"), "B, R, G by name; mel from zero"),
        (("frequency", "mel"), ("mel",), "mel by name; frequency from zero"),
        (("R", "G", "B"), ("gray",), "R, G, B from gray"),
        (("gray", "mel"), ("gray",), "gray by name; mel from zero"),
    ],
)
def test_the_answer_to_what_was_known_stays(seen, ours, theirs, said):
    got, wanted = answers(seen, ours, theirs)
    assert torch.allclose(got, wanted, atol=1e-5)
    (match,) = matches(card(*ours), card(*theirs))
    assert match.derivation == said


def test_a_gray_clip_is_seen_as_a_coloured_one_without_colour(seen):
    seen |= {colour: seen["gray"] for colour in LUMA}
    got, wanted = answers(seen, ("gray",), ("R", "G", "B"))
    assert torch.allclose(got, wanted, atol=1e-5)


def test_a_plane_that_is_no_longer_seen_is_dropped(seen):
    seen["G"] = torch.zeros(9, 11)
    got, wanted = answers(seen, ("B", "R"), ("R", "G", "B"))
    assert torch.allclose(got, wanted, atol=1e-5)
    (match,) = matches(card("B", "R"), card("R", "G", "B"))
    assert match.derivation == "B, R by name; G dropped"


def test_the_shares_of_colours_are_those_that_gray_planes_are_made_with():
    for place, share in enumerate(LUMA.values()):
        frame = torch.zeros(1, 2, 3, 3, dtype=torch.uint8)
        frame[..., place] = 200
        assert to_gray(frame.numpy()).flat[0] == pytest.approx(200 * share, abs=0.6)


def test_tubelets_are_widened_like_kernels(seen):
    (match,) = matches(card(*ALL), card("R", "G", "B"))
    kernels = torch.randn(7, 3, 4)  # O, Q, N
    as_tubelets = inflate(kernels.transpose(1, 2).flatten(1), match.shares_PQ)
    as_kernels = inflate(kernels, match.shares_PQ)
    assert as_tubelets.shape == (7, 4 * 5)
    assert torch.equal(as_tubelets, as_kernels.transpose(1, 2).flatten(1))


def test_what_begins_at_zero_learns(seen):
    (match,) = matches(card(*ALL), card("R", "G", "B"))
    kernels = inflate(torch.randn(7, 3, 5, 3), match.shares_PQ).requires_grad_()
    functional.conv2d(clip_of(ALL, seen), kernels).square().sum().backward()
    assert not kernels[:, 3:].any()
    assert (kernels.grad[:, 3:].abs() > 1e-3).all()


@pytest.mark.parametrize(
    ("ours", "theirs", "pairs"),
    [
        ("senses", "senses", [("picture", "picture"), ("sound", "sound")]),
        ("senses", "stack", [("picture", ""), ("sound", "")]),
        ("stack", "senses", [("", "picture")]),
        ("stack", "stack", [("", "")]),
    ],
)
def test_each_sense_takes_from_where_most_of_its_planes_are(ours, theirs, pairs):
    found = matches(card(*ALL, fusion=ours), card(*ALL, fusion=theirs))
    assert [(match.part, match.source) for match in found] == pairs


def test_the_network_of_a_picture_alone_sees_its_changes_too():
    (match,) = matches(card("gray", fusion="senses"), card("R", "G", "B"))
    assert (match.planes, match.known) == (("gray", "change of gray"), ("gray",))
    assert match.derivation == "gray from R, G, B; change of gray from zero"
    (match,) = matches(card("gray", fusion="senses"), card(*ALL, fusion="senses"))
    assert match.known == ("gray", "change of gray")
    takes = zip(match.theirs, match.shares_PQ[1], strict=True)
    changes = [f"change of {colour}" for colour in LUMA]
    assert [q for q, share in takes if share] == changes


def test_planes_of_one_sense_have_one_network_whatever_the_fusion():
    found = matches(card("mel", fusion="senses"), card(*ALL, fusion="senses"))
    assert [(match.part, match.source, match.known) for match in found] == [
        ("", "sound", ("mel", "change of mel"))
    ]


def test_a_sense_that_the_other_lacks_is_known_to_none():
    picture, sound = matches(card(*ALL, fusion="senses"), card("R", "G", "B"))
    assert picture.known == ("R", "G", "B")
    assert sound.known == ()


def test_positions_keep_their_places():
    there, here = (4, 3, 2), (4, 6, 2)  # moments, rows, columns
    grid = torch.randn(1, *there, 5)
    new = resample(grid.flatten(2, 3), there, here).unflatten(2, here[1:])
    assert new.shape == (1, 4, 6, 2, 5)
    # Twice as many rows: each lies a quarter of an old one off the old middle.
    assert torch.allclose(new[:, :, 0], grid[:, :, 0], atol=1e-6)
    first, second = grid[:, :, 0], grid[:, :, 1]
    assert torch.allclose(new[:, :, 1], 0.75 * first + 0.25 * second, atol=1e-6)
    assert torch.allclose(new[:, :, 2], 0.25 * first + 0.75 * second, atol=1e-6)


def test_positions_halved_are_means_of_neighbours_and_untouched_where_they_fit():
    grid = torch.randn(1, 6, 5, 2, 7)
    flat = grid.flatten(2, 3)
    new = resample(flat, (6, 5, 2), (3, 5, 2)).unflatten(2, (5, 2))
    assert torch.allclose(new, (grid[:, ::2] + grid[:, 1::2]) / 2, atol=1e-6)
    assert resample(flat, (6, 5, 2), (6, 5, 2)) is flat
