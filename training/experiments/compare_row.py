"""One row of ``compare``: a recipe trained or its run taken, quantised and scored."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from edge_app.errors import ExportError
from edge_app.recording import write_atomically
from training.data.store import Store, open_store
from training.experiments.fanout import file_sha256, read_result
from training.fit import train_run
from training.fitting.start import FLOAT_MODEL, SUMMARY, start_weights
from training.recipe import Recipe

ROW, FLOAT_FILE, INT8_FILE = "row.json", "float32.tflite", "int8.tflite"
"""What a finished row leaves in its folder."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What all rows share; paths are absolute, for rows may be made by another process.

    Attributes:
        data: Prepared data.
        weights: Start weights, as ``fit`` takes them.
        out: Folder of the table and of a folder per row.
        runs: Where finished runs may lie.
        split: What INT8 is judged on: ``test`` or ``val``.
        faces: Score at most so many faces of a split.
    """

    data: Path
    weights: str
    out: Path
    runs: Path
    split: str
    faces: int


def make_row(recipe: Recipe, settings: Settings) -> dict[str, Any]:
    """Train a recipe or take its finished run, quantise it and score both; also on disk.

    Raises:
        KioskError: Whatever is wrong with this recipe.
    """
    import keras

    store = open_store(settings.data)
    folder = settings.out / recipe.name
    keras.backend.clear_session()
    trained = _finished_run(recipe, store, settings.runs / recipe.name)
    if trained is None:
        start = start_weights(settings.weights)
        trained = train_run(recipe, store, folder / "run", start)
    inputs = {
        "model": file_sha256(trained / FLOAT_MODEL),
        "store": store.sha256,
        "split": settings.split,
        "faces": settings.faces,
    }
    held = read_result(folder / ROW, inputs)
    if held is not None and all((folder / n).is_file() for n in (FLOAT_FILE, INT8_FILE)):
        return held
    row = {"inputs": inputs, **_measure(recipe, store, trained, folder, settings)}
    write_atomically(folder / ROW, (json.dumps(row, indent=1) + "\n").encode())
    return row


def _finished_run(recipe: Recipe, store: Store, folder: Path) -> Path | None:
    """A finished run of this very recipe on these data, if there is one."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = summary["recipe_sha256"] == recipe.fingerprint and (
        summary["store_sha256"] == store.sha256
    )
    return folder if same and (folder / FLOAT_MODEL).is_file() else None


def _measure(
    recipe: Recipe, store: Store, trained: Path, folder: Path, settings: Settings
) -> dict[str, Any]:
    import keras

    from training.exporting.flops import multiply_adds

    summary = json.loads((trained / SUMMARY).read_text(encoding="utf-8"))
    model = keras.models.load_model(trained / FLOAT_MODEL, compile=False)
    exact, int8 = _converted(model, recipe, store)
    row = {
        "name": recipe.name,
        "labels": [str(label) for label in recipe.labels],
        "input": recipe.model.width,
        "start_weights": summary["start_weights"]["name"],
        "parameters": int(model.count_params()),
        "multiply_adds": multiply_adds(int8),
        "epochs": summary["epochs"],
        "train_seconds": summary["seconds"],
        "float_bytes": len(exact),
        "int8_bytes": len(int8),
        **_scores(recipe, store, model, int8, settings),
    }
    write_atomically(folder / FLOAT_FILE, exact)
    write_atomically(folder / INT8_FILE, int8)
    return row


def _converted(model: Any, recipe: Recipe, store: Store) -> tuple[bytes, bytes]:
    """The model as float32 and as INT8 TFLite.

    Raises:
        ExportError: TensorFlow cannot convert it, or an operator would stay in float.
    """
    from tensorflow.lite.python.convert import ConverterError

    from training.export import calibration_pictures
    from training.exporting.conversion import Format, convert, saved_model
    from training.exporting.flops import float_operators

    pictures = calibration_pictures(recipe, store)
    try:
        with saved_model(model) as folder:
            exact = convert(folder, Format.FLOAT32, pictures)
            int8 = convert(folder, Format.INT8, pictures)
    except (ConverterError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ExportError(f"{recipe.name}: cannot be turned into TFLite: {reason}") from None
    if in_float := float_operators(int8):
        names = ", ".join(sorted(set(in_float)))
        raise ExportError(f"{recipe.name}: these operators would run in float: {names}")
    return exact, int8


def _scores(
    recipe: Recipe, store: Store, model: Any, int8: bytes, settings: Settings
) -> dict[str, Any]:
    """Figures of the float model on every split, of the INT8 file on the judged one.

    Training and validation faces are those of the recipe's data sets, test faces those of all
    prepared ones, so that rows are judged on the same faces wherever they learnt, and on however
    many: a recipe's limits do not hold for these.
    """
    from training.experiments import scoring

    assert recipe.sampling is not None
    every = tuple(store.manifest["datasets"])
    crop = (recipe.sampling.margin, recipe.model.width)
    exact, quantised = scoring.keras_predict(model), scoring.tflite_predict(int8)
    row: dict[str, Any] = {"float": {}}
    for split in ("train", "val", "test"):
        datasets, limits = recipe.datasets, recipe.sampling.limits
        if split == "test":
            datasets, limits = every, {}
        faces, left_out = scoring.scored_faces(
            store, split, datasets, recipe.labels, settings.faces, limits
        )
        logits = scoring.logits_of(exact, store, faces, *crop)
        row["float"][split] = scoring.figures(faces, logits, recipe.labels)
        if split != settings.split:
            continue
        logits = scoring.logits_of(quantised, store, faces, *crop)
        row["int8"] = scoring.figures(faces, logits, recipe.labels)
        row["left_out"] = left_out
        row["int8_by_dataset"] = {
            name: scoring.figures([faces[i] for i in mine], logits[mine], recipe.labels)
            for name in dict.fromkeys(face.record.dataset for face in faces)
            if (mine := [i for i, face in enumerate(faces) if face.record.dataset == name])
        }
    row["int8_drop"] = (
        row["float"][settings.split]["balanced_accuracy"] - row["int8"]["balanced_accuracy"]
    )
    return row
