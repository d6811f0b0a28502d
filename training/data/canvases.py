"""Training pictures for the detector: faces placed on a canvas, and which cell finds which."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.domain import Image
from edge_app.errors import DatasetError
from edge_app.vision.detector import cell_grid
from edge_app.vision.geometry import LETTERBOX_FILL, resize
from training.data.camera import degrade
from training.data.store import Record, Store
from training.models.detector import STRIDES, TARGET_COLUMNS, assign_targets
from training.recipe import Recipe

TEACHER_SCORE = 0.6
"""Machine-made boxes below this score teach nothing (neither face nor background)."""

VISIBLE = 0.5
"""A face of which less than this fraction lies on the canvas is ignored."""


def detector_pictures(store: Store, split: str, datasets: Sequence[str]) -> list[Record]:
    """Pictures of a split that have faces boxed by hand or by a sure teacher.

    Raises:
        DatasetError: There are none.
    """
    records = [
        record
        for record in store.records
        if record.split == split
        and record.dataset in datasets
        and any(face.origin in ("hand", "teacher", "detector") for face in record.faces)
    ]
    if not records:
        raise DatasetError(
            f"{store.path}: no picture of {', '.join(datasets)} in the {split} split has a boxed "
            "face; prepare more pictures, or class folders with --boxes"
        )
    return records


class CanvasBatches:
    """Augmented batches: batch i of epoch e depends on the seed, e and i alone.

    A batch is pictures float32 (batch, height, width, 3) in -1..1 and targets
    (batch, cells, TARGET_COLUMNS).
    """

    def __init__(self, store: Store, recipe: Recipe) -> None:
        assert recipe.placement is not None
        self._store, self._recipe, self._placement = store, recipe, recipe.placement
        self._size = recipe.model.width, recipe.model.height
        self._cells = cell_grid(*self._size, STRIDES)
        weights = recipe.placement.dataset_weights
        self._records = detector_pictures(store, "train", list(weights))
        per_set = {name: sum(r.dataset == name for r in self._records) for name in weights}
        shares = np.array([weights[r.dataset] / per_set[r.dataset] for r in self._records])
        self._shares = shares / shares.sum()
        self._rooms = [r for r in store.records if r.split == "train" and not r.faces]
        self._rooms = [r for r in self._rooms if r.dataset not in weights]
        if recipe.placement.negatives > 0 and not self._rooms:
            raise DatasetError(
                f"{store.path}: placement.negatives needs pictures without faces: "
                "prepare with --negatives DIR"
            )

    def batch(self, epoch: int, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One batch of an epoch, both counted from 0."""
        recipe = self._recipe
        rng = np.random.default_rng([recipe.seed, epoch, index])
        width, height = self._size
        pictures = np.empty((recipe.batch, height, width, 3), np.float32)
        targets = np.empty((recipe.batch, len(self._cells), TARGET_COLUMNS), np.float32)
        for row in range(recipe.batch):
            canvas, boxes, ignored = self.draw(rng)
            pictures[row] = canvas
            targets[row] = assign_targets(boxes, ignored, self._cells)
        pictures /= 127.5
        pictures -= 1
        return pictures, targets

    def draw(
        self, rng: np.random.Generator
    ) -> tuple[Image, NDArray[np.float32], NDArray[np.float32]]:
        """One canvas, its faces (F, 4) and the ignored ones (G, 4) in canvas pixels."""
        none = np.zeros((0, 4), np.float32)
        if rng.random() < self._placement.negatives:
            canvas, boxes, ignored = self._backdrop(rng), none, none
        else:
            record = self._records[rng.choice(len(self._records), p=self._shares)]
            canvas, boxes, ignored = self._place(record, rng)
        return degrade(canvas, rng, self._recipe.camera), boxes, ignored

    def _backdrop(self, rng: np.random.Generator) -> Image:
        """A random part of a room that fills the canvas."""
        width, height = self._size
        image = self._store.image(self._rooms[int(rng.integers(len(self._rooms)))])
        h, w = image.shape[:2]
        cover = max(width / w, height / h)
        zoom = cover * math.exp(rng.uniform(0, math.log(2.5)))
        part_w, part_h = min(w, round(width / zoom)), min(h, round(height / zoom))
        x, y = int(rng.integers(0, w - part_w + 1)), int(rng.integers(0, h - part_h + 1))
        part = resize(image[y : y + part_h, x : x + part_w], width, height)
        return np.ascontiguousarray(part[:, ::-1]) if rng.random() < 0.5 else part.copy()

    def _place(
        self, record: Record, rng: np.random.Generator
    ) -> tuple[Image, NDArray[np.float32], NDArray[np.float32]]:
        width, height = self._size
        image = self._store.image(record)
        faces = [f for f in record.faces if f.origin != "whole"]
        boxes = np.array([f.box.as_tuple() for f in faces], np.float32)
        sure = np.array([f.score is None or f.score >= TEACHER_SCORE for f in faces])
        anchor = boxes[int(rng.integers(len(boxes)))]
        size = math.sqrt(max(1.0, (anchor[2] - anchor[0]) * (anchor[3] - anchor[1])))
        low, high = self._placement.face_px
        wanted = math.exp(rng.uniform(math.log(low), math.log(high)))
        zoom = min(wanted / size, self._placement.max_zoom)
        matrix = self._affine(image, anchor, zoom, rng)
        canvas = self._warp(image, matrix, zoom, rng)
        placed = _transform(boxes, matrix)
        if rng.random() < 0.5:
            canvas = np.ascontiguousarray(canvas[:, ::-1])
            placed[:, [0, 2]] = width - placed[:, [2, 0]]
        seen = np.clip(placed, 0, np.array([width, height, width, height], np.float32))
        area = np.prod(placed[:, 2:] - placed[:, :2], axis=1)
        visible = np.prod(seen[:, 2:] - seen[:, :2], axis=1) / np.maximum(area, 1e-6)
        short = (seen[:, 2:] - seen[:, :2]).min(axis=1)
        teaches = sure & (visible >= VISIBLE) & (short >= self._placement.min_face)
        doubtful = ~teaches & (visible > 0)
        return canvas, seen[teaches], seen[doubtful]

    def _affine(
        self, image: Image, anchor: NDArray[np.float32], zoom: float, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Rotate about the anchor face, scale, and put the face somewhere on the canvas.

        Half the time the picture as a whole is placed so that it covers the canvas where it
        can, as a letterboxed photo would; else the face may land anywhere.
        """
        width, height = self._size
        cx, cy = (anchor[0] + anchor[2]) / 2, (anchor[1] + anchor[3]) / 2
        angle = rng.normal(0, self._placement.rotation / 2)
        stretch = math.exp(rng.uniform(-0.1, 0.1))
        matrix = cv2.getRotationMatrix2D((float(cx), float(cy)), angle, zoom)
        matrix[0] *= stretch
        if rng.random() < 0.5:
            h, w = image.shape[:2]
            centre = matrix @ np.array([w / 2, h / 2, 1])
            here = matrix @ np.array([cx, cy, 1])
            slack_x, slack_y = abs(width - w * zoom) / 2, abs(height - h * zoom) / 2
            goal = np.array(
                [
                    width / 2 + rng.uniform(-slack_x, slack_x),
                    height / 2 + rng.uniform(-slack_y, slack_y),
                ]
            )
            face = np.clip(here + goal - centre, 0, [width, height])
            matrix[:, 2] += face - here
        else:
            here = matrix @ np.array([cx, cy, 1])
            matrix[:, 2] += rng.uniform(0, 1, 2) * [width, height] - here
        return np.asarray(matrix, np.float64)

    def _warp(
        self, image: Image, matrix: NDArray[np.float64], zoom: float, rng: np.random.Generator
    ) -> Image:
        width, height = self._size
        if zoom < 0.7:
            h, w = image.shape[:2]
            small = resize(image, max(1, round(w * zoom)), max(1, round(h * zoom)))
            matrix = matrix @ np.diag([w / small.shape[1], h / small.shape[0], 1.0])
            image = small
        if rng.random() < self._placement.backdrop and self._rooms:
            canvas = self._backdrop(rng)
        else:
            canvas = np.full((height, width, 3), LETTERBOX_FILL, np.uint8)
        return cv2.warpAffine(  # type: ignore[return-value]
            image,
            matrix,
            (width, height),
            dst=canvas,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_TRANSPARENT,
        )


def _transform(boxes: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Boxes through an affine map: the centre moves, the size scales (rotation is small)."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    centres = centres @ matrix[:, :2].T + matrix[:, 2]
    scale = np.array([np.hypot(*matrix[0, :2]), np.hypot(*matrix[1, :2])])
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * scale
    return np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)
