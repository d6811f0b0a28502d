"""The server against visitors who mean no good, with real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import replace
from http import HTTPStatus

import pytest

from edge_app.errors import WebError
from edge_app.sinks.web.limits import Limits, Rate
from edge_app.sinks.web.messages import MAX_HEAD, Answer, Request, plain
from edge_app.sinks.web.server import HttpServer

PATIENCE_S = 20.0
GENEROUS = Rate(1000, 1000)
CALM = Limits(accepts=GENEROUS, requests=GENEROUS, requests_per_client=GENEROUS)
GET = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"


def respond(request: Request) -> Answer:
    return Answer(HTTPStatus.OK, f"{request.method} {request.path} {request.body!r}".encode())


@pytest.fixture
def start(wait_until):
    """Starts a server; returns it and its address."""
    running = []

    def run(limits=CALM, answer=respond, host="127.0.0.1"):
        server = HttpServer(host, 0, answer, limits)
        thread = threading.Thread(target=server.serve)
        thread.start()
        running.append((server, thread))
        wait_until(lambda: server.address is not None)
        return server

    yield run
    for server, thread in running:
        server.close()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.fixture
def ask(read_reply):
    def send(server, content=GET):
        with socket.create_connection(server.address, PATIENCE_S) as sock:
            sock.sendall(content)
            return read_reply(sock)

    return send


def ended(sock: socket.socket) -> bytes:
    """Everything that comes until the server ends the connection, even hard."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while piece := sock.recv(4096):
            received += piece
    return bytes(received)


def test_a_request_is_answered_and_the_connection_closed(start, ask) -> None:
    reply = ask(start())
    assert (reply.status, reply.text) == (200, "GET /hello b''")
    assert reply.headers["Connection"] == "close"


def test_a_request_may_come_byte_by_byte(start, read_reply) -> None:
    content = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab=cd"
    with socket.create_connection(start().address, PATIENCE_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in content:
            sock.sendall(bytes([byte]))
        assert read_reply(sock).text == "POST /login b'ab=cd'"


def test_an_answer_larger_than_any_buffer_arrives_whole(start, ask) -> None:
    body = bytes(range(256)) * 40_000
    server = start(answer=lambda _: Answer(HTTPStatus.OK, body))
    assert ask(server).body == body


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200_000, 431),
        (GET + GET, 400),  # pipelined
        (GET + b"\0", 400),
        (GET.replace(b"GET", b"POST") + b"more than was said", 400),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", 400),  # a TLS greeting
        (b"\r\n\r\n", 400),
        (b"SSH-2.0-x\r\n\r\n", 400),
        (b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99999, 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    ],
)
def test_nonsense_is_refused_and_the_refusal_arrives(start, ask, content, status) -> None:
    server = start()
    try:
        assert ask(server, content).status == status
    except (ConnectionResetError, BrokenPipeError):
        # Whoever goes on sending beyond all limits is cut off; only then.
        assert len(content) > 64 * 1024
    assert ask(server).status == 200


def test_a_request_too_slow_as_a_whole_is_cut_off_however_lively(start, ask) -> None:
    server = start(Limits(accepts=GENEROUS, requests=GENEROUS, read_s=0.3))
    connected = socket.create_connection(server.address, PATIENCE_S)
    with connected as sock, contextlib.suppress(ConnectionError):
        for _ in range(int(PATIENCE_S / 0.02)):
            sock.sendall(b"G")  # never silent for long
            time.sleep(0.02)
        pytest.fail("it was let go on")
    assert ask(server).status == 200


def test_a_client_that_does_not_take_its_answer_is_cut_off(start, ask) -> None:
    large = Answer(HTTPStatus.OK, b"x" * 20_000_000)
    server = start(Limits(accepts=GENEROUS, requests=GENEROUS, write_s=0.3), lambda _: large)
    with socket.create_connection(server.address, PATIENCE_S) as sock:
        sock.sendall(GET)
        time.sleep(0.6)  # the deadline passes; then the rest never comes
        assert 0 < len(ended(sock)) < len(large.body)


