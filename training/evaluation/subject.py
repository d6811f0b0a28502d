"""Which float model is explained, and what its input and its labels mean."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from edge_app.errors import BundleError, BundleNotFoundError, RecipeError, UsageError
from edge_app.vision.bundle import Card, find_bundle, read_card
from training.fit import RUNS
from training.fitting.start import FLOAT_MODEL, SUMMARY
from training.recipe import Recipe
from training.recipe_file import RECIPES, load_recipe


@dataclass(frozen=True, slots=True)
class Subject:
    """A float model and the card that says how to use it."""

    card: Card
    model: Path


def find_subject(given: str, recipe: str | None) -> Subject:
    """The float model of a bundle or of a run's folder.

    A bundle brings its card; its float model is looked for in ``build/runs/NAME``. A run's
    folder is described by its recipe.

    Args:
        given: A bundle's name or path, or a run's folder.
        recipe: A run's recipe, by name or path; None: the one that its summary names.

    Raises:
        UsageError: It is not a classifier, or a recipe is given for a bundle.
        BundleNotFoundError: There is no such bundle, or no float model of it.
        BundleError: The float model is another training's than the bundle, or a summary cannot be
            read.
        RecipeError: The recipe is missing, or not the one that the run was made with.
    """
    folder = Path(given)
    if (folder / FLOAT_MODEL).is_file():
        return _of_run(folder, recipe)
    if folder.is_dir():
        raise BundleNotFoundError(
            f"{folder}: no {FLOAT_MODEL} in it: not the folder of a finished run"
        )
    if recipe is not None:
        raise UsageError("--recipe describes a run's folder; a bundle has its card")
    return _of_bundle(find_bundle(given))


def _of_bundle(file: Path) -> Subject:
    card = read_card(file)
    _require_classifier(card.task, str(file))
    run = RUNS / card.name
    if not (run / FLOAT_MODEL).is_file():
        raise BundleNotFoundError(
            f"{file}: an INT8 file has no gradients to explain it with, and there is no float "
            f"model of it at {run / FLOAT_MODEL}: give the folder of the run that it was exported "
            "from, or train it again"
        )
    made, of_card = _summary(run), (card.raw or {}).get("training") or {}
    if not of_card or any(made.get(key) != value for key, value in of_card.items()):
        raise BundleError(
            f"{run}: is not the training that {file} was exported from, so it would explain "
            "another model: give a run's folder instead of the bundle"
        )
    return Subject(card, run / FLOAT_MODEL)


def _of_run(folder: Path, given: str | None) -> Subject:
    made = _summary(folder)
    named = str(made["recipe"])
    found = given or (Path(named).stem if (RECIPES / named).is_file() else named)
    try:
        recipe = load_recipe(found)
    except RecipeError as error:
        hint = "" if given else f" ({folder} was made with {named}: give it with --recipe)"
        raise RecipeError(f"{error}{hint}") from None
    if recipe.fingerprint != made["recipe_sha256"]:
        raise RecipeError(
            f"{recipe.path}: is not the recipe that {folder} was made with; give it with --recipe"
        )
    _require_classifier(recipe.task, str(folder))
    card = replace(card_of(recipe), raw={"training": made})
    return Subject(card, folder / FLOAT_MODEL)


def card_of(recipe: Recipe) -> Card:
    """What the card of a classifier recipe would say, before any calibration."""
    assert recipe.sampling is not None
    return Card(
        name=recipe.name,
        task=recipe.task,
        input_width=recipe.model.width,
        input_height=recipe.model.height,
        sha256="",
        labels=recipe.labels,
        crop_margin=recipe.sampling.margin,
        confidence_floor=recipe.thresholds["confidence_floor"],
    )


def _require_classifier(task: str, what: str) -> None:
    if task != "classify":
        raise UsageError(f"{what}: is a detector; explain shows what classifiers look at")


def _summary(run: Path) -> dict[str, object]:
    path = run / SUMMARY
    try:
        content: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
        content["recipe"], content["recipe_sha256"]
        return content
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BundleError(
            f"{path}: does not tell how the model was made ({error!r}): run fit again"
        ) from None
