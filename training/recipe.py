"""Recipes: one TOML file per model, read into frozen dataclasses.

An unknown key, a wrong type or a value out of range is one line naming the file and key.
"""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_app.domain import MaskState
from edge_app.errors import RecipeError
from training.data.camera import CameraRanges

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of training: its epochs, peak learning rate and what is trained."""

    epochs: int
    learning_rate: float
    frozen: bool = False
    warmup_epochs: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The network. ``width`` and ``height`` are the input in pixels."""

    width: int
    height: int
    alpha: float = 0.35
    dropout: float = 0.3
    channels: int = 48


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which faces are drawn how often (classifier).

    Attributes:
        margin: Crop margin, see :func:`edge_app.vision.geometry.square_crop`.
        min_face: Faces with a shorter side (pixels of the stored picture) are not used.
        class_power: A face is drawn with weight (faces of its class) ** -class_power.
        dataset_weights: Weight of each data set; those not named are not used.
        render: Fraction of draws that are a bare face with a mask rendered on it.
        render_correct: Fraction of the rendered masks that are worn correctly.
        occluder: Fraction of bare faces that get something that is not a mask.
        shift: Largest shift of the box, as a fraction of its side.
        scale: Largest scaling of the box is ``1/scale..scale``.
        rotation: Largest rotation in degrees.
    """

    margin: float
    min_face: float
    class_power: float
    dataset_weights: dict[str, float]
    render: float = 0.0
    render_correct: float = 0.3
    occluder: float = 0.0
    shift: float = 0.08
    scale: float = 1.15
    rotation: float = 12.0


@dataclass(frozen=True, slots=True)
class Placement:
    """How faces are placed on the detector's canvas.

    Attributes:
        dataset_weights: Weight of each data set; those not named are not used.
        negatives: Fraction of canvases without any face.
        face_px: Target size of one random face is drawn log-uniformly from this range.
        min_face: Faces smaller than this on the canvas are ignored, in pixels.
        max_zoom: A stored picture is enlarged at most this much.
        backdrop: Probability that the bars around a picture show a room, not grey.
        rotation: Largest rotation in degrees.
    """

    dataset_weights: dict[str, float]
    negatives: float = 0.1
    face_px: tuple[float, float] = (12.0, 150.0)
    min_face: float = 9.0
    max_zoom: float = 3.0
    backdrop: float = 0.5
    rotation: float = 10.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training run, beside the data and the start weights."""

    name: str
    task: str
    seed: int
    batch: int
    steps_per_epoch: int
    phases: tuple[Phase, ...]
    model: ModelSettings
    labels: tuple[MaskState, ...] = ()
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    patience: int = 8
    sampling: Sampling | None = None
    placement: Placement | None = None
    camera: CameraRanges = field(default_factory=CameraRanges)
    thresholds: dict[str, float] = field(default_factory=dict)
    path: Path = Path()

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets that the model sees, in order."""
        draws = self.sampling or self.placement
        assert draws is not None
        return tuple(draws.dataset_weights)


TASK_SECTION = {"classify": "sampling", "detect": "placement"}

_POSITIVE = {
    "batch", "steps_per_epoch", "epochs", "learning_rate", "width", "height", "alpha",
    "channels", "scale", "max_zoom", "patience", "gamma", "min_side",
}  # fmt: skip
_FRACTIONS = {
    "dropout", "label_smoothing", "render", "render_correct", "occluder", "negatives",
    "backdrop", "grey", "occlusion",
}  # fmt: skip


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
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise RecipeError(f"no recipe at {file}: give a .toml path or one of: {known}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file}: not valid TOML: {error}") from None
    recipe: Recipe = dataclasses.replace(_build(Recipe, raw, "", file), path=file)
    section = TASK_SECTION.get(recipe.task)
    if section is None:
        raise RecipeError(f"{file}: task = {recipe.task!r} must be one of: {', '.join(TASK_SECTION)}")
    if getattr(recipe, section) is None:
        raise RecipeError(f"{file}: a {recipe.task!r} recipe needs a [{section}] table")
    if not recipe.phases:
        raise RecipeError(f"{file}: at least one [[phases]] table is needed")
    if recipe.task == "classify" and len(recipe.labels) < 2:
        raise RecipeError(f"{file}: labels must name at least two of: {', '.join(MaskState)}")
    if recipe.model.width % 32 or recipe.model.height % 32:
        if recipe.task == "detect":
            raise RecipeError(f"{file}: model.width and model.height must be multiples of 32")
    return recipe


def _build(kind: Any, raw: Any, where: str, file: Path) -> Any:
    if not isinstance(raw, dict):
        raise RecipeError(f"{file}: {where or 'the file'} must be a table")
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind) if f.name != "path"]
    for key in raw:
        if key not in names:
            raise RecipeError(f"{file}: unknown key {where}{key}; allowed: {', '.join(names)}")
    values = {key: _convert(hints[key], raw[key], f"{where}{key}", file) for key in raw}
    for f in dataclasses.fields(kind):
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and f.name not in values:
            raise RecipeError(f"{file}: key {where}{f.name} is missing")
    return kind(**values)


def _convert(hint: Any, value: Any, key: str, file: Path) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    wrong = RecipeError(f"{file}: {key} = {value!r} has the wrong type")
    if args and type(None) in args:
        hint = next(a for a in args if a is not type(None))
        return _convert(hint, value, key, file)
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, f"{key}.", file)
    if origin is tuple:
        if not isinstance(value, list) or (args[-1] is not Ellipsis and len(value) != len(args)):
            raise wrong
        return tuple(_convert(args[0], item, f"{key}[{i}]", file) for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise wrong
        return {name: _convert(args[1], v, f"{key}.{name}", file) for name, v in value.items()}
    if hint is MaskState:
        if value not in list(MaskState):
            raise RecipeError(f"{file}: {key} = {value!r} must be one of: {', '.join(MaskState)}")
        return MaskState(value)
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint:
        raise wrong
    name = key.rsplit(".", 1)[-1]
    if name in _POSITIVE and value <= 0:
        raise RecipeError(f"{file}: {key} = {value!r} must be greater than 0")
    if name in _FRACTIONS and not 0 <= value <= 1:
        raise RecipeError(f"{file}: {key} = {value!r} must be within 0..1")
    return value
