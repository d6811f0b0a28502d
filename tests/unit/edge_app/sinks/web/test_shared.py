from __future__ import annotations

import itertools

import pytest

from edge_app.sinks.web.shared import Shared


def test_a_value_is_made_once_for_a_while(clock) -> None:
    count = itertools.count()
    shared = Shared(lambda: next(count), 2.0, clock)
    assert (shared(), shared()) == (0, 0)
    clock.now += 1.9
    assert shared() == 0
    clock.now += 0.1
    assert shared() == 1


def test_what_could_not_be_made_is_tried_again(clock) -> None:
    outcomes = iter([ZeroDivisionError, None])

    def make() -> str:
        if (error := next(outcomes)) is not None:
            raise error
        return "made"

    shared = Shared(make, 2.0, clock)
    with pytest.raises(ZeroDivisionError):
        shared()
    assert shared() == "made"
