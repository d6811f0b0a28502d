"""What the gate makes of a difference."""

from __future__ import annotations

import pytest

from training.gate import Comparison, refusals
from training.metrics import Interval
from training.metrics.paired import Difference


def comparison(low, high, *, lower_is_better=False, what="x"):
    interval = None if low is None else Interval(low, high)
    return Comparison(what, Difference(0.8, 0.9, interval, 50, 40), lower_is_better)


@pytest.mark.parametrize(
    ("low", "high", "lower_is_better", "verdict"),
    [
        (-0.2, -0.01, False, "worse"),
        (-0.2, 0.0, False, "passes"),
        (0.1, 0.2, False, "passes"),
        (0.1, 0.2, True, "worse"),
        (0.0, 0.2, True, "passes"),
        (-0.2, -0.1, True, "passes"),
        (None, None, False, "too few"),
    ],
)
def test_the_whole_interval_decides(low, high, lower_is_better, verdict) -> None:
    assert comparison(low, high, lower_is_better=lower_is_better).verdict == verdict


def test_one_loss_is_enough_to_refuse_and_it_is_named() -> None:
    found = [comparison(0, 0.1), comparison(-0.2, -0.1, what="street, recall with_mask")]
    assert refusals(found) == ["worse on street, recall with_mask"]
    assert refusals([comparison(0, 0.1), comparison(None, None)]) == []


def test_a_gate_that_can_judge_nothing_refuses() -> None:
    assert "too few independent pictures" in refusals([comparison(None, None)])[0]
    assert "too few independent pictures" in refusals([])[0]
