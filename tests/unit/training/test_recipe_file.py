"""Recipes from TOML: what is right is read, what is wrong is one line with file and key."""

from __future__ import annotations

import copy
import dataclasses
import json
import tempfile
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.domain import MaskState
from edge_app.errors import RecipeError
from edge_app.vision.bundle import MODELS_DIR
from training.models.backbones import BACKBONES
from training.recipe import Recipe
from training.recipe_file import _RANGES, RECIPES, load_recipe

CLASSIFIER: dict[str, Any] = {
    "name": "faces",
    "task": "classify",
    "labels": ["with_mask", "without_mask", "incorrect_mask"],
    "seed": 3,
    "batch": 8,
    "steps_per_epoch": 2,
    "label_smoothing": 0.05,
    "model": {"width": 64, "height": 64},
    "phases": [
        {"epochs": 2, "learning_rate": 1e-3, "frozen": True},
        {"epochs": 2, "learning_rate": 1e-3, "warmup_epochs": 0.5},
    ],
    "sampling": {
        "margin": 0.4,
        "min_face": 16,
        "class_power": 0.6,
        "dataset_weights": {"street": 1.0, "my photos": 2},
    },
    "camera": {"min_side": 24},
    "thresholds": {"confidence_floor": 0.5},
    "licences": {"street": "CC0"},
}
DETECTOR: dict[str, Any] = {
    "name": "finder",
    "task": "detect",
    "seed": 3,
    "batch": 4,
    "steps_per_epoch": 2,
    "model": {"width": 96, "height": 64, "channels": 16},
    "phases": [{"epochs": 2, "learning_rate": 1e-3}],
    "placement": {"dataset_weights": {"street": 1.0}, "face_px": [9, 130.5]},
    "thresholds": {"score": 0.5, "nms_iou": 0.4},
}


def toml(value: Any) -> str:
    """A value as inline TOML: enough of a writer for these tests."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


def write(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "my.toml"
    lines = [f"{json.dumps(key)} = {toml(value)}" for key, value in content.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def changed(base: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy with one value set by dotted key, numbers for places in lists; None removes it."""
    content = copy.deepcopy(base)
    *path, last = key.split(".")
    at: Any = content
    for part in path:
        at = at[int(part)] if part.isdigit() else at.setdefault(part, {})
    if value is None:
        del at[last]
    else:
        at[int(last) if last.isdigit() else last] = value
    return content


def refusal(path: Path) -> str:
    """The message of the one error that loading gives: a single line that names the file."""
    with pytest.raises(RecipeError) as raised:
        load_recipe(path)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    assert str(path) in message
    assert raised.value.exit_code == 2
    return message


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda p: p.stem)
def test_every_shipped_recipe_loads_by_name(path: Path) -> None:
    recipe = load_recipe(path.stem)
    assert recipe.name == path.stem
    assert recipe.path == path


SHIPPED = {path.stem for path in MODELS_DIR.glob("*.json")}


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda p: p.stem)
def test_no_model_that_ships_is_trained_on_the_non_commercial_set(path: Path) -> None:
    assert SHIPPED
    ships = path.stem.removesuffix("_base") in SHIPPED
    assert not (ships and "overlay" in load_recipe(path).datasets)


def test_every_backbone_has_its_row_in_the_comparison() -> None:
    """And the rows differ in the backbone alone."""
    rows = {name: load_recipe(f"compare_{name}") for name in BACKBONES}
    alike = {
        dataclasses.replace(
            row, name="", path=Path(), model=dataclasses.replace(row.model, backbone="mlp")
        ).fingerprint
        for row in rows.values()
    }
    assert len(alike) == 1
    assert [row.model.backbone for row in rows.values()] == list(BACKBONES)


def test_all_values_arrive(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, CLASSIFIER))
    assert recipe.labels == tuple(MaskState)
    assert recipe.sampling is not None
    assert recipe.sampling.dataset_weights == {"street": 1.0, "my photos": 2.0}
    assert isinstance(recipe.sampling.min_face, float)  # written as a whole number
    assert [phase.frozen for phase in recipe.phases] == [True, False]
    assert recipe.phases[1].warmup_epochs == 0.5
    assert recipe.camera.min_side == 24
    assert recipe.licences == {"street": "CC0"}
    detector = load_recipe(write(tmp_path, DETECTOR))
    assert detector.placement is not None
    assert detector.placement.face_px == (9.0, 130.5)
    assert detector.thresholds == {"score": 0.5, "nms_iou": 0.4}


