"""audit.py: what is known before the first step is true, and said so that it helps."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny

from fmrgb import audit as audit_module
from fmrgb.audit import Audit, audit, estimate, in_time
from fmrgb.card import View
from fmrgb.errors import TrainingError
from fmrgb.learner import Learner, Settings
from fmrgb.manifest import Row
from fmrgb.trial import Trial

QUICK = Settings(precision="32", batch_size=4, epochs=7)
RECIPE = {"audiomethod": "simple", "scale": "absolute"}
SPLITS = [*["train"] * 5, *["val"] * 3, *["test"] * 2]
CLIP_BYTES = len(tiny.CHANNELS) * tiny.N_FRAMES * tiny.HEIGHT * tiny.WIDTH


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Return twenty rows with splits: ten sources, a dark and a bright sample each."""
    rows = tiny.dark_and_bright(tmp_path_factory.mktemp("samples"), SPLITS)
    return [
        replace(row, group=f"g{n // 2}", width=64, height=48, fps=25.0, seconds=2.0)
        for n, row in enumerate(rows)
    ]


@pytest.fixture(scope="module")
def clean(rows: list[Row]) -> Audit:
    """Return the audit of rows without any fault."""
    return look(rows)


def look(rows: list[Row], *notes: str, view: View = tiny.VIEW) -> Audit:
    """Audit rows as a quick training would."""
    return audit(rows, view, QUICK, recipe=RECIPE, notes=notes)


def test_clean_samples_raise_no_warning(clean):
    assert clean.warnings == []
    assert clean.findings == []
    assert clean.guessed_from_facts is None
    assert clean.census.labels["dark"]["train"] == 5


def test_what_is_said_is_what_was_found(clean):
    lines = clean.lines()
    assert lines[0].split()[:2] == ["label", "clips"]
    assert "10 groups; 10 of 10 sources hold several labels" in lines[4]
    loss = f"loss {clean.trial.loss:.3f}, guessing has {math.log(2):.3f}"
    (said,) = (line for line in lines if line.startswith("one batch "))
    assert said == f"one batch [4, 5, 6, 10, 14] through the untrained network: {loss}"
    assert f"{clean.trial.parameters:,} parameters; 3 steps of " in lines[-2]
    assert "precision 32)" in lines[-2]
    assert lines[-1].endswith(" of memory, 66 KiB of it clips")
    assert clean.short() == [clean.census.short(), *lines[-2:]]


def test_an_audit_is_plain_values(clean):
    told = json.loads(json.dumps(clean.as_dict()))
    assert set(told) == {
        "census",
        "findings",
        "guessed_from_facts",
        "trial",
        "cost",
        "warnings",
    }
    assert told["census"]["labels"]["bright"]["clips"] == 10
    assert told["trial"]["shape"] == [4, 5, 6, 10, 14]


def test_the_batch_holds_clips_from_all_over_the_training_part(rows, monkeypatch):
    seen = {}

    def steps(learner: Learner, batch: Any, steps: int = 3) -> Any:
        seen["truth"], seen["clips"] = batch[1].tolist(), batch[0]
        return look_alike

    look_alike = look(rows).trial
    monkeypatch.setattr(audit_module, "try_steps", steps)
    by_label = sorted(rows, key=lambda row: row.label)
    assert look(by_label).trial is look_alike
    assert seen["truth"] == [0, 0, 0, 1]  # 10 clips, every second of them
    assert seen["clips"].shape == (4, 5, 6, 10, 14)
    # Bright ones come first, and the test clips are not among them.
    assert seen["clips"][:, 0].float().mean(dim=(1, 2, 3)).tolist() == pytest.approx(
        [200, 200, 200, 40], abs=3
    )


def test_shortcuts_leaks_contradictions_and_notes_are_warnings(rows):
    faulty = [
        replace(
            row,
            has_sound=row.label == "dark",
            checksum="same" if n in (0, 19) else f"sum{n}",
        )
        for n, row in enumerate(rows)
    ]
    found = look(faulty, "3 samples were left out")
    assert [w.partition(":")[0] for w in found.warnings] == [
        "clip000.pt and clip019.pt come from the same bytes and lie in train and test",
        "with a leak, the score says too much",
        "clip000.pt (dark) and clip019.pt (bright) come from the same bytes",
        "This goes with the label, a shortcut",
        "3 samples were left out",
    ]
    assert "has no sound track: 10 of 10 bright, 0 of 10 dark" in found.warnings[3]
    assert found.lines()[-5:] == found.short()[-5:]
    assert found.short()[-1] == "warning: 3 samples were left out"
    told = [line for line in found.lines() if "together guess 100%" in line]
    assert len(told) == 1


