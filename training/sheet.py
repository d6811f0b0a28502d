"""Draw what a recipe's augmentation looks like, as the network will see it.

    python -m training sheet mask_classifier --out sheet.png

Shows the first training pictures of the recipe's first epoch: for a classifier face crops
grouped by label, for a detector canvases with the faces to be found (green) and those that
teach nothing (grey), grouped by how many faces there are.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_app.errors import UsageError
from edge_app.recording import write_atomically
from training.recipe import Recipe
from training.recipe_file import load_recipe

if TYPE_CHECKING:
    from edge_app.domain import Image
    from training.data.store import Store
    from training.evaluation.tiles import Section, Tile

MAX_COUNT = 1000
"""More pictures than anybody looks at, and a sheet of 20,000 pixels' height."""

COLUMNS = {"classify": 8, "detect": 5}
"""Pictures side by side, by task: a sheet is about 1,200 pixels wide."""

BOX_WIDTH = 2
MIN_SIDE = 136
"""Smallest width of a tile in pixels; smaller pictures are enlarged, so that one sees something."""

PURE = 0.995
"""A mixed picture's label is written as shares; from this share on it is one label."""


def add_parser(subparsers: Any) -> None:
    """Add ``sheet`` to the command line."""
    parser = subparsers.add_parser(
        "sheet",
        help="draw what a recipe's augmentation looks like",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help="a recipe's name (see training/recipes) or a .toml path")
    parser.add_argument("--data", type=Path, default=Path("build/data"), help="prepared data")
    parser.add_argument(
        "--out", type=Path, default=Path("sheet.png"), help="the picture (default: sheet.png)"
    )
    parser.add_argument(
        "--count", type=_count, default=48, help="pictures on the sheet (default: 48)"
    )
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Entry point of ``sheet``."""
    if args.out.suffix.lower() != ".png":
        raise UsageError(f"--out {args.out}: the sheet is a PNG picture: name it *.png")
    recipe = load_recipe(args.recipe)
    from training.data.store import open_store
    from training.evaluation.tiles import encode_png

    image = draw_sheet(recipe, open_store(args.data), args.count)
    write_atomically(args.out, encode_png(image))
    print(f"{args.count} training pictures of {recipe.name}: {args.out}")
    return 0


def draw_sheet(recipe: Recipe, store: Store, count: int) -> Image:
    """The sheet as an RGB picture.

    Raises:
        DatasetError: The data lack what the recipe needs.
    """
    from training.evaluation.tiles import contact_sheet

    sections = (_crops if recipe.task == "classify" else _canvases)(recipe, store, count)
    enlarged = math.ceil(MIN_SIDE / recipe.model.width)
    return contact_sheet(
        sections,
        COLUMNS[recipe.task],
        recipe.model.width * enlarged,
        recipe.model.height * enlarged,
    )


def _crops(recipe: Recipe, store: Store, count: int) -> list[Section]:
    from edge_app.vision.annotate import STATE_COLOURS
    from training.data.faces import FaceBatches, labelled_faces
    from training.evaluation.tiles import Section, Tile

    assert recipe.sampling is not None
    sampling = recipe.sampling
    faces = labelled_faces(
        store, "train", recipe.datasets, recipe.labels, sampling.min_face, sampling.limits
    )
    batches = FaceBatches(store, faces, recipe)
    groups: dict[str, list[Tile]] = {str(label): [] for label in recipe.labels}
    for picture, shares in itertools.islice(_rows(batches), count):
        label = recipe.labels[int(np.argmax(shares))]
        words = [
            f"{share:.0%} {name}" if share < PURE else str(name)
            for name, share in zip(recipe.labels, shares, strict=True)
            if share > 1 - PURE
        ]
        groups[label].append(Tile(_as_bytes(picture), tuple(words), STATE_COLOURS[label]))
    return [Section(f"{name}: {len(tiles)} of {count}", tiles) for name, tiles in groups.items()]


def _rows(batches: Any) -> Iterator[tuple[Any, Any]]:
    """The pictures and label shares of the first epoch, one by one."""
    for index in itertools.count():
        yield from zip(*batches.batch(0, index), strict=True)


def _as_bytes(picture: Any) -> Image:
    """A network's float input in -1..1 as RGB uint8."""
    return np.asarray(np.rint(np.clip((picture + 1) * 127.5, 0, 255)), np.uint8)


def _canvases(recipe: Recipe, store: Store, count: int) -> list[Section]:
    import cv2

    from edge_app.vision.annotate import GREEN, GREY
    from training.data.canvases import CanvasBatches
    from training.evaluation.tiles import Section, Tile

    batches = CanvasBatches(store, recipe)
    groups: dict[str, list[Tile]] = {
        "nothing to find": [], "one face to find": [], "several faces to find": [],
    }  # fmt: skip
    for number in range(count):
        if number % recipe.batch == 0:  # as training seeds every batch
            rng = np.random.default_rng([recipe.seed, 0, number // recipe.batch])
        canvas, boxes, ignored = batches.draw(rng)
        canvas = np.ascontiguousarray(canvas)
        for colour, some in ((GREY, ignored), (GREEN, boxes)):
            for x0, y0, x1, y1 in np.rint(some).astype(int).tolist():
                cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), colour, BOX_WIDTH)
        words = f"{len(boxes)} to find, {len(ignored)} ignored"
        name = list(groups)[min(len(boxes), 2)]
        groups[name].append(Tile(canvas, (words,)))
    return [Section(f"{name}: {len(tiles)} of {count}", tiles) for name, tiles in groups.items()]


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= MAX_COUNT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number in 1..{MAX_COUNT}")
    return value
