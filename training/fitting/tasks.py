"""What differs between training a classifier and training a detector.

A :class:`Task` bundles the model, the batches and the validation of one recipe, so that
``fit`` and ``export`` need not know which of the two they handle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge_app.domain import MaskState
from edge_app.errors import DatasetError
from edge_app.vision.classifier import softmax
from edge_app.vision.detector import cell_grid, select
from edge_app.vision.geometry import letterbox
from training.data.canvases import CanvasBatches, detector_pictures
from training.data.faces import FaceBatches, Sample, class_shares, labelled_faces, plain_crop
from training.data.store import Store
from training.fitting.distillation import LabelledBatches, TaughtBatches, load_teacher
from training.metrics.detection import Detections, Truths, average_precision
from training.models.classifier import build_classifier, freeze_backbone
from training.models.detector import (
    STRIDES,
    DetectorTrainer,
    build_detector,
    freeze_trunk,
    inference_model,
)
from training.recipe import Phase, Recipe

VALIDATION_MIN_FACE = 24.0
"""Classifier validation scores faces with at least this short side, as evaluation does."""

JUDGED_WIDTH, JUDGED_HEIGHT = 320, 240
"""Detectors are compared on pictures letterboxed to this size; sizes are measured there."""

LOWEST_SCORE = 0.05
"""Detections below this score do not enter the validation's precision-recall curve."""


@dataclass(frozen=True, slots=True)
class Task:
    """A recipe made concrete.

    Attributes:
        model: What ``fit`` trains; it compiles it anew in each phase.
        batches: ``batch(epoch, index)`` gives any batch of the run.
        validate: Figures on the validation split; ``score`` is the figure of merit unless the
            recipe's metric is another one.
        deployable: The model to export: float input in -1..1.
        set_phase: Freezes and unfreezes for a phase.
        loss: Loss for ``compile``, None when the model computes its own.
    """

    model: keras.Model
    batches: LabelledBatches | CanvasBatches
    validate: Callable[[], dict[str, float]]
    deployable: keras.Model
    set_phase: Callable[[Phase], None]
    loss: Any


def build_task(
    recipe: Recipe, store: Store, weights: str | None, teachers: Sequence[Path] = ()
) -> Task:
    """The task of a recipe on prepared data.

    Args:
        recipe: What to train.
        store: Holds the recipe's data sets.
        weights: "imagenet", a weights file without top, or None for random ones.
        teachers: Models that a classifier recipe with ``distillation`` learns from.

    Raises:
        RecipeError: The weights or a teacher cannot be used.
        DatasetError: The data lack what the recipe needs.
    """
    if recipe.task == "detect":
        return _detector_task(recipe, store, weights)
    task = _classifier_task(recipe, store, weights)
    if not teachers:
        return task
    models = [load_teacher(path, recipe) for path in teachers]
    return replace(task, batches=TaughtBatches(task.batches, models, recipe.distillation))


def _bare(model: keras.Model) -> keras.Model:
    """The same layers without what ``compile`` adds: its weights hold no optimizer state."""
    return keras.Model(model.input, model.output, name=model.name)


def _trainer(detector: keras.Model, recipe: Recipe) -> DetectorTrainer:
    trainer = DetectorTrainer(detector, recipe.model.width, recipe.model.height)
    trainer(np.zeros((1, recipe.model.height, recipe.model.width, 3), np.float32))
    return trainer


def _classifier_task(recipe: Recipe, store: Store, weights: str | None) -> Task:
    assert recipe.sampling is not None
    settings, sampling = recipe.model, recipe.sampling
    model = build_classifier(
        settings.width,
        settings.alpha,
        len(recipe.labels),
        settings.dropout,
        weights,
        settings.backbone,
        settings.dense,
    )
    for phase in recipe.phases:  # a layer that does not exist is said now, not in its phase
        freeze_backbone(model, phase.frozen, phase.unfreeze_from)
    train = labelled_faces(
        store, "train", recipe.datasets, recipe.labels, sampling.min_face, sampling.limits
    )
    held_out = validation_faces(store, recipe)
    crops = normalised([plain_crop(store, s, sampling.margin, settings.width) for s in held_out])
    truth = np.array([recipe.labels.index(s.label) for s in held_out])
    judged = {f"recall_{label}" for label in {s.label for s in held_out}}
    if recipe.metric.startswith("recall_") and recipe.metric not in judged:
        raise DatasetError(
            f"metric = {recipe.metric!r} of {recipe.path}: no validation face has that label"
        )

    def validate() -> dict[str, float]:
        logits = model.predict(crops, batch_size=128, verbose=0)
        return classifier_validation(logits, truth, recipe.labels)

    return Task(
        model=model,
        batches=FaceBatches(store, train, recipe),
        validate=validate,
        deployable=_bare(model),
        set_phase=lambda phase: freeze_backbone(model, phase.frozen, phase.unfreeze_from),
        loss=_classifier_loss(train, recipe),
    )


