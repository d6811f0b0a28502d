"""What is answered to which request: a fixed list, nothing from the file system."""

from __future__ import annotations

import json
import logging
import time
import urllib.parse
from collections.abc import Callable
from http import HTTPStatus

from edge_app.domain import Signal
from edge_app.settings import Settings
from edge_app.sinks.web.access import Access
from edge_app.sinks.web.board import Board
from edge_app.sinks.web.messages import HTML, Answer, Request, later, plain
from edge_app.sinks.web.pages import Pages
from edge_app.sinks.web.preview import Preview
from edge_app.sinks.web.shared import Shared
from edge_app.sinks.web.view import RecentEvents, Viewer

log = logging.getLogger(__name__)

SHARED_S = 0.25
"""For so many seconds all who ask get the same bytes, made once."""

FORM_FIELDS = 4
"""Fields that a form may have; the login form has one."""

Exposition = Callable[[], tuple[bytes, str]]
"""Figures for Prometheus: the text and its content type."""

Handler = Callable[[Request], Answer]


class Site:
    """Answers requests.

    Args:
        settings: All settings.
        board: What the kiosk said.
        access: Who may see what.
        recent_events: The newest events of the journal, if there is one.
        exposition: Figures for Prometheus, if they are wanted.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        settings: Settings,
        board: Board,
        access: Access,
        recent_events: RecentEvents | None,
        exposition: Exposition | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._access = access
        self._clock = clock
        self._pages = Pages(preview=settings.web.preview, sign_out=access.needs_token)
        self._preview = Preview() if settings.web.preview else None
        viewer = Viewer(settings, board, recent_events, clock)
        self._view = Shared(viewer.view, SHARED_S, clock)
        self._json = Shared(self._make_json, SHARED_S, clock)
        self._page = Shared(lambda: self._pages.status(self._view()), SHARED_S, clock)
        self._failed: set[str] = set()
        # Without a token: what the login form needs, and whether the kiosk works.
        self._open: dict[tuple[str, str], Handler] = {
            ("GET", "/healthz"): self._healthz,
            ("GET", "/style.css"): lambda _: self._pages.style,
            ("GET", "/app.js"): lambda _: self._pages.script,
            ("GET", "/icon.svg"): lambda _: self._pages.icon,
        }
        self._closed: dict[tuple[str, str], Handler] = {
            ("GET", "/"): lambda _: Answer(HTTPStatus.OK, self._page(), HTML),
            ("GET", "/api/status.json"): lambda _: self._json(),
        }
        if access.needs_token:
            self._open["GET", "/login"] = lambda _: self._pages.login()
            self._open["POST", "/login"] = self._log_in
            self._closed["POST", "/logout"] = self._log_out
        if self._preview is not None:
            self._closed["GET", "/preview.jpg"] = self._picture
        if exposition is not None:
            figures = Shared(exposition, SHARED_S, clock)
            self._closed["GET", "/metrics"] = lambda _: Answer(HTTPStatus.OK, *figures())

    def answer(self, request: Request) -> Answer:
        """Answer a request; a handler's error is logged once and never shown."""
        try:
            return self._answer(request)
        except Exception as error:  # noqa: BLE001 - whatever fails, the visitor learns nothing of it
            if request.path not in self._failed:
                self._failed.add(request.path)
                log.error("status page: %s: %s: %s", request.path, type(error).__name__, error)
            return plain(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _answer(self, request: Request) -> Answer:
        if not self._access.knows_host(request):
            return plain(HTTPStatus.MISDIRECTED_REQUEST)
        method = "GET" if request.method == "HEAD" else request.method
        route = (method, request.path)
        handler = self._open.get(route)
        if handler is not None:
            return handler(request)
        if not self._access.allows(request):
            return self._stranger(request)
        handler = self._closed.get(route)
        if handler is not None:
            return handler(request)
        known = [verb for verb, path in (*self._open, *self._closed) if path == request.path]
        if known:
            allow = ", ".join(known + ["HEAD"] * ("GET" in known))
            return plain(HTTPStatus.METHOD_NOT_ALLOWED, [("Allow", allow)])
        return plain(HTTPStatus.NOT_FOUND)

    def _stranger(self, request: Request) -> Answer:
        wait = self._access.locked_out(request.client)
        if wait > 0:
            return later(HTTPStatus.TOO_MANY_REQUESTS, wait)
        if request.path == "/" and request.method in ("GET", "HEAD"):
            return plain(HTTPStatus.SEE_OTHER, [("Location", "/login")])
        return plain(HTTPStatus.UNAUTHORIZED, [("WWW-Authenticate", 'Bearer realm="mask-kiosk"')])

    def _healthz(self, _: Request) -> Answer:
        if self._board.now().signal is Signal.FAULT:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"out of order\n")
        return Answer(HTTPStatus.OK, b"ok\n")

    def _make_json(self) -> Answer:
        body = json.dumps(self._view(), ensure_ascii=False).encode()
        return Answer(HTTPStatus.OK, body, "application/json")

    def _picture(self, _: Request) -> Answer:
        seen = self._board.now().seen
        preview = self._preview
        jpeg = None if seen is None or preview is None else preview.jpeg(seen, self._clock())
        if jpeg is None:
            if preview is not None:
                preview.forget()
            return later(HTTPStatus.SERVICE_UNAVAILABLE, 1)
        return Answer(HTTPStatus.OK, jpeg, "image/jpeg")

    def _log_in(self, request: Request) -> Answer:
        wait = self._access.locked_out(request.client)
        if wait > 0:
            return later(HTTPStatus.TOO_MANY_REQUESTS, wait)
        try:
            form = urllib.parse.parse_qs(request.body.decode(), max_num_fields=FORM_FIELDS)
        except ValueError:
            return plain(HTTPStatus.BAD_REQUEST)
        given = form.get("token", [""])[0].strip()
        if not self._access.is_token(given, request.client):
            return self._pages.login(wrong=True)
        return plain(
            HTTPStatus.SEE_OTHER, [("Location", "/"), ("Set-Cookie", self._access.session())]
        )

    def _log_out(self, _: Request) -> Answer:
        return plain(
            HTTPStatus.SEE_OTHER,
            [("Location", "/login"), ("Set-Cookie", self._access.no_session())],
        )
