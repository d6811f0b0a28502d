"""Face crops for the classifier: drawn, disturbed and batched."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.domain import Image, MaskState
from edge_app.errors import DatasetError
from edge_app.vision.geometry import resize, square_crop
from training.data.camera import degrade
from training.data.occluders import render_occluder
from training.data.overlay import STATE_OF_WEAR, Wear, cut_texture, render_mask
from training.data.store import FaceRecord, Record, Store
from training.recipe import Recipe, Sampling

CONTEXT = 1.5
"""A training crop is first cut this much larger, so that it can be turned and shifted."""

WORKING_SIDE = 128
"""Crops are composed at least this large (masks are drawn on them), then scaled down."""

PHOTO_CLOTH = 0.6
"""Fraction of rendered masks whose cloth is cut from a photo of a real mask."""

INCORRECT_WEARS = {
    Wear.NOSE_OUT: 0.5,
    Wear.CHIN: 0.3,
    Wear.MOUTH_OUT: 0.15,
    Wear.ONE_EAR: 0.05,
}
"""How often each wrong way of wearing is rendered: about as often as it is seen in photos."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled face of the store."""

    record: Record
    face: FaceRecord
    label: MaskState


def labelled_faces(
    store: Store,
    split: str,
    datasets: Sequence[str],
    labels: Sequence[MaskState],
    min_face: float,
    limits: Mapping[str, int] | None = None,
) -> list[Sample]:
    """The faces of a split that can be trained or scored on: labelled, sharp enough, certain.

    Args:
        store: Where they are.
        split: Whose pictures.
        datasets: Names of the data sets that count.
        labels: Those that count.
        min_face: Least shorter side of a box, in pixels.
        limits: See :attr:`training.recipe.Sampling.limits`.

    Raises:
        DatasetError: There are none.
    """
    usable = usable_faces(store, datasets, labels, min_face, limits)
    samples = [s for s in usable if s.record.split == split]
    if not samples:
        raise DatasetError(
            f"{store.path}: no face of {', '.join(datasets)} in the {split} split is labelled, "
            f"certain and at least {min_face:g} pixels wide and high; prepare more pictures"
        )
    return samples


def usable_faces(
    store: Store,
    datasets: Sequence[str],
    labels: Sequence[MaskState],
    min_face: float,
    limits: Mapping[str, int] | None = None,
) -> list[Sample]:
    """Those of every split, in the store's order; arguments as for :func:`labelled_faces`."""
    usable = [
        Sample(record, face, face.label)
        for record in store.records
        if record.dataset in datasets
        for face in record.faces
        if face.label is not None
        and face.label in labels
        and not face.difficult
        and face.box.short_side >= min_face
    ]
    return _limited(usable, limits or {})


def _limited(samples: Sequence[Sample], limits: Mapping[str, int]) -> list[Sample]:
    """The samples, in their order, of which a limited kind keeps the first by its hashes."""
    left_out: set[int] = set()
    for kind, most in limits.items():
        of_kind = [s for s in samples if f"{s.record.dataset}/{s.label}" == kind]
        of_kind.sort(key=lambda s: (s.record.sha256, s.face.box.as_tuple()))
        left_out |= {id(sample) for sample in of_kind[most:]}
    return [sample for sample in samples if id(sample) not in left_out]


def class_shares(
    samples: Sequence[Sample], sampling: Sampling, labels: Sequence[MaskState]
) -> NDArray[np.float64]:
    """The expected share of each label among the drawn faces, (labels,); they add up to 1."""
    weights = draw_weights(samples, sampling)
    drawn = np.array([weights[[s.label is label for s in samples]].sum() for label in labels])
    rendered = {
        MaskState.WITH_MASK: sampling.render_correct,
        MaskState.INCORRECT_MASK: 1 - sampling.render_correct,
    }
    made = np.array([rendered.get(label, 0.0) for label in labels])
    return np.asarray((1 - sampling.render) * drawn + sampling.render * made)


def draw_weights(samples: Sequence[Sample], sampling: Sampling) -> NDArray[np.float64]:
    """Probability of drawing each sample: rare classes more often, data sets as weighted."""
    counts = Counter(sample.label for sample in samples)
    per_set = Counter(sample.record.dataset for sample in samples)
    weights = np.array(
        [
            counts[s.label] ** -sampling.class_power
            * sampling.dataset_weights[s.record.dataset]
            / math.sqrt(per_set[s.record.dataset])
            for s in samples
        ]
    )
    return np.asarray(weights / weights.sum())


def plain_crop(store: Store, sample: Sample, margin: float, size: int) -> Image:
    """The crop that the device would make of this face."""
    return square_crop(store.image(sample.record), sample.face.box, margin, size)


