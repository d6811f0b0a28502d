"""Turn a trained model into a bundle: INT8 ``.tflite``, card, self-test and parity report.

    python -m training export mask_classifier

Full-integer quantisation, weights per channel, uint8 in and out (Jacob et al. 2018,
arXiv:1712.05877). The input's quantisation is pinned to the pixel values 0..255, so the
device feeds pictures as they are. Activation ranges come from training pictures; the
temperature and the parity figures from the validation split; the test split is not touched.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_app.errors import ExportError, RecipeError
from edge_app.vision.bundle import CARD_SCHEMA, MODELS_DIR, card_path
from edge_app.vision.interpreter import load_interpreter
from training.data.store import Store, open_store
from training.exporting.bundle_files import settle, write_bundle
from training.exporting.conversion import Format, convert, saved_model
from training.fit import RUNS
from training.fitting.start import FLOAT_MODEL, SUMMARY
from training.recipe import Recipe
from training.recipe_file import as_argument, load_recipe

log = logging.getLogger(__name__)

CALIBRATION_PICTURES = 300
"""Pictures that activation ranges are measured on; ranges settle well before that."""

PIXEL_SCALE = 2 / 255
"""Input quantisation step when 0..255 stands for -1..1."""


def add_parser(subparsers: Any) -> None:
    """Add ``export`` to the command line."""
    parser = subparsers.add_parser(
        "export",
        help="quantise a trained model and write its bundle",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help="the recipe that was trained")
    parser.add_argument("--data", type=Path, default=Path("build/data"), help="prepared data")
    parser.add_argument("--run", type=Path, help="folder of the run, default build/runs/NAME")
    parser.add_argument(
        "--out", type=Path, default=MODELS_DIR, help="where the bundle goes (the shipped models)"
    )
    parser.add_argument(
        "--layers",
        action="store_true",
        help="show the layers that quantisation changes most, even if little is lost",
    )
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Entry point of ``export``."""
    recipe = load_recipe(args.recipe)
    folder = args.run or RUNS / recipe.name
    model, parity = export(recipe, args.data, folder, args.out, args.layers)
    layers = parity.pop("layers", None)
    print(f"bundle: {model} and {card_path(model)}")
    print(f"float against INT8 on the validation split: {json.dumps(parity)}")
    if layers is not None:
        from training.exporting.quantisation_debug import layers_table

        print(f"\nwhere quantisation changes most:\n\n{layers_table(layers)}")
    return 0


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What ``fit`` left.

    Attributes:
        summary: The content of ``fit.json``.
        model: The float Keras model of the best epoch, input in -1..1.
        store: The prepared data that it was trained on.
    """

    summary: dict[str, Any]
    model: Any
    store: Store


def open_run(recipe: Recipe, data: Path, folder: Path) -> FinishedRun:
    """Open a finished run, once it is known to be of this recipe and these data.

    Raises:
        ExportError: The run is not finished or of another recipe or data.
        RecipeError: One of the run's files is damaged.
        DatasetError: The prepared data are missing or damaged.
    """
    summary_file, float_file = folder / SUMMARY, folder / FLOAT_MODEL
    if not summary_file.is_file() or not float_file.is_file():
        raise ExportError(
            f"{folder}: no finished run here; run: python -m training fit {recipe.name}"
        )
    try:
        summary = json.loads(summary_file.read_text(encoding="utf-8"))
        made_with = summary["recipe_sha256"], summary["store_sha256"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(summary_file, repr(error)) from None
    if made_with[0] != recipe.fingerprint:
        raise ExportError(f"{folder}: was trained with another version of {recipe.path}: fit again")
    store = open_store(data)
    if made_with[1] != store.sha256:
        raise ExportError(f"{folder}: was trained with other data than {data}: give its --data")
    if not zipfile.is_zipfile(float_file):
        raise _damaged(float_file, "its end is missing")
    import keras

    try:
        model = keras.models.load_model(float_file)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise _damaged(float_file, repr(error)) from None
    return FinishedRun(summary, model, store)


def _damaged(file: Path, reason: str) -> RecipeError:
    return RecipeError(
        f"{file}: is damaged ({reason}): copy it again, or remove {file.parent} and fit again"
    )


def export(
    recipe: Recipe, data: Path, folder: Path, out: Path, layers: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Quantise the best weights of a run and write the bundle into ``out``.

    Args:
        recipe: What was trained.
        data: The prepared data.
        folder: The run's folder.
        out: Where the bundle goes.
        layers: Compare the layers even if the INT8 drop is within its limit.

    Returns:
        The ``.tflite`` file and the parity figures.

    Raises:
        ExportError: The run is not finished or of another recipe or data, an operator would
            run in float, or the input's quantisation is not that of pixels.
        RecipeError: One of the run's files is damaged.
        DatasetError: The prepared data are missing or damaged.
        BundleError: The device would refuse the bundle.
        OutputError: The bundle cannot be written.
    """
    from training.exporting.card_schema import violations
    from training.exporting.flops import float_operators, multiply_adds
    from training.exporting.parity import calibrate, drop
    from training.exporting.quantisation_debug import DROP_LIMIT
    from training.exporting.selftest import with_self_test

    settle(out, recipe.name)
    run = open_run(recipe, data, folder)
    pictures = calibration_pictures(recipe, run.store)
    content = quantise(run.model, pictures)
    if in_float := float_operators(content):
        raise ExportError(f"these operators would run in float: {', '.join(sorted(set(in_float)))}")
    _check_input(content)
    tuned, parity = calibrate(recipe, run.store, run.model, content)
    if layers or drop(parity) > DROP_LIMIT:
        parity["layers"] = _worst_layers(run.model, content, pictures)
    card = {
        "schema": CARD_SCHEMA,
        "name": recipe.name,
        "task": recipe.task,
        "sha256": hashlib.sha256(content).hexdigest(),
        "input": {
            "width": recipe.model.width,
            "height": recipe.model.height,
            "colour": "RGB",
            "dtype": "uint8",
            **_quantisation(content),
        },
        **tuned,
        "multiply_adds": multiply_adds(content),
        "parameters": int(run.model.count_params()),
        "bytes": len(content),
        "parity": parity,
        "training": {key: value for key, value in run.summary.items() if key != "history"},
        "export_command": f"python -m training export {as_argument(recipe)}",
    }
    card, test = with_self_test(card, content)
    if wrong := violations(card):
        raise ExportError(f"the card would not keep to its schema: {wrong[0]}")
    return write_bundle(card, content, out, test), parity


