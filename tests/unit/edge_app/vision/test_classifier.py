from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.domain import Box, MaskState
from edge_app.vision.bundle import load_bundle
from edge_app.vision.classifier import Classifier, softmax

FACE = Box(28, 20, 60, 52)
"""The box of the face that ``paint`` draws at cell (5, 4)."""


@pytest.fixture(scope="module")
def classifier(tiny: Path) -> Classifier:
    return Classifier(load_bundle(tiny / "tiny_classifier", "classify"))


@pytest.mark.parametrize("state", list(MaskState))
def test_each_state_is_told(state: MaskState, classifier: Classifier, paint: Any) -> None:
    verdict = classifier.classify(paint({(5, 4): state}), FACE)
    assert verdict.state is state
    assert verdict.confidence == verdict.probabilities[state]
    assert set(verdict.probabilities) == set(MaskState)
    assert sum(verdict.probabilities.values()) == pytest.approx(1)


def test_below_the_floor_a_verdict_is_uncertain(classifier: Classifier, paint: Any) -> None:
    verdict = classifier.classify(paint({(5, 4): None}), FACE)
    assert verdict.confidence < classifier.confidence_floor
    assert verdict.state is None


def test_the_floor_can_be_set(tiny: Path, paint: Any) -> None:
    bundle = load_bundle(tiny / "tiny_classifier", "classify")
    image = paint({(5, 4): MaskState.WITH_MASK})
    assert Classifier(bundle, 1.0).classify(image, FACE).state is None
    assert Classifier(bundle, 0.0).classify(paint({}), FACE).state is not None


def test_classify_is_judge_of_the_crop(classifier: Classifier, paint: Any) -> None:
    image = paint({(5, 4): MaskState.WITHOUT_MASK})
    crop = np.ascontiguousarray(image[20:52:2, 28:60:2])
    assert classifier.judge(crop).state is classifier.classify(image, FACE).state


def test_a_verdict_is_the_softmax_of_the_real_logits(classifier: Classifier) -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        crop = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        (logits,) = classifier.bundle.interpreter.run_real(crop[None])
        expected = softmax(logits[0], classifier.bundle.card.temperature)
        said = classifier.judge(crop).probabilities
        assert list(said.values()) == pytest.approx(expected.tolist())


logits = st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=5)


@given(logits, st.floats(0.1, 10))
def test_softmax_is_a_distribution_in_the_order_of_the_logits(
    values: list[float], temperature: float
) -> None:
    probabilities = softmax(np.array(values, np.float32), temperature)
    assert probabilities.sum() == pytest.approx(1)
    assert (probabilities >= 0).all()
    assert probabilities[int(np.argmax(values))] == probabilities.max()


@given(logits, st.floats(0.1, 10), st.floats(-1000, 1000, width=32))
def test_softmax_ignores_a_common_shift(
    values: list[float], temperature: float, shift: float
) -> None:
    first = softmax(np.array(values, np.float32), temperature)
    second = softmax((np.array(values) + shift).astype(np.float32), temperature)
    np.testing.assert_allclose(first, second, atol=0.01)


@given(logits)
def test_a_higher_temperature_is_less_sure(values: list[float]) -> None:
    array = np.array(values, np.float32)
    assert softmax(array, 3.0).max() <= softmax(array, 1.0).max() + 1e-12


def test_rows_are_independent() -> None:
    rows = np.array([[0.0, 1.0], [5.0, -5.0]], np.float32)
    both = softmax(rows)
    assert (both[0] == softmax(rows[0])).all()
    assert (both[1] == softmax(rows[1])).all()
