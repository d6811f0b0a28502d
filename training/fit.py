"""Train the model of a recipe.

    python -m training fit mask_classifier --weights mobilenet_v2_0.35_no_top.weights.h5
    python -m training fit face_detector --weights mobilenet_v2_0.35_no_top.weights.h5

Runs the recipe's phases one after the other (first a frozen backbone, say, then its last
blocks or all of it) with AdamW. After every epoch it validates, keeps the best weights and
saves where to go on: the same command continues after a kill, with the batches that the
killed run would have seen. The result lies in the run's folder (``build/runs/NAME``):
``model.keras`` (float, the best epoch), ``fit.json`` (what was done, with hashes),
``curves.png``, and ``logs`` for TensorBoard.

``KERAS_BACKEND=torch`` in the environment trains a classifier's recipe on PyTorch; ``export``
takes its model without it. Several machines train it together, each with the same command but
for its own number:

    KERAS_BACKEND=torch python -m training fit NAME --worker 1/2 --meet 192.168.1.10:29500
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.errors import DatasetError, OutputError, RecipeError
from edge_app.recording import why
from training.data.store import Store, open_store
from training.fitting.start import FLOAT_MODEL, SUMMARY, StartWeights, start_weights
from training.fitting.team import Team, add_worker_options, place_of
from training.recipe import Recipe
from training.recipe_file import load_recipe

if TYPE_CHECKING:
    from training.fitting.tasks import Task

log = logging.getLogger(__name__)

RUNS = Path("build/runs")
"""Where runs lie unless ``--run`` says otherwise."""


def add_parser(subparsers: Any) -> None:
    """Add ``fit`` to the command line."""
    parser = subparsers.add_parser(
        "fit",
        help="train the model of a recipe",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help="a recipe's name (see training/recipes) or a .toml path")
    parser.add_argument("--data", type=Path, default=Path("build/data"), help="prepared data")
    parser.add_argument(
        "--run",
        type=Path,
        help="folder of the run, default build/runs/NAME; continued if it exists",
    )
    parser.add_argument(
        "--weights",
        default="imagenet",
        help="start weights: the backbone's weights file without top, 'imagenet' (Keras downloads "
        "them; the default), 'none', or the model.keras of an earlier run to go on from",
    )
    parser.add_argument(
        "--teachers",
        nargs="+",
        default=(),
        metavar="MODEL",
        help="model.keras of earlier runs, which a recipe with distillation learns from",
    )
    parser.add_argument(
        "--mlflow",
        metavar="URI",
        help="record the finished run on this MLflow server, e.g. http://127.0.0.1:5000",
    )
    add_worker_options(parser)
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Entry point of ``fit``."""
    recipe = load_recipe(args.recipe)
    place = place_of(args.worker, args.meet, recipe)
    if args.mlflow is not None:
        from training.tracking import check_uri

        check_uri(args.mlflow)
    store, start = open_store(args.data), start_weights(args.weights, args.teachers)
    folder = args.run or RUNS / recipe.name
    if place is None:
        train_run(recipe, store, folder, start)
    else:
        team = Team.join(place)
        try:
            train_run(recipe, store, folder, start, team)
        finally:
            team.leave()
        if not team.is_first:
            print(f"{place}: done; the trained model is in the run's folder of worker 1")
            return 0
    print(f"trained model: {folder / FLOAT_MODEL}")
    if args.mlflow is not None:
        from training.tracking import record_run

        print(f"recorded on {args.mlflow}: run {record_run(folder, args.mlflow, recipe)}")
    return 0


