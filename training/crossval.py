"""Cross-validate the recipe of a classifier.

    python -m training crossval mask_classifier_base --weights FILE.weights.h5

Divides the prepared ``train`` and ``val`` pictures into folds, stratified by label, near-
duplicates together; test pictures are not touched. For each fold a model is trained on the
others (one of which chooses the best epoch) and judges the fold, which had no say in anything.
The result is in ``build/crossval/NAME``: ``crossval.json`` and ``.md`` with mean and standard
deviation of every figure, ``predictions.csv`` with what was said of every face by the model that
never saw it, and a run's folder per fold. The same command goes on after a kill.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_app.domain import MaskState
from edge_app.recording import write_atomically
from training.data.store import open_store
from training.experiments.fanout import (
    Job,
    add_ray_option,
    file_sha256,
    portable,
    read_result,
    require_ray,
    results,
    run_jobs,
)
from training.experiments.overrides import add_budget_options, require_classifier, shortened
from training.fit import refuse_distillation, train_run
from training.fitting.start import FLOAT_MODEL, SUMMARY, start_weights
from training.recipe import Recipe
from training.recipe_file import load_recipe

CROSSVAL = Path("build/crossval")
"""Where the folds lie unless ``--out`` says otherwise."""

SCORES = "scores.json"
"""What a finished fold leaves beside its run."""


def add_parser(subparsers: Any) -> None:
    """Add ``crossval`` to the command line."""
    parser = subparsers.add_parser(
        "crossval",
        help="train and judge a recipe on every fold in turn",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help="a recipe's name (see training/recipes) or a .toml path")
    parser.add_argument("--folds", type=int, default=5, help="default: %(default)s, at least 3")
    parser.add_argument("--data", type=Path, default=Path("build/data"), help="prepared data")
    parser.add_argument("--weights", default="imagenet", help="start weights, as for 'fit'")
    parser.add_argument("--out", type=Path, help="default: build/crossval/NAME")
    add_budget_options(parser)
    add_ray_option(parser)
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Entry point of ``crossval``."""
    require_ray(args.ray)
    recipe = shortened(load_recipe(args.recipe), args.epochs, args.steps)
    out = args.out or CROSSVAL / recipe.name
    print(crossval(recipe, args.data, args.weights, out, args.folds, args.ray))
    print(f"written: {out / 'crossval.json'}, {out / 'crossval.md'}, {out / 'predictions.csv'}")
    return 0


def crossval(
    recipe: Recipe, data: Path, weights: str, out: Path, folds: int, ray: str | None = None
) -> str:
    """Train and judge every fold, and write the report into ``out``.

    Args:
        recipe: A classifier's.
        data: Prepared data.
        weights: Start weights, as ``fit`` takes them.
        out: Folder of the folds and the report; continued if it exists.
        folds: How many.
        ray: Address of a Ray cluster; None trains the folds one after the other.

    Returns:
        The report as Markdown.

    Raises:
        RecipeError: The start weights do not fit, the recipe needs teachers, or ``out`` holds
            folds of something else.
        DatasetError: The data are missing or too few.
        UsageError: Too few folds, no classifier, or the cluster cannot be reached.
        OutputError: ``out`` cannot be written.
    """
    from training.experiments.folds import assign_folds

    require_classifier(recipe, "crossval")
    refuse_distillation(recipe, "crossval")
    start, store = start_weights(weights), open_store(data)
    assign_folds(store, recipe, folds)  # what is wrong with it is said at once
    place = out.resolve()
    jobs = [
        Job(
            f"fold {fold + 1}",
            run_fold,
            (recipe, data.resolve(), portable(weights), place / f"fold-{fold + 1}", folds, fold),
        )
        for fold in range(folds)
    ]
    scores = results(run_jobs(jobs, ray))
    report = _report(recipe, store.sha256, start.plain(), scores)
    write_atomically(out / "predictions.csv", _csv(scores, recipe).encode())
    write_atomically(out / "crossval.json", (json.dumps(report, indent=1) + "\n").encode())
    markdown = _markdown(report)
    write_atomically(out / "crossval.md", markdown.encode())
    return markdown


