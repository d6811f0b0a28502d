"""Search for better settings of a classifier's recipe.

    python -m training tune mask_classifier_base --trials 40 --max-mmac 25 --weights imagenet

Optuna (TPE) varies dropout, hidden units, learning rates, the layer from which the backbone is
trained, its width and the input size. A trial is a run of the changed recipe; its value is the
balanced accuracy on the validation faces. A network over the multiply-add limit is turned down
before it is trained, and counts as a trial. The first trial is the recipe as it is.

Written to ``build/tune/NAME``: ``study.sqlite`` (Optuna's), a run's folder per trial, ``tune.md``
and ``tune.json``, ``importance.png``, and the best recipe as ``NAME_tuned.toml``. The same
command goes on after a kill: trials that were running go on from their last epoch. More
``--trials`` go on from those that there are.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_app.errors import MissingPackageError, RecipeError, UsageError
from training.data.store import open_store
from training.experiments.fanout import (
    Job,
    Outcome,
    add_ray_option,
    portable,
    require_ray,
    run_jobs,
)
from training.experiments.overrides import (
    add_budget_options,
    override,
    require_classifier,
    shortened,
)
from training.experiments.study_file import check_study_file, readable_study
from training.fit import refuse_distillation, train_run
from training.fitting.start import SUMMARY, start_weights
from training.recipe import Recipe
from training.recipe_file import load_recipe

log = logging.getLogger(__name__)

TUNE = Path("build/tune")
"""Where studies lie unless ``--out`` says otherwise."""

STUDY = "study.sqlite"
GENERATION = 4
"""Trials are drawn so many at a time and then trained, one by one or on a cluster: the search is
the same however many workers there are."""

MOST_MMAC = 25.0
"""Default limit in million multiply-adds: about what a Raspberry Pi 4 has time for."""

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


def add_parser(subparsers: Any) -> None:
    """Add ``tune`` to the command line."""
    parser = subparsers.add_parser(
        "tune",
        help="search for better settings of a recipe",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help="a recipe's name (see training/recipes) or a .toml path")
    parser.add_argument("--trials", type=int, default=20, help="in all; default: %(default)s")
    parser.add_argument(
        "--max-mmac", type=float, default=MOST_MMAC, metavar="N",
        help="limit in million multiply-adds (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, default=Path("build/data"), help="prepared data")
    parser.add_argument("--weights", default="imagenet", help="start weights, as for 'fit'")
    parser.add_argument("--out", type=Path, help="default: build/tune/NAME")
    add_budget_options(parser)
    add_ray_option(parser)
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Entry point of ``tune``."""
    _optuna()
    require_ray(args.ray)
    original = load_recipe(args.recipe)
    recipe = shortened(original, args.epochs, args.steps)
    out = args.out or TUNE / recipe.name
    search = Search(
        recipe, args.data.resolve(), portable(args.weights), out.resolve(), args.max_mmac
    )
    study = tune(search, args.trials, args.ray)
    from training.experiments import tune_report

    markdown, files = tune_report.write(study, original, out, args.max_mmac)
    print(markdown)
    print(f"written: {', '.join(map(str, files))}")
    return 0


def tune(search: Search, trials: int, ray: str | None = None) -> Any:
    """Run a study to so many trials, those of earlier calls included; returns Optuna's study.

    Raises:
        RecipeError: The start weights do not fit, the recipe needs teachers, or the folder
            holds another study or a damaged one.
        DatasetError: The data are missing or lack something.
        UsageError: Not a classifier, a number out of range, or no cluster at that address.
        OutputError: The study cannot be written.
        MissingPackageError: Optuna, or Ray where it is asked for, is not installed.
    """
    from training.experiments.search_space import own_values, search_space

    require_classifier(search.recipe, "tune")
    refuse_distillation(search.recipe, "tune")
    if trials < 1 or not search.max_mmac > 0:
        raise UsageError(f"--trials {trials} --max-mmac {search.max_mmac:g}: both must be above 0")
    _optuna()
    with readable_study(search.out / STUDY):
        study = _open_study(search)
        space = search_space(search.recipe, search.weights)
        if not study.trials:
            study.enqueue_trial(own_values(search.recipe, space))
        while pending := _draw(study, search, space, trials):
            jobs = [
                Job(f"trial {t.number}", run_trial, (search, t.params, trial_folder(search.out, t)))
                for t in pending
            ]
            for trial, outcome in zip(pending, run_jobs(jobs, ray), strict=True):
                _settle(study, trial, outcome)
    return study


