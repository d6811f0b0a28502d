"""Runs two bundles on the same data for the gate."""

from __future__ import annotations

import argparse

from edge_app.errors import UsageError
from edge_app.vision.bundle import Bundle, load_bundle
from edge_app.vision.classifier import Classifier
from edge_app.vision.detector import BundleDetector
from training.data.boxes import read_boxes
from training.data.readers import Kind
from training.evaluation import classify, detect
from training.evaluation.pictures import Chosen, FaceFinder, Grouper, Picker, require_distinct
from training.gate import Comparison
from training.metrics import match
from training.metrics.classification import LABELS
from training.metrics.end_to_end import DEFAULT_MIN_FACE
from training.metrics.paired import (
    found_difference,
    precision_difference,
    recall_difference,
)

ENGINE = "INT8"


def compare_classifiers(
    new: Bundle, old: Bundle, args: argparse.Namespace, picker: Picker
) -> list[Comparison]:
    """Recall per data set and class, each bundle with its own crop.

    Raises:
        UsageError: An option is for detectors.
        DatasetError: A data set cannot be used.
    """
    if args.negatives:
        raise UsageError("--negatives is for detectors; this bundle is a classifier")
    boxes = read_boxes(args.boxes) if args.boxes is not None else None
    detector = None
    if args.detector is not None:
        detector = BundleDetector(load_bundle(args.detector, "detect"))
    finder = FaceFinder(boxes, detector)
    chosen = [picker.choose(root) for root in args.data]
    require_distinct(chosen)
    faces_new, faces_old = (
        classify.judge_faces({ENGINE: Classifier(b)}, chosen, picker, finder, DEFAULT_MIN_FACE)
        for b in (new, old)
    )
    found = []
    pairs = [(a, b) for a, b in zip(faces_new.judged, faces_old.judged, strict=True) if a.counted]
    for dataset in chosen:
        for label in LABELS:
            some = [p for p in pairs if p[0].dataset == dataset.name and p[0].truth == label]
            if some:
                difference = recall_difference(
                    [a.said(ENGINE) == label for a, _ in some],
                    [b.said(ENGINE) == label for _, b in some],
                    [faces_new.groups[a.file] for a, _ in some],
                    args.seed,
                )
                found.append(Comparison(f"{dataset.name}, recall {label}", difference))
    return found


def compare_detectors(
    new: Bundle, old: Bundle, args: argparse.Namespace, picker: Picker
) -> list[Comparison]:
    """Average precision and recall per data set and face size, and pictures with a false alarm.

    Recall and false alarms are those of each bundle at its own threshold, as a kiosk has them:
    the average precision does not change with the threshold.

    Raises:
        UsageError: An option is for classifiers.
        DatasetError: A data set cannot be used.
    """
    for option in ("boxes", "detector"):
        if getattr(args, option) is not None:
            raise UsageError(f"--{option} is for classifiers; this bundle is a detector")
    chosen = [picker.choose(root) for root in args.data]
    negatives = [picker.choose(root, Kind.NEGATIVES) for root in args.negatives]
    require_distinct([*chosen, *negatives])
    detectors = {"new": detect.detector_of(new), "old": detect.detector_of(old)}
    thresholds = (new.card.score_threshold, old.card.score_threshold)
    grouper = Grouper()
    scenes = detect.detect_faces(detectors, chosen, picker, grouper)
    groups = grouper.groups()
    found = []
    for name, scene in scenes.items():
        files = [groups[file] for file in scene.files]
        for px in detect.MIN_SIDES:
            ours, theirs = (
                match(scene.found[who], scene.truths, min_short_side=px) for who in ("new", "old")
            )
            if ours.faces:
                difference = precision_difference(ours, theirs, files, args.seed)
                found.append(Comparison(f"{name}, average precision from {px} px", difference))
                difference = found_difference(ours, theirs, thresholds, files, args.seed)
                found.append(Comparison(f"{name}, recall from {px} px", difference))
    for folder in negatives:
        found.append(_false_alarms(new, old, folder, picker, args.seed))
    return found


def _false_alarms(
    new: Bundle, old: Bundle, folder: Chosen, picker: Picker, seed: int
) -> Comparison:
    """Share of the pictures without people on which each bundle, at its own threshold, alarms."""
    detectors = [BundleDetector(bundle) for bundle in (new, old)]
    grouper, files = Grouper(), []
    alarmed: tuple[list[bool], list[bool]] = ([], [])
    for opened in picker.open(folder.samples):
        grouper.add(opened)
        files.append(opened.sample.file)
        canvas = detect.judged_picture(opened.image)
        for said, detector in zip(alarmed, detectors, strict=True):
            said.append(bool(detector.detect(canvas)))
    groups = grouper.groups()
    difference = recall_difference(*alarmed, [groups[file] for file in files], seed)
    return Comparison(f"{folder.name}, pictures with a false alarm", difference, True)
