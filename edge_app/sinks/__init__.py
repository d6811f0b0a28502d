"""Where observations go: the light, the journal, the network."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from edge_app.domain import Frame, Observation, Vitals

__all__ = ["Server", "Sink"]


class Sink(Protocol):
    """Takes what a run observes, in order, from one thread that is not the light's.

    Every method may raise a :class:`~edge_app.errors.Temporary` error: the daemon says so
    once and goes on. The sink is over it when :meth:`report` raises no more, so that is to
    raise as long as the trouble lasts. How often the sink tries again is its own affair (see
    :class:`edge_app.backoff.Backoff`), and so is keeping what must not be lost. A
    :class:`~edge_app.errors.Permanent` error ends the run.

    Attributes:
        name: One word for logs and for :attr:`~edge_app.domain.Vitals.troubles`.
    """

    name: str

    def handle(self, observation: Observation, frame: Frame | None) -> None:
        """Act on one observation; must not change it.

        When the sinks fall behind, of several observations that show the same signal only
        the first and the last arrive. No change of the signal is left out.

        Args:
            observation: Also with ``FAULT``, when no fresh frames come.
            frame: What it was made from; None for such a fault.
        """
        ...

    def report(self, vitals: Vitals) -> None:
        """Act on how the kiosk is doing, about once a second."""
        ...

    def close(self) -> None:
        """Finish and give everything back; a second call does nothing."""
        ...


@runtime_checkable
class Server(Protocol):
    """A sink that also answers others; the daemon runs :meth:`serve` in a thread of its own.

    When it raises a :class:`~edge_app.errors.Temporary` error it is called again after a pause.
    """

    def serve(self) -> None:
        """Answer until the sink is closed."""
        ...
