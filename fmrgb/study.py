"""From a name to a study: what is tried next, when it is given up, where it is kept.

Sources: halving without waiting for all, Li et al. 2020, arXiv:1810.05934; values that
no list holds, Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization";
both as Optuna has them, Akiba et al. 2019, arXiv:1907.10902.
"""

import time
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
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event, make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from fmrgb.errors import InputError
from fmrgb.files import make_folder, shown

PLACE = "place"  # where a trial that is tried anew keeps which of the fresh ones it is
LOCK_S = 60.0  # for other processes to let us write
HALVING = 2  # at a look, one trial in two goes on
# What comes of a file that is no journal, a scheme without a driver, and a wrong URL.
NO_STUDIES = (ValueError, KeyError, TypeError, ImportError, OSError, RuntimeError)
FAILING = (OptunaError, SQLAlchemyError)


class ListThenTPE(BaseSampler):
    """Takes the values of the first trials from a list, draws those of the others.

    What is drawn for a trial hangs on its place and on what is known by then, not on
    what this process has drawn before: a search that was stopped goes on the same way.
    """

    def __init__(self, first: Sequence[dict[str, Any]], seed: int) -> None:
        self._first, self._seed = first, seed
        self._tpe, self._place = TPESampler(), 0

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Give every trial a chance of its own."""
        self._place = place_of(study, trial)
        seed = (self._seed + self._place) % 2**32
        self._tpe = TPESampler(seed=seed, n_startup_trials=1)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Draw nothing for a trial of the list."""
        if self._place < len(self._first):
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
        if self._place >= len(self._first):
            return self._tpe.sample_independent(
                study, trial, param_name, param_distribution
            )
        value = self._first[self._place][param_name]
        if isinstance(param_distribution, FloatDistribution):
            value = min(max(value, param_distribution.low), param_distribution.high)
        return value


def place_of(study: Study, trial: FrozenTrial) -> int:
    """Return which of the fresh trials it is, from 0, or tries anew."""
    known: int | None = trial.user_attrs.get(PLACE)
    if known is not None:
        return known
    before = study.get_trials(deepcopy=False)[: trial.number]
    return sum(PLACE not in t.user_attrs for t in before)


class _Halving(SuccessiveHalvingPruner):
    """Compares a trial with those that count: not with what it was before a kill."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Tell whether a trial is to be given up."""
        living: Any = _Living(study)
        return super().prune(living, trial)


class _Living:
    """A study without the trials that failed."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(self, **how: Any) -> list[FrozenTrial]:
        """Return the others."""
        trials = self._study.get_trials(**how)
        return [t for t in trials if t.state is not TrialState.FAIL]


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
            storage: BaseStorage = _database(where)
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
            pruner=_Halving(first_look, HALVING),
            load_if_exists=True,
        )


def _database(url: str) -> RDBStorage:
    """Open a database in which two processes never take the same trial."""
    if make_url(url).get_backend_name() != "sqlite":
        return _with_tables(url, {})
    storage = _with_tables(url, {"connect_args": {"timeout": LOCK_S}})

    # SQLite has no rows that can be locked (SELECT FOR UPDATE): what is read to be
    # changed is held from the beginning, as SQLAlchemy's manual says, "Serializable
    # isolation / Savepoints / Transactional DDL".
    def leave_it(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    def hold(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(storage.engine, "connect", leave_it)
    event.listen(storage.engine, "begin", hold)
    storage.engine.dispose()  # the connections that were made before
    return storage


def _with_tables(url: str, how: dict[str, Any]) -> RDBStorage:
    """Open a database; where another process makes the same tables, let it."""
    for wait_s in (0.2, 0.5, 1.0, 2.0, 0.0):
        try:
            return RDBStorage(url, engine_kwargs=how)
        except FAILING as error:
            is_race = isinstance(error, IntegrityError) or "exists" in str(error)
            if not (is_race and wait_s):
                raise
            time.sleep(wait_s)
    raise AssertionError("the last one returns or raises")


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
