"""Figures of a face detector: average precision, recall at a threshold, false alarms.

The rule of what counts, as with the size ranges of COCO and the subsets of WIDER FACE:

- Detections of the whole set are taken in order of score, best first (equals of one picture in
  the order given). Each takes the free, counted truth of its picture that it overlaps most, if
  that overlap reaches the limit: a hit.
- Truths whose short side is under the size limit, and difficult ones, are *ignored*: missing
  one costs nothing, and a detection that overlaps one (and no free counted truth) counts as
  neither hit nor false alarm.
- A detection whose short side is under the size limit and that hits nothing is ignored too.
- Every other detection, a second one on the same face included, is a false alarm.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.vision.geometry import Boxes, iou
from training.metrics.classification import CONFIDENCE, Interval, wilson

DEFAULT_IOU = 0.4
"""Overlap that makes a hit. Lower than COCO's 0.5: hand-made face boxes differ that much
in where they end the forehead, and the classifier's margin forgives it."""

DEFAULT_MIN_SHORT_SIDE = 16.0
"""Smallest face that counts, in pixels of the picture given to the detector."""

AP_BOOTSTRAP_ROUNDS = 500
"""Resamples for the interval of an average precision; enough for two digits."""

FALSE_ALARM = -1
"""Fate of a detection that is on no face."""

