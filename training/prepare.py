"""``prepare``: turn data sets on disk into one verified store for training."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

DEFAULT_MAX_SIDE = 640
"""Twice the detector's largest input: enough for every crop, a third of the disk space."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the ``prepare`` subcommand."""
    parser = subparsers.add_parser(
        "prepare",
        help="read data sets, find near-duplicates, divide, and store decoded pictures",
        description=(
            "Reads class folders (LABEL/*.jpg), Pascal VOC (images/ + annotations/), YOLO "
            "(images/ + labels/) and folders of pictures without faces; the layout tells which. "
            "A data set's name is its folder's name."
        ),
    )
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET_DIR")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, e.g. build/data")
    parser.add_argument("--splits", type=Path, help="JSON that lists the test pictures")
    parser.add_argument("--boxes", type=Path, help="JSON with machine-made boxes of class folders")
    parser.add_argument("--detector", help="bundle that finds the faces --boxes does not have")
    parser.add_argument("--landmarks", type=Path, help="YuNet .onnx that marks five facial points")
    parser.add_argument(
        "--negatives",
        type=Path,
        action="append",
        default=[],
        help="folder of pictures without any face, in sub-folders too (may be repeated)",
    )
    parser.add_argument("--strict", action="store_true", help="fail when anything is skipped")
    parser.add_argument(
        "--max-side",
        type=_whole(32, 8192),
        default=DEFAULT_MAX_SIDE,
        help="longer side of a stored picture at most, pixels (default: %(default)s)",
    )
    parser.add_argument(
        "--val-fraction",
        type=_fraction,
        default=0.1,
        help="share of what is not test that validates (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=_whole(0, 2**31), default=0, help="of the division (default: %(default)s)"
    )
    parser.add_argument(
        "--random-split",
        action="store_true",
        help="draw picture by picture, near-duplicates on both sides: only to set figures beside "
        "published ones, which are drawn so",
    )
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; the exit code is 0, every failure is a KioskError."""
    from training.data.preparation import Options, prepare  # slow imports, so not at the top

    prepare(
        Options(
            datasets=tuple(args.datasets),
            out=args.out,
            splits=args.splits,
            boxes=args.boxes,
            detector=args.detector,
            landmarks=args.landmarks,
            negatives=tuple(args.negatives),
            strict=args.strict,
            max_side=args.max_side,
            val_fraction=args.val_fraction,
            seed=args.seed,
            random_split=args.random_split,
        )
    )
    return 0


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number in {low}..{high}")
        return value

    return parse


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a fraction, 0 or more and below 1")
    return value