def test_silent_connections_make_room_for_a_visitor_who_asks(start, ask) -> None:
    server = start(Limits(accepts=GENEROUS, requests=GENEROUS, connections=8, read_s=60))
    hanging = [socket.create_connection(server.address, PATIENCE_S) for _ in range(20)]
    try:
        for _ in range(5):
            assert ask(server).status == 200
        turned_away = ended(hanging[0])
        assert turned_away.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in turned_away
    finally:
        for sock in hanging:
            sock.close()


def test_a_greedy_client_is_told_to_wait_and_then_served_again(start, ask) -> None:
    server = start(Limits(accepts=GENEROUS, requests_per_client=Rate(5, 3)))
    replies = [ask(server) for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 200, 429]
    assert replies[-1].headers["Retry-After"] == "1"
    time.sleep(0.3)
    assert ask(server).status == 200


def test_all_clients_together_are_limited_too(start, read_reply) -> None:
    server = start(
        Limits(accepts=GENEROUS, requests=Rate(1e-6, 3), requests_per_client=Rate(1e-6, 2))
    )
    statuses = []
    for client in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
        for _ in range(2):
            with socket.create_connection(server.address, PATIENCE_S, (client, 0)) as sock:
                sock.sendall(GET)
                statuses.append(read_reply(sock).status)
    assert statuses == [200, 200, 200, 503, 503, 503]


def test_beyond_all_limits_visitors_wait_unheard(start, ask) -> None:
    server = start(Limits(accepts=Rate(10, 1), requests=GENEROUS))
    begin = time.monotonic()
    assert [ask(server).status for _ in range(4)] == [200] * 4
    assert time.monotonic() - begin >= 0.25, "three had to wait for a tenth of a second each"


def test_clients_that_vanish_at_any_point_do_no_harm(start, ask) -> None:
    server = start()
    for cut in (0, 1, 10, len(GET) - 1, len(GET)):
        sock = socket.create_connection(server.address, PATIENCE_S)
        # Linger 0 closes with a reset: the rudest way to go.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.sendall(GET[:cut])
        sock.close()
    assert ask(server).status == 200


def test_it_ends_at_once_with_clients_hanging_in_every_phase(wait_until) -> None:
    large = Answer(HTTPStatus.OK, b"x" * 20_000_000)
    patient = replace(CALM, read_s=3600, write_s=3600, linger_s=3600)
    server = HttpServer("127.0.0.1", 0, lambda _: large, patient)
    thread = threading.Thread(target=server.serve)
    thread.start()
    wait_until(lambda: server.address is not None)
    assert server.address is not None
    sockets = [socket.create_connection(server.address, PATIENCE_S) for _ in range(4)]
    for sock, content in zip(sockets, (b"", b"GET", GET, GET + GET), strict=True):
        sock.sendall(content)
    assert sockets[2].recv(1)
    server.close()
    server.close()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert server.address is None
    for sock in sockets:
        ended(sock)
        sock.close()


def test_closed_before_it_served_it_serves_nobody() -> None:
    server = HttpServer("127.0.0.1", 0, respond, CALM)
    server.close()
    server.close()
    server.serve()
    assert server.address is None


def test_an_address_in_use_is_temporary_and_served_when_it_is_free(start, ask, wait_until) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = HttpServer("127.0.0.1", port, respond, CALM)
        with pytest.raises(WebError, match=f"web.port = {port}: Address already in use"):
            server.serve()
    thread = threading.Thread(target=server.serve)
    thread.start()
    wait_until(lambda: server.address is not None)
    assert ask(server).status == 200
    server.close()
    thread.join(PATIENCE_S)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 200, "a b", "256.1.1.1"])
def test_a_name_that_means_nothing_is_one_line(host: str) -> None:
    server = HttpServer(host, 80, lambda _: plain(HTTPStatus.OK), CALM)
    with pytest.raises(WebError, match=f"^the status page cannot listen at web.host = {host}"):
        server.serve()
    server.close()


def test_it_listens_at_ipv6_addresses_too(start, ask) -> None:
    try:
        server = start(host="::1")
    except AssertionError:
        pytest.skip("no IPv6 here")
    assert ask(server).status == 200
