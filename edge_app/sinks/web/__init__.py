"""The status page: what the light shows, what the camera sees, how the kiosk is doing.

Off by default and for this machine only by default; see ``docs/status-page.md``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_app.domain import Frame, Observation, Vitals
from edge_app.errors import WebError
from edge_app.settings import Settings
from edge_app.sinks.web.access import Access, read_token
from edge_app.sinks.web.board import Board
from edge_app.sinks.web.limits import Limits
from edge_app.sinks.web.routes import Exposition, Site
from edge_app.sinks.web.server import HttpServer
from edge_app.sinks.web.view import Event, RecentEvents

__all__ = ["Event", "Exposition", "Limits", "RecentEvents", "StatusPage"]

DEFAULT_LIMITS = Limits()


class StatusPage:
    """A :class:`~edge_app.sinks.Sink` and :class:`~edge_app.sinks.Server`.

    Args:
        settings: All settings.
        recent_events: The newest events of the journal, the newest first; None: there is no
            journal. Called from the thread that runs :meth:`serve`.
        exposition: Figures for Prometheus and their content type, served under
            ``/metrics``; None: there are none. Called from the same thread.
        limits: How much visitors may ask for.
        clock: Seconds, never going back.

    Raises:
        SettingsError: The address needs a token and there is none, or its file cannot be
            used.
    """

    name = "web"

    def __init__(
        self,
        settings: Settings,
        recent_events: RecentEvents | None = None,
        exposition: Exposition | None = None,
        *,
        limits: Limits = DEFAULT_LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        web = settings.web
        access = Access(read_token(web), web.host, limits, clock)
        self._board = Board(settings.policy.stale_s, clock)
        site = Site(settings, self._board, access, recent_events, exposition, clock)
        self._trouble: str | None = None
        self._server = HttpServer(web.host, web.port, site.answer, limits, clock)

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port that it listens at; None while it does not."""
        return self._server.address

    def handle(self, observation: Observation, frame: Frame | None) -> None:
        """Keep the newest observation and frame until somebody asks; nothing is copied."""
        self._board.put(observation, frame)

    def report(self, vitals: Vitals) -> None:
        """Keep how the kiosk is doing until somebody asks.

        Raises:
            WebError: The page cannot be served at the moment.
        """
        self._board.put_vitals(vitals)
        if self._trouble is not None:
            raise WebError(self._trouble)

    def serve(self) -> None:
        """Answer until :meth:`close` is called.

        Raises:
            WebError: The address cannot be used now; it may be called again later.
        """
        self._trouble = None
        try:
            self._server.serve()
        except WebError as error:
            self._trouble = str(error)
            raise

    def close(self) -> None:
        """Make :meth:`serve` end at once, hanging clients or not; from any thread."""
        self._server.close()
