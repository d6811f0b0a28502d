"""A hand-turned wall clock, and what lies in a folder."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

ZONE = datetime.timezone(datetime.timedelta(hours=1))


class Clock:
    """A wall clock that stands where it was put."""

    def __init__(self) -> None:
        self.now = datetime.datetime(2026, 3, 2, 8, 0, 0, tzinfo=ZONE)

    def __call__(self) -> datetime.datetime:
        return self.now

    def go(self, **by: float) -> None:
        self.now += datetime.timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def names() -> Callable[[Path], list[str]]:
    """The names in a folder."""
    return lambda folder: sorted(path.name for path in folder.iterdir())