def test_many_leaks_are_counted(rows):
    mixed = [replace(row, group=f"g{n % 7}") for n, row in enumerate(rows)]
    leaks = look(mixed).warnings
    assert [w.partition(" lies")[0] for w in leaks[:3]] == [
        "group 'g0'",
        "group 'g1'",
        "group 'g2'",
    ]
    assert leaks[3] == "4 more leaks of this kind"


def test_facts_that_do_not_go_with_the_label_are_in_the_lines_only(rows):
    varied = [replace(row, fps=25.0 + (n // 2) % 2) for n, row in enumerate(rows)]
    found = look(varied)
    assert found.warnings == []
    (said,) = (line for line in found.lines() if "does not go with the label" in line)
    assert "frame rate in fps: 25 for 5 of 10 bright, 5 of 10 dark" in said


def test_an_untrained_network_that_is_far_off_is_a_warning(rows, monkeypatch):
    monkeypatch.setattr(audit_module, "FAR_LOSS", 0)
    (said,) = look(rows).warnings
    assert said.startswith("the untrained network has a loss of 0.")
    assert "guessing has 0.693" in said


def test_too_few_clips_that_fit_are_told_before_they_are_tried(rows, monkeypatch):
    monkeypatch.setattr(audit_module, "clips_that_fit", lambda make, batch: 2)
    found = look(rows)
    assert found.trial.shape[0] == 2
    assert found.warnings == [
        "a batch of 4 clips of [5, 6, 10, 14] does not fit into memory; --batch_size 2 "
        "does, and with --accumulate 2 every update still learns from 4 clips"
    ]


def test_a_batch_that_does_not_fit_is_refused_with_one_that_does(rows, monkeypatch):
    real = Learner.training_step

    def step(self: Learner, batch: Any, batch_idx: int) -> Any:
        if len(batch[0]) > 2:
            raise MemoryError
        return real(self, batch, batch_idx)

    monkeypatch.setattr(Learner, "training_step", step)
    with pytest.raises(TrainingError, match=r"--batch_size 2 does.* \(MemoryError\)"):
        look(rows)


def trial_of(**facts: Any) -> Trial:
    """Return a trial of four clips with round numbers."""
    known: dict[str, Any] = {
        "device": "cpu",
        "precision": "32",
        "shape": (4, 5, 6, 10, 14),
        "parameters": 9,
        "loss": 0.7,
        "loss_of_guessing": 0.69,
        "seconds": 2.0,
        "seconds_to_judge": 0.5,
        "peak_bytes": 10_000,
        "free_bytes": 10**12,
    }
    return Trial(**known | facts)


def test_time_and_memory_are_reckoned_from_the_first_steps(rows):
    cost = estimate(rows, tiny.VIEW, QUICK, trial_of())
    assert cost.steps_per_epoch == 3  # 10 training clips by 4
    assert cost.seconds_per_epoch == pytest.approx(10 * 2.0 / 4 + 6 * 0.5 / 4)
    assert cost.seconds_at_most == pytest.approx(7 * cost.seconds_per_epoch)
    assert cost.cached_bytes == 16 * CLIP_BYTES
    assert cost.peak_bytes == 10_000 + 16 * CLIP_BYTES
    on_gpu = estimate(rows, tiny.VIEW, QUICK, trial_of(device="H200"))
    assert on_gpu.peak_bytes == 10_000


def test_clips_that_are_not_kept_in_memory_take_none(rows, monkeypatch):
    monkeypatch.setattr(audit_module, "CACHE_BYTES", 8 * CLIP_BYTES)
    cost = estimate(rows, tiny.VIEW, QUICK, trial_of())
    assert cost.cached_bytes == 6 * CLIP_BYTES  # the validation clips are few enough


def test_clips_that_leave_no_memory_are_a_warning(rows, monkeypatch):
    little = trial_of(free_bytes=15 * CLIP_BYTES)
    monkeypatch.setattr(audit_module, "try_out", lambda *_: little)
    (said,) = look(rows).warnings
    assert said.startswith("66 KiB of clips are kept in memory, 62 KiB are free: give")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (0.25, "0.2 s"),
        (119, "119 s"),
        (600, "10 min"),
        (9000, "2.5 h"),
    ],
)
def test_times_are_written_for_people(seconds, said):
    assert in_time(seconds) == said


def test_nothing_is_written(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    look([replace(row, path=Path(row.path).resolve()) for row in rows])
    assert list(tmp_path.iterdir()) == []
