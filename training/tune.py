"""Search for better settings of a classifier's recipe.

    python -m training tune mask_classifier_base --trials 40 --max-mmac 25 --weights imagenet

Optuna (TPE) varies dropout, hidden units, learning rates, the layer from which the backbone is
trained, its width and the input size. A trial is a run of the changed recipe; its value is the
balanced accuracy on the validation faces. A network over the multiply-add limit is turned down
before it is trained, and counts as a trial. The first trial is the recipe as it is.

Written to ``build/tune/NAME``: ``study.sqlite`` (Optuna's), a run's folder per trial, ``tune.md``
and ``tune.json``, ``importance.png``, and the best recipe as ``NAME_tuned.toml``. The same
command goes on after a kill: trials that were running go on from their last epoch. A trial
whose loss is not finite has failed and counts; any other error ends the command, and the same
command trains that trial once it is mended. More ``--trials`` go on from those that there are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edge_app.errors import UsageError
from training.data.store import open_store
from training.experiments.fanout import (
    Job,
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
from training.experiments.study import STUDY_FILE, Search, draw, open_study, require_optuna, settle
from training.experiments.study_file import readable_study
from training.fit import refuse_distillation, train_run
from training.fitting.start import SUMMARY, start_weights
from training.recipe_file import load_recipe

TUNE = Path("build/tune")
"""Where studies lie unless ``--out`` says otherwise."""

MOST_MMAC = 25.0
"""Default limit in million multiply-adds: about what a Raspberry Pi 4 has time for."""


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
    require_optuna()
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
        RecipeError: The start weights cannot be used, the recipe needs teachers, or the folder
            holds another study or a damaged one, or a damaged run.
        DatasetError: The data are missing or lack something.
        UsageError: Not a classifier, a number out of range, or no cluster at that address.
        OutputError: The study cannot be written.
        MissingPackageError: Optuna, or Ray where it is asked for, is not installed.
        WorkerLostError: A trial's process on the cluster died again and again.
    """
    from training.experiments.search_space import own_values, search_space

    require_classifier(search.recipe, "tune")
    refuse_distillation(search.recipe, "tune")
    if trials < 1 or not search.max_mmac > 0:
        raise UsageError(f"--trials {trials} --max-mmac {search.max_mmac:g}: both must be above 0")
    require_optuna()
    with readable_study(search.out / STUDY_FILE):
        study = open_study(search)
        space = search_space(search.recipe, search.weights)
        own = own_values(search.recipe, space)
        while pending := draw(study, search, space, own, trials):
            jobs = [
                Job(f"trial {t.number}", run_trial, (search, t.params, trial_folder(search.out, t)))
                for t in pending
            ]
            settle(study, pending, run_jobs(jobs, ray))
    return study


def run_trial(search: Search, values: dict[str, Any], folder: Path) -> float:
    """Train the recipe with a trial's values; returns the balanced accuracy of the best epoch.

    Raises:
        DivergedError: These values cannot be trained: the loss is not finite.
        RecipeError: The start weights cannot be used, or the folder holds a damaged run.
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