class FaceBatches:
    """Augmented batches: batch i of epoch e depends on the seed, e and i alone.

    A batch is pictures float32 (batch, size, size, 3) in -1..1 and one-hot labels
    (batch, labels).
    """

    def __init__(self, store: Store, samples: Sequence[Sample], recipe: Recipe) -> None:
        assert recipe.sampling is not None
        self._store, self._samples, self._recipe = store, list(samples), recipe
        self._weights = draw_weights(samples, recipe.sampling)
        self._bare = [
            s for s in samples if s.label is MaskState.WITHOUT_MASK and s.face.landmarks is not None
        ]
        self._worn = [
            s for s in samples if s.label is MaskState.WITH_MASK and s.face.landmarks is not None
        ]
        if recipe.sampling.render > 0 and not (self._bare and self._worn):
            raise DatasetError(
                "sampling.render needs bare and masked faces with landmarks: "
                "prepare with --landmarks"
            )
        drawn = {sample.label for sample in samples}
        if recipe.sampling.render > 0:
            drawn |= set(STATE_OF_WEAR.values())
        if never := [label for label in recipe.labels if label not in drawn]:
            raise DatasetError(
                f"{store.path}: no training face is labelled {', '.join(never)}; "
                f"prepare some, or take it out of labels in {recipe.path}"
            )

    def batch(self, epoch: int, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One batch of an epoch, both counted from 0."""
        recipe = self._recipe
        rng = np.random.default_rng([recipe.seed, epoch, index])
        size = recipe.model.width
        pictures = np.empty((recipe.batch, size, size, 3), np.float32)
        labels = np.zeros((recipe.batch, len(recipe.labels)), np.float32)
        for row in range(recipe.batch):
            crop, label = self.draw(rng)
            pictures[row] = crop
            labels[row, recipe.labels.index(label)] = 1
        pictures /= 127.5
        pictures -= 1
        return mixed(pictures, labels, recipe.mixup, rng) if recipe.mixup else (pictures, labels)

    def draw(self, rng: np.random.Generator) -> tuple[Image, MaskState]:
        """One augmented crop and its label."""
        sampling = self._recipe.sampling
        assert sampling is not None
        if rng.random() < sampling.render:
            sample = self._bare[int(rng.integers(len(self._bare)))]
            wear, shares = Wear.CORRECT, list(INCORRECT_WEARS.values())
            if rng.random() >= sampling.render_correct:
                wear = list(INCORRECT_WEARS)[rng.choice(len(shares), p=shares)]
        else:
            sample, wear = self._samples[rng.choice(len(self._samples), p=self._weights)], None
        crop, landmarks = self._context_crop(sample)
        label = sample.label
        if wear is not None and landmarks is not None:
            cloth = self._cloth(rng) if rng.random() < PHOTO_CLOTH else None
            crop, label = render_mask(crop, landmarks, wear, rng, cloth), STATE_OF_WEAR[wear]
        elif label is MaskState.WITHOUT_MASK and landmarks is not None:
            if rng.random() < sampling.occluder:
                crop = render_occluder(crop, landmarks, rng)
        size = self._recipe.model.width
        crop = resize(place(crop, max(size, WORKING_SIDE), sampling, rng), size, size)
        return degrade(crop, rng, self._recipe.camera), label

    def _cloth(self, rng: np.random.Generator) -> Image:
        """The cloth of a mask that somebody in the training pictures wears correctly."""
        crop, landmarks = self._context_crop(self._worn[int(rng.integers(len(self._worn)))])
        assert landmarks is not None
        return cut_texture(crop, landmarks)

    def _context_crop(self, sample: Sample) -> tuple[Image, NDArray[np.float32] | None]:
        assert self._recipe.sampling is not None
        margin, box = self._recipe.sampling.margin, sample.face.box
        wide = (1 + margin) * CONTEXT - 1
        size = round(max(self._recipe.model.width, WORKING_SIDE) * CONTEXT)
        crop = square_crop(self._store.image(sample.record), box, wide, size)
        if sample.face.landmarks is None:
            return crop, None
        side = (1 + wide) * max(box.width, box.height)
        corner = np.array(box.centre) - side / 2
        points = (np.array(sample.face.landmarks, np.float64) - corner) * (size / side)
        return crop, points.astype(np.float32)


def mixed(
    pictures: NDArray[np.float32],
    labels: NDArray[np.float32],
    alpha: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A batch blended with itself in another order (mixup, Zhang et al. 2018, arXiv:1710.09412).

    Args:
        pictures: float32 (batch, height, width, 3).
        labels: One-hot, float32 (batch, labels).
        alpha: Of the Beta distribution that each pair's share comes from.
        rng: Draws order and shares.

    Returns:
        Pictures and labels of the same shapes.
    """
    order = rng.permutation(len(pictures))
    share = rng.beta(alpha, alpha, len(pictures)).astype(np.float32)[:, None]
    blended = labels * share + labels[order] * (1 - share)
    share = share[:, None, None]
    return pictures * share + pictures[order] * (1 - share), blended


def place(context: Image, size: int, sampling: Sampling, rng: np.random.Generator) -> Image:
    """Turn, shear, shift, scale and mirror a context crop into a crop of ``size`` pixels."""
    centre = context.shape[0] / 2
    zoom = math.exp(rng.uniform(-1, 1) * math.log(sampling.scale))
    matrix = cv2.getRotationMatrix2D((centre, centre), rng.uniform(-1, 1) * sampling.rotation, zoom)
    if sampling.shear:  # around the centre, before the turn
        sheared = np.eye(3)
        sheared[0, 1], sheared[1, 0] = rng.uniform(-1, 1, 2) * sampling.shear
        sheared[:2, 2] = centre - sheared[:2, :2].sum(axis=1) * centre
        matrix = matrix @ sheared
    matrix[:, 2] += rng.uniform(-1, 1, 2) * sampling.shift * size + size / 2 - centre
    crop = cv2.warpAffine(
        context, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop  # type: ignore[return-value]
