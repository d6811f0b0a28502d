"""Recipes with other values: what searches, comparisons and short trials change.

A key is what the recipe's TOML says, dotted: ``model.dropout``, ``sampling.render``,
``phases.1.learning_rate`` (phases count from 0). A changed recipe passes the very checks
of :mod:`training.recipe_file`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_app.errors import RecipeError, UsageError
from training.recipe import Recipe
from training.recipe_file import recipe_of


def override(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """A recipe like another, with other values under some dotted keys.

    Args:
        recipe: Stays as it is.
        values: Dotted key -> what TOML would say there: a number, text, list or table.

    Raises:
        RecipeError: There is no such key (the message names the known ones), a value is of
            the wrong type or out of range, or the recipe would contradict itself.
    """
    raw = as_tables(recipe)
    for key, value in values.items():
        _set(raw, recipe, key, value)
    return recipe_of(raw, recipe.path)


def shortened(recipe: Recipe, epochs: int | None, steps: int | None) -> Recipe:
    """A recipe cut down for a quick look: at most so many epochs per phase, steps per epoch.

    None leaves a number as it is. A warm-up keeps its share of a shortened phase.

    Raises:
        RecipeError: A number is out of range.
    """
    values: dict[str, Any] = {}
    if steps is not None:
        values["steps_per_epoch"] = min(steps, recipe.steps_per_epoch) if steps > 0 else steps
    if epochs is not None:
        for i, phase in enumerate(recipe.phases):
            if epochs < phase.epochs:
                values[f"phases.{i}.epochs"] = epochs
                values[f"phases.{i}.warmup_epochs"] = phase.warmup_epochs * epochs / phase.epochs
    return override(recipe, values)


def add_budget_options(parser: Any) -> None:
    """Add ``--epochs`` and ``--steps``, for :func:`shortened`, to a command's options."""
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="train each phase for at most N epochs"
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="train at most N steps between two validations"
    )


def require_classifier(recipe: Recipe, command: str) -> None:
    """Refuse a detector's recipe, and say what there is for it.

    Raises:
        UsageError: It is one.
    """
    if recipe.sampling is None:
        raise UsageError(
            f"{recipe.path}: is a detector's recipe, and {command} takes classifiers' only: train "
            "it with 'fit', measure its bundle with 'evaluate', compare two bundles with 'gate'"
        )


def as_tables(recipe: Recipe) -> dict[str, Any]:
    """The tables and values that a recipe's TOML could hold: the inverse of reading it."""
    tables: dict[str, Any] = _plain(recipe)
    del tables["path"]
    return tables


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        items = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        return {name: _plain(item) for name, item in items.items() if item is not None}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, Path | str):
        return str(value)
    return value


def _set(tables: Any, settings: Any, key: str, value: Any) -> None:
    """Change one value deep in ``tables``; ``settings`` is the recipe that they were made of."""
    *way, last = key.split(".")
    for done, word in enumerate(way):
        _require(settings, word, key)
        at: Any = int(word) if isinstance(settings, tuple) else word
        named = isinstance(settings, dict | tuple)
        settings = settings[at] if named else getattr(settings, word)
        if not (isinstance(settings, dict | tuple) or dataclasses.is_dataclass(settings)):
            holder = ".".join(way[: done + 1])
            raise RecipeError(f"no key {key} in this recipe: {holder} = {settings!r} has no keys")
        tables = tables[at]
    _require(settings, last, key)
    tables[int(last) if isinstance(settings, tuple) else last] = value


def _require(settings: Any, word: str, key: str) -> None:
    known = _keys(settings)
    if word not in known:
        raise RecipeError(
            f"no key {key} in this recipe: {word!r} must be one of: {', '.join(known)}"
        )


def _keys(settings: Any) -> list[str]:
    if isinstance(settings, dict):
        return [str(name) for name in settings]
    if isinstance(settings, tuple):
        return [str(i) for i in range(len(settings))]
    return [item.name for item in dataclasses.fields(settings) if item.name != "path"]
