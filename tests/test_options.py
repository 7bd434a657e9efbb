"""options.py: what every flag takes, refuses and says of itself."""

import argparse
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from fmrgb import options, predict_options, train_options
from fmrgb.fields import channel_count, default_workers, frame_count, frame_size
from fmrgb.options import BuildOptions, DemoOptions, ResizeOptions
from fmrgb.train_options import EvaluateOptions, TrainOptions

HERE = Path()
TOOLS = {
    kind: None
    for module in (options, train_options, predict_options)
    for kind in vars(module).values()
    if dataclasses.is_dataclass(kind) and isinstance(kind, type)
}
FIELDS = [
    pytest.param(field, id=f"{kind.__name__}.{field.name}")
    for kind in TOOLS
    for field in dataclasses.fields(kind)
]


@pytest.mark.parametrize("kind", TOOLS)
def test_options_cannot_change_and_say_what_the_tool_does(kind):
    assert kind.__dataclass_params__.frozen
    assert not kind.__doc__.startswith(kind.__name__ + "(")  # dataclass's own words


@pytest.mark.parametrize("field", FIELDS)
def test_help_ends_with_the_default_or_needed(field):
    text = field.metadata["help"]
    if field.default is dataclasses.MISSING:
        assert text.endswith(" [needed]")
    elif field.default is not False:  # a switch is off unless it is given
        assert text.endswith("]")
        said = text.rpartition(" [default: ")[2][:-1]
        hidden = field.default is None or field.name == "workers"
        words = field.default if isinstance(field.default, tuple) else [field.default]
        assert said if hidden else said == ",".join(map(str, words))


def test_options_are_quick_to_import():
    code = "import sys, fmrgb.train_options; print(list(sys.modules))"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "'fmrgb'" in loaded
    assert not any(f"'{m}'" in loaded for m in ("torch", "numpy", "cv2", "av"))


@pytest.mark.parametrize(
    ("text", "size"), [("64", (64, 64)), ("96x64", (96, 64)), ("8192X1", (8192, 1))]
)
def test_a_size_is_read_as_width_and_height(text, size):
    assert frame_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "64x", "1x2x3", "-4", "6.5", "²", "64 x 32"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(
        argparse.ArgumentTypeError, match=r"expected N or WxH in pixels"
    ):
        frame_size(text)


@pytest.mark.parametrize("text", ["0", "64x0", "8193", "1x99999999999"])
def test_a_senseless_size_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"must be 1 to 8192 pixels"):
        frame_size(text)


def test_frames_are_a_number_or_max():
    assert frame_count("max") is None
    assert frame_count("7") == 7
    with pytest.raises(argparse.ArgumentTypeError, match="expected 'max' or a number"):
        frame_count("many")


@pytest.mark.parametrize(
    ("text", "count"), [("5", 5), ("True", 5), ("3", 3), ("false", 3)]
)
def test_channels_are_counted_in_the_old_way_too(text, count):
    assert channel_count(text) == count


def test_another_number_of_channels_is_refused():
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected 3 or 5 .* got '4'"):
        channel_count("4")


def test_one_worker_per_core():
    assert default_workers() >= 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: ResizeOptions(target=HERE, mag=0.9),
            "--mag must be at least 1, got 0.9",
        ),
        (lambda: ResizeOptions(target=HERE, mag=9e3), "--mag must be at most 8192"),
        (
            lambda: ResizeOptions(target=HERE, mag=float("nan")),
            "--mag must be at least 1",
        ),
        (lambda: ResizeOptions(target=HERE, crf=52), "--crf must be 0 to 51, got 52"),
        (lambda: ResizeOptions(target=HERE, crf=-1), "--crf must be 0 to 51, got -1"),
        (lambda: ResizeOptions(target=HERE, workers=0), "--workers must be at least 1"),
        (lambda: BuildOptions(target=HERE, workers=0), "--workers must be at least 1"),
        (lambda: BuildOptions(target=HERE, skip=0), "--skip must be at least 1, got 0"),
        (lambda: BuildOptions(target=HERE, frames=0), "--frames must be at least 1"),
        (
            lambda: BuildOptions(target=HERE, frequency_param=1),
            "--frequency_param must be at least 2, got 1",
        ),
        (
            lambda: TrainOptions(data=HERE, epochs=0),
            "--epochs must be at least 1, got 0",
        ),
        (lambda: TrainOptions(data=HERE, patience=0), "--patience must be at least 1"),
        (
            lambda: TrainOptions(data=HERE, batch_size=0),
            "--batch_size must be at least 1",
        ),
        (lambda: TrainOptions(data=HERE, frames=0), "--frames must be at least 1"),
        (lambda: TrainOptions(data=HERE, seed=-1), "--seed must be at least 0"),
        (lambda: TrainOptions(data=HERE, workers=-1), "--workers must be at least 0"),
        (
            lambda: TrainOptions(data=HERE, weight_decay=-0.1),
            "--weight_decay must be at least 0",
        ),
        (lambda: TrainOptions(data=HERE, lr=0), "--lr must be above 0, got 0"),
        (lambda: TrainOptions(data=HERE, lr=float("nan")), "--lr must be above 0"),
        (lambda: TrainOptions(data=HERE, test_size=1), "--test_size must lie between"),
        (lambda: TrainOptions(data=HERE, val_size=0), "--val_size must lie between 0"),
        (
            lambda: TrainOptions(data=HERE, test_size=0.6, val_size=0.4),
            "--test_size and --val_size leave nothing to train on",
        ),
        (
            lambda: EvaluateOptions(model=HERE, data=HERE, batch_size=0),
            "--batch_size must be at least 1",
        ),
        (lambda: DemoOptions(clips=39), "--clips must be at least 40, got 39"),
        (lambda: DemoOptions(epochs=0), "--epochs must be at least 1"),
        (lambda: DemoOptions(seed=-1), "--seed must be at least 0"),
    ],
)
def test_senseless_numbers_are_refused_by_the_name_of_the_flag(make, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        make()


def test_sensible_numbers_are_kept():
    built = BuildOptions(target=HERE, frames=1, skip=1, frequency_param=2)
    assert (built.fmrgb, built.frames, built.frequency_param) == (5, 1, 2)
    assert ResizeOptions(target=HERE, mag=1, crf=51).mag == 1
    assert TrainOptions(data=HERE, test_size=0.5, val_size=0.49).frames is None