def test_training_options_arrive(tmp_path: Path) -> None:
    content = CLASSIFIER | {"mixup": 0.2, "class_weights": True, "metric": "recall_with_mask"}
    content = changed(content, "sampling.limits", {"my photos/with_mask": 20})
    content = changed(content, "phases.1.unfreeze_from", "block_13_expand")
    recipe = load_recipe(write(tmp_path, content))
    assert (recipe.mixup, recipe.class_weights) == (0.2, True)
    assert recipe.metric == "recall_with_mask"
    assert recipe.phases[1].unfreeze_from == "block_13_expand"
    assert recipe.sampling is not None
    assert recipe.sampling.limits == {"my photos/with_mask": 20}


def test_a_comment_is_no_other_recipe(tmp_path: Path) -> None:
    path = write(tmp_path, CLASSIFIER)
    before = load_recipe(path).fingerprint
    path.write_text("# the same\n" + path.read_text())
    assert load_recipe(path).fingerprint == before


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("epochs", 3, "unknown key epochs"),
        ("model.depth", 3, "unknown key model.depth"),
        ("phases.1.lr", 0.1, "unknown key phases[1].lr"),
        ("path", "x", "unknown key path"),
        ("sampling.bad\nkey", 1, 'unknown key sampling."bad\\nkey"'),
        ("seed", None, "key seed is missing"),
        ("sampling.margin", None, "key sampling.margin is missing"),
        ("seed", "three", "seed = 'three' has the wrong type"),
        ("seed", True, "seed = True has the wrong type"),
        ("batch", 8.0, "batch = 8.0 has the wrong type"),
        ("model", 3, "model = 3 must be a table"),
        ("phases", {}, "phases = {} has the wrong type"),
        ("phases.0.frozen", 1, "phases[0].frozen = 1 has the wrong type"),
        ("sampling.dataset_weights", [1], "sampling.dataset_weights = [1] has the wrong type"),
        ("licences.street", 4, "licences.street = 4 has the wrong type"),
        ("seed", -1, "seed = -1 is not within 0..4294967295"),
        ("batch", 0, "batch = 0 is not within 1.."),
        ("label_smoothing", 0.6, "label_smoothing = 0.6 is not within 0..0.5"),
        ("label_smoothing", float("nan"), "label_smoothing = nan is not within"),
        ("phases.0.learning_rate", float("inf"), "phases[0].learning_rate = inf is not within"),
        ("model.alpha", 10**400, "model.alpha = 1000"),
        ("model.dropout", 1.0, "model.dropout = 1.0 is not within 0..0.95"),
        ("sampling.dataset_weights.street", 0, "sampling.dataset_weights.street = 0 is not"),
        ("sampling.scale", 0.9, "sampling.scale = 0.9 is not within 1..4"),
        ("camera.jpeg_quality", 96, "camera.jpeg_quality = 96 is not within 1..95"),
        ("camera.blur", 0.0, "camera.blur = 0.0 is not within 0.3.."),
        ("thresholds.confidence_floor", 1.1, "thresholds.confidence_floor = 1.1 is not within"),
        ("labels.0", "masked", "labels[0] = 'masked' must be one of: with_mask"),
        ("labels", ["with_mask"], "labels must name at least two"),
        ("labels", ["with_mask", "with_mask"], "labels must name at least two, each once"),
        ("name", "../faces", "name = '../faces' must be letters"),
        ("name", "", "name = '' must be letters"),
        ("task", "segment", "task = 'segment' must be one of: classify, detect"),
        ("task", "detect", "a 'detect' recipe has no use for a [sampling] table"),
        ("sampling", None, "a 'classify' recipe needs a [sampling] table"),
        ("placement", DETECTOR["placement"], "has no use for a [placement] table"),
        ("phases", [], "at least one [[phases]] table is needed"),
        ("phases.1.warmup_epochs", 2, "phases[1].warmup_epochs = 2.0 must be less than"),
        ("sampling.dataset_weights", {}, "dataset_weights must name at least one data set"),
        ("thresholds", None, "must hold exactly: confidence_floor"),
        ("thresholds.score", 0.5, "must hold exactly: confidence_floor"),
        ("model.height", 96, "model.width and model.height must be equal"),
        ("model.backbone", "vgg", "model.backbone = 'vgg' must be one of: mobilenet_v1"),
        ("model.backbone", "inception_v3", "inception_v3 takes no smaller input than 75"),
        ("model", {"width": 64, "height": 64, "backbone": "vgg16", "alpha": 1.0}, "vgg16 has no"),
        ("model.dense", -1, "model.dense = -1 is not within 0..4096"),
        ("mixup", 5, "mixup = 5 is not within 0..4"),
        ("class_weights", 1, "class_weights = 1 has the wrong type"),
        ("schedule", "step", "schedule = 'step' must be one of: cosine, plateau"),
        ("schedule", "plateau", "phases[1].warmup_epochs is for schedule = 'cosine'"),
        ("metric", "loss", "metric = 'loss' must be one of: score, accuracy, balanced_accuracy"),
        ("metric", "ap_16px", "metric = 'ap_16px' must be one of"),
        ("phases.0.unfreeze_from", "x", "phases[0] has frozen = true and unfreeze_from"),
        ("sampling.limits", {"street/masked": 3}, "'street/masked' must be one of: street/with"),
        ("sampling.limits", {"street/with_mask": 1.5}, "= 1.5 has the wrong type"),
    ],
)
def test_a_wrong_classifier_recipe_is_one_line(
    tmp_path: Path, key: str, value: Any, said: str
) -> None:
    message = refusal(write(tmp_path, changed(CLASSIFIER, key, value)))
    assert said in message


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("thresholds.nms_iou", None, "must hold exactly: nms_iou, score"),
        ("model.width", 100, "model.width and model.height must be multiples of 32"),
        ("placement.face_px", [130, 9], "must be [smallest, largest]"),
        ("placement.face_px", [9], "placement.face_px = [9] has the wrong type"),
        ("placement.face_px", [9, 0], "placement.face_px[1] = 0 is not within"),
        ("labels", ["with_mask", "without_mask"], "a detector has one class"),
        ("task", "classify", "needs a [sampling] table"),
        ("mixup", 0.2, "mixup, distillation, class_weights and model.dense are for"),
        ("distillation", 0.5, "mixup, distillation, class_weights and model.dense are for"),
        ("model.backbone", "vgg16", "a detector stands on MobileNetV2"),
        ("phases.0.unfreeze_from", "x", "unfreeze_from is for 'classify' recipes"),
        ("metric", "accuracy", "metric = 'accuracy' must be one of: score, ap_16px, ap_32px"),
    ],
)
def test_a_wrong_detector_recipe_is_one_line(
    tmp_path: Path, key: str, value: Any, said: str
) -> None:
    assert said in refusal(write(tmp_path, changed(DETECTOR, key, value)))


