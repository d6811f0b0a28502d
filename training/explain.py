"""Show where in a face a classifier looks: Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391).

    python -m training explain build/runs/mask_classifier --images photo.jpg --out explained
    python -m training explain mask_classifier --worst 20 --data DATA/kaggle853 --out explained

Explains pictures of your own (--images; with --detector the faces in them, else each picture is
taken for a face), or the mistakes on a data set that the model was surest of (--worst). It needs
the float model of a run: a bundle's is looked for in build/runs/NAME.

Each face becomes a PNG: the crop beside the crop under its map, coloured where it speaks for
what the model says; a mistake also under the map of the truth. contact.png shows all of
them, explain.json lists them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edge_app.errors import DatasetError, UsageError
from training.evaluation.explanations import Case, explain, write_explanations
from training.evaluation.options import add_data_options, add_min_face
from training.evaluation.subject import find_subject

if TYPE_CHECKING:
    from edge_app.vision.bundle import Bundle
    from edge_app.vision.detector import Detector

FLOAT = "float"

DEFAULT_MIN_FACE = 24.0


def add_parser(subparsers: Any) -> None:
    """Add ``explain`` to the command line."""
    parser = subparsers.add_parser(
        "explain",
        help="show where in a face the classifier looks (Grad-CAM)",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="a bundle's name or path, or a run's folder")
    parser.add_argument(
        "--images", nargs="+", type=Path, default=[], metavar="PATH", help="pictures and folders"
    )
    parser.add_argument(
        "--worst", type=_number, metavar="N", help="explain the N surest mistakes on --data"
    )
    parser.add_argument(
        "--detector", metavar="BUNDLE", help="finds the faces in --images and in class folders"
    )
    parser.add_argument(
        "--recipe", help="a run's recipe, where it is not one of those in training/recipes"
    )
    add_data_options(parser)
    add_min_face(parser, DEFAULT_MIN_FACE)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the pictures")
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Entry point of ``explain``."""
    if not args.images and args.worst is None:
        raise UsageError("nothing to explain: give --images PATH, or --worst N --data DIR")
    if (args.worst is not None) != bool(args.data):
        raise UsageError("--worst N and --data DIR go together")
    subject = find_subject(args.model, args.recipe)
    from training.evaluation.division import picker_for

    files = _picture_files(args.images)
    picker = picker_for(args, [subject.card]) if args.data else None
    detector = _detector(args.detector)
    from training.evaluation.engines import KerasEngine, load_float
    from training.evaluation.gradcam import GradCam

    bundle = load_float(subject.card, subject.model)
    grad_cam = GradCam(cast(KerasEngine, bundle.interpreter).model)
    cases = list(_of_pictures(files, bundle, detector))
    if picker is not None:
        cases += _worst(args, bundle, picker, detector)
        for problem in dict.fromkeys(picker.problems):
            print(f"note: {problem}")
    if not cases:
        raise DatasetError("nothing to explain: no face was found, or no mistake was made")
    explained = [explain(case, bundle, grad_cam) for case in cases]
    write_explanations(args.out, explained, subject, str(grad_cam.layer.name))
    for item in explained:
        truth = "" if item.case.truth is None else f" (is {item.case.truth})"
        print(f"{item.case.file}: {item.said} {item.verdict.confidence:.0%}{truth}")
    print(f"{len(explained)} faces explained by {grad_cam.layer.name}: {args.out / 'contact.png'}")
    return 0


def _detector(name: str | None) -> Detector | None:
    if name is None:
        return None
    from edge_app.vision.bundle import load_bundle
    from edge_app.vision.detector import BundleDetector

    return BundleDetector(load_bundle(name, "detect"))


def _picture_files(paths: Sequence[Path]) -> list[Path]:
    from training.data.samples import pictures_below

    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = pictures_below(path)
            if not found:
                raise DatasetError(f"{path}: no picture in this folder")
            files += found
        elif path.is_file():
            files.append(path)
        else:
            raise DatasetError(f"{path}: no such picture or folder")
    return files


def _of_pictures(
    files: Sequence[Path], bundle: Bundle, detector: Detector | None
) -> Iterator[Case]:
    """The faces of pictures; without a detector each picture as a whole, without margin."""
    from edge_app.domain import Box
    from edge_app.vision.geometry import square_crop
    from training.data.pictures import read_picture

    card = bundle.card
    for file in files:
        try:
            image = read_picture(file).image
        except DatasetError as error:
            raise DatasetError(f"{file}: {error}") from None
        if detector is None:
            height, width = image.shape[:2]
            box = Box(0.0, 0.0, float(width), float(height))
            yield Case(file.name, box, square_crop(image, box, 0.0, card.input_width))
            continue
        faces = detector.detect(image)
        if not faces:
            print(f"{file}: no face found")
        for face in faces:
            crop = square_crop(image, face.box, card.crop_margin, card.input_width)
            yield Case(file.name, face.box, crop)


def _worst(
    args: argparse.Namespace, bundle: Bundle, picker: Any, detector: Detector | None
) -> list[Case]:
    from edge_app.vision.classifier import Classifier
    from training.data.boxes import read_boxes
    from training.evaluation import classify
    from training.evaluation.pictures import FaceFinder

    boxes = read_boxes(args.boxes) if args.boxes is not None else None
    chosen = [picker.choose(root) for root in args.data]
    faces = classify.judge_faces(
        {FLOAT: Classifier(bundle)}, chosen, picker, FaceFinder(boxes, detector), args.min_face
    )
    worst = classify.worst_mistakes(faces.judged, FLOAT, args.worst)
    return [Case(j.file, j.box, classify.crop_of(j, bundle.card), j.truth) for j in worst]


def _number(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value
