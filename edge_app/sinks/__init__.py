"""Where observations go: the light, the journal, the network."""

from __future__ import annotations

from typing import Protocol

from edge_app.domain import Observation

__all__ = ["Sink"]


class Sink(Protocol):
    """Takes every observation of a run, in order, from one thread."""

    def handle(self, observation: Observation) -> None:
        """Act on one observation; must return quickly and not change it."""
        ...

    def close(self) -> None:
        """Finish and give everything back; a second call does nothing."""
        ...
