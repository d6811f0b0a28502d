"""ROC and precision-recall curves of each class against the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from edge_app.domain import MaskState

MAX_POINTS = 200
"""Points kept of a curve for drawing; areas are taken from all of them."""

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class OneVsRest:
    """How well the probability of one class tells its samples from all others.

    Attributes:
        positives: Samples of the class.
        negatives: All others.
        roc_auc: Area under the ROC curve; None without positives or negatives.
        average_precision: Area under the precision-recall steps; None likewise.
        roc: Points (false positive rate, recall), from (0, 0) to (1, 1).
        precision_recall: Points (recall, precision), from high recall to low.
    """

    positives: int
    negatives: int
    roc_auc: float | None
    average_precision: float | None
    roc: Points
    precision_recall: Points


def one_vs_rest(
    truths: Sequence[MaskState], probabilities: Sequence[Mapping[MaskState, float]]
) -> dict[MaskState, OneVsRest]:
    """Curves for every class that the classifier knows.

    Args:
        truths: The right state of every sample.
        probabilities: What the classifier gave each of its classes, in the same order.

    Raises:
        ValueError: No samples, or the sequences differ in length.
    """
    if not truths or len(truths) != len(probabilities):
        raise ValueError(
            f"{len(truths)} truths and {len(probabilities)} predictions: need equally many of "
            "each, and at least one"
        )
    return {
        label: _curves(
            np.array([truth == label for truth in truths]),
            np.array([given[label] for given in probabilities]),
        )
        for label in probabilities[0]
    }


def _curves(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> OneVsRest:
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return OneVsRest(positives, negatives, None, None, (), ())
    false_rate, recall, _ = roc_curve(positive, scores)
    precision, pr_recall, _ = precision_recall_curve(positive, scores, drop_intermediate=True)
    # scikit-learn's order of the second is from low threshold, which is high recall, to high.
    return OneVsRest(
        positives,
        negatives,
        float(roc_auc_score(positive, scores)),
        float(average_precision_score(positive, scores)),
        _points(false_rate, recall),
        _points(pr_recall, precision),
    )


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> Points:
    """At most :data:`MAX_POINTS` of a curve's points, evenly chosen, with both ends."""
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), MAX_POINTS)).round().astype(int))
    return tuple((round(float(x[i]), 5), round(float(y[i]), 5)) for i in kept)
