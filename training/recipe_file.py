"""Reads recipes: TOML to :class:`training.recipe.Recipe`, every value checked.

An unknown key, a wrong type or a value out of range is one line naming the file and key.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
import typing
from pathlib import Path
from typing import Any

from edge_app.domain import MaskState
from edge_app.errors import RecipeError
from training.models.backbones import BACKBONES
from training.recipe import ModelSettings, Recipe

RECIPES = Path(__file__).parent / "recipes"
"""The recipes of the models that ship."""

_SECTIONS = {"classify": "sampling", "detect": "placement"}
"""The table of data that each task needs."""

_THRESHOLDS = {"classify": {"confidence_floor"}, "detect": {"score", "nms_iou"}}
"""What the card of each task must say under ``thresholds``."""

SCHEDULES = ("cosine", "plateau")
"""How a learning rate falls."""

METRICS = {
    "classify": ("score", "accuracy", "balanced_accuracy"),
    "detect": ("score", "ap_16px", "ap_32px"),
}
"""The validation figures of each task that may choose the best epoch; for a classifier also
``recall_LABEL`` of each of its labels."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
"""A recipe's name becomes a folder, two files and the bundle's name."""

_DETECTOR_GRID = 32
"""A detector's input must be a multiple of its coarsest stride."""

_RANGES: dict[str, tuple[float, float]] = {
    # Keras' seeds have 32 bits.
    "seed": (0, 2**32 - 1),
    "batch": (1, 4096),
    "steps_per_epoch": (1, 100_000),
    "weight_decay": (0, 1),
    "label_smoothing": (0, 0.5),
    "patience": (1, 10_000),
    "thresholds": (0, 1),
    "epochs": (1, 10_000),
    "learning_rate": (1e-9, 1),
    "warmup_epochs": (0, 10_000),
    # MobileNetV2 takes no smaller input than 32, a card no larger one than 1024.
    "width": (32, 1024),
    "height": (32, 1024),
    "alpha": (0.05, 4),
    "dropout": (0, 0.95),
    "channels": (1, 1024),
    "dense": (0, 4096),
    "mixup": (0, 4),
    "distillation": (0, 1),
    "keep_start": (0, 0.95),
    "limits": (0, 1_000_000),
    "margin": (0, 3),
    "min_face": (0, 1024),
    "class_power": (0, 4),
    "dataset_weights": (1e-6, 1e6),
    "render": (0, 1),
    "render_correct": (0, 1),
    "occluder": (0, 1),
    "shift": (0, 1),
    "scale": (1, 4),
    "rotation": (0, 180),
    "shear": (0, 1),
    "negatives": (0, 1),
    "face_px": (1, 1024),
    "max_zoom": (0.1, 20),
    "backdrop": (0, 1),
    "gamma": (1, 5),
    "colour_cast": (0, 1),
    "contrast": (0, 1),
    "grey": (0, 1),
    # The weakest effects that camera.py draws are a sigma of 0.3 pixels and of 1 grey level.
    "blur": (0.3, 20),
    "noise": (1, 128),
    "min_side": (1, 1024),
    "jpeg_quality": (1, 95),
    "occlusion": (0, 1),
}
"""Field -> least and greatest value; every number in a recipe has its entry."""


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe by path, or one of :data:`RECIPES` by name.

    Raises:
        RecipeError: The file is missing or not TOML, or holds an unknown key, a wrong type
            or a value out of range.
    """
    file = Path(path)
    if not file.is_file() and (RECIPES / f"{path}.toml").is_file():
        file = RECIPES / f"{path}.toml"
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise RecipeError(f"no recipe at {file}: give a .toml path or one of: {known}") from None
    except OSError as error:
        raise RecipeError(f"{file}: cannot be read: {error.strerror}") from None
    try:
        raw = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{file}: not valid TOML: {error}") from None
    return recipe_of(raw, file)


def recipe_of(raw: dict[str, Any], file: Path) -> Recipe:
    """A recipe from the tables of its file, checked.

    Args:
        raw: Keys and values as TOML has them.
        file: Becomes :attr:`Recipe.path` and is named by errors.

    Raises:
        RecipeError: An unknown or missing key, a wrong type or a value out of range.
    """
    recipe: Recipe = dataclasses.replace(_build(Recipe, raw, "", file), path=file)
    if problem := _contradiction(recipe):
        raise RecipeError(f"{file}: {problem}")
    return recipe


def as_argument(recipe: Recipe) -> str:
    """What the command line is given for a recipe: a shipped one's name, else the file's."""
    return recipe.path.stem if recipe.path.parent == RECIPES else recipe.path.name


def _contradiction(recipe: Recipe) -> str | None:
    """What is wrong with a recipe whose values are all right by themselves, if anything."""
    if not _NAME.fullmatch(recipe.name):
        return f"name = {recipe.name!r} must be letters, digits, '_', '-' and '.', 100 at most"
    if recipe.task not in _SECTIONS:
        return f"task = {recipe.task!r} must be one of: {', '.join(_SECTIONS)}"
    for task, section in _SECTIONS.items():
        if (getattr(recipe, section) is not None) != (task == recipe.task):
            verb = "needs a" if task == recipe.task else "has no use for a"
            return f"a {recipe.task!r} recipe {verb} [{section}] table"
    if not recipe.phases:
        return "at least one [[phases]] table is needed"
    for i, phase in enumerate(recipe.phases):
        if phase.warmup_epochs >= phase.epochs:
            return f"phases[{i}].warmup_epochs = {phase.warmup_epochs} must be less than its epochs"
    if not recipe.datasets:
        return f"{_SECTIONS[recipe.task]}.dataset_weights must name at least one data set"
    if set(recipe.thresholds) != _THRESHOLDS[recipe.task]:
        wanted = ", ".join(sorted(_THRESHOLDS[recipe.task]))
        return f"[thresholds] of a {recipe.task!r} recipe must hold exactly: {wanted}"
    if problem := _training_contradiction(recipe):
        return problem
    if recipe.task == "detect":
        return _detector_contradiction(recipe)
    return _classifier_contradiction(recipe)


def _training_contradiction(recipe: Recipe) -> str | None:
    if recipe.schedule not in SCHEDULES:
        return f"schedule = {recipe.schedule!r} must be one of: {', '.join(SCHEDULES)}"
    metrics = [*METRICS[recipe.task], *(f"recall_{label}" for label in recipe.labels)]
    if recipe.metric not in metrics:
        return f"metric = {recipe.metric!r} must be one of: {', '.join(metrics)}"
    for i, phase in enumerate(recipe.phases):
        if phase.frozen and phase.unfreeze_from:
            return f"phases[{i}] has frozen = true and unfreeze_from: it can only have one of them"
        if phase.warmup_epochs and recipe.schedule == "plateau":
            return f"phases[{i}].warmup_epochs is for schedule = 'cosine'"
    return None


def _classifier_contradiction(recipe: Recipe) -> str | None:
    labels, sampling = recipe.labels, recipe.sampling
    assert sampling is not None
    if len(labels) < 2 or len(set(labels)) != len(labels):
        return f"labels must name at least two, each once, of: {', '.join(MaskState)}"
    if recipe.model.width != recipe.model.height:
        return "model.width and model.height must be equal: a classifier's input is square"
    rendered = {MaskState.WITH_MASK} if sampling.render_correct > 0 else set()
    rendered |= {MaskState.INCORRECT_MASK} if sampling.render_correct < 1 else set()
    if sampling.render > 0 and not rendered <= set(labels):
        return f"sampling.render makes faces of: {', '.join(sorted(rendered))}; add to labels"
    allowed = [f"{name}/{label}" for name in recipe.datasets for label in labels]
    if wrong := [key for key in sampling.limits if key not in allowed]:
        return f"sampling.limits: {wrong[0]!r} must be one of: {', '.join(allowed)}"
    return _backbone_contradiction(recipe.model)


def _backbone_contradiction(model: ModelSettings) -> str | None:
    if model.backbone not in BACKBONES:
        return f"model.backbone = {model.backbone!r} must be one of: {', '.join(BACKBONES)}"
    backbone = BACKBONES[model.backbone]
    if model.width < backbone.smallest:
        least = f"{model.backbone} takes no smaller input than {backbone.smallest}"
        return f"model.width = {model.width} is too small: {least}"
    if not backbone.has_alpha and model.alpha != ModelSettings(0, 0).alpha:
        return f"model.alpha: {model.backbone} has no width multiplier; leave it out"
    return None


def _detector_contradiction(recipe: Recipe) -> str | None:
    assert recipe.placement is not None
    if recipe.labels:
        return "labels are for 'classify' recipes: a detector has one class"
    if recipe.mixup or recipe.distillation or recipe.class_weights or recipe.model.dense:
        return "mixup, distillation, class_weights and model.dense are for 'classify' recipes"
    if recipe.model.backbone != ModelSettings(0, 0).backbone:
        return "model.backbone is for 'classify' recipes: a detector stands on MobileNetV2"
    if any(phase.unfreeze_from for phase in recipe.phases):
        return "phases[].unfreeze_from is for 'classify' recipes"
    if recipe.model.width % _DETECTOR_GRID or recipe.model.height % _DETECTOR_GRID:
        return f"model.width and model.height must be multiples of {_DETECTOR_GRID}"
    low, high = recipe.placement.face_px
    if low > high:
        return f"placement.face_px = [{low}, {high}] must be [smallest, largest]"
    return None


def _build(kind: Any, raw: Any, where: str, file: Path) -> Any:
    """A dataclass from a TOML table; ``where`` is the table's dotted key."""
    if not isinstance(raw, dict):
        raise RecipeError(f"{file}: {where} = {raw!r} must be a table")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.name != "path"}
    values = {}
    for name, item in raw.items():
        key = _dotted(where, name)
        if name not in fields:
            raise RecipeError(f"{file}: unknown key {key}; allowed: {', '.join(fields)}")
        values[name] = _convert(hints[name], item, key, name, file)
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise RecipeError(f"{file}: key {_dotted(where, name)} is missing")
    return kind(**values)


