"""Train several recipes, or load their finished runs, and print the table that papers print.

    python -m training compare mask_classifier_base door.toml --weights none

Every row: parameters, multiply-adds, training time, accuracy and balanced accuracy on train,
validation and test faces, macro F1, size and latency of the float and the INT8 file, and what
INT8 costs in accuracy. Test figures are those of the INT8 file in the device's interpreter.
Written to ``build/compare``: ``compare.md``, ``compare.csv``, ``compare.json``, ``compare.png``,
and a folder per recipe with its run and both ``.tflite`` files. The same command goes on after
a kill. A recipe that fails gets a line that says why; the others go on, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

from edge_app.errors import ExportError, KioskError, UsageError
from edge_app.recording import write_atomically
from training.data.store import Store, open_store
from training.experiments.fanout import (
    Job,
    add_ray_option,
    file_sha256,
    portable,
    read_result,
    require_ray,
    run_jobs,
)
from training.experiments.overrides import add_budget_options, require_classifier, shortened
from training.fit import RUNS, train_run
from training.fitting.start import FLOAT_MODEL, SUMMARY, start_weights
from training.recipe import Recipe
from training.recipe_file import load_recipe

ROW, FLOAT_FILE, INT8_FILE = "row.json", "float32.tflite", "int8.tflite"
"""What a finished row leaves in its folder."""

KINDS = {"float_ms": FLOAT_FILE, "int8_ms": INT8_FILE}
"""What is timed, and on which file."""

FACES = 2000
"""Faces of each split that are scored, at most: all test faces of the usual data sets, while a
large network need not judge every training face."""

ROUNDS = 50
"""Timed rounds; all files once per round, in an order drawn anew."""


def add_parser(subparsers: Any) -> None:
    """Add ``compare`` to the command line."""
    parser = subparsers.add_parser(
        "compare",
        help="train or load several recipes and print one table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipes", nargs="+", metavar="RECIPE", help="a name or a .toml path")
    parser.add_argument("--data", type=Path, default=Path("build/data"), help="prepared data")
    parser.add_argument("--weights", default="imagenet", help="start weights, as for 'fit'")
    parser.add_argument("--out", type=Path, default=Path("build/compare"), metavar="DIR")
    parser.add_argument(
        "--runs", type=Path, default=RUNS, metavar="DIR",
        help="a finished run DIR/NAME of the same recipe and data is taken instead of training "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=("test", "val"), default="test", help="what INT8 is judged on"
    )
    parser.add_argument(
        "--faces", type=int, default=FACES, metavar="N",
        help="score at most N faces of a split, drawn at random (default: %(default)s)",
    )  # fmt: skip
    add_budget_options(parser)
    add_ray_option(parser)
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Entry point of ``compare``."""
    from training.experiments import compare_report

    require_ray(args.ray)
    if args.faces < 1:
        raise UsageError(f"--faces {args.faces}: must be at least 1")
    recipes = [shortened(load_recipe(name), args.epochs, args.steps) for name in args.recipes]
    settings = Settings(
        args.data.resolve(), portable(args.weights), args.out.resolve(), args.runs.resolve(),
        args.split, args.faces,
    )  # fmt: skip
    rows, failed = compare(recipes, settings, args.ray)
    times = latencies([args.out / row["name"] for row in rows])
    markdown, files = compare_report.write(args.out, rows, times, failed, args.split)
    print(markdown)
    print(f"written: {', '.join(map(str, files))}")
    return 1 if failed else 0


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


def compare(
    recipes: list[Recipe], settings: Settings, ray: str | None = None
) -> tuple[list[dict[str, Any]], dict[str, KioskError]]:
    """Make every row of the table.

    Returns:
        The rows that succeeded, and the errors of the others by recipe name.

    Raises:
        UsageError: Two recipes have one name, one is not a classifier's, or the cluster cannot
            be reached.
        DatasetError: The prepared data are missing.
    """
    names = [recipe.name for recipe in recipes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two recipes are named {', '.join(twice)}: each row needs its own name")
    for recipe in recipes:
        require_classifier(recipe, "compare")
    start_weights(settings.weights)  # what is wrong with these is wrong with every row
    open_store(settings.data)
    jobs = [Job(recipe.name, make_row, (recipe, settings)) for recipe in recipes]
    outcomes = run_jobs(jobs, ray)
    failed = {outcome.name: outcome.error for outcome in outcomes if outcome.error is not None}
    return [outcome.result for outcome in outcomes if outcome.error is None], failed


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


def latencies(folders: list[Path]) -> dict[str, dict[str, float]]:
    """Milliseconds per inference of the two files in every row's folder, one thread, in turn.

    Returns:
        Folder name -> median by ``float_ms`` and ``int8_ms``.
    """
    import numpy as np

    from edge_app.vision.interpreter import load_interpreter
    from training.evaluation import timing

    work = {}
    for folder in folders:
        for kind, file in KINDS.items():
            engine = load_interpreter((folder / file).read_bytes())
            batch = np.random.default_rng(0).integers(0, 256, engine.input.shape, np.uint8)
            given = batch if kind == "int8_ms" else batch / np.float32(127.5) - 1
            work[f"{folder.name} {kind}"] = partial(engine.run, given)
    times = timing.summary(timing.interleaved([work] * ROUNDS))
    return {
        folder.name: {kind: times[f"{folder.name} {kind}"]["median_ms"] for kind in KINDS}
        for folder in folders
    }


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