def run_fold(
    recipe: Recipe, data: Path, weights: str, folder: Path, folds: int, fold: int
) -> dict[str, Any]:
    """Train without one fold and judge it; returns figures and predictions, also on disk.

    Raises:
        RecipeError: ``folder`` holds a run of something else, or the start weights do not fit.
        DatasetError: The data lack something.
    """
    import keras

    from training.experiments import scoring
    from training.experiments.folds import assign_folds, fold_store

    store = open_store(data)
    view = fold_store(store, assign_folds(store, recipe, folds), folds, fold)
    keras.backend.clear_session()
    train_run(recipe, view, folder, start_weights(weights))
    digest = file_sha256(folder / FLOAT_MODEL)
    if (held := read_result(folder / SCORES, {"model": digest})) is not None:
        return held
    model = keras.models.load_model(folder / FLOAT_MODEL, compile=False)
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    assert recipe.sampling is not None
    faces, _ = scoring.scored_faces(
        view, "test", recipe.datasets, recipe.labels, limits=recipe.sampling.limits
    )
    logits = scoring.logits_of(
        scoring.keras_predict(model), view, faces, recipe.sampling.margin, recipe.model.width
    )
    scores = {
        "inputs": {"model": digest},
        "fold": fold + 1,
        "best_epoch": summary["best_epoch"],
        "figures": scoring.figures(faces, logits, recipe.labels),
        "predictions": [
            {
                "file": face.record.file,
                "face": face.record.faces.index(face.face),
                "group": face.record.group,
                "truth": str(face.label),
                "logits": [float(f"{value:.6g}") for value in row],
            }
            for face, row in zip(faces, logits, strict=True)
        ],
    }
    write_atomically(folder / SCORES, json.dumps(scores).encode())
    return scores


def _report(
    recipe: Recipe, store_sha256: str, start: dict[str, Any], scores: list[dict[str, Any]]
) -> dict[str, Any]:
    """Every fold, their mean and deviation, and the figures of all predictions together."""
    from training.metrics import classifier_figures

    names = [n for n in _numbers(scores[0]) if all(n in _numbers(fold) for fold in scores)]
    columns = {name: [_numbers(fold)[name] for fold in scores] for name in names}
    predictions = [row for fold in scores for row in fold["predictions"]]
    pooled = classifier_figures(
        [MaskState(row["truth"]) for row in predictions],
        [_verdict(row, recipe) for row in predictions],
        [row["group"] for row in predictions],
    )
    return {
        "recipe": recipe.name,
        "recipe_sha256": recipe.fingerprint,
        "store_sha256": store_sha256,
        "start_weights": start,
        "folds": [{"fold": fold["fold"], **_numbers(fold)} for fold in scores],
        "mean": {name: statistics.fmean(values) for name, values in columns.items()},
        "standard_deviation": {name: statistics.stdev(values) for name, values in columns.items()},
        "out_of_fold": asdict(pooled),
    }


def _numbers(fold: dict[str, Any]) -> dict[str, float]:
    """The figures of a fold that have a mean."""
    figures = fold["figures"].items()
    return {
        "best_epoch": fold["best_epoch"],
        **{name: value for name, value in figures if isinstance(value, int | float)},
    }


def _verdict(row: dict[str, Any], recipe: Recipe) -> MaskState:
    return recipe.labels[max(range(len(recipe.labels)), key=lambda i: row["logits"][i])]


def _csv(scores: list[dict[str, Any]], recipe: Recipe) -> str:
    """One line per face, with the logits of the model that never saw it."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    logits = [f"logit_{label}" for label in recipe.labels]
    table.writerow(["fold", "file", "face", "group", "truth", "verdict", *logits])
    for fold in scores:
        for row in fold["predictions"]:
            table.writerow(
                [
                    fold["fold"], row["file"], row["face"], row["group"], row["truth"],
                    str(_verdict(row, recipe)), *row["logits"],
                ]
            )  # fmt: skip
    return text.getvalue()


def _markdown(report: dict[str, Any]) -> str:
    from training.evaluation.report import percent, table

    names = list(report["mean"])

    def line(title: object, values: dict[str, float]) -> list[object]:
        counts = ("best_epoch", "faces")
        shown = [
            f"{values[n]:.1f}".removesuffix(".0") if n in counts else f"{100 * values[n]:.1f}"
            for n in names
        ]
        return [title, *shown]

    rows = [line(fold["fold"], fold) for fold in report["folds"]]
    rows.append(line("mean", report["mean"]))
    rows.append(line("standard deviation", report["standard_deviation"]))
    pooled = report["out_of_fold"]
    balanced = percent(pooled["balanced_accuracy"], pooled["balanced_accuracy_interval"])
    accuracy = percent(pooled["accuracy"], pooled["accuracy_interval"])
    return "\n".join(
        [
            f"# Cross-validation of {report['recipe']}\n",
            f"{len(report['folds'])} folds of the training and validation pictures, stratified, "
            "near-duplicates together; start weights: "
            f"{report['start_weights']['name']}. Each fold is judged by a model that did not see "
            "it and whose best epoch was chosen on the next fold. Percent, but for best epoch "
            "and faces.\n",
            table(["fold", *(name.replace("_", " ") for name in names)], rows),
            f"All {pooled['samples']} faces together, with 95 % intervals: balanced accuracy "
            f"{balanced}, accuracy {accuracy}.\n",
        ]
    )