def train_run(
    recipe: Recipe, store: Store, folder: Path, start: StartWeights, team: Team | None = None
) -> Path:
    """Train a recipe on an open store, or go on training; writes the results, returns ``folder``.

    Args:
        recipe: What to train.
        store: The prepared data.
        folder: Of the run; of a team's workers only the first one writes it.
        start: Weights to begin with.
        team: The workers that train it together; None alone.

    Raises:
        RecipeError: The start weights do not fit, or the folder holds another run.
        DatasetError: The store lacks what the recipe needs.
        OutputError: The folder cannot be written.
        WorkerLostError: Another worker of the team is gone.
    """
    _require_datasets(store, recipe)
    _require_models(start, recipe)
    import keras  # slow, so that what is wrong above is said at once

    from training.fitting.phases import follow, train
    from training.fitting.run import Run, draw_curves
    from training.fitting.summary import backend_input, versions, write_summary

    inputs = {
        "recipe": recipe.fingerprint,
        "data set": store.sha256,
        "start weights": start.sha256 or start.name,
        **backend_input(),
    }
    if start.teachers:
        inputs["teachers"] = " ".join(str(teacher.sha256) for teacher in start.teachers)
    if team is not None:
        team.require_same(inputs | {f"{name} version": v for name, v in versions().items()})
    if team is not None and not team.is_first:
        if team.share(None):  # whether there is anything left to train
            keras.utils.set_random_seed(recipe.seed)
            follow(_task(recipe, store, start), recipe, team)
        return folder
    run = Run(folder, inputs)
    done = run.state.done and (folder / FLOAT_MODEL).is_file() and (folder / SUMMARY).is_file()
    if team is not None:
        team.share(not done)
    if done:
        log.info("run folder: %s: finished already; nothing to do", folder)
        return folder
    log.info("run folder: %s: %d epochs done", folder, run.state.epoch)
    keras.utils.set_random_seed(recipe.seed)
    task = _task(recipe, store, start)
    train(task, run, recipe, team)
    draw_curves(run)
    run.restore_best(task.deployable)
    if recipe.keep_start:
        _keep(recipe.keep_start, start, task.deployable)
        log.info("with %g of the start weights: %s", recipe.keep_start, task.validate())
    _save_model(task.deployable, folder / FLOAT_MODEL)
    workers = 1 if team is None else team.place.count
    write_summary(folder / SUMMARY, run.state, recipe, store, start, workers)
    run.finish()
    return folder


def _task(recipe: Recipe, store: Store, start: StartWeights) -> Task:
    from training.fitting.tasks import build_task

    teachers = [Path(str(teacher.keras)) for teacher in start.teachers]
    if not start.is_model:
        return build_task(recipe, store, start.keras, teachers)
    task = build_task(recipe, store, None, teachers)
    _continue_from(start, task.deployable)
    return task


def _continue_from(start: StartWeights, model: Any) -> None:
    """Give a new model the weights of a trained one; its input may have another size."""
    try:
        model.set_weights(_weights_of(start))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"{start.keras}: does not fit the recipe: {reason}") from None


def _keep(share: float, start: StartWeights, model: Any) -> None:
    """Replace weights by their mean with those of the start, which counts ``share``."""
    pairs = zip(_weights_of(start), model.get_weights(), strict=True)
    model.set_weights([share * before + (1 - share) * after for before, after in pairs])


def _weights_of(start: StartWeights) -> list[Any]:
    import keras

    assert start.keras is not None
    weights: list[Any] = keras.models.load_model(start.keras, compile=False).get_weights()
    return weights


def _require_datasets(store: Store, recipe: Recipe) -> None:
    held = store.manifest["datasets"]
    if missing := [name for name in recipe.datasets if name not in held]:
        raise DatasetError(
            f"{store.path}: has no data set {', '.join(missing)}, which {recipe.path} names; "
            f"it has: {', '.join(held)}; prepare again, or change dataset_weights"
        )


def refuse_distillation(recipe: Recipe, command: str) -> None:
    """Refuse a recipe that needs teachers, for a command that cannot be given any.

    Raises:
        RecipeError: It has distillation.
    """
    if recipe.distillation:
        raise RecipeError(
            f"{recipe.path}: distillation = {recipe.distillation:g} needs teachers, which "
            f"{command} does not take: train it with fit --teachers, or set it to 0"
        )


def _require_models(start: StartWeights, recipe: Recipe) -> None:
    if recipe.distillation and not start.teachers:
        raise RecipeError(
            f"{recipe.path}: distillation = {recipe.distillation:g} needs teachers: name their "
            "models with fit --teachers, or set it to 0"
        )
    if recipe.keep_start and not start.is_model:
        raise RecipeError(
            f"{recipe.path}: keep_start = {recipe.keep_start:g} keeps an earlier model's weights: "
            "name its model.keras with --weights, or set it to 0"
        )
    for teacher in start.teachers:
        if (teacher.made_by or {}).get("labels") != list(recipe.labels):
            raise RecipeError(
                f"--teachers {teacher.keras}: its {SUMMARY} does not say that its labels are those "
                f"of {recipe.path} in the same order: {', '.join(recipe.labels)}"
            )
    if start.teachers and not recipe.distillation:
        raise RecipeError(f"{recipe.path}: --teachers without distillation: say how much it counts")


def _save_model(model: Any, path: Path) -> None:
    temporary = path.with_name(f"partial-{path.name}")
    try:
        model.save(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {why(error)}") from None
