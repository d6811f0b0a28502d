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
from functools import partial
from pathlib import Path
from typing import Any

from edge_app.errors import KioskError, UsageError
from training.data.store import open_store
from training.experiments.compare_row import FLOAT_FILE, INT8_FILE, Settings, make_row
from training.experiments.fanout import (
    Job,
    add_ray_option,
    portable,
    require_ray,
    run_jobs,
)
from training.experiments.overrides import add_budget_options, require_classifier, shortened
from training.fit import RUNS, refuse_distillation
from training.fitting.start import start_weights
from training.recipe import Recipe
from training.recipe_file import load_recipe

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


def compare(
    recipes: list[Recipe], settings: Settings, ray: str | None = None
) -> tuple[list[dict[str, Any]], dict[str, KioskError]]:
    """Make every row of the table.

    Returns:
        The rows that succeeded, and the errors of the others by recipe name.

    Raises:
        UsageError: Two recipes have one name, one is not a classifier's, or the cluster cannot
            be reached.
        RecipeError: The start weights are missing, or a recipe needs teachers.
        DatasetError: The prepared data are missing.
    """
    names = [recipe.name for recipe in recipes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two recipes are named {', '.join(twice)}: each row needs its own name")
    for recipe in recipes:
        require_classifier(recipe, "compare")
        refuse_distillation(recipe, "compare")
    start_weights(settings.weights)  # what is wrong with these is wrong with every row
    open_store(settings.data)
    jobs = [Job(recipe.name, make_row, (recipe, settings)) for recipe in recipes]
    outcomes = run_jobs(jobs, ray)
    failed = {outcome.name: outcome.error for outcome in outcomes if outcome.error is not None}
    return [outcome.result for outcome in outcomes if outcome.error is None], failed


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
