"""The reliability diagram and its summary, on answers that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.metrics.calibration import calibration


def test_a_classifier_that_is_as_good_as_it_says_has_no_error():
    result = calibration([0.75] * 4 + [1.0] * 2, [True, True, True, False, True, True])
    assert result.expected_error == pytest.approx(0)
    held = [b for b in result.bins if b.samples]
    assert [(b.low, b.samples, b.accuracy) for b in held] == [(0.7, 4, 0.75), (0.9, 2, 1.0)]
    assert held[0].accuracy_interval.low < 0.75 < held[0].accuracy_interval.high


def test_the_error_is_the_mean_distance_weighted_by_samples():
    # Three at 0.9, one of them right; one at 0.5, right.
    result = calibration([0.9, 0.9, 0.9, 0.5], [True, False, False, True])
    assert result.expected_error == pytest.approx(3 / 4 * abs(0.9 - 1 / 3) + 1 / 4 * 0.5)


def test_the_ends_belong_to_the_outer_bins_and_empty_bins_say_nothing():
    result = calibration([0.0, 1.0], [False, True], bins=4)
    assert [b.samples for b in result.bins] == [1, 0, 0, 1]
    assert result.bins[1].accuracy is None
    assert result.bins[1].accuracy_interval is None


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50),
    st.integers(1, 20),
)
def test_every_sample_is_in_the_bin_of_its_confidence(samples, bins):
    sure, right = zip(*samples, strict=True)
    result = calibration(sure, right, bins)
    assert sum(b.samples for b in result.bins) == len(samples)
    assert 0 <= result.expected_error <= 1
    for b in result.bins:
        if b.confidence is not None:
            assert b.low - 1e-9 <= b.confidence <= b.high + 1e-9
    gap = abs(np.mean(sure) - np.mean(right))
    assert result.expected_error >= gap - 1e-9, "bins can only part what the mean hides"


@pytest.mark.parametrize(
    ("sure", "right"), [([], []), ([0.5], []), ([1.5], [True]), ([float("nan")], [True])]
)
def test_what_is_no_confidence_is_refused(sure, right):
    with pytest.raises(ValueError, match="need equally many|within 0..1"):
        calibration(sure, right)
