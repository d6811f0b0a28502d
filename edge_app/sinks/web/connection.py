"""One client's connection: a request comes in, an answer goes out, and that is all.

Nothing here waits. The server calls when there is something to read or room to write, and
ends the connection when its deadline has passed, however lively it is.
"""

from __future__ import annotations

import enum
import selectors
import socket
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

from edge_app.sinks.web.limits import Limits
from edge_app.sinks.web.messages import (
    END_OF_HEAD,
    MAX_HEAD,
    Answer,
    RefusedError,
    Request,
    parse_head,
    plain,
)

READ_SIZE = 4096
"""Bytes read at a time."""

MAX_DISCARDED = 64 * 1024
"""Bytes that a client turned away may still send before it is cut off."""

Respond = Callable[[Request], Answer]
"""Answers one request; never raises."""

Admit = Callable[[str], Answer | None]
"""Asked with the client's address when a request has arrived: None, or why it is refused."""


class Phase(enum.Enum):
    """What a connection is doing."""

    READING = enum.auto()
    WRITING = enum.auto()
    LINGERING = enum.auto()
    ENDED = enum.auto()


class Connection:
    """A connection on its way from request to answer.

    Args:
        sock: Just accepted.
        client: Its address.
        limits: Times.
        now: Seconds on the server's clock; also below.
    """

    __slots__ = (
        "_admitted",
        "_body_length",
        "_client",
        "_discarded",
        "_head",
        "_incoming",
        "_limits",
        "_outgoing",
        "_unread",
        "deadline",
        "phase",
        "sock",
    )

    def __init__(self, sock: socket.socket, client: str, limits: Limits, now: float) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.phase = Phase.READING
        self.deadline = now + limits.read_s
        self._client = client
        self._limits = limits
        self._incoming = bytearray()
        self._admitted = False
        self._head: Request | None = None
        self._body_length = 0
        self._outgoing = memoryview(b"")
        self._unread = False
        self._discarded = 0

    def wanted_event(self) -> int:
        """What to wait for: room to write, or something to read."""
        return selectors.EVENT_WRITE if self.phase is Phase.WRITING else selectors.EVENT_READ

    def advance(self, admit: Admit, respond: Respond, now: float) -> None:
        """Go on as far as possible without waiting."""
        try:
            if self.phase is Phase.READING:
                self._read(admit, respond, now)
            if self.phase is Phase.WRITING:
                self._write(now)
            elif self.phase is Phase.LINGERING:
                self._discard()
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # the client is gone: reset, broken pipe, unreachable
            self.end()

    def refuse(self, answer: Answer, now: float) -> None:
        """Answer without having read the request, and close soon."""
        if self.phase is not Phase.READING:
            self.end()
            return
        self._answer(answer, now, unread=True)
        try:
            self._write(now)
        except OSError:
            self.end()

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.phase is Phase.ENDED

    def end(self) -> None:
        """Nothing more to do: the server closes the socket."""
        self.phase = Phase.ENDED

    def _read(self, admit: Admit, respond: Respond, now: float) -> None:
        received = self.sock.recv(READ_SIZE)
        if not received:
            self.end()
            return
        self._incoming += received
        if not self._admitted:
            # Before a single header is looked at: turning away must be cheap.
            refusal = admit(self._client)
            if refusal is not None:
                self._answer(refusal, now, unread=True)
                return
            self._admitted = True
        try:
            request = self._complete()
        except RefusedError as error:
            self._answer(plain(error.status), now, unread=True)
            return
        if request is not None:
            self._answer(respond(request), now, head_only=request.method == "HEAD")

    def _complete(self) -> Request | None:
        """The request once all of it is here."""
        if self._head is None:
            head, end, rest = self._incoming.partition(END_OF_HEAD)
            if len(head) > MAX_HEAD:
                raise RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            if not end:
                return None
            self._head, self._body_length = parse_head(bytes(head + end), self._client)
            self._incoming = rest
        if len(self._incoming) > self._body_length:
            # A second request behind the first: nobody whom this page serves does that.
            raise RefusedError(HTTPStatus.BAD_REQUEST)
        if len(self._incoming) < self._body_length:
            return None
        return replace(self._head, body=bytes(self._incoming))

    def _answer(
        self, answer: Answer, now: float, *, head_only: bool = False, unread: bool = False
    ) -> None:
        self._incoming.clear()
        self._outgoing = memoryview(answer.encode(head_only=head_only))
        self._unread = unread
        self.phase = Phase.WRITING
        self.deadline = now + self._limits.write_s

    def _write(self, now: float) -> None:
        sent = self.sock.send(self._outgoing)
        self._outgoing = self._outgoing[sent:]
        if self._outgoing:
            return
        if not self._unread:
            self.end()
            return
        # Closing now, with bytes of the client unread, would make the system throw the
        # answer away before the client has seen it.
        self.sock.shutdown(socket.SHUT_WR)
        self.phase = Phase.LINGERING
        self.deadline = now + self._limits.linger_s

    def _discard(self) -> None:
        received = self.sock.recv(READ_SIZE)
        self._discarded += len(received)
        if not received or self._discarded > MAX_DISCARDED:
            self.end()
