"""Figures of a classifier: per class first, each with its 95 % interval."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from sklearn.metrics import precision_recall_fscore_support

from edge_app.domain import MaskState

LABELS = tuple(MaskState)
"""Rows and columns of every confusion matrix, in this order."""

CONFIDENCE = 0.95
"""Level of every interval."""

BOOTSTRAP_ROUNDS = 2000
"""Resamples of a bootstrap; more do not move the percentiles by 0.1 points."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval, both ends in 0..1."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """How one class fares; a figure is None where nothing defines it.

    Attributes:
        support: Samples whose truth is this class.
        recall: Share of them that were called so; None without samples.
        recall_interval: Wilson interval of the recall.
        precision: Share of what was called so that is so; None if nothing was called so.
        f1: Harmonic mean of the two; None without samples.
    """

    support: int
    recall: float | None
    recall_interval: Interval | None
    precision: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class ClassifierFigures:
    """All figures of a classifier on one set of samples.

    Attributes:
        samples: How many were judged.
        groups: How many independent groups they fall into (the bootstrap's units).
        balanced_accuracy: Mean recall of the classes that occur.
        balanced_accuracy_interval: Percentile bootstrap over the groups.
        accuracy: Share judged right.
        accuracy_interval: Wilson interval of the accuracy.
        classes: Figures per class, in the order of :data:`LABELS`.
        confusion: Counts; row = truth, column = verdict, in the order of :data:`LABELS`.
    """

    samples: int
    groups: int
    balanced_accuracy: float
    balanced_accuracy_interval: Interval
    accuracy: float
    accuracy_interval: Interval
    classes: dict[MaskState, ClassFigures]
    confusion: tuple[tuple[int, ...], ...]


def confusion_matrix(
    truths: Sequence[MaskState], verdicts: Sequence[MaskState]
) -> NDArray[np.int64]:
    """Counts, shape (3, 3): row = truth, column = verdict, in the order of :data:`LABELS`."""
    names = [str(label) for label in LABELS]
    counts = sklearn_confusion_matrix(
        [str(t) for t in truths], [str(v) for v in verdicts], labels=names
    )
    return np.asarray(counts, np.int64)


def wilson(hits: int, total: int) -> Interval:
    """Wilson's score interval of ``hits`` in ``total`` trials (Wilson 1927).

    Raises:
        ValueError: ``total`` is not positive or ``hits`` is not within 0..total.
    """
    interval = binomtest(hits, total).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(float(interval.low), float(interval.high))


def classifier_figures(
    truths: Sequence[MaskState],
    verdicts: Sequence[MaskState],
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    rounds: int = BOOTSTRAP_ROUNDS,
) -> ClassifierFigures:
    """Compare verdicts with the truth.

    Args:
        truths: The right state of every sample.
        verdicts: The state that the model thinks most probable, in the same order.
        groups: What each sample belongs to: samples of one group (one image, one set of
            near-duplicates) are resampled together, because they are not independent.
            None: every sample stands for itself.
        seed: Seed of the bootstrap.
        rounds: Resamples of the bootstrap.

    Raises:
        ValueError: No samples, or the sequences differ in length.
    """
    if groups is None:
        groups = range(len(truths))
    if not truths or not len(truths) == len(verdicts) == len(groups):
        raise ValueError(
            f"{len(truths)} truths, {len(verdicts)} verdicts and {len(groups)} groups: "
            "need equally many of each, and at least one"
        )
    counts = confusion_matrix(truths, verdicts)
    right, samples = int(np.trace(counts)), int(counts.sum())
    per_group = _confusion_by_group(truths, verdicts, groups)
    return ClassifierFigures(
        samples=samples,
        groups=len(per_group),
        balanced_accuracy=float(_balanced_accuracy(counts[None])[0]),
        balanced_accuracy_interval=_bootstrap(per_group, seed, rounds),
        accuracy=right / samples,
        accuracy_interval=wilson(right, samples),
        classes=_class_figures(truths, verdicts, counts),
        confusion=tuple(tuple(int(n) for n in row) for row in counts),
    )


def _class_figures(
    truths: Sequence[MaskState], verdicts: Sequence[MaskState], counts: NDArray[np.int64]
) -> dict[MaskState, ClassFigures]:
    precision, recall, f1, support = precision_recall_fscore_support(
        [str(t) for t in truths],
        [str(v) for v in verdicts],
        labels=[str(label) for label in LABELS],
        zero_division=0.0,
    )
    figures = {}
    for i, label in enumerate(LABELS):
        occurs, called = bool(support[i]), bool(counts[:, i].sum())
        figures[label] = ClassFigures(
            support=int(support[i]),
            recall=float(recall[i]) if occurs else None,
            recall_interval=wilson(int(counts[i, i]), int(support[i])) if occurs else None,
            precision=float(precision[i]) if called else None,
            f1=float(f1[i]) if occurs else None,
        )
    return figures


def _confusion_by_group(
    truths: Sequence[MaskState], verdicts: Sequence[MaskState], groups: Sequence[Hashable]
) -> NDArray[np.int64]:
    """Confusion matrix of every group, shape (groups, 3, 3), groups in order of appearance."""
    row = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    counts = np.zeros((len(row), len(LABELS), len(LABELS)), np.int64)
    for truth, verdict, group in zip(truths, verdicts, groups, strict=True):
        counts[row[group], LABELS.index(truth), LABELS.index(verdict)] += 1
    return counts


def _balanced_accuracy(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean recall over the classes that occur, for confusion matrices (N, 3, 3) -> (N,)."""
    support = counts.sum(axis=2)
    hits = np.diagonal(counts, axis1=1, axis2=2)
    recall = np.divide(hits, support, out=np.zeros(support.shape), where=support > 0)
    return np.asarray(recall.sum(axis=1) / (support > 0).sum(axis=1))


def _bootstrap(per_group: NDArray[np.int64], seed: int, rounds: int) -> Interval:
    """Percentile bootstrap of the balanced accuracy (Efron 1979), groups drawn with replacement.

    Resamples that lack a class are left out: the mean over fewer classes is another figure.
    """
    number = len(per_group)
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(number, np.full(number, 1 / number), size=rounds)
    resampled = (weights @ per_group.reshape(number, -1)).reshape(-1, len(LABELS), len(LABELS))
    occurs = per_group.sum(axis=(0, 2)) > 0
    whole = np.all(resampled.sum(axis=2)[:, occurs] > 0, axis=1)
    if not whole.any():
        return Interval(0.0, 1.0)  # too few groups to say anything
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(_balanced_accuracy(resampled[whole]), [tail, 1 - tail])
    return Interval(float(low), float(high))
