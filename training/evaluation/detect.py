"""Scores a detector: average precision, recall, false alarms; and with a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from edge_app.domain import Face, Image, MaskState
from edge_app.errors import DatasetError
from edge_app.vision.bundle import Bundle
from edge_app.vision.classifier import Classifier
from edge_app.vision.detector import BundleDetector, Detector
from edge_app.vision.geometry import letterbox
from training.evaluation.pictures import Chosen, Grouper, Picker
from training.metrics import (
    Detections,
    Truths,
    end_to_end_figures,
    false_alarms,
    match,
    wilson,
)

JUDGED_WIDTH, JUDGED_HEIGHT = 320, 240
"""Every detector gets the picture letterboxed to this size, and resizes that to its own
input; sizes are measured there, so all see the same pixels and are asked the same."""

MIN_SIDES = (16, 24, 32)
"""Face sizes, in pixels of that picture, from which on average precision is given."""

SCORE_FLOOR = 0.1
"""Detections below this score do not enter the precision-recall curve, whoever made them.
A floor favours nobody if it is the same for all; none would let a detector that answers
everywhere (SSD: 1,700 boxes a picture at 0.02) gain from guesses that no user would see."""


@dataclass(slots=True)
class Scenes:
    """Pictures of one data set as the detectors saw them; lists run parallel."""

    truths: list[Truths] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    found: dict[str, list[Detections]] = field(default_factory=dict)


def detector_of(bundle: Bundle) -> BundleDetector:
    """A bundle's detector that also gives what lies below its threshold, for the curve."""
    return BundleDetector(bundle, min(SCORE_FLOOR, bundle.card.score_threshold))


def judged_picture(image: Image) -> Image:
    """The picture that detectors are compared on: uint8, 240 x 320 x 3."""
    return letterbox(image, JUDGED_WIDTH, JUDGED_HEIGHT)[0]


def as_detections(faces: Sequence[Face]) -> Detections:
    """Boxes and scores of faces, as arrays."""
    boxes = np.array([face.box.as_tuple() for face in faces], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([face.score for face in faces], np.float32))


def detect_faces(
    detectors: Mapping[str, Detector],
    chosen: Sequence[Chosen],
    picker: Picker,
    grouper: Grouper,
) -> dict[str, Scenes]:
    """Run detectors over data sets with hand-made boxes; the result is by data set.

    Raises:
        DatasetError: A data set has no hand-made boxes.
    """
    scenes: dict[str, Scenes] = {}
    for dataset in chosen:
        if not dataset.has_boxes:
            raise DatasetError(
                f"{dataset.name}: is a {dataset.kind} data set, without boxes to score a "
                "detector on; give Pascal VOC or YOLO data, or pictures without faces by "
                "--negatives"
            )
        scene = scenes[dataset.name] = Scenes(found={name: [] for name in detectors})
        for opened in picker.open(dataset.samples):
            grouper.add(opened)
            canvas, mapping = letterbox(opened.image, JUDGED_WIDTH, JUDGED_HEIGHT)
            truths = opened.truths()
            scene.truths.append(replace(truths, boxes=mapping.to_canvas(truths.boxes)))
            scene.files.append(opened.sample.file)
            for name, detector in detectors.items():
                scene.found[name].append(as_detections(detector.detect(canvas)))
    return scenes


def detector_figures(
    scenes: Mapping[str, Scenes],
    thresholds: Mapping[str, float],
    groups: Mapping[str, str],
    seed: int,
) -> dict[str, Any]:
    """Figures by detector, data set (and ``all``) and smallest face size, ready for JSON."""
    pools = dict(scenes)
    if len(scenes) > 1:
        pools["all"] = _joined(list(scenes.values()))
    return {
        name: {
            pool: {
                f"{px} px": _sized_figures(scene, name, px, threshold, groups, seed)
                for px in MIN_SIDES
            }
            for pool, scene in pools.items()
        }
        for name, threshold in thresholds.items()
    }


