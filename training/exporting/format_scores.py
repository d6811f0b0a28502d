"""Scores a ``.tflite`` file of any format on the prepared data, with the device's code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edge_app.vision.bundle import Bundle, Card
from edge_app.vision.classifier import Classifier
from edge_app.vision.geometry import letterbox
from edge_app.vision.interpreter import Interpreter, load_interpreter
from training.data.canvases import detector_pictures
from training.data.faces import Sample, labelled_faces, plain_crop
from training.data.store import Record, Store
from training.evaluation.detect import (
    JUDGED_HEIGHT,
    JUDGED_WIDTH,
    MIN_SIDES,
    as_detections,
    detector_of,
)
from training.fitting.tasks import VALIDATION_MIN_FACE, validation_faces
from training.metrics import Truths, classifier_figures, match
from training.models.detector import STRIDES
from training.recipe import Recipe


class AnyInput:
    """An interpreter that takes uint8 pictures whatever its file wants.

    A float file gets them in -1..1, and its outputs are float already.
    """

    def __init__(self, content: bytes) -> None:
        self._engine = load_interpreter(content)
        self._is_float = self._engine.input.dtype == "float32"
        self.outputs = self._engine.outputs
        self.runtime = self._engine.runtime

    def prepared(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        """Pictures uint8 (1, H, W, 3) as the file wants them."""
        return batch.astype(np.float32) / 127.5 - 1 if self._is_float else batch

    def run_prepared(self, batch: NDArray[Any]) -> list[NDArray[Any]]:
        """Run on what :meth:`prepared` gave."""
        return self._engine.run(batch)

    def run(self, batch: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """As :meth:`edge_app.vision.interpreter.Interpreter.run`."""
        return self._engine.run(self.prepared(batch))

    def run_real(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """As :meth:`edge_app.vision.interpreter.Interpreter.run_real`."""
        return self._engine.run_real(self.prepared(batch))


def format_bundle(recipe: Recipe, content: bytes) -> Bundle:
    """A file with what the device's code needs to know of it; temperature 1."""
    card = Card(
        name=recipe.name,
        task=recipe.task,
        input_width=recipe.model.width,
        input_height=recipe.model.height,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    if recipe.sampling is not None:
        card = replace(card, labels=recipe.labels, crop_margin=recipe.sampling.margin)
    else:
        card = replace(
            card,
            strides=STRIDES,
            score_threshold=recipe.thresholds["score"],
            nms_iou=recipe.thresholds["nms_iou"],
        )
    return Bundle(card, recipe.path, cast(Interpreter, AnyInput(content)))


def score(
    recipe: Recipe, store: Store, bundles: Mapping[Any, Bundle], split: str
) -> dict[Any, dict[str, Any]]:
    """Figures of every bundle on a split of the prepared data, ready for JSON.

    Faces and pictures with hand-made boxes count where there are any, as in validation.

    Raises:
        DatasetError: The split has nothing to score on.
    """
    judge = _score_classifiers if recipe.task == "classify" else _score_detectors
    return judge(recipe, store, bundles, split)


def _score_classifiers(
    recipe: Recipe, store: Store, bundles: Mapping[Any, Bundle], split: str
) -> dict[Any, dict[str, Any]]:
    assert recipe.sampling is not None
    faces = _faces(recipe, store, split)
    margin, size = recipe.sampling.margin, recipe.model.width
    crops = [plain_crop(store, face, margin, size) for face in faces]
    truths, groups = [face.label for face in faces], [face.record.group for face in faces]
    result = {}
    for name, bundle in bundles.items():
        classifier = Classifier(bundle)
        said = [classifier.judge(crop).probabilities for crop in crops]
        best = [max(p, key=lambda state: p[state]) for p in said]
        result[name] = asdict(classifier_figures(truths, best, groups))
    return result


def _faces(recipe: Recipe, store: Store, split: str) -> list[Sample]:
    if split == "val":
        return validation_faces(store, recipe)
    assert recipe.sampling is not None
    found = labelled_faces(
        store, split, recipe.datasets, recipe.labels, VALIDATION_MIN_FACE, recipe.sampling.limits
    )
    return [s for s in found if s.face.origin == "hand"] or found


def _score_detectors(
    recipe: Recipe, store: Store, bundles: Mapping[Any, Bundle], split: str
) -> dict[Any, dict[str, Any]]:
    boxed = detector_pictures(store, split, recipe.datasets)
    records = [r for r in boxed if any(f.origin == "hand" for f in r.faces)] or boxed
    views, truths = [], []
    for record in records:
        view, mapping = letterbox(store.image(record), JUDGED_WIDTH, JUDGED_HEIGHT)
        drawn = _truths(record)
        views.append(view)
        truths.append(replace(drawn, boxes=mapping.to_canvas(drawn.boxes)))
    groups = [record.group for record in records]
    result: dict[Any, dict[str, Any]] = {}
    for name, bundle in bundles.items():
        detector = detector_of(bundle)
        found = [as_detections(detector.detect(view)) for view in views]
        sized = {px: match(found, truths, min_short_side=px) for px in MIN_SIDES}
        first = sized[MIN_SIDES[0]]
        result[name] = {
            "pictures": first.pictures,
            "faces": first.faces,
            "average_precision": first.average_precision(),
            "average_precision_interval": asdict(first.average_precision_interval(groups)),
            "by_size": {f"{px} px": m.average_precision() for px, m in sized.items() if m.faces},
        }
    return result


def _truths(record: Record) -> Truths:
    faces = [f for f in record.faces if f.origin != "whole"]
    boxes = np.array([f.box.as_tuple() for f in faces], np.float32).reshape(-1, 4)
    return Truths(boxes, np.array([f.difficult for f in faces], bool))