def run_trial(search: Search, values: dict[str, Any], folder: Path) -> float:
    """Train the recipe with a trial's values; returns the balanced accuracy of the best epoch.

    Raises:
        RecipeError: These values cannot be trained (a loss that is nan, say).
    """
    import keras

    from training.experiments.search_space import as_overrides

    keras.backend.clear_session()
    recipe = override(search.recipe, as_overrides(values))
    train_run(recipe, open_store(search.data), folder, start_weights(search.weights))
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    best = summary["history"][summary["best_epoch"] - 1]
    return float(best["balanced_accuracy"])


def trial_folder(out: Path, trial: Any) -> Path:
    """The run's folder of a trial."""
    return out / f"trial-{trial.number:03d}"


def _open_study(search: Search) -> Any:
    """The study in the folder, new or to be continued."""
    optuna = _optuna()
    from edge_app.recording import make_folder

    start = start_weights(search.weights)
    inputs = {
        "recipe": search.recipe.fingerprint,
        "data set": open_store(search.data).sha256,
        "start weights": start.sha256 or start.name,
        "multiply-add limit": search.max_mmac,
    }
    make_folder(search.out)
    check_study_file(search.out / STUDY)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{search.out / STUDY}",
        study_name=search.recipe.name,
        direction="maximize",
        load_if_exists=True,
    )
    held = study.user_attrs.get("inputs")
    if held is None:
        study.set_user_attr("inputs", inputs)
    elif changed := [name for name, value in inputs.items() if held[name] != value]:
        raise RecipeError(
            f"{search.out} holds a study with another {' and another '.join(changed)}: "
            "give --out another folder, or remove this one"
        )
    return study


def _draw(study: Any, search: Search, space: dict[str, Any], trials: int) -> list[Any]:
    """The trials to train now: those that a kill interrupted, filled up with new ones."""
    from optuna.trial import TrialState

    pending, spent = [], 0

    def take(trial: Any) -> None:
        nonlocal spent
        if _affordable(study, trial, search):
            pending.append(trial)
        else:
            study.tell(trial.number, state=TrialState.PRUNED)
            spent += 1

    for trial in study.get_trials(deepcopy=False):
        if trial.state is TrialState.RUNNING and set(trial.params) == set(space):
            take(trial)
        elif trial.state is TrialState.RUNNING:
            _note(study, trial, INTERRUPTED, True)
            study.tell(trial.number, state=TrialState.FAIL)
        elif trial.state.is_finished() and INTERRUPTED not in trial.user_attrs:
            spent += 1
    while len(pending) < GENERATION and spent + len(pending) < trials:
        take(_ask(study, search.recipe.seed + spent + len(pending), space))
    return pending


def _ask(study: Any, seed: int, space: dict[str, Any]) -> Any:
    """A new trial; a seed of its own makes it the same after a kill."""
    optuna = _optuna()
    study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    return study.ask(space)


def _affordable(study: Any, trial: Any, search: Search) -> bool:
    from training.experiments.search_space import as_overrides
    from training.exporting.costs import untrained_multiply_adds

    cost = untrained_multiply_adds(override(search.recipe, as_overrides(trial.params)))
    _note(study, trial, MULTIPLY_ADDS, cost)
    within = cost <= search.max_mmac * 1e6
    if not within:
        log.info("trial %d: %.1f million multiply-adds: over the limit", trial.number, cost / 1e6)
    return within


def _settle(study: Any, trial: Any, outcome: Outcome) -> None:
    """Tell the study what became of a trial; an error that is not the trial's own goes on up."""
    from optuna.trial import TrialState

    if outcome.error is None:
        study.tell(trial.number, outcome.result)
        return
    if not isinstance(outcome.error, RecipeError):
        raise outcome.error
    _note(study, trial, ERROR, str(outcome.error))
    study.tell(trial.number, state=TrialState.FAIL)


def _note(study: Any, trial: Any, key: str, value: Any) -> None:
    study._storage.set_trial_user_attr(trial._trial_id, key, value)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingPackageError("tune needs the package Optuna: pip install optuna") from None
    return optuna
