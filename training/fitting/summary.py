"""What a finished run says of itself: recipe, data and their hashes, versions, history."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

from edge_app.recording import write_atomically
from training.data.store import Store
from training.recipe import Recipe
from training.recipe_file import as_argument

if TYPE_CHECKING:
    from pathlib import Path

    from training.fitting.run import RunState
    from training.fitting.start import StartWeights


def write_summary(
    path: Path, state: RunState, recipe: Recipe, store: Store, start: StartWeights, workers: int
) -> None:
    """Write ``fit.json``, from which the card is made.

    Args:
        path: Of the file.
        state: Of the run, after its last epoch.
        recipe: What was trained.
        store: The prepared data.
        start: What it went on from.
        workers: How many processes trained it together.

    Raises:
        OutputError: The file cannot be written.
    """
    command = f"{_command(recipe)} --weights {start.name}"
    taught: dict[str, Any] = {}
    if start.teachers:
        command += " --teachers " + " ".join(teacher.name for teacher in start.teachers)
        taught["teachers"] = [teacher.plain() for teacher in start.teachers]
    together = f" --worker NUMBER/{workers} --meet HOST:PORT" if workers > 1 else ""
    summary = {
        "recipe": recipe.path.name,
        "recipe_sha256": recipe.fingerprint,
        "command": command + together,
        "seed": recipe.seed,
        "labels": list(recipe.labels),
        "start_weights": start.plain(),
        **taught,
        "data": {name: _data_of(store, recipe, name) for name in _seen(store, recipe)},
        "prepare_arguments": store.manifest["arguments"],
        "store_sha256": store.sha256,
        "epochs": len(state.history),
        "best_epoch": state.best_epoch,
        "best_score": state.best_score,
        "seconds": round(state.seconds),
        "versions": versions(),
        "history": state.history,
    }
    write_atomically(path, json.dumps(summary, indent=1).encode())


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


def _command(recipe: Recipe) -> str:
    import keras

    backend = keras.backend.backend()
    environment = "" if backend == "tensorflow" else f"KERAS_BACKEND={backend} "
    return f"{environment}python -m training fit {as_argument(recipe)}"


def backend_input() -> dict[str, str]:
    """What a run's inputs say of the backend that Keras runs on: nothing where it is TensorFlow.

    So the folders of runs from before this was noted, which nearly all ran on it, stay good.
    """
    import keras

    backend = str(keras.backend.backend())
    return {} if backend == "tensorflow" else {"backend": backend}


def versions() -> dict[str, str]:
    """Of Keras and of the backend that it ran on."""
    import keras

    backend = keras.backend.backend()
    version = str(importlib.import_module(backend).__version__)
    return {"keras": keras.__version__, backend: version}