def quantise(model: Any, pictures: NDArray[np.uint8]) -> bytes:
    """A Keras model with float input in -1..1 as full-integer TFLite with uint8 in and out.

    Args:
        model: One image input (None, height, width, 3).
        pictures: Calibration pictures uint8 (N, height, width, 3).
    """
    with saved_model(model) as folder:
        return convert(folder, Format.INT8, pictures)


def calibration_pictures(recipe: Recipe, store: Store) -> NDArray[np.uint8]:
    """Training pictures as the device would present them, plus one that spans all pixel values.

    Returns:
        uint8 (N, height, width, 3), the recipe's input size.
    """
    from edge_app.vision.geometry import letterbox
    from training.data.canvases import detector_pictures
    from training.data.faces import draw_weights, labelled_faces, plain_crop

    rng = np.random.default_rng(recipe.seed)
    width, height = recipe.model.width, recipe.model.height
    if recipe.sampling is not None:
        samples = labelled_faces(
            store,
            "train",
            recipe.datasets,
            recipe.labels,
            recipe.sampling.min_face,
            recipe.sampling.limits,
        )
        weights = draw_weights(samples, recipe.sampling)
        picks = rng.choice(len(samples), CALIBRATION_PICTURES, p=weights)
        pictures = [plain_crop(store, samples[i], recipe.sampling.margin, width) for i in picks]
    else:
        records = detector_pictures(store, "train", recipe.datasets)
        picks = rng.choice(len(records), min(CALIBRATION_PICTURES, len(records)), replace=False)
        pictures = [letterbox(store.image(records[i]), width, height)[0] for i in picks]
    ramp = np.linspace(0, 255, width * height * 3).astype(np.uint8)
    return np.stack([*pictures, ramp.reshape(height, width, 3)])


def _quantisation(content: bytes) -> dict[str, float | int]:
    tensor = load_interpreter(content).input
    return {"scale": tensor.scale, "zero_point": tensor.zero_point}


def _check_input(content: bytes) -> None:
    pinned = _quantisation(content)
    if abs(pinned["scale"] / PIXEL_SCALE - 1) > 0.01 or pinned["zero_point"] not in (127, 128):
        raise ExportError(f"input quantisation {pinned} is not that of pixels 0..255 for -1..1")


def _worst_layers(model: Any, content: bytes, pictures: NDArray[np.uint8]) -> list[dict[str, Any]]:
    from training.exporting.quantisation_debug import DEBUG_PICTURES, layer_errors, worst_layers

    with saved_model(model) as folder:
        exact = convert(folder, Format.FLOAT32, pictures)
    return worst_layers(layer_errors(exact, content, pictures[:DEBUG_PICTURES]))
