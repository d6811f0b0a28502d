"""``evaluate``: honest figures of a model, by data set and class, with intervals.

A classifier is scored on hand-made boxes (Pascal VOC, YOLO) and on the pictures of class
folders; with --detector also end to end: found and rightly judged. A detector is scored on
hand-made boxes, in pictures letterboxed to 320x240, and on pictures without people
(--negatives). The INT8 file runs in the device's interpreter with the device's code; --float
runs the float model in its place.

Writes NAME.json for programs, NAME.md, and NAME.html, a page with charts and the worst mistakes.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import cv2

from edge_app.domain import Image
from edge_app.errors import UsageError
from edge_app.vision.bundle import Bundle, find_bundle, load_bundle, read_card
from edge_app.vision.classifier import Classifier
from edge_app.vision.detector import BundleDetector
from training.data.boxes import read_boxes
from training.data.readers import Kind
from training.evaluation import classify, detect, report
from training.evaluation.card import record_metrics
from training.evaluation.division import picker_for
from training.evaluation.engines import load_float
from training.evaluation.options import add_data_options, add_min_face
from training.evaluation.page import SHOWN_FACES, evaluation_page
from training.evaluation.pictures import (
    Chosen,
    FaceFinder,
    Grouper,
    Picker,
    require_distinct,
)
from training.metrics.end_to_end import DEFAULT_MIN_FACE

log = logging.getLogger(__name__)

INT8, FLOAT = "INT8", "float"

Measured = tuple[dict[str, Any], str, dict[str, Any], list[Image]]
"""Figures, the same as Markdown, the data sets, and crops of the worst mistakes."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the ``evaluate`` subcommand."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a model on a data set",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "bundle", help="path of a .tflite with its card, or a shipped bundle's name"
    )
    add_data_options(parser)
    parser.add_argument(
        "--negatives",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="detectors: pictures without people, where every detection is a false alarm",
    )
    parser.add_argument(
        "--detector",
        metavar="BUNDLE",
        help="classifiers: finds faces in class folders without --boxes, and adds end-to-end "
        "figures on data with hand-made boxes",
    )
    parser.add_argument(
        "--float",
        type=Path,
        metavar="FILE",
        dest="float_model",
        help="the bundle's float model (.keras), scored on the same pixels",
    )
    add_min_face(parser, DEFAULT_MIN_FACE)
    parser.add_argument(
        "--record",
        action="store_true",
        help="put the INT8 figures into the bundle's card as its metrics",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where NAME.json, NAME.md and NAME.html go (default: build/evaluation)",
    )
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; every failure is a KioskError."""
    cv2.setNumThreads(1)
    card = read_card(find_bundle(args.bundle))
    if not args.data and not args.negatives:
        raise UsageError("nothing to measure on: give --data DIR (or, for a detector, --negatives)")
    bundle = load_bundle(args.bundle, card.task)
    engines = {INT8: bundle}
    if args.float_model is not None:
        engines[FLOAT] = load_float(card, args.float_model)
    picker = picker_for(args, [card], args.negatives)
    measure = _measure_classifier if card.task == "classify" else _measure_detector
    figures, text, pictures, faces = measure(args, engines, picker)
    problems = [
        {"file": p.file, "reason": p.reason, "severity": str(p.severity)}
        for p in dict.fromkeys(picker.problems)
    ]
    content = {
        "bundle": {"name": card.name, "task": card.task, "sha256": card.sha256},
        "engines": {name: engine.interpreter.runtime for name, engine in engines.items()},
        "environment": report.environment(),
        "seed": args.seed,
        "split": "all" if picker.listed is None else "test",
        "data": pictures,
        **figures,
        "problems": problems,
    }
    markdown = f"# {card.name}\n\n{_data_text(content)}\n{text}\n{report.problems_text(problems)}"
    page = evaluation_page(content, faces)
    out = args.out or Path("build/evaluation")
    files = report.write_report(out, card.name, content, markdown, page)
    print(markdown)
    if args.record:
        files.append(record_metrics(bundle.path, content, INT8))
    print(f"written: {', '.join(str(path) for path in files)}")
    return 0


def _measure_classifier(
    args: argparse.Namespace, engines: dict[str, Bundle], picker: Picker
) -> Measured:
    if args.negatives:
        raise UsageError("--negatives is for detectors; this bundle is a classifier")
    detector = None
    if args.detector is not None:
        detector = BundleDetector(load_bundle(args.detector, "detect"))
    boxes = read_boxes(args.boxes) if args.boxes is not None else None
    chosen = [picker.choose(root) for root in args.data]
    require_distinct(chosen)
    classifiers = {name: Classifier(bundle) for name, bundle in engines.items()}
    finder = FaceFinder(boxes, detector)
    faces = classify.judge_faces(classifiers, chosen, picker, finder, args.min_face)
    by_hand = [dataset.name for dataset in chosen if dataset.has_boxes]
    result: dict[str, Any] = {
        "min_face": args.min_face,
        "classification": classify.figures(faces, list(engines), by_hand, args.seed),
        "milliseconds": classify.time_per_face(classifiers, faces.judged, args.seed),
    }
    worst = {name: classify.worst_mistakes(faces.judged, name, SHOWN_FACES) for name in engines}
    result["worst_mistakes"] = {
        name: [classify.describe_mistake(judged, name) for judged in some]
        for name, some in worst.items()
    }
    crops = [classify.crop_of(judged, engines[INT8].card) for judged in worst[INT8]]
    text = "## Classification\n\n" + report.classifier_tables(result["classification"])
    text += "\n" + report.time_text(result["milliseconds"])
    if detector is not None and by_hand:
        pairs = {name: (detector, classifier) for name, classifier in classifiers.items()}
        found = detect.end_to_end(pairs, chosen, picker, args.min_face)
        card = detector.bundle.card
        result["end_to_end"] = {
            "detector": {"name": card.name, "sha256": card.sha256},
            "score_threshold": detector.score_threshold,
            "figures": found,
        }
        text += "\n## End to end\n\n" + report.end_to_end_table(found)
    pictures = _describe(chosen)
    for name, counts in faces.left_out.items():
        pictures[name]["left_out"] = dict(counts)
        pictures[name]["boxes_by_origin"] = dict(faces.origins[name])
    return result, text, pictures, crops


def _measure_detector(
    args: argparse.Namespace, engines: dict[str, Bundle], picker: Picker
) -> Measured:
    for option in ("boxes", "detector"):
        if getattr(args, option) is not None:
            raise UsageError(f"--{option} is for classifiers; this bundle is a detector")
    chosen = [picker.choose(root) for root in args.data]
    negatives = [picker.choose(root, Kind.NEGATIVES) for root in args.negatives]
    require_distinct([*chosen, *negatives])
    detectors = {name: detect.detector_of(bundle) for name, bundle in engines.items()}
    thresholds = {name: bundle.card.score_threshold for name, bundle in engines.items()}
    result: dict[str, Any] = {}
    text = ""
    if chosen:
        grouper = Grouper()
        scenes = detect.detect_faces(detectors, chosen, picker, grouper)
        figures = detect.detector_figures(scenes, thresholds, grouper.groups(), args.seed)
        result["score_floor"] = detect.SCORE_FLOOR
        result["detection"] = figures
        text += "## Detection\n\n" + report.detector_table(figures)
    if negatives:
        alarms = detect.negative_figures(detectors, thresholds, negatives, picker)
        result["false_alarms"] = alarms
        text += "\n## False alarms\n\n" + report.negatives_table(alarms)
    return result, text, _describe([*chosen, *negatives]), []


def _describe(chosen: list[Chosen]) -> dict[str, Any]:
    return {
        dataset.name: {
            "kind": str(dataset.kind),
            "pictures": len(dataset.samples),
            "of": dataset.pictures_in_all,
        }
        for dataset in chosen
    }


def _data_text(content: dict[str, Any]) -> str:
    engines = ", ".join(f"{name} by {runtime}" for name, runtime in content["engines"].items())
    lines = [f"{engines}; {content['split']} pictures; percentages with 95 % intervals.\n"]
    for name, about in content["data"].items():
        line = f"- {name} ({about['kind']}): {about['pictures']} of {about['of']} pictures"
        for reason, number in about.get("left_out", {}).items():
            line += f", {number} faces left out ({reason})"
        lines.append(line)
    return "\n".join(lines) + "\n"