IGNORED = -2
"""Fate of a detection that counts neither way."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a detector says of one picture: boxes (N, 4) float32 in pixels, scores (N,)."""

    boxes: Boxes
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Truths:
    """The faces of one picture: boxes (M, 4) float32 in pixels, difficult (M,) bool."""

    boxes: Boxes
    difficult: NDArray[np.bool_]

    def counted(self, min_short_side: float) -> NDArray[np.bool_]:
        """Which of them count: not difficult, and not under the size limit; shape (M,)."""
        return ~(self.difficult | (short_sides(self.boxes) < min_short_side))


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Detections of a whole set compared with its truths, best score first.

    Attributes:
        scores: Scores of the detections that count, descending, shape (N,).
        hits: Which of them found a face, shape (N,), bool.
        origin: Index of the picture of each, shape (N,).
        faces_in: Truths that count in each picture, shape (pictures,).
    """

    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]
    origin: NDArray[np.intp]
    faces_in: NDArray[np.int64]

    @property
    def faces(self) -> int:
        """Truths that count."""
        return int(self.faces_in.sum())

    @property
    def pictures(self) -> int:
        """Pictures in the set."""
        return len(self.faces_in)

    def average_precision(self, weights: NDArray[np.int64] | None = None) -> float:
        """Area under the precision-recall curve, all-point interpolated (Pascal VOC 2010).

        Detections of equal score enter the curve together, so that the order of the
        pictures does not matter.

        Args:
            weights: How often each picture counts (a bootstrap's resample), shape
                (pictures,); None: each once.

        Raises:
            ValueError: No truth counts, so precision and recall mean nothing.
        """
        if weights is None:
            weights = np.ones(self.pictures, np.int64)
        return self._average_precision(weights)

    def average_precision_interval(
        self,
        groups: Sequence[Hashable] | None = None,
        seed: int = 0,
        rounds: int = AP_BOOTSTRAP_ROUNDS,
    ) -> Interval:
        """95 % percentile bootstrap of the average precision.

        Args:
            groups: The group of each picture (near-duplicates share one); groups are drawn
                with replacement. None: every picture stands for itself.
            seed: Seed of the bootstrap.
            rounds: Resamples; those without a face that counts are left out.

        Raises:
            ValueError: No truth counts.
        """
        self._require_faces("average precision")
        names = range(self.pictures) if groups is None else groups
        row = {group: i for i, group in enumerate(dict.fromkeys(names))}
        group_of = np.array([row[group] for group in names])
        generator = np.random.default_rng(seed)
        drawn = generator.multinomial(len(row), np.full(len(row), 1 / len(row)), size=rounds)
        values = [
            self._average_precision(weights[group_of])
            for weights in drawn
            if np.any(weights[group_of] * self.faces_in)
        ]
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(values, [tail, 1 - tail])
        return Interval(float(low), float(high))

    def _average_precision(self, weights: NDArray[np.int64]) -> float:
        """Average precision with every picture counted ``weights`` times, shape (pictures,)."""
        self._require_faces("average precision")
        if len(self.scores) == 0:
            return 0.0
        weight = weights[self.origin]
        last_of_score = np.append(np.flatnonzero(np.diff(self.scores)), len(self.scores) - 1)
        found = np.cumsum(weight * self.hits)[last_of_score]
        said = np.cumsum(weight)[last_of_score]
        precision = np.divide(found, said, out=np.zeros(len(found)), where=said > 0)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        steps = np.diff(found, prepend=0)
        return float((envelope * steps).sum() / (weights * self.faces_in).sum())

    def _require_faces(self, figure: str) -> None:
        if self.faces == 0:
            raise ValueError(f"no face of the set counts: {figure} is not defined")

    def recall(self, threshold: float) -> float:
        """Share of the faces found by detections that score at least ``threshold``.

        Raises:
            ValueError: No truth counts.
        """
        self._require_faces("recall")
        return self.found(threshold) / self.faces

    def found(self, threshold: float) -> int:
        """Faces found by detections that score at least ``threshold``."""
        return int(self.found_in(threshold).sum())

    def found_in(self, threshold: float) -> NDArray[np.int64]:
        """Faces of each picture so found, shape (pictures,)."""
        found = self.origin[self.hits & (self.scores >= threshold)]
        return np.bincount(found, minlength=self.pictures)

    def false_alarms(self, threshold: float) -> int:
        """Detections that score at least ``threshold`` and are on no face."""
        return int(np.count_nonzero(~self.hits & (self.scores >= threshold)))


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """Detections on pictures without people.

    Attributes:
        pictures: Pictures looked at.
        alarms: Detections at or above the threshold.
        alarmed_pictures: Pictures with at least one.
        per_hundred: Alarms per 100 pictures.
        alarmed_interval: Wilson interval of the share of pictures with an alarm.
    """

    pictures: int
    alarms: int
    alarmed_pictures: int
    per_hundred: float
    alarmed_interval: Interval


def match(
    detections: Sequence[Detections],
    truths: Sequence[Truths],
    iou_limit: float = DEFAULT_IOU,
    min_short_side: float = DEFAULT_MIN_SHORT_SIDE,
) -> Matches:
    """Compare the detections of a set of pictures with its truths by the module's rule.

    Args:
        detections: One per picture; order within a picture does not matter unless scores tie.
        truths: One per picture, in the same order and the same pixels.
        iou_limit: Overlap (intersection over union) that makes a hit.
        min_short_side: Smallest face that counts, in pixels.

    Raises:
        ValueError: The sequences differ in length.
    """
    if len(detections) != len(truths):
        raise ValueError(f"{len(detections)} pictures of detections, {len(truths)} of truths")
    scores: list[NDArray[np.float64]] = [np.zeros(0)]
    hits: list[NDArray[np.bool_]] = [np.zeros(0, bool)]
    for found, truth in zip(detections, truths, strict=True):
        order = np.argsort(-found.scores, kind="stable")
        fates = assign(found.boxes[order], truth, iou_limit, min_short_side)
        counts = fates != IGNORED
        scores.append(found.scores[order][counts].astype(np.float64))
        hits.append(fates[counts] >= 0)
    all_scores, all_hits = np.concatenate(scores), np.concatenate(hits)
    origin = np.repeat(np.arange(len(truths)), [len(picture) for picture in scores[1:]])
    order = np.argsort(-all_scores, kind="stable")
    faces_in = np.array([truth.counted(min_short_side).sum() for truth in truths], np.int64)
    return Matches(all_scores[order], all_hits[order], origin[order], faces_in)


def average_precision(
    detections: Sequence[Detections],
    truths: Sequence[Truths],
    iou_limit: float = DEFAULT_IOU,
    min_short_side: float = DEFAULT_MIN_SHORT_SIDE,
) -> float:
    """Average precision of a set; see :func:`match` for the arguments and the rule.

    Raises:
        ValueError: The sequences differ in length, or no truth counts.
    """
    return match(detections, truths, iou_limit, min_short_side).average_precision()


def false_alarms(scores: Sequence[NDArray[np.float32]], threshold: float) -> FalseAlarms:
    """Count the detections on pictures without people.

    Args:
        scores: Scores of the detections of every picture, one array per picture.
        threshold: Detections below this score do not count.

    Raises:
        ValueError: No pictures.
    """
    if not scores:
        raise ValueError("no pictures without people: false alarms are not defined")
    per_picture = [int(np.count_nonzero(s >= threshold)) for s in scores]
    alarms, alarmed = sum(per_picture), sum(n > 0 for n in per_picture)
    return FalseAlarms(
        len(scores), alarms, alarmed, 100 * alarms / len(scores), wilson(alarmed, len(scores))
    )


def short_sides(boxes: Boxes) -> NDArray[np.float32]:
    """The shorter side of every box, (N, 4) -> (N,)."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).min(axis=1), np.float32)


def assign(
    found: Boxes,
    truths: Truths,
    iou_limit: float = DEFAULT_IOU,
    min_short_side: float = DEFAULT_MIN_SHORT_SIDE,
) -> NDArray[np.intp]:
    """What each detection of one picture is, by the module's rule.

    Args:
        found: Detections, best score first, shape (N, 4).
        truths: The faces of the picture, in the same pixels.
        iou_limit: Overlap (intersection over union) that makes a hit.
        min_short_side: Smallest face that counts, in pixels.

    Returns:
        For each detection the index of the truth that it found, else :data:`FALSE_ALARM`
        or :data:`IGNORED`; shape (N,).
    """
    counted = truths.counted(min_short_side)
    free = counted.copy()
    fates = np.full(len(found), FALSE_ALARM, np.intp)
    small = short_sides(found) < min_short_side
    for i, row in enumerate(iou(found, truths.boxes)):
        reached = row >= iou_limit
        if np.any(reached & free):
            best = np.argmax(np.where(free, row, -1))
            fates[i], free[best] = best, False
        elif small[i] or np.any(reached & ~counted):
            fates[i] = IGNORED
    return fates
