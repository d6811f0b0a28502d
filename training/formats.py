"""``formats``: the same weights as float32, float16, dynamic-range and INT8 TFLite files.

    python -m training formats mask_classifier
    python -m training formats mask_classifier --split val test

Converts the best weights of a finished run into all four formats and puts them side by side:
size, figures on the prepared data, time per picture (one thread, interleaved, the network
alone). All run in the device's interpreter with the device's code around it. What the test
split says is for reporting: choose by the validation split. Where INT8 loses more than half
a point on the validation split, the layers that quantisation changes most are listed.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.recording import write_atomically
from training.recipe import Recipe
from training.recipe_file import load_recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OUT = Path("build/formats")
"""Where the files go, in a folder of the recipe's name, unless ``--out`` says otherwise."""

ROUNDS = 200
"""Rounds of the clock; each runs every file once."""

REPORT = "formats"


def add_parser(subparsers: Any) -> None:
    """Add ``formats`` to the command line."""
    parser = subparsers.add_parser(
        "formats",
        help="compare float32, float16, dynamic-range and INT8 files of one model",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help="the recipe that was trained")
    parser.add_argument("--data", type=Path, default=Path("build/data"), help="prepared data")
    parser.add_argument("--run", type=Path, help="folder of the run, default build/runs/NAME")
    parser.add_argument(
        "--split",
        nargs="+",
        choices=("val", "test"),
        default=["val"],
        help="pictures to score (default: val)",
    )
    parser.add_argument("--out", type=Path, help="folder to write, default build/formats/NAME")
    parser.add_argument(
        "--layers",
        action="store_true",
        help="list the layers that quantisation changes most, even if little is lost",
    )
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Entry point of ``formats``."""
    from training.fit import RUNS

    recipe = load_recipe(args.recipe)
    folder = args.run or RUNS / recipe.name
    out = args.out or OUT / recipe.name
    content, markdown = compare_formats(
        recipe, args.data, folder, out, list(dict.fromkeys(args.split)), args.layers
    )
    report = out / f"{REPORT}.md"
    write_atomically(out / f"{REPORT}.json", (json.dumps(content, indent=2) + "\n").encode())
    write_atomically(report, markdown.encode())
    print(markdown)
    print(f"written: {report}, {REPORT}.json and the .tflite files beside it")
    return 0


def compare_formats(
    recipe: Recipe, data: Path, folder: Path, out: Path, splits: list[str], layers: bool
) -> tuple[dict[str, Any], str]:
    """Convert, score and time; writes ``NAME.FORMAT.tflite`` into ``out``.

    Args:
        recipe: What was trained.
        data: The prepared data.
        folder: The run's folder.
        out: Where the files go.
        splits: ``val`` and ``test``, or one of them.
        layers: Compare the layers even if the INT8 drop is within its limit.

    Returns:
        The figures as JSON values, and as Markdown.

    Raises:
        ExportError: The run is not finished or of another recipe or data.
        RecipeError: One of the run's files is damaged.
        DatasetError: The prepared data are missing, damaged, or lack a split.
        OutputError: A file cannot be written.
    """
    from training.evaluation.report import environment
    from training.export import calibration_pictures, open_run
    from training.exporting.conversion import Format, convert, saved_model
    from training.exporting.format_scores import format_bundle, score
    from training.exporting.quantisation_debug import (
        DEBUG_PICTURES,
        DROP_LIMIT,
        layer_errors,
        worst_layers,
    )

    run = open_run(recipe, data, folder)
    pictures = calibration_pictures(recipe, run.store)
    with saved_model(run.model) as saved:
        files = {form: convert(saved, form, pictures) for form in Format}
    for form, content in files.items():
        write_atomically(out / f"{recipe.name}.{form}.tflite", content)
    bundles = {form: format_bundle(recipe, content) for form, content in files.items()}
    figures = {split: score(recipe, run.store, bundles, split) for split in splits}
    times, ratios = _timed(bundles, pictures)
    report: dict[str, Any] = {
        "name": recipe.name,
        "task": recipe.task,
        "environment": environment(),
        "rounds": ROUNDS,
        "formats": {
            str(form): {
                "bytes": len(content),
                **times[form],
                "time_of_float32": ratios[form],
                **{split: figures[split][form] for split in splits},
            }
            for form, content in files.items()
        },
    }
    key = "balanced_accuracy" if recipe.task == "classify" else "average_precision"
    report["int8_drop"] = {
        split: figures[split][Format.FLOAT32][key] - figures[split][Format.INT8][key]
        for split in splits
    }
    if layers or report["int8_drop"].get("val", 0.0) > DROP_LIMIT:
        errors = layer_errors(files[Format.FLOAT32], files[Format.INT8], pictures[:DEBUG_PICTURES])
        report["layers"] = worst_layers(errors)
    return report, _markdown(report, splits)


def _timed(
    bundles: Mapping[Any, Any], pictures: NDArray[np.uint8]
) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Milliseconds by format, and its share of float32's time; the network alone."""
    from training.evaluation import timing
    from training.exporting.conversion import Format

    def work(picture: NDArray[np.uint8]) -> dict[str, timing.Work]:
        calls: dict[str, timing.Work] = {}
        for form, bundle in bundles.items():
            engine, batch = bundle.interpreter, bundle.interpreter.prepared(picture[None])
            calls[form] = functools.partial(engine.run_prepared, batch)
        return calls

    works = [work(picture) for picture in pictures[: timing.WARM_UP_ROUNDS]]
    times = timing.interleaved([works[i % len(works)] for i in range(ROUNDS)])
    ratios = {form: timing.ratio(times, form, Format.FLOAT32) for form in bundles}
    return timing.summary(times), ratios


def _markdown(report: Mapping[str, Any], splits: list[str]) -> str:
    from training.evaluation.report import percent, table
    from training.exporting.quantisation_debug import layers_table

    classify = report["task"] == "classify"
    head = ["format", "KiB", "ms, median", "ms, p95", "time / float32"]
    for split in splits:
        head += (
            [f"balanced accuracy, {split}", f"accuracy, {split}"]
            if classify
            else [f"AP from 16 px, {split}"]
        )
    rows: list[list[object]] = []
    for name, f in report["formats"].items():
        row: list[object] = [name, f"{f['bytes'] / 1024:.0f}", f"{f['median_ms']:.2f}"]
        row += [f"{f['p95_ms']:.2f}", f"{f['time_of_float32']['median']:.2f}"]
        for split in splits:
            s = f[split]
            if classify:
                row.append(percent(s["balanced_accuracy"], s["balanced_accuracy_interval"]))
                row.append(percent(s["accuracy"]))
            else:
                row.append(percent(s["average_precision"], s["average_precision_interval"]))
        rows.append(row)
    about = report["environment"]
    drops = ", ".join(f"{100 * v:.2f} points on {k}" for k, v in report["int8_drop"].items())
    parts = [
        f"# {report['name']}: four formats\n",
        f"{about['machine']}; {about['runtime']}, one thread, {report['rounds']} interleaved "
        "rounds of the network alone; percentages with 95 % intervals.\n",
        table(head, rows),
        f"INT8 loses {drops} (below zero: it gains).\n",
    ]
    if "layers" in report:
        parts += ["Where quantisation changes most:\n", layers_table(report["layers"])]
    return "\n".join(parts)
