"""What quantisation changes: float against INT8 on the validation split, and calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from edge_app.vision.classifier import softmax
from edge_app.vision.geometry import letterbox
from edge_app.vision.interpreter import load_interpreter
from training.data.canvases import detector_pictures
from training.data.faces import plain_crop
from training.data.store import Store
from training.fitting.tasks import classifier_validation, normalised, validation_faces
from training.models.detector import STRIDES
from training.recipe import Recipe

PARITY_PICTURES = 200
"""Validation pictures on which a detector's outputs are compared."""

TEMPERATURES = (0.2, 5.0)
"""Where a temperature is looked for; one at either end means that something else is wrong."""


def calibrate(
    recipe: Recipe, store: Store, float_model: Any, content: bytes
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compare the float model with the INT8 file, and calibrate what the card says.

    Args:
        recipe: What was trained.
        store: Holds the validation pictures.
        float_model: The Keras model that was quantised.
        content: The ``.tflite`` file.

    Returns:
        The part of the card that depends on the task, and the parity figures.
    """
    if recipe.task == "classify":
        return _calibrate_classifier(recipe, store, float_model, content)
    return _calibrate_detector(recipe, store, float_model, content)


def drop(parity: Mapping[str, Any]) -> float:
    """Balanced accuracy that INT8 loses, as a share of 1; negative where it gains.

    0 for a detector, whose parity compares outputs; ``python -m training formats`` has its
    average precision in every format.
    """
    if "int8" not in parity:
        return 0.0
    return float(parity["float"]["balanced_accuracy"] - parity["int8"]["balanced_accuracy"])


def fit_temperature(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """The softmax temperature of least log loss (Guo et al. 2017, arXiv:1706.04599).

    Args:
        logits: (faces, labels).
        truth: Index of each face's label, (faces,).

    Returns:
        Within :data:`TEMPERATURES`.
    """
    rows = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        p = softmax(logits, float(np.exp(log_temperature)))
        return float(-np.mean(np.log(np.maximum(p[rows, truth], 1e-12))))

    low, high = TEMPERATURES
    found = minimize_scalar(loss, bounds=(np.log(low), np.log(high)), method="bounded")
    return float(np.exp(found.x))


def _calibrate_classifier(
    recipe: Recipe, store: Store, float_model: Any, content: bytes
) -> tuple[dict[str, Any], dict[str, Any]]:
    assert recipe.sampling is not None
    faces = validation_faces(store, recipe)
    crops = [plain_crop(store, s, recipe.sampling.margin, recipe.model.width) for s in faces]
    truth = np.array([recipe.labels.index(s.label) for s in faces])
    exact = float_model.predict(normalised(crops), verbose=0)
    interpreter = load_interpreter(content)
    quantised = np.concatenate([interpreter.run_real(crop[None])[0] for crop in crops])
    temperature = fit_temperature(quantised, truth)
    tuned = {
        "labels": [str(label) for label in recipe.labels],
        "crop_margin": recipe.sampling.margin,
        "temperature": round(temperature, 4),
        "thresholds": dict(recipe.thresholds),
    }
    parity = {
        "split": "val",
        "faces": len(faces),
        "same_verdict": float(np.mean(exact.argmax(axis=1) == quantised.argmax(axis=1))),
        "float": classifier_validation(exact, truth, recipe.labels),
        "int8": classifier_validation(quantised, truth, recipe.labels),
    }
    return tuned, parity


def _calibrate_detector(
    recipe: Recipe, store: Store, float_model: Any, content: bytes
) -> tuple[dict[str, Any], dict[str, Any]]:
    settings = recipe.model
    records = detector_pictures(store, "val", recipe.datasets)[:PARITY_PICTURES]
    views = [letterbox(store.image(r), settings.width, settings.height)[0] for r in records]
    exact_scores, exact_codes = float_model.predict(normalised(views), batch_size=32, verbose=0)
    interpreter = load_interpreter(content)
    outputs = [interpreter.run_real(view[None]) for view in views]
    at = next(i for i, o in enumerate(interpreter.outputs) if o.shape[-1] == 1)
    scores = np.concatenate([o[at] for o in outputs])
    codes = np.concatenate([o[1 - at] for o in outputs])
    seen = exact_scores[..., 0] >= recipe.thresholds["score"]
    tuned = {"strides": list(STRIDES), "thresholds": dict(recipe.thresholds)}
    parity = {
        "split": "val",
        "pictures": len(views),
        "cells_with_a_face": int(seen.sum()),
        "mean_score_difference": _mean(np.abs(scores - exact_scores)[seen]),
        "mean_code_difference": _mean(np.abs(codes - exact_codes)[seen]),
    }
    return tuned, parity


def _mean(values: NDArray[np.float32]) -> float | None:
    """None where there is nothing to average: no cell saw a face."""
    return float(values.mean()) if values.size else None
