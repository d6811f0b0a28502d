"""Is one model worse than another on the same pictures? Differences with paired intervals.

Both models judge the same samples, so what a sample's difficulty does to both falls out of
the difference. Near-duplicates are resampled together (Efron 1979, over groups).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics.classification import BOOTSTRAP_ROUNDS, CONFIDENCE, Interval
from training.metrics.detection import AP_BOOTSTRAP_ROUNDS, Matches

MIN_GROUPS = 5
"""Fewer independent groups than this are not judged: a resample of two or three pictures
repeats itself, and its interval says nothing."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of two models on the same samples.

    Attributes:
        new: The new model's figure.
        old: The old model's figure.
        interval: 95 % interval of ``new - old``; None where there are too few groups.
        samples: How many were judged.
        groups: How many independent groups they fall into.
    """

    new: float
    old: float
    interval: Interval | None
    samples: int
    groups: int


def recall_difference(
    new_right: Sequence[bool],
    old_right: Sequence[bool],
    groups: Sequence[Hashable],
    seed: int = 0,
    rounds: int = BOOTSTRAP_ROUNDS,
) -> Difference:
    """Difference of two models' shares of right verdicts on the same samples.

    Args:
        new_right: Whether the new model is right about each sample.
        old_right: Whether the old one is.
        groups: What each sample belongs to; one group is resampled as one.
        seed: Of the bootstrap.
        rounds: Resamples.

    Raises:
        ValueError: No samples, or the sequences differ in length.
    """
    if not len(groups) or not len(new_right) == len(old_right) == len(groups):
        raise ValueError("need equally many verdicts of both models and groups, and at least one")
    new, old = np.asarray(new_right, float), np.asarray(old_right, float)
    rows = _rows(groups)
    number = int(rows.max()) + 1
    size = np.bincount(rows, minlength=number)
    gain = np.bincount(rows, weights=new - old, minlength=number)
    interval = None
    if number >= MIN_GROUPS:
        weights = _drawn(number, seed, rounds)
        interval = _percentiles((weights @ gain) / (weights @ size))
    return Difference(float(new.mean()), float(old.mean()), interval, len(new), number)


def found_difference(
    new: Matches,
    old: Matches,
    thresholds: tuple[float, float],
    groups: Sequence[Hashable],
    seed: int = 0,
    rounds: int = BOOTSTRAP_ROUNDS,
) -> Difference:
    """Difference of the shares of faces that two detectors find, each at its own threshold.

    Args:
        new: The new detector's matches.
        old: The old one's, of the same pictures in the same order.
        thresholds: From which score on the new and the old detector's finds are reported.
        groups: The group of each picture.
        seed: Of the bootstrap.
        rounds: Resamples.

    Raises:
        ValueError: The pictures are not the same, or no face counts.
    """
    _require_same_pictures(new, old, groups)
    found = []
    for matches, threshold in zip((new, old), thresholds, strict=True):
        # Which faces of a picture were found does not matter: a picture is drawn as a whole.
        counts = matches.found_in(threshold)
        outcome = [
            [True] * k + [False] * (n - k) for k, n in zip(counts, new.faces_in, strict=True)
        ]
        found.append([face for picture in outcome for face in picture])
    owners = [group for group, n in zip(groups, new.faces_in, strict=True) for _ in range(n)]
    return recall_difference(found[0], found[1], owners, seed, rounds)


def precision_difference(
    new: Matches,
    old: Matches,
    groups: Sequence[Hashable],
    seed: int = 0,
    rounds: int = AP_BOOTSTRAP_ROUNDS,
) -> Difference:
    """Difference of two detectors' average precisions on the same pictures.

    Args:
        new: The new detector's matches.
        old: The old one's, of the same pictures in the same order.
        groups: The group of each picture.
        seed: Of the bootstrap.
        rounds: Resamples; those without a face that counts are left out.

    Raises:
        ValueError: The pictures are not the same, or no face counts.
    """
    _require_same_pictures(new, old, groups)
    rows = _rows(groups)
    with_faces = len(set(rows[new.faces_in > 0].tolist()))
    interval = None
    if with_faces >= MIN_GROUPS:
        weights = [w[rows] for w in _drawn(int(rows.max()) + 1, seed, rounds)]
        interval = _percentiles(
            np.array(
                [
                    new.average_precision(w) - old.average_precision(w)
                    for w in weights
                    if np.any(w * new.faces_in)
                ]
            )
        )
    return Difference(
        new.average_precision(), old.average_precision(), interval, new.faces, with_faces
    )


def _require_same_pictures(new: Matches, old: Matches, groups: Sequence[Hashable]) -> None:
    if not np.array_equal(new.faces_in, old.faces_in) or len(groups) != new.pictures:
        raise ValueError("both detectors must be matched with the same pictures")


def _rows(groups: Sequence[Hashable]) -> NDArray[np.intp]:
    """Number of each sample's group, counted in order of appearance."""
    row = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    return np.array([row[group] for group in groups], np.intp)


def _drawn(number: int, seed: int, rounds: int) -> NDArray[np.int64]:
    """How often each of ``number`` groups is drawn, (rounds, number)."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(number, np.full(number, 1 / number), size=rounds)


def _percentiles(values: NDArray[np.float64]) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))
