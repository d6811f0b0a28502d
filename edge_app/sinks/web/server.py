"""A small HTTP server in one thread, made so that no visitor can hold up the kiosk.

One loop over non-blocking sockets instead of a thread per connection: what the pipeline
loses to visitors is what this one thread takes, and that is limited by
:class:`~edge_app.sinks.web.limits.Limits`. When visitors ask too fast the loop stops
accepting, so that the rest waits in the system's queue, for nothing.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import time
from collections.abc import Callable
from http import HTTPStatus

from edge_app.errors import WebError
from edge_app.sinks.web.connection import Connection, Respond
from edge_app.sinks.web.limits import Bucket, ClientBuckets, Limits
from edge_app.sinks.web.messages import Answer, later

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 1.0
"""The loop looks up at least so often."""

Clock = Callable[[], float]


class HttpServer:
    """Listens at one address and hands requests to a function, one at a time.

    Args:
        host: Name or address to listen at.
        port: Port to listen at; 0: any that is free.
        respond: Answers a request; must not raise and must not wait.
        limits: How much visitors may ask for.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        host: str,
        port: int,
        respond: Respond,
        limits: Limits,
        clock: Clock = time.monotonic,
    ) -> None:
        self.address: tuple[str, int] | None = None
        self._wanted = (host, port)
        self._respond = respond
        self._limits = limits
        self._clock = clock
        now = clock()
        self._accepts = Bucket(limits.accepts, now)
        self._requests = Bucket(limits.requests, now)
        self._per_client = ClientBuckets(limits.requests_per_client)
        self._connections: set[Connection] = set()
        self._closing = self._serving = False
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)

    def serve(self) -> None:
        """Answer until :meth:`close` is called; it may be called again after an error.

        Raises:
            WebError: The address cannot be used, now.
        """
        self._serving = True
        try:
            if not self._closing:
                self._serve()
        finally:
            self._serving = False
            if self._closing:
                self._release()

    def close(self) -> None:
        """Make :meth:`serve` end soon, from any thread; a second call does nothing."""
        self._closing = True
        with contextlib.suppress(OSError):  # closed by the call before, or by serve()
            self._wake.send(b"\0")
        if not self._serving:
            self._release()

    def _release(self) -> None:
        self._wake.close()
        self._woken.close()

    def _serve(self) -> None:
        with self._listen() as listener, selectors.DefaultSelector() as selector:
            self.address = listener.getsockname()[:2]
            log.info("status page at http://%s:%d", *_shown(self.address))
            selector.register(self._woken, selectors.EVENT_READ)
            try:
                self._loop(listener, selector)
            finally:
                self.address = None
                for connection in self._connections:
                    connection.sock.close()
                self._connections.clear()

    def _listen(self) -> socket.socket:
        host, port = self._wanted
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            family, *_, address = found[0]
            listener = socket.socket(family, socket.SOCK_STREAM)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                listener.listen(self._limits.queue)
            except OSError:
                listener.close()
                raise
        except (OSError, UnicodeError) as error:  # a name may be no name at all
            why = getattr(error, "strerror", None) or str(error)
            raise WebError(
                f"the status page cannot listen at web.host = {host}, web.port = {port}: {why}"
            ) from None
        listener.setblocking(False)
        return listener

    def _loop(self, listener: socket.socket, selector: selectors.BaseSelector) -> None:
        accepting = False
        while not self._closing:
            now = self._clock()
            pause = self._accepts.wait(now)
            if accepting != (pause == 0):
                accepting = pause == 0
                if accepting:
                    selector.register(listener, selectors.EVENT_READ)
                else:
                    selector.unregister(listener)
            for key, _ in selector.select(self._patience(now, pause)):
                now = self._clock()
                if key.fileobj is listener:
                    self._accept(listener, selector, now)
                elif isinstance(key.data, Connection):
                    self._advance(key.data, selector, now)
            self._end_overdue(selector)

    def _patience(self, now: float, pause: float) -> float:
        """Seconds that the loop may sleep."""
        until = min((c.deadline for c in self._connections), default=now + LONGEST_WAIT_S)
        wait = min(LONGEST_WAIT_S, max(0.0, until - now))
        return min(wait, pause) if pause else wait

    def _accept(
        self, listener: socket.socket, selector: selectors.BaseSelector, now: float
    ) -> None:
        try:
            sock, address = listener.accept()
        except OSError:  # the client has hung up already, or this program is out of files
            self._accepts.take(now)
            return
        self._accepts.take(now)
        if len(self._connections) >= self._limits.connections:
            self._make_room(selector, now)
        connection = Connection(sock, address[0], self._limits, now)
        self._connections.add(connection)
        selector.register(sock, selectors.EVENT_READ, connection)
        self._advance(connection, selector, now)

    def _make_room(self, selector: selectors.BaseSelector, now: float) -> None:
        """End the connection that is nearest its deadline: an honest one is rarely that slow."""
        oldest = min(self._connections, key=lambda connection: connection.deadline)
        oldest.refuse(later(HTTPStatus.SERVICE_UNAVAILABLE, 1), now)
        self._drop(oldest, selector)

    def _advance(
        self, connection: Connection, selector: selectors.BaseSelector, now: float
    ) -> None:
        if connection.ended:  # ended by an earlier event of the same round
            return
        before = connection.wanted_event()
        connection.advance(self._admit, self._respond, now)
        if connection.ended:
            self._drop(connection, selector)
        elif connection.wanted_event() != before:
            selector.modify(connection.sock, connection.wanted_event(), connection)

    def _admit(self, client: str) -> Answer | None:
        now = self._clock()
        if not self._per_client.take(client, now):
            return later(HTTPStatus.TOO_MANY_REQUESTS, self._per_client.wait(client, now))
        if not self._requests.take(now):
            return later(HTTPStatus.SERVICE_UNAVAILABLE, self._requests.wait(now))
        return None

    def _end_overdue(self, selector: selectors.BaseSelector) -> None:
        now = self._clock()
        for connection in [c for c in self._connections if c.deadline <= now]:
            self._drop(connection, selector)

    def _drop(self, connection: Connection, selector: selectors.BaseSelector) -> None:
        connection.end()
        self._connections.discard(connection)
        selector.unregister(connection.sock)
        connection.sock.close()


def _shown(address: tuple[str, int]) -> tuple[str, int]:
    host, port = address
    return (f"[{host}]" if ":" in host else host), port
