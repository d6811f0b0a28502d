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
takes its model without it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.errors import DatasetError, OutputError, RecipeError
from edge_app.recording import why, write_atomically
from training.data.store import Store, open_store
from training.fitting.start import FLOAT_MODEL, SUMMARY, StartWeights, start_weights
from training.recipe import Recipe
from training.recipe_file import as_argument, load_recipe

if TYPE_CHECKING:
    from training.fitting.run import Run

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
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Entry point of ``fit``."""
    recipe = load_recipe(args.recipe)
    if args.mlflow is None:
        folder = fit(recipe, args.data, args.run, args.weights, args.teachers)
        print(f"trained model: {folder / FLOAT_MODEL}")
        return 0
    from training.tracking import check_uri, record_run

    check_uri(args.mlflow)
    folder = fit(recipe, args.data, args.run, args.weights, args.teachers)
    print(f"trained model: {folder / FLOAT_MODEL}")
    print(f"recorded on {args.mlflow}: run {record_run(folder, args.mlflow, recipe)}")
    return 0


def fit(
    recipe: Recipe,
    data: Path,
    folder: Path | None,
    weights: str,
    teachers: Sequence[str] = (),
) -> Path:
    """Train, or go on training, and write ``model.keras``; returns the run's folder.

    Raises:
        RecipeError: The start weights are missing or do not fit, or the folder holds
            another run.
        DatasetError: The prepared data are missing or lack what the recipe needs.
        OutputError: The folder cannot be written.
    """
    start = start_weights(weights, teachers)
    return train_run(recipe, open_store(data), folder or RUNS / recipe.name, start)


def train_run(recipe: Recipe, store: Store, folder: Path, start: StartWeights) -> Path:
    """Train a recipe on an open store, or go on training; writes the results, returns ``folder``.

    Raises:
        RecipeError: The start weights do not fit, or the folder holds another run.
        DatasetError: The store lacks what the recipe needs.
        OutputError: The folder cannot be written.
    """
    _require_datasets(store, recipe)
    _require_teachers(start, recipe)
    import keras  # slow, so that what is wrong above is said at once

    from training.fitting.phases import train
    from training.fitting.run import Run, draw_curves
    from training.fitting.tasks import build_task

    inputs = {
        "recipe": recipe.fingerprint,
        "data set": store.sha256,
        "start weights": start.sha256 or start.name,
    }
    if start.teachers:
        inputs["teachers"] = " ".join(str(teacher.sha256) for teacher in start.teachers)
    run = Run(folder, inputs)
    if run.state.done and (folder / FLOAT_MODEL).is_file() and (folder / SUMMARY).is_file():
        log.info("run folder: %s: finished already; nothing to do", folder)
        return folder
    log.info("run folder: %s: %d epochs done", folder, run.state.epoch)
    keras.utils.set_random_seed(recipe.seed)
    teachers = [Path(str(teacher.keras)) for teacher in start.teachers]
    if start.is_model:
        task = build_task(recipe, store, None, teachers)
        _continue_from(start, task.deployable)
    else:
        task = build_task(recipe, store, start.keras, teachers)
    train(task, run, recipe)
    draw_curves(run)
    run.restore_best(task.deployable)
    _save_model(task.deployable, folder / FLOAT_MODEL)
    _write_summary(run, recipe, store, start)
    run.finish()
    return folder


def _continue_from(start: StartWeights, model: Any) -> None:
    """Give a new model the weights of a trained one; its input may have another size."""
    import keras

    assert start.keras is not None
    try:
        model.set_weights(keras.models.load_model(start.keras, compile=False).get_weights())
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"{start.keras}: does not fit the recipe: {reason}") from None


def _require_datasets(store: Store, recipe: Recipe) -> None:
    held = store.manifest["datasets"]
    if missing := [name for name in recipe.datasets if name not in held]:
        raise DatasetError(
            f"{store.path}: has no data set {', '.join(missing)}, which {recipe.path} names; "
            f"it has: {', '.join(held)}; prepare again, or change dataset_weights"
        )


def _require_teachers(start: StartWeights, recipe: Recipe) -> None:
    if recipe.distillation and not start.teachers:
        raise RecipeError(
            f"{recipe.path}: distillation = {recipe.distillation:g} needs teachers: name their "
            "models with fit --teachers, or set it to 0"
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


def _seen(store: Store, recipe: Recipe) -> list[str]:
    """The data sets of a run: the recipe's, and the pictures without faces for a detector."""
    names = list(recipe.datasets)
    if recipe.placement is not None:
        names += [n for n, d in store.manifest["datasets"].items() if d["kind"] == "negatives"]
    return names


def _data_of(store: Store, recipe: Recipe, name: str) -> dict[str, Any]:
    about = store.manifest["datasets"][name]
    licence = recipe.licences.get(name, about["licence"])
    kept = {key: about[key] for key in ("kind", "sha256", "pictures", "stored", "faces")}
    return {"licence": licence, **kept}


def _write_summary(run: Run, recipe: Recipe, store: Store, start: StartWeights) -> None:
    command = f"{_command(recipe)} --weights {start.name}"
    taught: dict[str, Any] = {}
    if start.teachers:
        command += " --teachers " + " ".join(teacher.name for teacher in start.teachers)
        taught["teachers"] = [teacher.plain() for teacher in start.teachers]
    summary = {
        "recipe": recipe.path.name,
        "recipe_sha256": recipe.fingerprint,
        "command": command,
        "seed": recipe.seed,
        "start_weights": start.plain(),
        **taught,
        "data": {name: _data_of(store, recipe, name) for name in _seen(store, recipe)},
        "prepare_arguments": store.manifest["arguments"],
        "store_sha256": store.sha256,
        "epochs": len(run.state.history),
        "best_epoch": run.state.best_epoch,
        "best_score": run.state.best_score,
        "seconds": round(run.state.seconds),
        "versions": _versions(),
        "history": run.state.history,
    }
    write_atomically(run.folder / SUMMARY, json.dumps(summary, indent=1).encode())


def _command(recipe: Recipe) -> str:
    import keras

    backend = keras.backend.backend()
    environment = "" if backend == "tensorflow" else f"KERAS_BACKEND={backend} "
    return f"{environment}python -m training fit {as_argument(recipe)}"


def _versions() -> dict[str, str]:
    """Of Keras and of the backend that it ran on."""
    import keras

    backend = keras.backend.backend()
    version = str(importlib.import_module(backend).__version__)
    return {"keras": keras.__version__, backend: version}
