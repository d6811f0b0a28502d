"""The learning rate on plateaus, what progress says, and the classifier's weighted loss."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edge_app.domain import MaskState
from training.fitting.epochs import duration, seconds_left
from training.fitting.phases import LEAST_RATE, PLATEAU_EPOCHS, PLATEAU_FACTOR, plateau_rate
from training.fitting.run import RunState
from training.fitting.tasks import WeightedCrossentropy, classifier_validation
from training.recipe import ModelSettings, Phase, Recipe, Sampling

RECIPE = Recipe(
    name="tiny",
    task="classify",
    seed=5,
    batch=4,
    steps_per_epoch=10,
    phases=(Phase(2, 0.01), Phase(3, 0.01)),
    model=ModelSettings(32, 32),
    labels=tuple(MaskState),
    sampling=Sampling(0.4, 16.0, 0.6, {"street": 1.0}),
)


def test_the_rate_falls_after_each_stretch_without_a_better_figure() -> None:
    assert PLATEAU_EPOCHS == 2
    assert plateau_rate(0.1, []) == 0.1
    assert plateau_rate(0.1, [1, 2, 3, 4]) == 0.1
    assert plateau_rate(0.1, [1, 2, 2]) == 0.1
    assert plateau_rate(0.1, [1, 2, 2, 1]) == pytest.approx(0.1 * PLATEAU_FACTOR)
    assert plateau_rate(0.1, [1, 2, 2, 1, 3, 4]) == pytest.approx(0.1 * PLATEAU_FACTOR)
    assert plateau_rate(0.1, [2, 1, 1, 1, 1]) == pytest.approx(0.1 * PLATEAU_FACTOR**2)
    assert plateau_rate(0.1, [1] * 100) == pytest.approx(0.1 * LEAST_RATE)


def test_what_is_left_counts_all_phases() -> None:
    state = RunState(inputs={})
    assert seconds_left(state, RECIPE, 10) == 50
    state.history.append({"epoch": 1, "phase": 0, "seconds": 30})
    assert seconds_left(state, RECIPE, 10) == 4 * 30
    state.phase = 1
    assert seconds_left(state, RECIPE, 10) == 3 * 10


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (11100, "3 h 05 min")],
)
def test_durations_are_for_people(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_weighted_label_counts_so_much_more() -> None:
    logits = np.array([[2.0, 0.0], [2.0, 0.0]], np.float32)
    plain = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    one, other = np.eye(2, dtype=np.float32)[[0]], np.eye(2, dtype=np.float32)[[1]]
    loss = WeightedCrossentropy(np.array([1.0, 3.0]), 0.1)
    assert float(loss(one, logits[:1])) == pytest.approx(float(plain(one, logits[:1])))
    assert float(loss(other, logits[:1])) == pytest.approx(3 * float(plain(other, logits[:1])))
    half = np.full((1, 2), 0.5, np.float32)
    assert float(loss(half, logits[:1])) == pytest.approx(2 * float(plain(half, logits[:1])))


def test_validation_tells_accuracy_from_balanced_accuracy() -> None:
    logits = np.array([[3, 0], [3, 0], [3, 0], [3, 0]], np.float32)
    labels = (MaskState.WITH_MASK, MaskState.WITHOUT_MASK)
    figures = classifier_validation(logits, np.array([0, 0, 0, 1]), labels)
    assert figures["accuracy"] == 0.75
    assert figures["balanced_accuracy"] == 0.5
    assert figures["recall_without_mask"] == 0
