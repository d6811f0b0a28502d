"""Token, cookie, host name: who gets in."""

from __future__ import annotations

import hashlib
import hmac
import logging
from dataclasses import replace
from email.message import Message
from pathlib import Path

import pytest

from edge_app.errors import SettingsError
from edge_app.settings import WebSettings
from edge_app.sinks.web.access import COOKIE, SESSION_S, Access, is_loopback, read_token
from edge_app.sinks.web.limits import Limits
from edge_app.sinks.web.messages import Request

WALL = 1_800_000_000.0


def request(host: str = "127.0.0.1", client: str = "10.0.0.9", **headers: str) -> Request:
    message = Message()
    for name, value in headers.items():
        message[name] = value
    return Request(client, "GET", "/", message, host)


@pytest.fixture
def access(token, clock) -> Access:
    return Access(token, "127.0.0.1", Limits(), clock, lambda: WALL)


def cookie_of(access: Access) -> str:
    return access.session().split(";")[0]


def test_without_a_token_everybody_is_let_in(clock) -> None:
    assert Access(None, "127.0.0.1", Limits(), clock).allows(request())


def test_the_token_in_a_header_lets_in(access: Access, token: str) -> None:
    assert access.allows(request(Authorization=f"Bearer {token}"))
    assert access.allows(request(Authorization=f"bearer  {token} "))


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic {token}", "{token}", "Bearer é"]
)
def test_anything_else_does_not(access: Access, token: str, value: str) -> None:
    assert not access.allows(request(Authorization=value.format(token=token)))


def test_the_cookie_lets_in_and_is_not_the_token(access: Access, token: str) -> None:
    assert access.allows(request(Cookie=f"other=1; {cookie_of(access)}; more=2"))
    assert token not in access.session()
    assert access.session().endswith(f"; Max-Age={SESSION_S}; Path=/; HttpOnly; SameSite=Strict")


def test_a_cookie_has_a_last_day(token: str, clock) -> None:
    wall = WALL
    access = Access(token, "127.0.0.1", Limits(), clock, lambda: wall)
    cookie = cookie_of(access)
    wall = WALL + SESSION_S - 1
    assert access.allows(request(Cookie=cookie))
    wall = WALL + SESSION_S
    assert not access.allows(request(Cookie=cookie))


@pytest.mark.parametrize("value", ["", ".", "x.y", "9999999999.", "9999999999.{other}", "é.é"])
def test_a_forged_cookie_does_not_let_in(access: Access, token: str, value: str) -> None:
    other = hmac.new(b"another token", b"session 9999999999", hashlib.sha256).hexdigest()
    assert not access.allows(request(Cookie=f"{COOKIE}={value.format(other=other)}"))


def test_a_new_token_ends_all_sessions(access: Access, token: str, clock) -> None:
    after = Access(token[::-1], "127.0.0.1", Limits(), clock, lambda: WALL)
    assert not after.allows(request(Cookie=cookie_of(access)))


def test_after_some_wrong_tokens_even_the_right_one_has_to_wait(
    access: Access, token: str, clock, caplog: pytest.LogCaptureFixture
) -> None:
    right = request(Authorization=f"Bearer {token}")
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            assert not access.allows(request(Authorization="Bearer guess"))
    assert [r.getMessage() for r in caplog.records] == [
        "status page: too many wrong tokens from 10.0.0.9"
    ]
    assert not access.allows(right)
    assert access.allows(replace(right, client="10.0.0.10")), "others are not locked out"
    assert access.allows(request(Cookie=cookie_of(access))), "nor who is in already"
    clock.now += access.locked_out("10.0.0.9")
    assert access.allows(right)


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:8080", True),
        ("localhost:9", True),
        ("LOCALHOST", True),
        ("[::1]:8080", True),
        ("evil.example", False),
        ("evil.example:8080", False),
        ("127.0.0.1.evil.example", False),
        ("localhost@evil.example", False),
        ("[", False),
        ("", False),
        ("127.0.0.2", False),
    ],
)
def test_on_loopback_only_its_own_names_are_answered(
    access: Access, host: str, known: bool
) -> None:
    assert access.knows_host(request(host)) is known


def test_the_address_that_is_set_is_one_of_its_names(clock) -> None:
    access = Access(None, "127.0.0.2", Limits(), clock)
    assert access.knows_host(request("127.0.0.2:8080"))


def test_beyond_loopback_any_name_will_do_there_is_a_token(token: str, clock) -> None:
    assert Access(token, "0.0.0.0", Limits(), clock).knows_host(request("kiosk.lan"))  # noqa: S104


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
        ("::", False), ("10.0.0.9", False), ("192.168.1.5", False), ("kiosk.lan", False),
        ("localhost.lan", False), ("", False), ("127.1", False),
    ],
)  # fmt: skip
def test_what_loopback_is(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_other_machines_need_a_token_file() -> None:
    assert read_token(WebSettings()) is None
    with pytest.raises(SettingsError, match=r"web.host = 0.0.0.0: .*web.token_file.*urandom"):
        read_token(WebSettings(host="0.0.0.0"))  # noqa: S104


def test_a_token_file_counts_on_loopback_too(token_file: Path, token: str) -> None:
    assert read_token(WebSettings(token_file=str(token_file))) == token


def test_a_short_token_is_refused_and_not_repeated(token_file: Path) -> None:
    token_file.write_text("hunter2")
    with pytest.raises(SettingsError, match="7 characters.*at least 16") as caught:
        read_token(WebSettings(token_file=str(token_file)))
    assert "hunter2" not in str(caught.value)


def test_a_token_that_others_may_read_is_refused(token_file: Path) -> None:
    token_file.chmod(0o644)
    with pytest.raises(SettingsError, match="web.token_file.*chmod 600"):
        read_token(WebSettings(token_file=str(token_file)))
