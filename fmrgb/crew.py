"""From one study of several processes to who works at which trial, whoever is killed.

Optuna has signs of life for databases alone, and in `Study.optimize` alone (5.0). So
each process tells its own here, and the others look after what it may leave: such a
trial is failed and its values are tried anew, from the start. Clocks of machines
differ; what counts is how long, by the clock of who looks, no new sign was seen.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from fmrgb.leftovers import HOST, alive
from fmrgb.study import FAILING, PLACE, place_of

BEAT_S = 10.0  # between two signs of life
SILENT_S = 60.0  # without one, and a process is taken for dead; it may just be slow
TRIES = 3  # of the same values; what kills so many processes would kill them all
WORKER, BEAT = "worker", "beat"  # who works at a trial, and its signs of life
AGAIN = "again"  # number of the trial whose values are tried anew
NTH = "try"


class Crew:
    """The processes of one study, as one of them sees the others."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._me = f"{HOST} {os.getpid()}"
        self._seen: dict[int, tuple[Any, float]] = {}  # last sign of a trial, and when

    def trials(self) -> list[FrozenTrial]:
        """Return all trials that count, which those that were left do not."""
        trials = self._study.get_trials(deepcopy=False)
        return [t for t in trials if t.state is not TrialState.FAIL]

    def n_anew(self) -> int:
        """Count the trials that were left, and their values tried anew."""
        trials = self._study.get_trials(deepcopy=False)
        known = {t.user_attrs.get(AGAIN) for t in trials}
        return sum(t.state is TrialState.FAIL and t.number in known for t in trials)

    def ask(
        self,
        space: dict[str, BaseDistribution],
        is_over: Callable[[Sequence[FrozenTrial]], bool],
    ) -> Trial | None:
        """Begin a trial: one to be tried anew, else a fresh one.

        Args:
            space: what is searched.
            is_over: whether nothing may be begun beside the trials given.

        Returns:
            the trial; None if another process came first, and it is worth another look.
        """
        known = self._study.get_trials(deepcopy=False)
        if all(t.state is not TrialState.WAITING for t in known):
            # It bears a name from the start: one without, left by a kill, would be
            # taken for another's, and others tried before it.
            self._study.enqueue_trial({}, user_attrs={WORKER: self._me})
        trial = self._study.ask(space)
        try:
            trial.set_user_attr(WORKER, self._me)
        except UpdateFinishedTrialError:  # who had named it took it for left
            return None
        known = self._study.get_trials(deepcopy=False)
        origin = known[trial.number].user_attrs.get(AGAIN)
        if origin is None:
            before = [t for t in self.trials() if t.number < trial.number]
            is_mine = not (before and is_over(before))
        else:
            # Two that saw the same trial left may both have called for another; and who
            # seemed dead may have ended it after all.
            twins = [t.number for t in known if t.user_attrs.get(AGAIN) == origin]
            is_mine = min(twins) == trial.number and self._fail(origin)
        if not is_mine:
            self._fail(trial.number)
        return trial if is_mine else None

    def take_back(self, *, all_: bool) -> None:
        """Have the values tried anew of trials that were left in the midst.

        Args:
            all_: take it that nobody is at work.
        """
        trials = self._study.get_trials(deepcopy=False)
        known = {t.user_attrs.get(AGAIN) for t in trials}
        for trial in trials:
            is_running = trial.state is TrialState.RUNNING
            if is_running and (all_ or self._is_left(trial)):
                # First this: a process killed between the two loses nothing.
                if trial.number not in known:
                    self._call_for(trial)
                self._fail(trial.number)

    def _call_for(self, trial: FrozenTrial) -> None:
        """Put the values of a trial in line for the next process that is free."""
        nth = trial.user_attrs.get(NTH, 1) + 1
        if nth <= TRIES:
            place = place_of(self._study, trial)
            known = {AGAIN: trial.number, PLACE: place, NTH: nth, WORKER: self._me}
            self._study.enqueue_trial(trial.params, user_attrs=known)

    def _fail(self, number: int) -> bool:
        """Fail a trial unless it has ended; tell whether it counts no more."""
        with suppress(UpdateFinishedTrialError):
            how: dict[str, Any] = {"state": TrialState.FAIL, "skip_if_finished": True}
            self._study.tell(number, **how)
        return self._study.get_trials(deepcopy=False)[number].state is TrialState.FAIL

    def _is_left(self, trial: FrozenTrial) -> bool:
        worker = str(trial.user_attrs.get(WORKER, ""))
        host, _, process = worker.rpartition(" ")
        # Who asks is at work on none.
        if worker == self._me or (host == HOST and not alive(int(process))):
            return True
        sign, now_s = (worker, trial.user_attrs.get(BEAT)), time.monotonic()
        before, since_s = self._seen.get(trial.number, (None, now_s))
        if sign != before:
            self._seen[trial.number] = (sign, now_s)
            return False
        return now_s - since_s > SILENT_S

    @contextmanager
    def at_work(self, trial: Trial) -> Iterator[None]:
        """Give signs of life for as long as the block takes."""
        done = threading.Event()

        def beat() -> None:
            count = 0
            while not done.wait(BEAT_S):
                count += 1
                # A storage that does not answer may do so the next time.
                with suppress(*FAILING, OSError):
                    trial.set_user_attr(BEAT, count)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
