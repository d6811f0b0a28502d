import itertools

import pytest

from training.evaluation.timing import WARM_UP_ROUNDS, interleaved, ratio, summary


def test_every_work_runs_once_in_every_round_in_changing_order():
    calls = []
    rounds = [
        {name: (lambda i=i, name=name: calls.append((i, name))) for name in "abc"}
        for i in range(WARM_UP_ROUNDS + 5)
    ]
    ticks = itertools.count()
    times = interleaved(rounds, seed=1, clock=lambda: next(ticks) / 1000)
    timed = calls[WARM_UP_ROUNDS * 3 :]
    orders = ["".join(name for _, name in timed[i : i + 3]) for i in range(0, len(timed), 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len(set(orders)) > 1
    assert times["a"] == pytest.approx([1.0] * len(rounds))


def test_the_ratio_is_taken_within_each_round():
    # The machine is ten times slower in the second round: the ratio does not notice.
    times = {"ours": [1.0, 10.0, 1.0], "theirs": [4.0, 40.0, 4.0]}
    assert ratio(times, "ours", "theirs") == {
        "median": 0.25,
        "quartile_low": 0.25,
        "quartile_high": 0.25,
    }


def test_the_summary_is_the_median():
    assert summary({"x": [1.0, 9.0, 2.0]})["x"]["median_ms"] == 2.0
