"""A search is the same wherever it was stopped, and takes only its own folder.

Trials are not trained here: what becomes of one is a function of its values.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_app.errors import DivergedError, RecipeError, WorkerLostError
from training.data.store import StoreWriter
from training.experiments.fanout import Outcome
from training.experiments.overrides import override
from training.recipe_file import load_recipe

pytest.importorskip("optuna", reason="Optuna is not installed")

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from training.experiments.search_space import SIZE, own_values
from training.experiments.study import (
    ERROR,
    GENERATION,
    INTERRUPTED,
    STUDY_FILE,
    Search,
    draw,
    open_study,
    settle,
)

RECIPE = override(
    load_recipe("mask_classifier_base"),
    {"model.backbone": "mlp", "model.width": 32, "model.height": 32},
)
SPACE = {
    "model.dropout": FloatDistribution(0.0, 0.6),
    "phases.0.learning_rate": FloatDistribution(1e-5, 1e-1, log=True),
    SIZE: CategoricalDistribution([32, 64]),
}
OWN = own_values(RECIPE, SPACE)
TRIALS = 19
"""Optuna draws ten at random before it learns from any; those after them show what it was told."""

LIMIT = 1.0
"""Million multiply-adds."""

LOST = WorkerLostError("trial: its worker died")
DIVERGED = DivergedError("the loss is nan")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "store"
    with StoreWriter(path) as writer:
        writer.add(np.zeros((8, 8, 3), np.uint8))
        writer.finish([], {"datasets": {}})
    return path


@pytest.fixture
def search(data: Path, tmp_path: Path) -> Search:
    """Of networks of 32 pixels: one of 64 is over the limit."""
    return Search(RECIPE, data, "none", tmp_path / "out", LIMIT)


def outcome(trial: Any) -> Outcome:
    """As if it had been trained; a high rate diverges."""
    dropout, rate = trial.params["model.dropout"], trial.params["phases.0.learning_rate"]
    if rate > 0.05:
        return Outcome("trial", error=DIVERGED)
    return Outcome("trial", 1 - abs(dropout - 0.4) - abs(math.log10(rate) + 3) / 10)


def drawn(search: Search, study: Any = None, trials: int = TRIALS) -> tuple[Any, list[Any]]:
    """What a new call of the command, or another round of it, would train."""
    study = study or open_study(search)
    return study, draw(study, search, SPACE, OWN, trials)


def finished(search: Search, study: Any = None) -> list[tuple[str, dict[str, Any]]]:
    """State and values of all trials after the search has come to its end."""
    study, pending = drawn(search, study)
    while pending:
        settle(study, pending, [outcome(trial) for trial in pending])
        pending = drawn(search, study)[1]
    kept = [trial for trial in study.trials if INTERRUPTED not in trial.user_attrs]
    return [(trial.state.name, trial.params) for trial in kept]


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, dict[str, Any]]]:
    """A search that nobody stopped."""
    return finished(Search(RECIPE, data, "none", tmp_path_factory.mktemp("whole"), LIMIT))


def test_a_search_has_its_number_of_trials_and_begins_with_the_recipe(whole) -> None:
    assert len(whole) == TRIALS
    assert whole[0] == ("COMPLETE", OWN)
    assert {state for state, _ in whole} == {"COMPLETE", "PRUNED", "FAIL"}
    assert all((state == "PRUNED") == (values[SIZE] == 64) for state, values in whole)


@pytest.mark.parametrize("generation", [0, 2])
def test_a_lost_worker_costs_the_search_nothing(whole, search: Search, generation: int) -> None:
    study, pending = drawn(search)
    for _ in range(generation):
        settle(study, pending, [outcome(trial) for trial in pending])
        pending = drawn(search, study)[1]
    lost = pending[0]
    with pytest.raises(WorkerLostError):
        settle(study, pending, [Outcome("trial", error=LOST), *(outcome(t) for t in pending[1:])])
    _, again = drawn(search)
    assert [trial.number for trial in again] == [lost.number], "the others are settled"
    assert finished(search) == whole


def test_a_kill_between_two_settlings_changes_nothing(whole, search: Search) -> None:
    study, pending = drawn(search)
    while sum(trial.state.is_finished() for trial in study.trials) < 11:
        settle(study, pending, [outcome(trial) for trial in pending])
        pending = drawn(search, study)[1]
    assert len(pending) == GENERATION
    settle(study, pending[:2], [outcome(trial) for trial in pending[:2]])
    assert finished(search) == whole


@pytest.mark.parametrize(("asked", "values"), [(0, 0), (0, 1), (1, 1), (12, 1)])
def test_a_kill_while_a_trial_is_drawn_changes_nothing(
    whole, search: Search, asked: int, values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Stands for SIGKILL: nothing of ours handles it."""

    study, suggested = open_study(search), iter(range(1000))
    real = optuna.trial.Trial._suggest

    def kill(self: Any, *arguments: Any) -> Any:
        if next(suggested) == asked * len(SPACE) + values:
            raise Killed
        return real(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(optuna.trial.Trial, "_suggest", kill)
        finished(search, study)
    assert finished(search) == whole


def test_only_a_trial_that_diverged_is_spent(search: Search) -> None:
    study, pending = drawn(search, trials=2)
    offline = RecipeError("start weights imagenet: cannot be used")
    with pytest.raises(RecipeError, match="start weights imagenet"):
        settle(study, pending, [Outcome("a", error=offline), Outcome("b", error=DIVERGED)])
    first, second = study.trials
    assert first.state is TrialState.RUNNING
    assert second.state is TrialState.FAIL
    assert second.user_attrs[ERROR] == str(DIVERGED)
    study, again = drawn(search, trials=2)
    assert [trial.number for trial in again] == [0]
    settle(study, again, [Outcome("a", 0.5)])
    assert drawn(search, trials=2)[1] == []
    assert study.trials[0].value == 0.5


def test_the_study_of_another_recipe_is_refused(search: Search) -> None:
    study = open_study(search)
    other = dataclasses.replace(search, recipe=override(RECIPE, {"name": "other"}))
    with pytest.raises(RecipeError, match="holds a study with another recipe: give --out"):
        open_study(other)
    assert optuna.get_all_study_names(study._storage) == [study.study_name]


def test_a_study_of_another_backend_is_refused(search: Search) -> None:
    study = open_study(search)
    study.set_user_attr("inputs", {**study.user_attrs["inputs"], "backend": "torch"})
    with pytest.raises(RecipeError, match="holds a study with another backend: give --out"):
        open_study(search)


def test_a_study_that_is_named_after_its_recipe_goes_on(search: Search) -> None:
    now = open_study(search)
    storage = f"sqlite:///{search.out / STUDY_FILE}"
    optuna.copy_study(
        from_study_name=now.study_name, from_storage=storage, to_storage=storage,
        to_study_name=RECIPE.name,
    )  # fmt: skip
    with pytest.raises(RecipeError, match=f"holds 2 studies, {now.study_name}, {RECIPE.name}: "):
        open_study(search)
    optuna.delete_study(study_name=now.study_name, storage=storage)
    assert open_study(search).study_name == RECIPE.name


def test_trials_of_nothing_that_is_known_are_refused(search: Search) -> None:
    search.out.mkdir()
    storage = f"sqlite:///{search.out / STUDY_FILE}"
    optuna.create_study(storage=storage, study_name="mine").enqueue_trial({"x": 1})
    with pytest.raises(RecipeError, match="holds a study with another recipe and another data set"):
        open_study(search)
