"""From a range of learning rates to the best of them, by short trainings.

A trial is a short training with a whole schedule, from its rise to its end: a loss in
the midst of one says little. The first trials take the rates of `GRID`, nearest to the
given one first; what then is left of the epochs goes to rates between.
"""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState
from tqdm import tqdm

from fmrgb.card import View
from fmrgb.crew import Crew
from fmrgb.errors import TrainingError
from fmrgb.files import make_folder, whole_file
from fmrgb.learner import Settings
from fmrgb.leftovers import HOST
from fmrgb.lr_trials import (
    DONE,
    GRID,
    draw_trials,
    outcome,
    spaces,
    told,
    write_trials,
)
from fmrgb.lr_watch import Watch
from fmrgb.manifest import Row
from fmrgb.page import styled
from fmrgb.study import HALVING, ListThenTPE, open_study, place_of, using
from fmrgb.trainer import train

WAIT_S = 0.5  # between two looks at what other processes do
AS_GOOD = 0.02  # part of the lowest loss; less between two trials is luck
TRAININGS = 2  # whole trainings whose epochs a search may take, unless told otherwise
ALONE: dict[str, Any] = {"devices": "1", "nodes": 1, "strategy": "auto"}
# Settings that change little but the pace.
PACE = ("workers", "precision", "checkpoint_minutes", *ALONE)
JOURNAL = "lr_search.journal"  # in the run folder, unless told otherwise


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is searched, and what it may cost.

    Attributes:
        names: the settings that are searched, lr among them; see `lr_trials.spaces`.
        trials: at most this many.
        epochs: at most this many in all trials together; None allows `TRAININGS`.
        storage: where trials are kept: a file, or the URL of a database, that several
            processes can share; None takes a file in the run folder.
    """

    names: tuple[str, ...] = ("lr",)
    trials: int = 12
    epochs: int | None = None
    storage: str | None = None

    def chosen(self) -> dict[str, Any]:
        """Return what another search must have in common; not where it is kept."""
        return {"names": list(self.names), "trials": self.trials, "epochs": self.epochs}


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        values: the best ones, by the name of the setting.
        told: what was found and at what cost, one sentence each.
    """

    values: dict[str, Any]
    told: list[str]


def search(
    rows: Sequence[Row],
    view: View,
    settings: Settings,
    *,
    plan: Plan,
    folder: Path,
    recipe: dict[str, Any] | None = None,
    quiet: bool = False,
) -> Found:
    """Find the settings with the lowest validation loss; test rows are not touched.

    Of settings that are as good, those with the rate nearest to the given one are
    taken: where short trainings learn nothing, the lowest loss says nothing.

    Trials run on one device, whatever the training after them will run on.

    A search that was stopped goes on to the trials that it would have come to; one that
    has ended is only read. Processes that share a storage share the trials: each may
    come and go at any time, and all end with the same values.

    Args:
        rows: samples, each with its split.
        view: which planes, frames and size the network sees.
        settings: how to train; what is not searched stays. Rates near its own come
            first.
        plan: what is searched.
        folder: run folder; gets lr_search.csv and lr_search.png.
        recipe: how the samples were built; like all else here, it tells this search
            from others in the same storage.
        quiet: show no progress bar.

    Raises:
        InputError: if the storage cannot be used.
        TrainingError: if the clips cannot be trained on, or the loss became no number
            in every trial.
    """
    make_folder(folder)
    where = plan.storage or str(folder / JOURNAL)
    with using(where):
        hunt = _Hunt(rows, view, settings, recipe or {}, plan, folder, where)
        with tqdm(total=hunt.cost, unit=" epochs", disable=quiet, leave=False) as bar:
            bar.set_description("search")
            while trial := hunt.next_trial():
                hunt.run(trial, bar)
        best, trials, anew = hunt.best(), hunt.crew.trials(), hunt.crew.n_anew()
    write_trials(folder / "lr_search.csv", trials, best, plan.names)
    with styled(), whole_file(folder / "lr_search.png") as part:
        part.write_bytes(draw_trials(trials, best))
    shutil.rmtree(folder / "search", ignore_errors=True)
    return Found(dict(best.params), told(trials, best, length=hunt.length, anew=anew))


