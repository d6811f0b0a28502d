"""Work that is done once for all who ask within a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """A value that is made when asked for, and not again for a while.

    Args:
        make: Makes it; what it raises is raised, and it is asked again next time.
        seconds: How long a value is good.
        clock: Seconds, never going back.
    """

    def __init__(self, make: Callable[[], T], seconds: float, clock: Callable[[], float]) -> None:
        self._make = make
        self._seconds = seconds
        self._clock = clock
        self._made: tuple[T, float] | None = None

    def __call__(self) -> T:
        """The value."""
        now = self._clock()
        if self._made is None or now - self._made[1] >= self._seconds:
            self._made = self._make(), now
        return self._made[0]
