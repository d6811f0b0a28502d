"""Calibration: the temperature that made the logits too sure is found again."""

from __future__ import annotations

import numpy as np
import pytest

from edge_app.vision.classifier import softmax
from training.exporting.parity import TEMPERATURES, _mean, fit_temperature


def labelled_logits(count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn with exactly the probabilities that they state."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (count, 3)).astype(np.float32)
    limits = softmax(logits).cumsum(axis=1)
    return logits, (rng.random((count, 1)) > limits[:, :2]).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_is_found_again(temperature: float) -> None:
    logits, truth = labelled_logits()
    found = fit_temperature(logits * np.float32(temperature), truth)
    assert found == pytest.approx(temperature, rel=0.05)


def test_the_order_of_the_labels_does_not_matter() -> None:
    logits, truth = labelled_logits(2000)
    swapped = fit_temperature(logits[:, ::-1], 2 - truth)
    assert swapped == pytest.approx(fit_temperature(logits, truth), rel=1e-3)


def test_logits_that_are_never_wrong_end_at_the_lowest_temperature() -> None:
    logits = np.eye(3, dtype=np.float32)
    low, high = TEMPERATURES
    assert fit_temperature(logits, np.arange(3)) == pytest.approx(low, rel=0.01)
    assert fit_temperature(logits, (np.arange(3) + 1) % 3) == pytest.approx(high, rel=0.01)


def test_nothing_to_average_is_none_not_nan() -> None:
    assert _mean(np.zeros(0, np.float32)) is None
    assert _mean(np.array([1, 2], np.float32)) == 1.5
