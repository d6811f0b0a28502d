"""A model bundle: ``name.tflite`` beside ``name.json``, the card that describes it.

The card is what travels with a model: labels in order, input size, crop margin,
thresholds, temperature, where it came from and what it scored. A bundle is refused when
the file's hash or its tensors disagree with the card, so a half-copied or swapped model
never judges anybody.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_app.domain import MaskState
from edge_app.errors import BundleError, BundleNotFoundError
from edge_app.settings_rules import reason, show
from edge_app.store.layout import active_model
from edge_app.vision.interpreter import Interpreter, load_interpreter

CARD_SCHEMA = 1
"""Version of the card's layout; a card with another version is refused."""

MODELS_DIR = Path(__file__).resolve().parent.parent / "models"
"""Where the bundles that ship with the application lie."""

SHA256 = re.compile("[0-9a-f]{64}")

SCORES = (-0.01, 1.01)
"""Range of a detector's scores: they are probabilities; the margin is for rounding."""

LARGEST_CODE = 16.0
"""Box codes lie in -3..3; one of 16 is a face of 12,000 strides."""

LARGEST_LOGIT = 1000.0
"""A classifier's logits lie in about -10..10."""


@dataclass(frozen=True, slots=True)
class Card:
    """The part of a card that the device acts on; ``raw`` holds all of it.

    Attributes:
        name: The bundle's name, the stem of its files.
        task: ``detect`` or ``classify``.
        input_width: Model input width in pixels.
        input_height: Model input height in pixels.
        labels: Classifier labels in output order; empty for a detector.
        crop_margin: Classifier crop margin (see :func:`geometry.square_crop`).
        temperature: The classifier's logits are divided by this before the softmax.
        confidence_floor: Verdicts below this probability are uncertain.
        score_threshold: Detections below this score are dropped.
        nms_iou: Detections that overlap more than this are one face.
        strides: Detector strides in pixels, in output order.
        selftest_sha256: Of the bundle's self-test; None when it has none.
        version: SHA-256 of the card's file, hex. The card names the hashes of the other files, so
            this stands for the whole bundle.
    """

    name: str
    task: str
    input_width: int
    input_height: int
    sha256: str
    labels: tuple[MaskState, ...] = ()
    crop_margin: float = 0.0
    temperature: float = 1.0
    confidence_floor: float = 0.0
    score_threshold: float = 0.5
    nms_iou: float = 0.4
    strides: tuple[int, ...] = ()
    selftest_sha256: str | None = None
    version: str = ""
    raw: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified model, ready to run."""

    card: Card
    path: Path
    interpreter: Interpreter


def card_path(model: Path) -> Path:
    """The card that belongs to a ``.tflite`` file."""
    return model.with_suffix(".json")


def find_bundle(name_or_path: str | Path) -> Path:
    """The ``.tflite`` of a bundle given by path, or by the name of an installed or shipped one.

    A bare name without ``.tflite`` means the installed bundle (see :mod:`edge_app.store`), else
    the shipped one when there is one, whatever lies in the working directory.

    Raises:
        BundleNotFoundError: No such file and no installed or shipped bundle of that name.
        BundleError: The installed bundle of that name is damaged: never replaced silently.
    """
    given = Path(name_or_path)
    path = given if given.suffix == ".tflite" else Path(f"{given}.tflite")
    candidates = [path]
    if len(given.parts) == 1 and path is not given:
        if (installed := active_model(given.name)) is not None:
            return installed
        candidates.insert(0, MODELS_DIR / path)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    shipped = ", ".join(sorted(p.stem for p in MODELS_DIR.glob("*.tflite"))) or "none"
    raise BundleNotFoundError(
        f"no model bundle at {path}: give a .tflite path or one of: {shipped}"
    )


def read_card(model: Path) -> Card:
    """Read and check the card beside a ``.tflite`` file.

    Raises:
        BundleNotFoundError: The card is missing.
        BundleError: The card cannot be read, is not JSON, lacks a key or holds a value out
            of range.
    """
    path = card_path(model)
    try:
        content = path.read_bytes()
        raw = json.loads(content.decode("utf-8"))
    except FileNotFoundError:
        raise BundleNotFoundError(f"{path}: the card of {model.name} is missing") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot read the card: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # also not UTF-8, and numbers without end
        why = reason(error)
        raise BundleError(f"{path}: not valid JSON ({why}); install the bundle again") from None
    return replace(_parse_card(raw, path), version=hashlib.sha256(content).hexdigest())


def load_bundle(name_or_path: str | Path, task: str, threads: int = 1) -> Bundle:
    """Find, verify and open a bundle.

    Args:
        name_or_path: A ``.tflite`` path or the name of a shipped bundle.
        task: The task it must be for, ``detect`` or ``classify``.
        threads: Interpreter threads.

    Raises:
        BundleNotFoundError: A file is missing.
        BundleError: The hash, task or tensor shapes disagree with the card, or the
            runtime cannot read the file.
    """
    model = find_bundle(name_or_path)
    card = read_card(model)
    if card.task != task:
        raise BundleError(f"{model}: is a {card.task!r} bundle, but a {task!r} one is needed")
    try:
        content = model.read_bytes()
    except OSError as error:
        raise BundleError(f"{model}: cannot read the model: {error.strerror}") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.sha256:
        raise BundleError(
            f"{model}: sha256 is {digest[:12]}..., its card says {card.sha256[:12]}...; "
            "the file is damaged or not the one described: install the bundle again"
        )
    try:
        interpreter = load_interpreter(content, threads)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise BundleError(f"{model}: the runtime cannot open it: {reason(error)}") from None
    check_tensors(interpreter, card, model)
    check_run(interpreter, model)
    return Bundle(card, model, interpreter)


def check_tensors(interpreter: Interpreter, card: Card, model: Path) -> None:
    """Compare what a model takes and gives with what its card says.

    Raises:
        BundleError: Shapes disagree, a tensor is not uint8, or an output's scale makes no
            sense of its numbers.
    """
    if len(interpreter.inputs) != 1:
        raise BundleError(f"{model}: has {len(interpreter.inputs)} inputs instead of one")
    wanted = (1, card.input_height, card.input_width, 3)
    if interpreter.input.shape != wanted or interpreter.input.dtype != "uint8":
        raise BundleError(
            f"{model}: input is {interpreter.input.dtype} {interpreter.input.shape}, "
            f"its card says uint8 {wanted}"
        )
    if wrong := [o for o in interpreter.outputs if o.dtype != "uint8" or o.scale <= 0]:
        raise BundleError(
            f"{model}: output {wrong[0].name} is {wrong[0].dtype} with scale {wrong[0].scale:g}, "
            "not quantised uint8"
        )
    found = sorted(output.shape for output in interpreter.outputs)
    expected: list[tuple[int, ...]]
    if card.task == "classify":
        expected = [(1, len(card.labels))]
    else:
        cells = sum((card.input_height // s) * (card.input_width // s) for s in card.strides)
        expected = sorted([(1, cells, 1), (1, cells, 4)])
    if found != expected:
        raise BundleError(f"{model}: outputs are {found}, its card says {expected}")
    for output in interpreter.outputs:
        if card.task == "classify":
            low, high = -LARGEST_LOGIT, LARGEST_LOGIT
        else:
            low, high = SCORES if output.shape[-1] == 1 else (-LARGEST_CODE, LARGEST_CODE)
        lowest, highest = ((stored - output.zero_point) * output.scale for stored in (0, 255))
        if not low <= lowest < highest <= high:  # not even then when the scale is no number
            raise BundleError(
                f"{model}: output {output.name} has values from {lowest:g} to {highest:g}, "
                f"which must be within {low:g}..{high:g}"
            )


def check_run(interpreter: Interpreter, model: Path) -> None:
    """Run a model once: some that can be opened cannot be run, or change their outputs' shapes.

    Raises:
        BundleError: The runtime refuses, or an output has another shape than it said.
    """
    try:
        outputs = interpreter.run(np.zeros(interpreter.input.shape, np.uint8))
    except (ValueError, RuntimeError, MemoryError) as error:
        raise BundleError(f"{model}: the runtime cannot run it: {reason(error)}") from None
    for tensor, value in zip(interpreter.outputs, outputs, strict=True):
        if value.shape != tensor.shape:
            raise BundleError(
                f"{model}: output {tensor.name} is {value.shape}, but the model says {tensor.shape}"
            )


def _parse_card(raw: object, path: Path) -> Card:
    def get(key: str, kind: type | tuple[type, ...], low: float, high: float) -> Any:
        value: Any = raw
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value:
                raise BundleError(f"{path}: key {key!r} is missing")
            value = value[part]
        if isinstance(value, bool) or not isinstance(value, kind):
            raise BundleError(f"{path}: {key} = {show(value)} has the wrong type")
        size: Any = len(value) if isinstance(value, str | list) else value
        if not low <= size <= high:
            raise BundleError(f"{path}: {key} = {show(value)} is not within {low}..{high}")
        return value

    number = (int, float)
    if (schema := get("schema", int, 0, 1 << 30)) != CARD_SCHEMA:
        raise BundleError(
            f"{path}: schema {show(schema)} is not {CARD_SCHEMA}; update the application"
        )
    task = get("task", str, 1, 20)
    common: dict[str, Any] = {
        "name": get("name", str, 1, 100),
        "task": task,
        "sha256": get("sha256", str, 64, 64),
        "input_width": get("input.width", int, 16, 1024),
        "input_height": get("input.height", int, 16, 1024),
        "raw": raw,
    }
    if "selftest" in (raw if isinstance(raw, dict) else {}):
        common["selftest_sha256"] = get("selftest.sha256", str, 64, 64)
    for key in ("sha256", "selftest_sha256"):
        if key in common and not SHA256.fullmatch(common[key]):
            raise BundleError(f"{path}: {key} = {show(common[key])} is none")
    if common["name"] != path.stem:
        raise BundleError(f"{path}: is the card of {show(common['name'])}, not of {path.stem!r}")
    if task == "detect":
        strides = get("strides", list, 1, 8)
        if not all(type(s) is int and 1 <= s <= 128 for s in strides):
            raise BundleError(f"{path}: strides = {show(strides)} must be whole numbers in 1..128")
        return Card(
            **common,
            strides=tuple(strides),
            score_threshold=get("thresholds.score", number, 0, 1),
            nms_iou=get("thresholds.nms_iou", number, 0, 1),
        )
    if task == "classify":
        labels = get("labels", list, 2, 10)
        try:
            states = tuple(MaskState(label) for label in labels)
        except ValueError:
            allowed = ", ".join(MaskState)
            raise BundleError(
                f"{path}: labels = {show(labels)} must be some of: {allowed}"
            ) from None
        if len(set(states)) != len(states):
            raise BundleError(f"{path}: labels = {show(labels)} names one twice")
        width, height = common["input_width"], common["input_height"]
        if width != height:
            raise BundleError(f"{path}: input is {width}x{height}, a classifier's must be square")
        return Card(
            **common,
            labels=states,
            crop_margin=get("crop_margin", number, 0, 3),
            temperature=get("temperature", number, 0.01, 100),
            confidence_floor=get("thresholds.confidence_floor", number, 0, 1),
        )
    raise BundleError(f"{path}: task = {show(task)} must be 'detect' or 'classify'")
