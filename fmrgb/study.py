"""From a name to a study: what is tried next, when it is given up, where it is kept.

Sources: halving without waiting for all, Li et al. 2020, arXiv:1810.05934; values that
no list holds, Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization";
both as Optuna has them, Akiba et al. 2019, arXiv:1907.10902.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.exceptions import OptunaError
from optuna.pruners import SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from fmrgb.errors import InputError
from fmrgb.files import make_folder, shown

HALVING = 2  # at a look, one trial in two goes on
# What comes of a file that is no journal, a scheme without a driver, and a wrong URL.
NO_STUDIES = (ValueError, KeyError, TypeError, ImportError, OSError, RuntimeError)
FAILING = (OptunaError, SQLAlchemyError)


class ListThenTPE(BaseSampler):
    """Takes the values of the first trials from a list, draws those of the others.

    What is drawn for a trial hangs on its number and on what is known by then, not on
    what this process has drawn before: a search that was stopped goes on the same way.
    """

    def __init__(self, first: Sequence[dict[str, Any]], seed: int) -> None:
        self._first, self._seed = first, seed
        self._tpe = TPESampler()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Give every trial a chance of its own."""
        seed = (self._seed + trial.number) % 2**32
        self._tpe = TPESampler(seed=seed, n_startup_trials=1)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Draw nothing for a trial of the list."""
        if trial.number < len(self._first):
            return {}
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Draw the values that are drawn together."""
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value of the list, moved into the range, or a drawn one."""
        if trial.number >= len(self._first):
            return self._tpe.sample_independent(
                study, trial, param_name, param_distribution
            )
        value = self._first[trial.number][param_name]
        if isinstance(param_distribution, FloatDistribution):
            value = min(max(value, param_distribution.low), param_distribution.high)
        return value


def open_study(
    where: str, name: str, *, sampler: BaseSampler, first_look: int, alone: bool
) -> Study:
    """Open the study of this name, or begin it.

    Args:
        where: a file, or the URL of a database; processes may share either.
        name: what tells it from other studies there.
        sampler: chooses the values of trials.
        first_look: epochs after which a trial is first compared with the others; then
            after `HALVING` times as many, and so on.
        alone: refuse a place that holds another study.

    Raises:
        InputError: if no study can be kept there, or another one is.
    """
    with _told(where, FAILING + NO_STUDIES):
        if "://" in where:
            storage: BaseStorage = RDBStorage(where)
        else:
            # The lock beside the file is a link; only a whole path is found again.
            path = Path(where).resolve()
            make_folder(path.parent)
            storage = JournalStorage(JournalFileBackend(str(path)))
        if alone and set(optuna.get_all_study_names(storage)) - {name}:
            raise InputError(
                f"{shown(where)} holds a search with other choices; repeat them to "
                "resume, or name a new --output"
            )
        return optuna.create_study(
            study_name=name,
            storage=storage,
            sampler=sampler,
            pruner=SuccessiveHalvingPruner(first_look, HALVING),
            load_if_exists=True,
        )


@contextmanager
def using(where: str) -> Iterator[None]:
    """Keep Optuna quiet, and tell in one line if its storage fails.

    Raises:
        InputError: if it does.
    """
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with _told(where, FAILING):
            yield
    finally:
        optuna.logging.set_verbosity(level)


@contextmanager
def _told(where: str, faults: tuple[type[Exception], ...]) -> Iterator[None]:
    try:
        yield
    except faults as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        # What stands before the @ of a URL may be a password.
        raise InputError(
            f"{shown(where.rpartition('@')[2])} cannot keep the trials of a search: "
            f"{reason}; give a new file, that of an earlier search, or the URL of a "
            "database, like sqlite:///search.db"
        ) from error
