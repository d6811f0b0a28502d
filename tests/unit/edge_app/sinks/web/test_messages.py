"""Requests parsed and answers written, as bytes."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.sinks.web.messages import (
    MAX_BODY,
    Answer,
    RefusedError,
    later,
    parse_head,
    plain,
)


def head(first: str = "GET / HTTP/1.1", *lines: str, host: str = "Host: localhost") -> bytes:
    return "\r\n".join([first, host, *lines, "", ""]).encode("latin-1")


def test_a_request_has_method_path_and_headers() -> None:
    request, length = parse_head(head("GET /a%2e?b=c#d HTTP/1.1", "X: y"), "10.0.0.9")
    assert (request.client, request.method, request.path) == ("10.0.0.9", "GET", "/a%2e")
    assert request.headers["X"] == "y"
    assert request.host == "localhost"
    assert length == 0


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (head("GET /"), 400),  # HTTP/0.9
        (head("GET"), 400),
        (head(""), 400),
        (head("GET / HTTP/2.0"), 505),
        (head("GET / HTTP/1.1.1"), 400),
        (head("GET / / HTTP/1.1"), 400),
        (head("GET http://elsewhere/ HTTP/1.1"), 400),
        (head("GET * HTTP/1.1"), 400),
        (head("CONNECT host:443 HTTP/1.1"), 400),
        (head(host="X: y"), 400),
        (head("GET / HTTP/1.1", "Host: two"), 400),
        (head("GET / HTTP/1.1", "no colon here"), 400),
        (head("GET / HTTP/1.1", *[f"X{i}: y" for i in range(200)]), 431),
        (head("POST /login HTTP/1.1", "Transfer-Encoding: chunked"), 411),
        (head("POST /login HTTP/1.1", "Content-Length: -1"), 400),
        (head("POST /login HTTP/1.1", "Content-Length: 1e3"), 400),
        (head("POST /login HTTP/1.1", "Content-Length: ³"), 400),
        (head("POST /login HTTP/1.1", "Content-Length: 3", "Content-Length: 4"), 400),
        (head("POST /login HTTP/1.1", f"Content-Length: {MAX_BODY + 1}"), 413),
        (head("POST /login HTTP/1.1", f"Content-Length: {'9' * 5000}"), 413),
    ],
)  # fmt: skip
def test_what_nobody_needs_to_send_is_refused(content: bytes, status: int) -> None:
    with pytest.raises(RefusedError) as caught:
        parse_head(content, "10.0.0.9")
    assert caught.value.status == status


@pytest.mark.parametrize(("text", "length"), [("0", 0), ("0007", 7), (str(MAX_BODY), MAX_BODY)])
def test_the_length_of_a_body_is_read(text: str, length: int) -> None:
    _, found = parse_head(head("POST /login HTTP/1.1", f"Content-Length: {text}"), "")
    assert found == length


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_are_refused(content: bytes) -> None:
    try:
        request, length = parse_head(content + b"\r\n\r\n", "")
    except RefusedError:
        return
    assert request.path.startswith("/")
    assert 0 <= length <= MAX_BODY


def test_an_answer_carries_every_security_header() -> None:
    encoded = Answer(HTTPStatus.OK, b"x" * 7).encode()
    top, _, body = encoded.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    headers = dict(line.split(": ", 1) for line in lines[1:])
    assert headers.pop("Content-Security-Policy").startswith("default-src 'none'; ")
    assert headers == {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": "7",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Connection": "close",
    }
    assert body == b"x" * 7


def test_the_policy_allows_no_inline_script_and_nobody_elses_files() -> None:
    policy = Answer(HTTPStatus.OK).encode().decode().split("Content-Security-Policy: ")[1]
    policy = policy.split("\r\n")[0]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy


def test_the_answer_to_head_says_the_length_and_sends_nothing() -> None:
    encoded = plain(HTTPStatus.OK).encode(head_only=True)
    assert b"Content-Length: 3\r\n" in encoded
    assert encoded.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(("seconds", "said"), [(0.01, "1"), (1.4, "1"), (4.9, "5")])
def test_come_back_later_is_at_least_a_second(seconds: float, said: str) -> None:
    assert later(HTTPStatus.TOO_MANY_REQUESTS, seconds).headers == [("Retry-After", said)]