def _convert(hint: Any, value: Any, key: str, field_name: str, file: Path) -> Any:
    """A TOML value as what the type hint asks for; numbers within the field's range."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    wrong = RecipeError(f"{file}: {key} = {value!r} has the wrong type")
    if args and type(None) in args:
        hint = next(a for a in args if a is not type(None))
        return _convert(hint, value, key, field_name, file)
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, key, file)
    if origin is tuple:
        if not isinstance(value, list) or (args[-1] is not Ellipsis and len(value) != len(args)):
            raise wrong
        return tuple(
            _convert(args[0], item, f"{key}[{i}]", field_name, file) for i, item in enumerate(value)
        )
    if origin is dict:
        if not isinstance(value, dict):
            raise wrong
        return {
            name: _convert(args[1], item, _dotted(key, name), field_name, file)
            for name, item in value.items()
        }
    if hint is MaskState:
        if value not in list(MaskState):
            raise RecipeError(f"{file}: {key} = {value!r} must be one of: {', '.join(MaskState)}")
        return MaskState(value)
    if type(value) is not hint and not (hint is float and type(value) is int):
        raise wrong
    if hint in (int, float):
        low, high = _RANGES[field_name]
        if not low <= value <= high:  # this way round, so that "nan" is refused
            raise RecipeError(f"{file}: {key} = {value!r} is not within {low:.12g}..{high:.12g}")
    return hint(value)


def _dotted(where: str, name: str) -> str:
    """A key as TOML would write it, on one line."""
    plain = re.fullmatch(r"[A-Za-z0-9_-]+", name)
    return (f"{where}." if where else "") + (name if plain else json.dumps(name))
