"""HTTP requests to the real status page, over real sockets: wrong, cut off, slow, without end."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import json
import random
import re
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path
from typing import ClassVar

import numpy as np

from edge_app.domain import Frame, Observation, Signal, Vitals
from edge_app.settings import Settings
from edge_app.sinks.web import Limits, StatusPage
from edge_app.sinks.web.limits import Rate
from tests.fuzz.mutation import Mutator
from tests.fuzz.target import Target, Violation, Visit, mutated

PATIENCE_S = 5.0

GONE = (ConnectionResetError, BrokenPipeError)
"""The server has answered and closed before all was sent."""

READ_S = 0.1
"""How long the server waits for the rest of a request; shipped is 5 s, for which 100,000 cases
have no time."""

SLOW = 0.002
"""Share of cases that leave a request unfinished and wait until the server has had enough."""

LIFE_SIGN = 50
"""After so many cases the page must still say the truth."""

NO_LIMIT = Rate(1e9, 1e9)

LIMITS = Limits(
    accepts=NO_LIMIT,
    requests=NO_LIMIT,
    requests_per_client=NO_LIMIT,
    wrong_tokens=NO_LIMIT,
    read_s=READ_S,
    linger_s=READ_S,
)
"""The shipped limits would turn nearly every case away before it is read."""

TOKEN = b"fuzzed-token-of-24-chars"
SECRET = b"nobody-may-read-this"
JPEG = b"\xff\xd8\xff"

ALLOWED = {200, 303, 400, 401, 403, 404, 405, 411, 413, 414, 421, 431, 503, 505}

METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS", b"TRACE", b"get", b"", b"G\0T", b"X" * 300)

PATHS = (
    *(b"/", b"/login", b"/logout", b"/healthz", b"/style.css", b"/app.js", b"/preview.jpg"),
    *(
        b"/api/status.json",
        b"/metrics",
        b"/icon.svg",
        b"/../../../../etc/passwd",
        b"//",
        b"/%2e%2e/",
    ),
    *(b"/..%2f..%2fetc%2fpasswd", b"/%00", b"*", b"", b"http://evil/", b"/?a=b&c", b"/\xff\xfe"),
    *(
        b"/a" * 5000,
        b"/preview.jpg?x=1",
        b"/static/../app.js",
        b"/login?token=",
        b"//evil.example/",
    ),
    *(b"/healthz/", b"/;a", b"/\t", b"/login\r\nX: y", b"/api//status.json", b"/API/status.json"),
)

VERSIONS = (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9999999999.1", b"", b"FTP/1")

HEADERS = (
    *(
        b"Host: 127.0.0.1",
        b"Host: 127.0.0.1",
        b"Host: evil.example",
        b"Host: [::1",
        b"Host:",
        b"Host",
    ),
    *(b"Authorization: Bearer " + TOKEN, b"Authorization: Bearer x", b"Authorization: Basic eA=="),
    *(b"Authorization: Bearer \xff\xfe", b"Authorization:", b"Authorization: " + b"B" * 7000),
    *(b"Cookie: mask_kiosk_session=1.2", b"Cookie: mask_kiosk_session=9999999999." + b"0" * 64),
    *(b"Cookie: " + b"a=b; " * 1000, b"Cookie: mask_kiosk_session=\xff.\xff", b"Cookie: =;=;;"),
    *(b"Content-Length: 5", b"Content-Length: 0", b"Content-Length: -1", b"Content-Length: 1e3"),
    *(b"Content-Length: " + b"9" * 5000, b"Content-Length: +5", b"Content-Length: 5, 5"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: \x0bchunked", b"Expect: 100-continue"),
    *(b"Connection: keep-alive", b"Connection: Upgrade", b"Upgrade: h2c", b"Range: bytes=0-,1-"),
    *(b" folded: value", b"\tfolded", b": no name", b"No colon", b"\0: \0", b"A" * 9000 + b": a"),
    *(
        b"X-Forwarded-For: 127.0.0.1",
        b"Accept-Encoding: gzip;q=nan",
        b"If-None-Match: *",
        b"\xff: 1",
    ),
)

BODIES = (
    *(
        b"",
        b"",
        b"token=x",
        b"token=" + TOKEN,
        b"5\r\nhello\r\n0\r\n\r\n",
        b"token=%ff%fe",
        b"a&" * 600,
    ),
    *(b"&".join([b"token=x"] * 9), b"\0" * 100, b"token=" + b"x" * 2000, b"GET / HTTP/1.1\r\n\r\n"),
    *(b"ffffffffffffffff\r\n", b"token=" + "😷".encode(), b"=" * 50, b";" * 50, b"token"),
)

WORDS = (
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\r",
    b"\0",
    b"%",
    b"%2e",
    b":",
    b" ",
    b"HTTP/1.1",
    *HEADERS[:20],
)


REQUESTS = (1,) * 14 + (2, 20)
"""How many requests follow each other without waiting for an answer."""


class Manner(enum.IntEnum):
    """How a visitor behaves."""

    POLITE = 0
    IN_PIECES = 1
    HALF_CLOSED = 2
    GONE_EARLY = 3
    RESET = 4
    SLOW = 5


class Requests(Target):
    """Two pages, one with a token and one without; what they may tell is known."""

    name: ClassVar[str] = "http"
    suffix: ClassVar[str] = ".http"

    def open(self) -> None:
        self._mutator = Mutator([b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"], WORDS)
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / "token"
        file.write_bytes(TOKEN)
        file.chmod(0o600)
        self._pages = [_page(""), _page(str(file))]
        self._threads = [threading.Thread(target=page.serve, daemon=True) for page in self._pages]
        for thread in self._threads:
            thread.start()
        for page in self._pages:
            _until(lambda page=page: page.address is not None, "the page does not start")
        self._count = 0
        self._tell()

    def close(self) -> None:
        for page in self._pages:
            page.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            if thread.is_alive():
                raise Violation("the server does not end")
        self._folder.cleanup()

    def cases(self, seed: int, start: int, count: int, visit: Visit) -> None:
        mutated(self._make, seed, start, count, visit)

    def _make(self, chance: random.Random) -> bytes:
        """One byte for the page, one for the manner, then what is sent."""
        manner = Manner.SLOW if chance.random() < SLOW else chance.choice(list(Manner)[:-1])
        request = b"".join(_request(chance) for _ in range(chance.choice(REQUESTS)))
        if chance.random() < 0.35:
            request = self._mutator.damage(chance, request)
        return bytes([chance.randrange(2), manner]) + request

    def judge(self, content: bytes) -> str:
        self._count += 1
        if self._count % LIFE_SIGN == 1:
            self._tell()
            self._check_alive()
        with_token, manner, request = content[0] % 2, Manner(content[1] % 6), content[2:]
        address = self._pages[with_token].address
        if address is None or not self._threads[with_token].is_alive():
            raise Violation("the server has ended")
        with socket.create_connection(address, PATIENCE_S) as sock:
            answer = _exchange(sock, manner, request)
        if manner in (Manner.GONE_EARLY, Manner.RESET):
            return manner.name.lower()
        outcome = _check_answer(answer)
        if with_token and TOKEN not in request:
            for what in (SECRET, TOKEN, JPEG):
                if what in answer:
                    raise Violation("a stranger learns a secret", f"{what!r}: {answer[:300]!r}")
        return outcome

    def _tell(self) -> None:
        """What is true now."""
        image = np.full((48, 64, 3), 120, np.uint8)
        now = time.monotonic()
        for page in self._pages:
            page.handle(
                Observation(self._count, now, Signal.NO_MASK, SECRET.decode()),
                Frame(image, now, self._count),
            )
            page.report(Vitals(now, fps=5.0))

    def _check_alive(self) -> None:
        lines = b"GET /api/status.json HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
        for page in self._pages:
            assert page.address is not None
            with socket.create_connection(page.address, PATIENCE_S) as sock:
                answer = _exchange(sock, Manner.POLITE, lines + TOKEN + b"\r\n\r\n")
            head, _, body = answer.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 ") or Signal.NO_MASK not in str(json.loads(body)):
                raise Violation("the page does not say the truth any more", repr(answer[:500]))


def _page(token_file: str) -> StatusPage:
    settings = Settings()
    web = dataclasses.replace(settings.web, enabled=True, port=0, token_file=token_file)
    return StatusPage(dataclasses.replace(settings, web=web), limits=LIMITS)


def _request(chance: random.Random) -> bytes:
    line = b" ".join((chance.choice(METHODS[:3]), chance.choice(PATHS), b"HTTP/1.1"))
    if chance.random() < 0.15:
        separator = chance.choice((b" ", b"  ", b"\t", b""))
        line = separator.join(chance.choice(c) for c in (METHODS, PATHS, VERSIONS))
    headers = [b"Host: 127.0.0.1"] if chance.random() < 0.8 else []
    headers += [chance.choice(HEADERS) for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 4, 150)))]
    body = chance.choice(BODIES)
    if body and chance.random() < 0.8:
        headers.append(b"Content-Length: %d" % len(body))
    end = b"\r\n" if chance.random() < 0.95 else b"\n"
    return end.join([line, *headers, b"", body])


def _exchange(sock: socket.socket, manner: Manner, request: bytes) -> bytes:
    """Everything that comes back until the server closes the connection."""
    parts = [request]
    if manner is Manner.IN_PIECES:
        third = len(request) // 3 + 1
        parts = [request[i : i + third] for i in range(0, len(request), third)]
    if manner is Manner.SLOW:
        parts = [request[: len(request) // 2]]
    with contextlib.suppress(*GONE):
        for part in parts:
            sock.sendall(part)
        if manner is Manner.RESET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if manner in (Manner.RESET, Manner.GONE_EARLY):
            return b""
        if manner is Manner.HALF_CLOSED:
            with contextlib.suppress(OSError):  # the server was quicker and has closed it all
                sock.shutdown(socket.SHUT_WR)
    answer = bytearray()
    with contextlib.suppress(*GONE):
        while received := sock.recv(65536):
            answer += received
    return bytes(answer)


def _check_answer(answer: bytes) -> str:
    """The status, or that there was no answer, which is one too."""
    if not answer:
        return "closed without an answer"
    head, end, body = answer.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.1 (\d{3}) [A-Za-z -]+\r\n", head + end)
    if not found or not end:
        raise Violation("an answer that is not HTTP", repr(answer[:300]))
    status = int(found[1])
    if status not in ALLOWED:
        raise Violation(f"status {status}", repr(answer[:300]))
    length = re.findall(rb"\r\nContent-Length: (\d+)\r\n", head + end)
    if len(length) != 1 or (body and len(body) != int(length[0])):
        raise Violation("an answer of the wrong length", repr(answer[:300]))
    if b"Traceback" in answer:
        raise Violation("a traceback is shown", repr(answer[:300]))
    return f"answered: {status}"


def _until(is_so: object, complaint: str) -> None:
    end = time.monotonic() + PATIENCE_S
    assert callable(is_so)
    while not is_so():
        if time.monotonic() > end:
            raise Violation(complaint)
        time.sleep(0.01)


TARGET = Requests
