"""The flags of train that say how: what they mean to the training, what is refused."""

import json
from dataclasses import asdict, fields

import pytest
from fmrgb_tools import train as tool

from fmrgb.augment import OFF, USUAL, Augmentation
from fmrgb.learner import Settings
from fmrgb.train_options import TrainOptions

NEEDED = {"data": "none.csv"}


def settings(**given: object) -> Settings:
    """Return what the flags, by their names, mean to the training."""
    return tool._settings(TrainOptions(**NEEDED, **given))


def test_the_flags_and_the_library_have_the_same_defaults():
    # But for the precision: a library must not measure unless it is asked to.
    assert asdict(settings(precision="32")) == asdict(Settings())
    assert settings().precision == "auto"


@pytest.mark.parametrize("field", fields(Augmentation), ids=lambda f: f.name)
def test_every_change_has_a_flag_of_its_name(field):
    how = settings(**{field.name: 0.25}).augmentation
    assert how == Augmentation(**{**asdict(USUAL), field.name: 0.25})


def test_all_changes_are_switched_off_at_once():
    assert settings(augment="false", crop=0.3).augmentation == OFF


def test_words_and_numbers_reach_the_training():
    given = {
        "accumulate": 3,
        "balance": True,
        "precision": "bf16-mixed",
        "devices": "2",
        "nodes": 4,
        "strategy": "ddp",
    }
    made = asdict(settings(**given, usescheduler="false"))
    assert {name: made[name] for name in given} == given
    assert made["usescheduler"] is False
    json.dumps(made)  # for config.json


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--augment maybe", "invalid choice: 'maybe'"),
        ("--usescheduler 1", "invalid choice: '1'"),
        ("--precision 8", "invalid choice: '8'"),
        ("--crop 1", "--crop must lie in 0 to 0.9, got 1.0"),
        ("--jitter 0.95", "--jitter must lie in 0 to 0.9, got 0.95"),
        ("--flip 1.1", "--flip must lie in 0 to 1, got 1.1"),
        ("--brightness -0.1", "--brightness must lie in 0 to 1, got -0.1"),
        ("--mask nan", "--mask must lie in 0 to 1, got nan"),
        ("--sense_dropout 2", "--sense_dropout must lie in 0 to 1, got 2.0"),
        ("--gain -1", "--gain must be at least 0, got -1.0"),
        ("--accumulate 0", "--accumulate must be at least 1, got 0"),
        ("--nodes 0", "--nodes must be at least 1, got 0"),
    ],
)
def test_a_wrong_flag_is_refused_before_any_work(words, reason, capsys):
    with pytest.raises(SystemExit) as left:
        tool.main(["--data", "none.csv", *words.split()])
    assert left.value.code == 2
    assert reason in capsys.readouterr().err