class _Hunt:
    """One search: its study, and the trainings that answer it."""

    def __init__(
        self,
        rows: Sequence[Row],
        view: View,
        settings: Settings,
        recipe: dict[str, Any],
        plan: Plan,
        folder: Path,
        where: str,
    ) -> None:
        self._rows, self._view, self._settings = rows, view, settings
        self._recipe, self._plan, self._folder = recipe, plan, folder
        self._alone = plan.storage is None  # no other process can be at work
        self._owner = f"{HOST}:{folder.resolve()}"
        self._space = {name: spaces(settings)[name] for name in plan.names}
        self.cost = plan.epochs or TRAININGS * settings.epochs
        # The whole grid can be paid for, even if no trial is given up.
        self.length = min(settings.epochs, max(1, self.cost // len(GRID)))
        self.study = open_study(
            where,
            self._name(),
            sampler=ListThenTPE(self._first_values(), settings.seed),
            first_look=math.ceil(self.length / HALVING),
            alone=self._alone,
        )
        self.crew = Crew(self.study)

    def _name(self) -> str:
        """Name the study after all that its losses depend on."""
        clips = [r for r in self._rows if r.split in ("train", "val")]
        known = {
            **asdict(self._settings),
            **asdict(self._view),
            **dict.fromkeys(PACE),
            "samples": self._recipe,
            "clips": sorted((r.split, r.label, r.path.name) for r in clips),
            "search": [*self._plan.names, self._plan.trials, self.cost],
        }
        text = json.dumps(known, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        return f"{self._settings.model} {self._settings.model_size} {digest[:16]}"

    def next_trial(self) -> Trial | None:
        """Return a trial that a killed process left, else a new one, if any.

        Waits for those that other processes work at: they may be left, or leave means
        for another, and all processes shall know the same when they choose the best.
        """
        while not self._winners():
            for left in self.crew.trials() if self._alone else ():
                is_whole = set(self._space) <= set(left.params)
                if left.state is TrialState.RUNNING and is_whole:
                    return Trial(self.study, left._trial_id)
            self.crew.take_back(all_=self._alone)
            trials = self.crew.trials()
            states = {t.state for t in trials}
            is_over = bool(trials) and self._is_over(trials)
            if TrialState.WAITING in states or not is_over:
                if trial := self.crew.ask(self._space, self._is_over):
                    return trial
            elif TrialState.RUNNING in states:
                time.sleep(WAIT_S)
            else:
                break
        return None

    def _is_over(self, trials: Sequence[FrozenTrial]) -> bool:
        # Those that are not done may take as long as any.
        spent = sum(outcome(t).get("epochs", self.length) for t in trials)
        return len(trials) >= self._plan.trials or spent + self.length > self.cost

    def _first_values(self) -> list[dict[str, Any]]:
        """Return the settings of the first trials, those of the nearest rate first."""
        known = asdict(self._settings)
        return [{**known, "lr": rate} for rate in sorted(GRID, key=self._distance)]

    def run(self, trial: Trial, bar: "tqdm[Any]") -> None:
        """Train a trial to its end, or until others are seen to be better."""
        # Where this process was slow, others took the trial for left, and do it anew.
        with suppress(UpdateFinishedTrialError), self.crew.at_work(trial):
            self._run(trial, bar)

    def _run(self, trial: Trial, bar: "tqdm[Any]") -> None:
        frozen = self.study.get_trials(deepcopy=False)[trial.number]
        place = self._folder / "search" / f"trial{place_of(self.study, frozen)}"
        if not frozen.intermediate_values:
            # Others are compared by every epoch: one of which nobody knows is no use.
            shutil.rmtree(place, ignore_errors=True)
        make_folder(place)
        watch = Watch(trial, self.length, bar)
        short = {"epochs": self.length, "patience": self.length, **ALONE}
        start = time.perf_counter()
        history: list[dict[str, float]] = []
        try:
            history = train(
                self._rows,
                self._view,
                replace(self._settings, **short, **trial.params),
                folder=place,
                quiet=True,
                resume=True,
                callbacks=[watch],
            ).history
        except TrainingError:
            if watch.state != "diverged":  # that is no fault of the rate
                raise
        losses = [row["val_loss"] for row in history]
        done: dict[str, Any] = {
            "state": watch.state,
            "epochs": max(len(losses), watch.epochs),
            "val_loss": min(filter(math.isfinite, losses), default=None),
            "seconds": time.perf_counter() - start,
        }
        trial.set_user_attr(DONE, done)
        whole = watch.state == "complete"
        state = TrialState.COMPLETE if whole else TrialState.PRUNED
        self.study.tell(trial, done["val_loss"] if whole else None, state)
        shutil.rmtree(place)

    def best(self) -> FrozenTrial:
        """Return the trial that won; once told, it stays, whatever comes after."""
        if not self._winners():
            trials = self.study.get_trials(deepcopy=False)
            losses = {
                t.number: t.value
                for t in trials
                if t.state is TrialState.COMPLETE and t.value is not None
            }
            if not losses:
                raise TrainingError(
                    f"the loss became no number in all {len(trials)} trials of the "
                    "search; look at the samples"
                )
            limit = min(losses.values()) * (1 + AS_GOOD)
            good = [number for number, loss in losses.items() if loss <= limit]
            nearest = min(good, key=lambda n: self._distance(trials[n].params["lr"]))
            self.study.set_user_attr(f"winner for {self._owner}", nearest)
        return self.study.get_trials(deepcopy=False)[self._winners()[0]]

    def _winners(self) -> list[int]:
        """Return the trials that won, as processes told; the first counts.

        Two that end at the same instant may both tell one, from what each then knew.
        """
        told = self.study.user_attrs.items()
        return [int(value) for key, value in told if key.startswith("winner for ")]

    def _distance(self, rate: float) -> float:
        """Measure how far a rate lies from the given one, on a scale of logarithms."""
        return abs(math.log(rate / self._settings.lr))
