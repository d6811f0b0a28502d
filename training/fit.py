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
import itertools
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.errors import DatasetError, OutputError, RecipeError
from edge_app.recording import write_atomically
from training.data.store import Store, open_store
from training.recipe import Phase, Recipe
from training.recipe_file import as_argument, load_recipe

if TYPE_CHECKING:
    from training.run import Run
    from training.tasks import Task

log = logging.getLogger(__name__)

RUNS = Path("build/runs")
"""Where runs lie unless ``--run`` says otherwise."""

MODEL_SUFFIX = ".keras"
"""Start weights with this suffix are the model of an earlier run: training goes on from it."""

ORIGIN_KEYS = (
    "command", "recipe_sha256", "seed", "start_weights", "data", "store_sha256", "epochs",
)  # fmt: skip
"""What a summary repeats of the run that it went on from: a card names every set ever seen."""

FLOAT_MODEL, SUMMARY = "model.keras", "fit.json"
"""What a finished run leaves in its folder for ``export``."""


@dataclass(frozen=True, slots=True)
class StartWeights:
    """What ``--weights`` names.

    Attributes:
        name: File name, ``imagenet`` or ``none``; goes into the card.
        keras: What Keras is given: a path, ``imagenet`` or None.
        sha256: Hash of the file, None where there is no file.
        made_by: How a whole model was made, see :data:`ORIGIN_KEYS`; else None.
    """

    name: str
    keras: str | None
    sha256: str | None = None
    made_by: dict[str, Any] | None = None

    @property
    def is_model(self) -> bool:
        """Whether it is a whole trained model rather than a backbone's weights."""
        return self.made_by is not None

    def plain(self) -> dict[str, Any]:
        """As JSON values, for the summary and the card."""
        origin = {} if self.made_by is None else {"made_by": self.made_by}
        return {"name": self.name, "sha256": self.sha256, **origin}


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
        help="start weights: a MobileNetV2 no-top .weights.h5 file, 'imagenet' (Keras downloads "
        "them; the default), 'none', or the model.keras of an earlier run to go on from",
    )
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Entry point of ``fit``."""
    folder = fit(load_recipe(args.recipe), args.data, args.run, args.weights)
    print(f"trained model: {folder / FLOAT_MODEL}")
    return 0


def fit(recipe: Recipe, data: Path, folder: Path | None, weights: str) -> Path:
    """Train, or go on training, and write ``model.keras``; returns the run's folder.

    Raises:
        RecipeError: The start weights are missing or do not fit, or the folder holds
            another run.
        DatasetError: The prepared data are missing or lack what the recipe needs.
        OutputError: The folder cannot be written.
    """
    folder = folder or RUNS / recipe.name
    start = _start_weights(weights)
    store = open_store(data)
    _require_datasets(store, recipe)
    import keras  # slow, so that what is wrong above is said at once

    from training.run import Run, draw_curves
    from training.tasks import build_task

    inputs = {
        "recipe": recipe.fingerprint,
        "data set": store.sha256,
        "start weights": start.sha256 or start.name,
    }
    run = Run(folder, inputs)
    if run.state.done and (folder / FLOAT_MODEL).is_file() and (folder / SUMMARY).is_file():
        log.info("run folder: %s: finished already; nothing to do", folder)
        return folder
    log.info("run folder: %s: %d epochs done", folder, run.state.epoch)
    keras.utils.set_random_seed(recipe.seed)
    if start.is_model:
        task = build_task(recipe, store, None)
        _continue_from(start, task.deployable)
    else:
        task = build_task(recipe, store, start.keras)
    train(task, run, recipe)
    draw_curves(run)
    task.deployable.load_weights(run.best_weights)
    _save_model(task.deployable, folder / FLOAT_MODEL)
    _write_summary(run, recipe, store, start)
    run.finish()
    return folder


def train(task: Task, run: Run, recipe: Recipe) -> None:
    """Train all phases from where the run stands to their end."""
    while run.state.phase < len(recipe.phases):
        if not run.phase_is_over(recipe.phases[run.state.phase].epochs, recipe.patience):
            _train_phase(task, run, recipe)
        run.end_phase()


def _train_phase(task: Task, run: Run, recipe: Recipe) -> None:
    """Train the present phase from where it stands to its end."""
    from training.run import EpochRecorder

    phase = recipe.phases[run.state.phase]
    task.set_phase(phase)
    optimizer = _optimizer(phase, recipe)
    task.model.compile(optimizer=optimizer, loss=task.loss)
    optimizer.build(task.model.trainable_variables)
    run.restore(task.model, task.deployable)
    log.info("phase %d of %d: %s", run.state.phase + 1, len(recipe.phases), phase)
    task.model.fit(
        _stream(task.batches, run.state.epoch, recipe.steps_per_epoch),
        steps_per_epoch=recipe.steps_per_epoch,
        initial_epoch=run.trained(),
        epochs=phase.epochs,
        shuffle=False,
        verbose=0,
        callbacks=[EpochRecorder(run, task, recipe)],
    )


def _stream(batches: Any, first_epoch: int, steps: int) -> Iterator[Any]:
    """All batches from an epoch on.

    A generator, because Keras' PyDataset waits for its workers at the end of every epoch:
    measured, half a minute each time on two cores.
    """
    for epoch in itertools.count(first_epoch):
        for index in range(steps):
            yield batches.batch(epoch, index)


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


def _start_weights(weights: str) -> StartWeights:
    if weights == "none":
        return StartWeights("none", None)
    if weights == "imagenet":
        return StartWeights("imagenet", "imagenet")
    path = Path(weights)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise RecipeError(
            f"--weights {weights}: no such file; or give 'imagenet' or 'none'"
        ) from None
    except OSError as error:
        raise RecipeError(f"--weights {weights}: cannot be read: {error.strerror}") from None
    if path.suffix == MODEL_SUFFIX:
        return StartWeights(f"{path.parent.name}/{path.name}", str(path), digest, _origin(path))
    return StartWeights(path.name, str(path), digest)


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


def _save_model(model: Any, path: Path) -> None:
    temporary = path.with_name(f"partial-{path.name}")
    try:
        model.save(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error}") from None


def _origin(model: Path) -> dict[str, Any]:
    """How the model that a run goes on from was made, from the summary beside it."""
    summary = model.with_name(SUMMARY)
    try:
        made = json.loads(summary.read_text(encoding="utf-8"))
        return {key: made[key] for key in ORIGIN_KEYS}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecipeError(
            f"--weights {model}: {summary} does not tell how it was made ({error!r}), so the card "
            "could not: give the model.keras in its run folder"
        ) from None


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
    import keras
    import tensorflow

    summary = {
        "recipe": recipe.path.name,
        "recipe_sha256": recipe.fingerprint,
        "command": f"python -m training fit {as_argument(recipe)} --weights {start.name}",
        "seed": recipe.seed,
        "start_weights": start.plain(),
        "data": {name: _data_of(store, recipe, name) for name in _seen(store, recipe)},
        "prepare_arguments": store.manifest["arguments"],
        "store_sha256": store.sha256,
        "epochs": len(run.state.history),
        "best_epoch": run.state.best_epoch,
        "best_score": run.state.best_score,
        "seconds": round(run.state.seconds),
        "versions": {"keras": keras.__version__, "tensorflow": tensorflow.__version__},
        "history": run.state.history,
    }
    write_atomically(run.folder / SUMMARY, json.dumps(summary, indent=1).encode())
