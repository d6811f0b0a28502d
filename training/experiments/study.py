"""A search on disk: the study that a folder holds, its trials drawn, and what became of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_app.errors import DivergedError, KioskError, MissingPackageError, RecipeError
from training.data.store import open_store
from training.experiments.fanout import Outcome
from training.experiments.overrides import override
from training.experiments.study_file import check_study_file
from training.fitting.start import start_weights
from training.fitting.summary import backend_input
from training.recipe import Recipe

log = logging.getLogger(__name__)

STUDY_FILE = "study.sqlite"
STUDY_NAME = "search"
"""What Optuna calls the one study of a folder."""

GENERATION = 4
"""Trials are drawn so many at a time and then trained, one by one or on a cluster: the search is
the same however many workers there are."""

INTERRUPTED, MULTIPLY_ADDS, ERROR = "interrupted", "multiply_adds", "error"
"""What is noted of a trial: it had no values yet at a kill; its cost; why it failed."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a study is about; ``recipe`` is what is trained, ``data`` and ``out`` absolute."""

    recipe: Recipe
    data: Path
    weights: str
    out: Path
    max_mmac: float


def open_study(search: Search) -> Any:
    """The study in the search's folder, new or to be continued.

    Raises:
        RecipeError: The folder holds the study of something else or a damaged one, or there are
            no such start weights.
        DatasetError: The data are missing.
        OutputError: The folder cannot be made.
        MissingPackageError: Optuna is not installed.
    """
    optuna = require_optuna()
    from edge_app.recording import make_folder

    start = start_weights(search.weights)
    inputs = {
        "recipe": search.recipe.fingerprint,
        "data set": open_store(search.data).sha256,
        "start weights": start.sha256 or start.name,
        "multiply-add limit": search.max_mmac,
        **backend_input(),
    }
    make_folder(search.out)
    check_study_file(search.out / STUDY_FILE)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = f"sqlite:///{search.out / STUDY_FILE}"
    names = optuna.get_all_study_names(storage)  # once, studies were named after their recipes
    instead = "give --out another folder, or remove this one"
    if len(names) > 1:
        raise RecipeError(f"{search.out} holds {len(names)} studies, {', '.join(names)}: {instead}")
    study = optuna.create_study(
        storage=storage,
        study_name=names[0] if names else STUDY_NAME,
        direction="maximize",
        load_if_exists=True,
    )
    held = study.user_attrs.get("inputs", {})
    if not held and not study.trials:
        study.set_user_attr("inputs", inputs)
    elif changed := [name for name in inputs | held if held.get(name) != inputs.get(name)]:
        raise RecipeError(
            f"{search.out} holds a study with another {' and another '.join(changed)}: {instead}"
        )
    return study


def draw(
    study: Any, search: Search, space: Mapping[str, Any], own: Mapping[str, Any], trials: int
) -> list[Any]:
    """The trials to train now: those not settled yet, and new ones up to a whole generation.

    New ones are drawn only while nothing of their generation is told to the study but what is
    too expensive, as in a search that nobody stopped; so a stopped one goes on to the same.

    Args:
        study: From :func:`open_study`.
        search: What it is about.
        space: Dotted key -> the values it may take.
        own: The recipe's own value of each key: the first trial.
        trials: So many in all, those of earlier calls included.

    Returns:
        At most :data:`GENERATION` of Optuna's trials; none when all are settled.
    """
    from optuna.trial import TrialState

    pending, spent, trained = [], 0, 0

    def take(trial: Any) -> None:
        nonlocal spent
        if _affordable(study, trial, search):
            pending.append(trial)
        else:
            study.tell(trial.number, state=TrialState.PRUNED)
            spent += 1

    known = _usable(study, space)
    for trial in known:
        if trial.state is TrialState.RUNNING:
            take(trial)
        elif trial.state.is_finished():
            spent += 1
            trained += trial.state is not TrialState.PRUNED
    if not any(trial.state is TrialState.WAITING or trial.params == own for trial in known):
        study.enqueue_trial(dict(own))

    def whole() -> bool:
        return bool(pending) and (trained + len(pending)) % GENERATION == 0

    while not whole() and spent + len(pending) < trials:
        take(_ask(study, search.recipe.seed + spent + len(pending), space))
    return pending


def settle(study: Any, pending: Sequence[Any], outcomes: Sequence[Outcome]) -> None:
    """Tell the study what became of its trials.

    A trial that diverged has failed, for its values are what is wrong. With any other error it
    stays as it is, to be trained by the next call.

    Args:
        study: From :func:`open_study`.
        pending: From :func:`draw`.
        outcomes: One for each of them.

    Raises:
        KioskError: The first error that says nothing about a trial's values; what became of
            the others is told before.
    """
    from optuna.trial import TrialState

    others: list[KioskError] = []
    for trial, outcome in zip(pending, outcomes, strict=True):
        if outcome.error is None:
            study.tell(trial.number, outcome.result)
        elif isinstance(outcome.error, DivergedError):
            _note(study, trial, ERROR, str(outcome.error))
            study.tell(trial.number, state=TrialState.FAIL)
        else:
            others.append(outcome.error)
    if others:
        raise others[0]


def require_optuna() -> Any:
    """Optuna.

    Raises:
        MissingPackageError: It is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise MissingPackageError("tune needs the package Optuna: pip install optuna") from None
    return optuna


def _usable(study: Any, space: Mapping[str, Any]) -> list[Any]:
    """All trials but those that a kill left without all their values, which are given up."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    broken = [t for t in trials if t.state is TrialState.RUNNING and set(t.params) != set(space)]
    for trial in broken:
        _note(study, trial, INTERRUPTED, True)
        study.tell(trial.number, state=TrialState.FAIL)
    return [t for t in trials if t not in broken and INTERRUPTED not in t.user_attrs]


def _ask(study: Any, seed: int, space: Mapping[str, Any]) -> Any:
    """A new trial; a seed of its own makes it the same after a kill."""
    optuna = require_optuna()
    study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    return study.ask(dict(space))


def _affordable(study: Any, trial: Any, search: Search) -> bool:
    from training.experiments.search_space import as_overrides
    from training.exporting.costs import untrained_multiply_adds

    cost = untrained_multiply_adds(override(search.recipe, as_overrides(trial.params)))
    _note(study, trial, MULTIPLY_ADDS, cost)
    within = cost <= search.max_mmac * 1e6
    if not within:
        log.info("trial %d: %.1f million multiply-adds: over the limit", trial.number, cost / 1e6)
    return within


def _note(study: Any, trial: Any, key: str, value: Any) -> None:
    study._storage.set_trial_user_attr(trial._trial_id, key, value)
