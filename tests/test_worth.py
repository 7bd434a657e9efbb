"""worth.py: what a network leans on is found, and nothing else."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from fmrgb.card import Card, View
from fmrgb.checkpoint import Network
from fmrgb.evaluate import predict_rows
from fmrgb.loader import ClipSet
from fmrgb.manifest import Row
from fmrgb.metrics import score
from fmrgb.sample import save_sample
from fmrgb.worth import ALL_PICTURE, ALL_SOUND, REPEATS, donors, parts_of, try_planes

VIEW = View(tiny.CHANNELS, tiny.N_FRAMES, tiny.HEIGHT, tiny.WIDTH, tiny.CHANNELS[3:])


class Judge(Network):
    """Looks at the mean level of the given planes, and at nothing else."""

    def __init__(self, planes: Sequence[int], view: View = VIEW) -> None:
        channels = len(view.channels)
        card = Card(
            model="conv3d",
            model_size="tiny",
            classes=("bright", "dark"),
            view=view,
            mean=[0.0] * channels,
            std=[1.0] * channels,
            recipe={},
        )
        super().__init__(card)
        self.planes = list(planes)

    def forward(self, levels_BCTHW: Tensor) -> Tensor:
        """Say bright where the planes are."""
        level_B = levels_BCTHW[:, self.planes].float().mean(dim=(1, 2, 3, 4))
        return torch.stack([level_B - 120, 120 - level_B], dim=1)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Return 24 samples: dark and quiet, or bright and loud."""
    folder = tmp_path_factory.mktemp("samples")
    rows = []
    for seed in range(24):
        label, level = list(tiny.LEVELS.items())[seed % 2]
        path = folder / f"{seed}.pt"
        save_sample(path, tiny.sample(level, label, loudness=level, seed=seed))
        rows.append(Row(path=path, label=label, has_sound=True, silent=False))
    return rows


def tried(rows: list[Row], planes: Sequence[int], **how: Any) -> dict[str, Any]:
    """Return for each part the share of tries in which the judge was still right."""
    judge = Judge(planes)
    clips = ClipSet(rows, judge.card.classes, VIEW)
    settings = {"batch_size": 7, "repeats": 40} | how
    told = try_planes(judge, clips, [str(r.path) for r in rows], **settings)
    return {name: float(share.mean()) for name, share in told.items()}


def test_the_parts_are_each_plane_and_each_sense():
    assert parts_of(VIEW) == {
        "R": [0],
        "G": [1],
        "B": [2],
        "amplitude": [3],
        "frequency": [4],
        ALL_PICTURE: [0, 1, 2],
        ALL_SOUND: [3, 4],
    }
    assert parts_of(View(("mel", "R"), 6, 10, 14, ("mel",))) == {"mel": [0], "R": [1]}
    assert list(parts_of(View(("R", "B"), 6, 10, 14))) == ["R", "B", ALL_PICTURE]


def test_what_a_network_does_not_look_at_is_worth_nothing(rows):
    told = tried(rows, [3])
    # A donor is one of 23 others, 11 of them of the same label.
    for name in ("amplitude", ALL_SOUND):
        assert told.pop(name) == pytest.approx(11 / 23, abs=0.05)
    assert set(told.values()) == {1.0}


def test_planes_that_stand_in_for_each_other_are_worth_something_together_only(rows):
    told = tried(rows, [0, 1, 2])
    assert [told[name] for name in "RGB"] == [1, 1, 1], "two of three outvote one"
    assert told[ALL_PICTURE] == pytest.approx(11 / 23, abs=0.05)
    assert told[ALL_SOUND] == 1


def test_the_same_seed_gives_the_same_tries_whatever_the_batches(rows):
    first = tried(rows, [4], repeats=3)
    assert tried(rows, [4], repeats=3, batch_size=100) == first
    assert tried(rows, [4], repeats=3, seed=1) != first


def test_the_score_tells_the_drop_with_an_interval_that_holds_the_truth(rows):
    told = predict_rows(Judge([3]), rows, batch_size=5, repeats=REPEATS)
    planes = score(told)["planes"]
    for name, plane in planes.items():
        low, high = plane["interval"]
        assert low <= plane["drop"] <= high
        assert plane["accuracy"] == pytest.approx(1 - plane["drop"])
        assert plane["sound"] == (name in ("amplitude", "frequency", ALL_SOUND))
    assert (
        planes["amplitude"]["interval"][0] < 12 / 23 < planes[ALL_SOUND]["interval"][1]
    )
    assert planes["amplitude"]["interval"][0] > 0.2
    assert planes["R"]["drop"] == 0
    assert planes["R"]["interval"][0] < 0 < planes["R"]["interval"][1]


def test_planes_are_left_alone_unless_they_are_asked_for(rows):
    told = predict_rows(Judge([3]), rows)
    assert told.without == {}
    assert "planes" not in score(told)


def test_clips_are_read_once(rows, monkeypatch):
    read = []
    serve = ClipSet.__getitem__

    def noting(clips: ClipSet, number: int) -> Any:
        if number not in (clips._cache or {}):
            read.append(number)
        return serve(clips, number)

    monkeypatch.setattr(ClipSet, "__getitem__", noting)
    predict_rows(Judge([3]), rows, repeats=2)
    assert sorted(read) == list(range(24))


@pytest.mark.parametrize(
    "sources",
    [
        list("abcdefghi"),
        list("aabbbccccddee"),
        list("abab"),
        list("aaaabbcc"),
    ],
)
def test_every_clip_gets_the_planes_of_another_source_and_each_gives_once(sources):
    dice = np.random.default_rng(0)
    seen = set()
    for _ in range(50):
        givers = donors(sources, dice)
        assert sorted(givers) == list(range(len(sources)))
        assert all(sources[g] != own for g, own in zip(givers, sources, strict=True))
        seen.add(tuple(givers))
    assert len(seen) > 1, "not every draw is the same"


def test_where_one_source_has_most_clips_another_clip_must_do():
    dice = np.random.default_rng(0)
    for sources in (list("aaaaab"), list("aa"), list("aaaa")):
        for _ in range(20):
            givers = donors(sources, dice)
            assert sorted(givers) == list(range(len(sources)))
            assert (givers != np.arange(len(sources))).all()


def test_a_single_clip_can_only_give_to_itself():
    assert donors(["a"], np.random.default_rng(0)).tolist() == [0]
