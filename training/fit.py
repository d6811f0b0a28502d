"""Train the model of a recipe.

    python -m training fit mask_classifier --weights mobilenet_v2_0.35_no_top.weights.h5
    python -m training fit face_detector --weights mobilenet_v2_0.35_no_top.weights.h5

Runs the recipe's phases one after the other (first a frozen backbone, then all of it), each
with AdamW, a warm-up and a cosine decay. After every epoch it validates, keeps the best
weights and saves where to go on: the same command continues after a kill, with the batches
that the killed run would have seen. The result lies in the run's folder (``build/runs/NAME``):
``model.keras`` (float, the best epoch), ``fit.json`` (what was done, with hashes), ``curves.png``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from edge_app.errors import RecipeError
from training.recipe import Phase, Recipe, load_recipe

log = logging.getLogger(__name__)


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
        "--run", type=Path, help="folder of the run, default build/runs/NAME; continued if it exists"
    )
    parser.add_argument(
        "--weights",
        default="imagenet",
        help="start weights: a MobileNetV2 no-top .weights.h5 file, 'imagenet' (Keras downloads "
        "them; the default) or 'none'",
    )
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Entry point of ``fit``."""
    folder = fit(load_recipe(args.recipe), args.data, args.run, args.weights)
    print(f"trained model: {folder / 'model.keras'}")
    return 0


def fit(recipe: Recipe, data: Path, folder: Path | None, weights: str) -> Path:
    """Train, or go on training, and write ``model.keras``; returns the run's folder.

    Raises:
        RecipeError: The start weights are missing or do not fit, or the folder holds
            another run.
        DatasetError: The prepared data lack what the recipe needs.
    """
    import keras

    from training.data.store import open_store
    from training.run import EpochRecorder, Run, draw_curves
    from training.tasks import build_task

    folder = folder or Path("build/runs") / recipe.name
    store = open_store(data)
    start = _start_weights(weights)
    inputs = json.dumps([store.sha256, start["sha256"]])
    keras.utils.set_random_seed(recipe.seed)
    run = Run(folder, recipe, inputs)
    try:
        task = build_task(recipe, store, start["path"])
    except ValueError as error:
        if isinstance(error, RecipeError) or start["path"] is None:
            raise
        raise RecipeError(f"{weights}: these weights do not fit the recipe: {error}") from None
    total = sum(phase.epochs for phase in recipe.phases)
    done = 0
    for index, phase in enumerate(recipe.phases):
        done += phase.epochs
        if run.state.done or run.state.phase > index:
            continue
        task.set_phase(phase)
        optimizer = _optimizer(phase, recipe)
        task.model.compile(optimizer=optimizer, loss=task.loss)
        optimizer.build(task.model.trainable_variables)
        first = run.state.epoch - (done - phase.epochs)
        if first > 0 and run.resume_weights is not None:
            task.model.load_weights(run.resume_weights)
        elif index > 0:
            task.deployable.load_weights(run.best_weights)
        log.info("phase %d: %s", index + 1, phase)
        task.model.fit(
            task.sequence,
            initial_epoch=first,
            epochs=phase.epochs,
            verbose=0,
            callbacks=[EpochRecorder(run, task, recipe.patience, total)],
        )
        run.state.phase, run.state.epoch = index + 1, done
        run.save_state()
    draw_curves(run)
    task.deployable.load_weights(run.best_weights)
    temporary = folder / "partial-model.keras"
    task.deployable.save(temporary)
    os.replace(temporary, folder / "model.keras")
    run.state.done = True
    run.save_state()
    _write_summary(run, recipe, store, start)
    return folder


def _optimizer(phase: Phase, recipe: Recipe) -> Any:
    import keras

    steps = phase.epochs * recipe.steps_per_epoch
    warmup = round(phase.warmup_epochs * recipe.steps_per_epoch)
    rate: Any = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=phase.learning_rate / 100 if warmup else phase.learning_rate,
        decay_steps=max(1, steps - warmup),
        alpha=0.01,
        warmup_target=phase.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, clipnorm=10.0)


def _start_weights(weights: str) -> dict[str, str | None]:
    if weights == "none":
        return {"path": None, "name": "none", "sha256": None}
    if weights == "imagenet":
        return {"path": "imagenet", "name": "imagenet (Keras' download)", "sha256": None}
    path = Path(weights)
    if not path.is_file():
        raise RecipeError(f"--weights {weights}: no such file; or give 'imagenet' or 'none'")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"path": str(path), "name": path.name, "sha256": digest}


def _write_summary(run: Any, recipe: Recipe, store: Any, start: dict[str, str | None]) -> None:
    import keras
    import tensorflow

    summary = {
        "recipe": recipe.path.name,
        "recipe_sha256": hashlib.sha256(recipe.path.read_bytes()).hexdigest(),
        "command": shlex.join(["python", "-m", "training", *sys.argv[1:]]),
        "seed": recipe.seed,
        "start_weights": {"name": start["name"], "sha256": start["sha256"]},
        "data": {name: store.manifest["datasets"][name] for name in recipe.datasets},
        "store_sha256": store.sha256,
        "epochs": len(run.state.history),
        "best_epoch": run.state.best_epoch,
        "best_score": run.state.best_score,
        "seconds": round(run.state.seconds),
        "versions": {"keras": keras.__version__, "tensorflow": tensorflow.__version__},
        "history": run.state.history,
    }
    temporary = run.folder / "fit.partial"
    temporary.write_text(json.dumps(summary, indent=1), encoding="utf-8")
    os.replace(temporary, run.folder / "fit.json")
