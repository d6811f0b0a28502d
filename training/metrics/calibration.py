"""Whether a classifier that says 80 % is right four times in five."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.metrics.classification import Interval, wilson

BINS = 10
"""Bins of equal width; with a thousand faces more of them would hold next to none."""


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Samples whose confidence lies in one range; its figures are None without samples.

    Attributes:
        low: Lower end of the range, excluded (0 is included in the first).
        high: Upper end, included.
        samples: How many there are.
        confidence: Their mean confidence.
        accuracy: Share of them judged right.
        accuracy_interval: Wilson interval of the accuracy.
    """

    low: float
    high: float
    samples: int
    confidence: float | None
    accuracy: float | None
    accuracy_interval: Interval | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """The reliability diagram of a classifier, and its summary.

    Attributes:
        expected_error: Expected calibration error: mean distance between confidence and
            accuracy over the bins, weighted by their samples (Guo et al. 2017,
            arXiv:1706.04599).
        bins: From low to high confidence.
    """

    expected_error: float
    bins: tuple[CalibrationBin, ...]


def calibration(
    confidences: Sequence[float], right: Sequence[bool], bins: int = BINS
) -> Calibration:
    """Compare how sure a classifier was with how often it was right.

    Args:
        confidences: Probability of the state that it thought most probable, 0..1.
        right: Whether that state is the truth.
        bins: Number of bins of equal width.

    Raises:
        ValueError: No samples, the lengths differ, or a confidence is not within 0..1.
    """
    sure, hit = np.asarray(confidences, np.float64), np.asarray(right, bool)
    if len(sure) == 0 or len(sure) != len(hit):
        raise ValueError(f"{len(sure)} confidences and {len(hit)} results: need equally many")
    if not np.all((sure >= 0) & (sure <= 1)):
        raise ValueError("every confidence must lie within 0..1")
    places = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    found = tuple(_bin(i / bins, (i + 1) / bins, sure[places == i], hit[places == i])
                  for i in range(bins))  # fmt: skip
    distances = [
        some.samples * abs(some.confidence - some.accuracy)
        for some in found
        if some.confidence is not None and some.accuracy is not None
    ]
    return Calibration(float(sum(distances) / len(sure)), found)


def _bin(low: float, high: float, sure: np.ndarray, hit: np.ndarray) -> CalibrationBin:
    number = len(sure)
    if number == 0:
        return CalibrationBin(low, high, 0, None, None, None)
    hits = int(hit.sum())
    return CalibrationBin(
        low, high, number, float(sure.mean()), hits / number, wilson(hits, number)
    )
