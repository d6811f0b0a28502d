"""``bench-models``: our models beside public ones, same run, same pictures, one thread.

Time per inference, average precision, and how many people are found and rightly judged.
A call is everything between the picture and the result: resizing, the network, decoding.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2

from edge_app.domain import Box, Face, Image
from edge_app.errors import DatasetError, UsageError
from edge_app.vision.bundle import load_bundle
from edge_app.vision.classifier import Classifier
from edge_app.vision.detector import BundleDetector, Detector
from edge_app.vision.geometry import letterbox, square_crop
from edge_app.vision.yunet import YuNet
from training.evaluation import detect, peers, report, timing
from training.evaluation.pictures import Chosen, Grouper, Picker, listed_pictures
from training.exporting.flops import multiply_adds
from training.metrics import end_to_end_figures
from training.metrics.end_to_end import DEFAULT_MIN_FACE

ROUNDS = 300
"""Timed rounds; enough that a median moves by less than 1 % between runs."""

TIMED_PICTURES = 20
"""Different pictures among the rounds, in turn: what faces there are changes the time."""

OURS, OURS_NETWORK = "ours, call", "ours, network alone"
YUNET, YUNET_THRESHOLD = "YuNet 320x240, call", 0.6
"""For recall and precision; AP and time do not depend on it. OpenCV's own 0.9 would find
only a sixth of the faces of 16 px and more."""
AIZOO = "AIZOO SSD 260, call"
CORAL, CORAL_NETWORK = "coral_mask 224, call", "coral_mask 224, network alone"
CLASSIFIER, CLASSIFIER_NETWORK = "our classifier, call", "our classifier, network alone"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the ``bench-models`` subcommand."""
    parser = subparsers.add_parser(
        "bench-models",
        help="compare the models with public ones: time, precision, end to end",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--detector", default="face_detector", metavar="BUNDLE")
    parser.add_argument("--classifier", default="mask_classifier", metavar="BUNDLE")
    parser.add_argument("--peers", type=Path, default=Path("../shared/peers"), metavar="DIR")
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/kaggle853"), metavar="DIR",
        help="Pascal VOC or YOLO data set (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=("test", "all"), default="test", help="pictures (default: test)"
    )
    parser.add_argument("--splits", type=Path, metavar="FILE", help="default: beside the data set")
    parser.add_argument("--seed", type=int, default=0, help="of bootstrap and order of timing")
    parser.add_argument("--out", type=Path, default=Path("build/evaluation"), metavar="DIR")
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; every failure is a KioskError."""
    cv2.setNumThreads(1)
    detector = detect.detector_of(load_bundle(args.detector, "detect"))
    classifier = Classifier(load_bundle(args.classifier, "classify"))
    size = detect.JUDGED_WIDTH, detect.JUDGED_HEIGHT
    yunet = peers.yunet(args.peers, *size, detect.SCORE_FLOOR)
    aizoo = peers.Aizoo(args.peers, detect.SCORE_FLOOR)
    coral = peers.Coral(args.peers)
    picker = Picker(listed_pictures(args.split, args.splits, [args.data]), args.seed)
    chosen = picker.choose(args.data)
    if not chosen.has_boxes:
        raise UsageError(f"{args.data}: needs hand-made boxes (Pascal VOC or YOLO)")

    # As used, theirs like ours: what lies below the threshold costs time that no user spends.
    times = _times(
        BundleDetector(detector.bundle),
        classifier,
        peers.yunet(args.peers, *size, YUNET_THRESHOLD),
        peers.Aizoo(args.peers),
        coral,
        _timed(picker, chosen),
        args.seed,
    )
    grouper = Grouper()
    detectors: dict[str, Detector] = {"ours": detector, "YuNet": yunet, "AIZOO": aizoo}
    thresholds = {
        "ours": detector.bundle.card.score_threshold,
        "YuNet": YUNET_THRESHOLD,
        "AIZOO": peers.AIZOO_THRESHOLD,
    }
    scenes = detect.detect_faces(detectors, [chosen], picker, grouper)
    precision = detect.detector_figures(scenes, thresholds, grouper.groups(), args.seed)
    shipped = BundleDetector(detector.bundle)
    together = _end_to_end(shipped, classifier, peers.Aizoo(args.peers), coral, chosen, picker)
    content = {
        "environment": {**report.environment(), "threads": "1"},
        "data": {"name": chosen.name, "split": args.split, "pictures": len(chosen.samples)},
        "models": _models(args, detector, classifier),
        "milliseconds": timing.summary(times),
        "ratios": _ratios(times),
        "detection": precision,
        "end_to_end": together,
        "problems": [
            {"file": p.file, "reason": p.reason, "severity": str(p.severity)}
            for p in dict.fromkeys(picker.problems)
        ],
    }
    markdown = _markdown(content)
    files = report.write_report(args.out, "bench_models", content, markdown)
    print(markdown)
    print(f"written: {', '.join(str(path) for path in files)}")
    return 0


def _timed(picker: Picker, chosen: Chosen) -> list[tuple[Image, Box]]:
    """Pictures at even steps through the data set, each with its largest face."""
    usable = []
    step = max(1, len(chosen.samples) // (2 * TIMED_PICTURES))
    for opened in picker.open(chosen.samples[::step]):
        boxes = [f.box for f in opened.faces if f.box is not None and not f.difficult]
        largest = max(boxes, key=lambda box: box.area, default=None)
        if largest is not None and largest.short_side >= DEFAULT_MIN_FACE:
            usable.append((opened.image, largest))
    if not usable:
        raise DatasetError(f"{chosen.name}: no picture with a face of {DEFAULT_MIN_FACE:g} px")
    return usable[:TIMED_PICTURES]


def _times(
    detector: BundleDetector,
    classifier: Classifier,
    yunet: YuNet,
    aizoo: peers.Aizoo,
    coral: peers.Coral,
    timed: Sequence[tuple[Image, Box]],
    seed: int,
) -> dict[str, list[float]]:
    see, judge = detector.bundle.interpreter, classifier.bundle.interpreter
    detect_card, judge_card = detector.bundle.card, classifier.bundle.card

    def work(image: Image, face: Box) -> dict[str, Callable[[], object]]:
        canvas = detect.judged_picture(image)
        small = letterbox(canvas, detect_card.input_width, detect_card.input_height)[0][None]
        crop = square_crop(image, face, judge_card.crop_margin, judge_card.input_width)[None]
        coral_crop = coral.prepare(image, face)
        return {
            OURS: lambda: detector.detect(canvas),
            OURS_NETWORK: lambda: see.run(small),
            YUNET: lambda: yunet.detect(canvas),
            AIZOO: lambda: aizoo.detect(canvas),
            CLASSIFIER: lambda: classifier.classify(image, face),
            CLASSIFIER_NETWORK: lambda: judge.run(crop),
            CORAL: lambda: coral.classify(image, face),
            CORAL_NETWORK: lambda: coral.interpreter.run(coral_crop),
        }

    works = [work(image, face) for image, face in timed]
    return timing.interleaved([works[i % len(works)] for i in range(ROUNDS)], seed)


def _ratios(times: dict[str, list[float]]) -> dict[str, Any]:
    pairs = (
        (OURS, YUNET),
        (OURS_NETWORK, YUNET),
        (OURS, AIZOO),
        (CLASSIFIER, CORAL),
        (CLASSIFIER_NETWORK, CORAL_NETWORK),
    )
    return {f"{ours} / {theirs}": timing.ratio(times, ours, theirs) for ours, theirs in pairs}


def _end_to_end(
    detector: BundleDetector,
    classifier: Classifier,
    aizoo: peers.Aizoo,
    coral: peers.Coral,
    chosen: Chosen,
    picker: Picker,
) -> dict[str, Any]:
    """Found and rightly judged, on the pictures themselves, by pair of models."""
    names = ("ours", "AIZOO", "our detector + coral_mask")
    said: dict[str, list[list[Face]]] = {name: [] for name in names}
    truths, states = [], []
    for opened in picker.open(chosen.samples):
        image = opened.image
        found = detector.detect(image)
        truths.append(opened.truths())
        states.append(opened.states)
        said[names[0]].append([_judged(f, classifier, image) for f in found])
        said[names[1]].append(aizoo.detect(image))
        said[names[2]].append([_judged(f, coral, image) for f in found])
    return {
        name: {chosen.name: asdict(end_to_end_figures(faces, truths, states))}
        for name, faces in said.items()
    }


def _judged(face: Face, classifier: Classifier | peers.Coral, image: Image) -> Face:
    return Face(face.box, face.score, classifier.classify(image, face.box))


def _models(
    args: argparse.Namespace, detector: BundleDetector, classifier: Classifier
) -> dict[str, Any]:
    files = {
        "our detector": detector.bundle.path,
        "our classifier": classifier.bundle.path,
        "AIZOO": args.peers / peers.AIZOO_FILE,
        "coral_mask": args.peers / peers.CORAL_FILE,
    }
    models: dict[str, Any] = {
        name: {"bytes": path.stat().st_size, "multiply_adds": multiply_adds(path.read_bytes())}
        for name, path in files.items()
    }
    models["YuNet"] = {"bytes": (args.peers / peers.YUNET_FILE).stat().st_size}
    return models


def _markdown(content: dict[str, Any]) -> str:
    about = content["environment"]
    sizes = [
        (
            name,
            f"{m['multiply_adds'] / 1e6:.1f}" if "multiply_adds" in m else "-",
            f"{m['bytes'] / 1e6:.2f}",
        )
        for name, m in content["models"].items()
    ]
    times = [
        (name, f"{t['median_ms']:.2f}", f"{t['p95_ms']:.2f}")
        for name, t in content["milliseconds"].items()
    ]
    ratios = [
        (name, f"{r['median']:.3f}", f"{r['quartile_low']:.3f}-{r['quartile_high']:.3f}")
        for name, r in content["ratios"].items()
    ]
    data = content["data"]
    return "\n".join(
        [
            "# Our models beside their peers\n",
            f"{about['machine']}; {about['system']}; Python {about['python']}, "
            f"{about['runtime']}, OpenCV {about['opencv']}, numpy {about['numpy']}; "
            f"{about['threads']} thread. {data['name']}, {data['split']} pictures: "
            f"{data['pictures']}.\n",
            report.table(["model", "million multiply-adds", "MB"], sizes),
            f"Milliseconds over {ROUNDS} interleaved rounds:\n",
            report.table(["model", "median", "95th percentile"], times),
            "Our time as a share of theirs, within each round:\n",
            report.table(["models", "median", "middle half"], ratios),
            f"## Finding faces\n\nPictures letterboxed to {detect.JUDGED_WIDTH}x"
            f"{detect.JUDGED_HEIGHT}, sizes measured there, IoU 0.4; percent with 95 % intervals."
            "\n",
            report.detector_table(content["detection"]),
            f"## End to end\n\nFaces of at least {DEFAULT_MIN_FACE:g} px in the picture itself; "
            "AIZOO and coral_mask know no incorrectly worn mask.\n",
            report.end_to_end_table(content["end_to_end"]),
            report.problems_text(content["problems"]),
        ]
    )