def _classifier_loss(samples: list[Sample], recipe: Recipe) -> keras.losses.Loss:
    if not recipe.class_weights:
        return keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        )
    assert recipe.sampling is not None
    shares = class_shares(samples, recipe.sampling, recipe.labels)
    return WeightedCrossentropy(1 / (len(shares) * shares), recipe.label_smoothing)


class WeightedCrossentropy(keras.losses.CategoricalCrossentropy):
    """Cross-entropy of logits in which each label has a weight; a mixed label has their mean.

    Args:
        weights: Of each label, (labels,).
        label_smoothing: Fraction of a label that is spread over all.
    """

    def __init__(self, weights: NDArray[np.float64], label_smoothing: float = 0.0) -> None:
        super().__init__(from_logits=True, label_smoothing=label_smoothing)
        self._weights = weights.astype(np.float32)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        weights = keras.ops.sum(keras.ops.convert_to_tensor(y_true) * self._weights, axis=-1)
        return super().call(y_true, y_pred) * weights


def validation_faces(store: Store, recipe: Recipe) -> list[Sample]:
    """The validation faces of a classifier recipe: hand-boxed ones where there are any.

    Figures on hand-made boxes of street photos are what decides; portraits cropped by a
    machine are nearly all judged right and would drown them.
    """
    assert recipe.sampling is not None
    found = labelled_faces(
        store, "val", recipe.datasets, recipe.labels, VALIDATION_MIN_FACE, recipe.sampling.limits
    )
    return [s for s in found if s.face.origin == "hand"] or found


def classifier_validation(
    logits: NDArray[np.float32], truth: NDArray[np.int64], labels: tuple[MaskState, ...]
) -> dict[str, float]:
    """Recall per class, accuracies, and minus the class-balanced log loss as score."""
    chosen = np.argmax(logits, axis=1)
    surprise = -np.log(np.maximum(softmax(logits)[np.arange(len(truth)), truth], 1e-9))
    present = [i for i in range(len(labels)) if np.any(truth == i)]
    recalls = {i: float(np.mean(chosen[truth == i] == i)) for i in present}
    losses = [float(np.mean(surprise[truth == i])) for i in present]
    return {
        **{f"recall_{labels[i]}": recalls[i] for i in present},
        "accuracy": float(np.mean(chosen == truth)),
        "balanced_accuracy": float(np.mean(list(recalls.values()))),
        "score": -float(np.mean(losses)),
    }


def _detector_task(recipe: Recipe, store: Store, weights: str | None) -> Task:
    settings = recipe.model
    detector = build_detector(
        settings.width, settings.height, settings.alpha, settings.channels, weights
    )
    trainer = _trainer(detector, recipe)
    deployable = inference_model(detector)
    boxed = detector_pictures(store, "val", recipe.datasets)
    by_hand = [r for r in boxed if any(f.origin == "hand" for f in r.faces)]
    records = by_hand or boxed
    cells = cell_grid(settings.width, settings.height, STRIDES)
    canvases, truths = [], []
    for record in records:
        view, mapping = letterbox(store.image(record), JUDGED_WIDTH, JUDGED_HEIGHT)
        boxes = np.array([f.box.as_tuple() for f in record.faces], np.float32).reshape(-1, 4)
        difficult = np.array([f.difficult for f in record.faces], bool)
        inner, inner_mapping = letterbox(view, settings.width, settings.height)
        canvases.append(inner)
        truths.append(Truths(inner_mapping.to_canvas(mapping.to_canvas(boxes)), difficult))
    pictures = normalised(canvases)
    shrink = settings.width / JUDGED_WIDTH
    rooms = [r for r in store.records if r.split == "val" and not r.faces]
    empty = normalised(
        [letterbox(store.image(r), settings.width, settings.height)[0] for r in rooms]
    ) if rooms else None  # fmt: skip
    threshold = recipe.thresholds["score"]

    def validate() -> dict[str, float]:
        scores, codes = deployable.predict(pictures, batch_size=32, verbose=0)
        found = [
            Detections(*select(c, s[:, 0], cells, LOWEST_SCORE, recipe.thresholds["nms_iou"]))
            for s, c in zip(scores, codes, strict=True)
        ]
        figures = {
            f"ap_{px}px": average_precision(found, truths, min_short_side=px * shrink)
            for px in (16, 32)
        }
        if empty is not None:
            alarms = deployable.predict(empty, batch_size=32, verbose=0)[0][..., 0].max(axis=1)
            figures["alarmed_rooms"] = float(np.mean(alarms >= threshold))
        return {**figures, "score": figures["ap_16px"]}

    return Task(
        model=trainer,
        batches=CanvasBatches(store, recipe),
        validate=validate,
        deployable=deployable,
        set_phase=lambda phase: freeze_trunk(detector, phase.frozen),
        loss=None,
    )


def normalised(images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """uint8 pictures of one size as the network's float32 input in -1..1."""
    return np.stack(images).astype(np.float32) / 127.5 - 1