def negative_figures(
    detectors: Mapping[str, Detector],
    thresholds: Mapping[str, float],
    negatives: Sequence[Chosen],
    picker: Picker,
) -> dict[str, Any]:
    """False alarms by detector and folder of pictures without people, ready for JSON."""
    result: dict[str, Any] = {name: {} for name in detectors}
    for folder in negatives:
        scores: dict[str, list[Any]] = {name: [] for name in detectors}
        for opened in picker.open(folder.samples):
            canvas = judged_picture(opened.image)
            for name, detector in detectors.items():
                scores[name].append(as_detections(detector.detect(canvas)).scores)
        for name in detectors:
            if not scores[name]:
                raise DatasetError(f"{folder.name}: none of its pictures can be read")
            alarms = false_alarms(scores[name], thresholds[name])
            result[name][folder.name] = {"threshold": thresholds[name], **asdict(alarms)}
    return result


def find_and_judge(detector: Detector, classifier: Classifier, image: Image) -> list[Face]:
    """What the kiosk says of one picture, were its time not limited."""
    return [
        replace(face, verdict=classifier.classify(image, face.box))
        for face in detector.detect(image)
    ]


def end_to_end(
    pairs: Mapping[str, tuple[Detector, Classifier]],
    chosen: Sequence[Chosen],
    picker: Picker,
    min_face: float,
) -> dict[str, Any]:
    """Figures of detectors with classifiers on whole pictures, ready for JSON.

    Data sets without hand-made boxes are left out; the result is by name and data set.
    """
    boxed = [dataset for dataset in chosen if dataset.has_boxes]
    faces: dict[str, dict[str, list[list[Face]]]] = {name: {} for name in pairs}
    truths: dict[str, list[Truths]] = {}
    states: dict[str, list[list[MaskState]]] = {}
    for dataset in boxed:
        truths[dataset.name], states[dataset.name] = [], []
        for opened in picker.open(dataset.samples):
            truths[dataset.name].append(opened.truths())
            states[dataset.name].append(opened.states)
            for name, (detector, classifier) in pairs.items():
                said = find_and_judge(detector, classifier, opened.image)
                faces[name].setdefault(dataset.name, []).append(said)
    pools = {dataset.name: [dataset.name] for dataset in boxed}
    if len(boxed) > 1:
        pools["all"] = [dataset.name for dataset in boxed]
    return {
        name: {
            pool: asdict(
                end_to_end_figures(
                    [said for part in parts for said in faces[name][part]],
                    [truth for part in parts for truth in truths[part]],
                    [state for part in parts for state in states[part]],
                    min_short_side=min_face,
                )
            )
            for pool, parts in pools.items()
        }
        for name in pairs
    }


def _sized_figures(
    scene: Scenes, name: str, px: int, threshold: float, groups: Mapping[str, str], seed: int
) -> dict[str, Any]:
    matches = match(scene.found[name], scene.truths, min_short_side=px)
    if matches.faces == 0:
        return {"faces": 0}
    found, alarms = matches.found(threshold), matches.false_alarms(threshold)
    interval = matches.average_precision_interval([groups[f] for f in scene.files], seed)
    return {
        "pictures": matches.pictures,
        "faces": matches.faces,
        "average_precision": matches.average_precision(),
        "average_precision_interval": asdict(interval),
        "threshold": threshold,
        "recall": matches.recall(threshold),
        "recall_interval": asdict(wilson(found, matches.faces)),
        "precision": found / (found + alarms) if found + alarms else None,
        "false_alarms": alarms,
    }


def _joined(scenes: Sequence[Scenes]) -> Scenes:
    return Scenes(
        [truth for scene in scenes for truth in scene.truths],
        [file for scene in scenes for file in scene.files],
        {
            name: [found for scene in scenes for found in scene.found[name]]
            for name in scenes[0].found
        },
    )
