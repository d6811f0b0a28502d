"""Command-line options that say which pictures are looked at."""

from __future__ import annotations

import argparse
import math
from pathlib import Path


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``, ``--boxes`` and what :func:`add_split_options` adds."""
    parser.add_argument(
        "--data",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="class folders, Pascal VOC or YOLO data sets",
    )
    add_split_options(parser)
    parser.add_argument(
        "--boxes",
        type=Path,
        metavar="FILE",
        help="classifiers: JSON with machine-made boxes of class folders",
    )


def add_split_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--split``, ``--splits``, ``--prepared`` and ``--seed``."""
    parser.add_argument(
        "--split",
        choices=("test", "all"),
        help="pictures to look at (default: test with --splits or --prepared, else all)",
    )
    parser.add_argument(
        "--splits",
        type=Path,
        metavar="FILE",
        help="JSON that lists the test pictures (default: splits.json beside the first data set); "
        "a data set it does not mention is divided by prepare's rule, together with all others "
        "given; refused if the model was made with further ones",
    )
    parser.add_argument(
        "--prepared",
        type=Path,
        metavar="DIR",
        help="the prepared data that the model was trained on: test is what was test there; "
        "--splits then lists the test pictures of data sets that it does not hold",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of the bootstrap and of the division, as prepare's (default: 0)",
    )


def add_min_face(parser: argparse.ArgumentParser, default: float) -> None:
    """Add ``--min-face``."""
    parser.add_argument(
        "--min-face",
        type=_pixels,
        default=default,
        metavar="PIXELS",
        help="classifiers: smallest short side of a hand-made box that counts (default: 24)",
    )


def _pixels(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 1 <= value <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pixels in 1..10000")
    return value
