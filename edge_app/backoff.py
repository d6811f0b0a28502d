"""How long to wait before something that failed for a while is tried again."""

from __future__ import annotations

BACKOFF_S = (1.0, 30.0)
"""First and longest pause in seconds; each is twice the one before."""


class Backoff:
    """Pauses that grow with every failure, and begin anew after a success."""

    def __init__(self) -> None:
        self._next = BACKOFF_S[0]

    def failed(self) -> float:
        """Seconds to wait after this failure."""
        pause, self._next = self._next, min(2 * self._next, BACKOFF_S[1])
        return pause

    def worked(self) -> None:
        """The next failure is a first one."""
        self._next = BACKOFF_S[0]