def test_rendered_masks_need_their_labels(tmp_path: Path) -> None:
    two = changed(CLASSIFIER, "labels", ["with_mask", "without_mask"])
    load_recipe(write(tmp_path, two))
    assert "incorrect_mask" in refusal(write(tmp_path, changed(two, "sampling.render", 0.1)))
    correct = changed(changed(two, "sampling.render", 0.1), "sampling.render_correct", 1)
    load_recipe(write(tmp_path, correct))


def test_a_missing_file_names_the_shipped_ones() -> None:
    with pytest.raises(RecipeError, match=r"^no recipe at nowhere\.toml.*face_detector"):
        load_recipe("nowhere.toml")


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"a = " + b"[" * 5000])
def test_what_is_not_toml_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "my.toml"
    path.write_bytes(content)
    assert "not valid TOML" in refusal(path)


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path)


def test_every_number_has_a_range() -> None:
    """Else a recipe with that key would end in a KeyError."""

    def numbers(kind: Any, name: str) -> set[str]:
        if dataclasses.is_dataclass(kind):
            hints = typing.get_type_hints(kind)
            parts = [numbers(hints[f.name], f.name) for f in dataclasses.fields(kind)]
            return set().union(*parts)
        if args := typing.get_args(kind):
            return set().union(*(numbers(arg, name) for arg in args))
        return {name} if kind in (int, float) else set()

    assert numbers(Recipe, "") == set(_RANGES)


KEYS = [
    "name", "task", "labels", "seed", "phases", "phases.0", "phases.1.epochs", "model",
    "model.alpha", "sampling", "sampling.margin", "sampling.dataset_weights", "camera",
    "camera.gamma", "placement", "thresholds", "thresholds.confidence_floor", "new", "a b",
]  # fmt: skip
VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="ascii")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.\n"), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None)  # a busy machine is no failure
@given(changes=st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=4))
def test_random_values_give_a_recipe_or_a_recipe_error(changes: list[tuple[str, Any]]) -> None:
    content = CLASSIFIER
    for key, value in changes:
        try:
            content = changed(content, key, value)
        except (TypeError, AttributeError, IndexError, KeyError):
            continue  # an earlier change took the place of the table
    check_random(write, content)


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_random_bytes_give_a_recipe_error(content: bytes) -> None:
    def put(folder: Path, content: bytes) -> Path:
        path = folder / "my.toml"
        path.write_bytes(content)
        return path

    check_random(put, content)


def check_random(put: Any, content: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder), content)
        said = None
        try:
            recipe = load_recipe(path)
        except RecipeError as error:
            said = str(error)
        if said is None:
            assert recipe.datasets
            assert recipe.phases
        else:
            assert len(said.splitlines()) == 1
            assert str(path) in said
