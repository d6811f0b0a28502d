"""Requests and answers as values: HTTP parsed by the standard library, without a socket."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

END_OF_HEAD = b"\r\n\r\n"

MAX_HEAD = 8 * 1024
"""Bytes of the request line and the headers; a browser's take about 1 KiB."""

MAX_BODY = 1024
"""Bytes of a body: the login form's token and nothing else."""

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"

SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; connect-src 'self'; img-src 'self'; script-src 'self'; "
        "style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    # No other web page may show the camera's picture, not even as an <img>.
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Connection", "close"),
)


class RefusedError(Exception):
    """A request that is not worth an answer of its own; ``status`` says why."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        client: Address of who asks.
        method: ``GET``, ``POST``, ...
        path: Without the query, not decoded.
        headers: As sent.
        host: The ``Host`` header.
        body: For a ``POST``.
    """

    client: str
    method: str
    path: str
    headers: Message
    host: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; every one gets :data:`SECURITY_HEADERS` and closes the connection."""

    status: HTTPStatus
    body: bytes = b""
    kind: str = TEXT
    headers: Sequence[tuple[str, str]] = ()

    def encode(self, *, head_only: bool = False) -> bytes:
        """The bytes to send; without the body for a ``HEAD`` request."""
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}"]
        if self.body:
            lines.append(f"Content-Type: {self.kind}")
        lines.append(f"Content-Length: {len(self.body)}")
        lines += [f"{name}: {value}" for name, value in (*SECURITY_HEADERS, *self.headers)]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return head if head_only else head + self.body


def plain(status: HTTPStatus, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    """An answer of one line: the status in words."""
    return Answer(status, f"{status.phrase}\n".encode(), TEXT, headers)


def later(status: HTTPStatus, seconds: float) -> Answer:
    """An answer that asks to come back after so many seconds, at least one."""
    return plain(status, [("Retry-After", str(max(1, round(seconds))))])


class _Parser(BaseHTTPRequestHandler):
    """The library's parser, fed with bytes that have arrived already."""

    def __init__(self, head: bytes) -> None:
        # Not super().__init__(): it would read from a socket and answer at once.
        self.refused: HTTPStatus | None = None
        self.rfile = io.BufferedReader(io.BytesIO(head))
        self.raw_requestline = self.rfile.readline()
        if not self.parse_request() and self.refused is None:
            self.refused = HTTPStatus.BAD_REQUEST

    def send_error(self, code: int, *_: str | None) -> None:
        """Remember the status: nothing is sent from here."""
        self.refused = HTTPStatus(code)


def parse_head(head: bytes, client: str) -> tuple[Request, int]:
    """Parse a request's first line and headers.

    Args:
        head: Everything up to and with :data:`END_OF_HEAD`.
        client: Address of who asks.

    Returns:
        The request, and how many bytes its body has.

    Raises:
        RefusedError: It is not HTTP, or nothing that a browser or script needs to send.
    """
    parser = _Parser(head)
    if parser.refused is not None:
        raise RefusedError(parser.refused)
    hosts = parser.headers.get_all("Host", [])
    if (
        parser.request_version == "HTTP/0.9"
        or parser.headers.defects
        or len(hosts) != 1
        or not parser.path.startswith("/")
    ):
        raise RefusedError(HTTPStatus.BAD_REQUEST)
    path = parser.path.partition("?")[0]
    request = Request(client, parser.command, path, parser.headers, hosts[0])
    return request, _body_length(parser.headers)


def _body_length(headers: Message) -> int:
    if headers.get("Transfer-Encoding") is not None:
        raise RefusedError(HTTPStatus.LENGTH_REQUIRED)
    lengths = headers.get_all("Content-Length", ["0"])
    if len(lengths) != 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
        raise RefusedError(HTTPStatus.BAD_REQUEST)
    # Compared as text first: nobody makes this program read a number of a thousand digits.
    digits = lengths[0].lstrip("0") or "0"
    if len(digits) > len(str(MAX_BODY)) or int(digits) > MAX_BODY:
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return int(digits)
