"""The whole page over real sockets: routes, login, figures, faults."""

from __future__ import annotations

import datetime
import json
import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest

from edge_app.domain import Signal, Vitals
from edge_app.errors import JournalError, SettingsError
from edge_app.sinks import Server, Sink
from edge_app.sinks.opening import open_sinks
from edge_app.sinks.web import Limits, StatusPage
from edge_app.sinks.web.limits import Rate

GENEROUS = Rate(1000, 1000)
CALM = Limits(accepts=GENEROUS, requests=GENEROUS, requests_per_client=GENEROUS)


@pytest.fixture
def visit(serve):
    """A page without limits, so that a test may ask as often as it likes."""
    return lambda **options: serve(**{"limits": CALM, **options})


def event(signal: Signal, **more: object) -> SimpleNamespace:
    begin = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    values = {
        "begin": begin, "duration_s": 65.0, "state": "ended", "kind": "signal",
        "name": signal.value, "people": 2,
    }  # fmt: skip
    return SimpleNamespace(**{**values, **more})


def test_it_is_a_sink_and_a_server_off_by_default(web_settings) -> None:
    page: Sink = StatusPage(web_settings)
    assert isinstance(page, Server)
    page.close()
    off = replace(web_settings, web=replace(web_settings.web, enabled=False))
    assert not any(isinstance(sink, StatusPage) for sink in open_sinks(off))
    [opened] = [sink for sink in open_sinks(web_settings) if isinstance(sink, StatusPage)]
    opened.close()


def test_another_address_without_a_token_stops_the_start(web_settings) -> None:
    wide = replace(web_settings, web=replace(web_settings.web, host="0.0.0.0"))  # noqa: S104
    with pytest.raises(SettingsError, match="web.token_file"):
        open_sinks(wide)


def test_the_page_says_what_the_light_shows_without_any_script(visit, says) -> None:
    visitor = visit()
    visitor.page.handle(
        says.observed(Signal.NO_MASK, "1 person <without> a mask", (says.face(),)), says.frame()
    )
    reply = visitor.ask("/")
    assert reply.status == 200
    assert '<section id="light" class="light" data-signal="NO_MASK"' in reply.text
    assert "<title>No mask – Mask kiosk</title>" in reply.text
    assert "1 person &lt;without&gt; a mask." in reply.text
    assert "red, fast blink, with buzzer" in reply.text
    assert "Largest face 60 pixels, 24 needed: large enough." in reply.text


def test_the_status_as_json(visit, says) -> None:
    visitor = visit()
    page = visitor.page
    page.handle(
        says.observed(Signal.NO_MASK, "why", (says.face(),), detect=2.04, classify=12.3),
        says.frame(),
    )
    page.report(
        Vitals(
            0.0, 14.96, latency_ms={"p50": 21.2, "p99": 2400.0}, temperature_c=61.7,
            throttled=("under-voltage now",), troubles={"journal": "the disk is full"},
        )
    )  # fmt: skip
    reply = visitor.ask("/api/status.json")
    assert reply.headers["Content-Type"] == "application/json"
    view = json.loads(reply.body)
    assert (view["signal"], view["people"], view["picture"]) == ("NO_MASK", 1, True)
    assert view["troubles"] == ["Journal: the disk is full."]
    text = view["text"]
    assert text["heading"] == "No mask"
    assert text["people"] == "1 person"
    assert text["camera"] == "working"
    assert text["fps"] == "15.0 per second"
    assert text["latency"] == "21 ms, slowest 1 %: 2.4 s (limit 2 s)"
    assert (text["detect"], text["classify"]) == ("2.0 ms", "12 ms of 40 ms")
    assert (text["temperature"], text["throttling"]) == ("62 °C", "under-voltage now")
    assert text["events"] == "This kiosk keeps no journal."
    assert view["levels"] == {
        "face": "good", "camera": "good", "latency": "bad", "throttling": "bad",
    }  # fmt: skip


def test_what_is_not_known_is_not_made_up(visit) -> None:
    visitor = visit()
    view = json.loads(visitor.ask("/api/status.json").body)
    assert (view["signal"], view["people"], view["picture"]) == ("FAULT", None, False)
    text = view["text"]
    assert (text["heading"], text["reason"]) == ("Out of order", "Starting.")
    assert text["people"] == "unknown"
    for field in ("fps", "latency", "detect", "temperature", "throttling"):
        assert text[field] == "not measured"
    assert view["levels"] == {"camera": "bad"}


def test_a_small_face_asks_to_step_closer(visit, says) -> None:
    visitor = visit()
    visitor.page.handle(says.observed(faces=(says.face(size=20),)), says.frame())
    view = json.loads(visitor.ask("/api/status.json").body)
    assert view["text"]["face"] == (
        "Largest face 20 pixels, 24 needed: too small, step closer or move the camera."
    )
    assert view["levels"]["face"] == "bad"


def test_the_last_events_are_listed(visit) -> None:
    events = [event(Signal.NO_MASK), event(Signal.COMPLIANT, state="open")]
    events.append(event(Signal.FAULT, kind="trouble", name="camera"))
    visitor = visit(recent_events=lambda: events)
    [first, second, third] = json.loads(visitor.ask("/api/status.json").body)["events"]
    assert first["begin"] == "2026-01-02T03:04:05+00:00"
    assert (first["heading"], first["duration"], first["people"]) == ("No mask", "1 min", 2)
    assert second["duration"] == "now"
    assert third["heading"] == "Trouble: camera"
    text = visitor.ask("/").text
    assert '<time datetime="2026-01-02T03:04:05+00:00">' in text
    assert text.count("<tr data-signal=") == len(events)


def test_an_unreadable_journal_does_not_take_the_page_with_it(visit, says) -> None:
    def broken():
        raise JournalError("disk I/O error")

    visitor = visit(recent_events=broken)
    visitor.page.handle(says.observed(Signal.COMPLIANT), says.frame())
    reply = visitor.ask("/")
    assert reply.status == 200
    assert "The journal cannot be read: disk I/O error." in reply.text


def test_the_picture_is_a_jpeg_and_gone_when_the_kiosk_sees_nothing(visit, says) -> None:
    visitor = visit()
    assert visitor.ask("/preview.jpg").status == 503
    visitor.page.handle(says.observed(), says.frame())
    reply = visitor.ask("/preview.jpg?17")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "image/jpeg")
    assert reply.body.startswith(b"\xff\xd8\xff")
    assert reply.headers["Cache-Control"] == "no-store"
    visitor.page.handle(says.observed(Signal.FAULT, "camera lost"), None)
    assert visitor.ask("/preview.jpg").status == 503


def test_without_the_preview_there_is_no_trace_of_it(visit, says) -> None:
    visitor = visit(preview=False)
    visitor.page.handle(says.observed(), says.frame())
    assert visitor.ask("/preview.jpg").status == 404
    assert "preview.jpg" not in visitor.ask("/").text
    assert json.loads(visitor.ask("/api/status.json").body)["picture"] is False


@pytest.mark.parametrize("signal", list(Signal))
def test_healthz_is_well_unless_the_light_shows_a_fault(visit, says, token_file, signal) -> None:
    visitor = visit(token_file=str(token_file))
    visitor.page.handle(says.observed(signal, "a secret reason"), None)
    reply = visitor.ask("/healthz")
    assert (reply.status, reply.text) == (
        (503, "out of order\n") if signal is Signal.FAULT else (200, "ok\n")
    )


def test_metrics_are_served_when_there_are_any(visit) -> None:
    visitor = visit(exposition=lambda: (b"frames_total 7\n", "text/plain; version=0.0.4"))
    reply = visitor.ask("/metrics")
    assert (reply.status, reply.body) == (200, b"frames_total 7\n")
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4"
    assert visit().ask("/metrics").status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/style.css/../app.js", "//style.css/x",
        "/assets/", "/static", "/status.html", "/%2e%2e/", "/style.css%00", "/Preview.jpg",
        "/api/", "/login", "/logout", "/favicon.ico", "/./",
    ],
)  # fmt: skip
def test_there_is_nothing_but_the_routes(visit, path) -> None:
    assert visit().ask(path).status == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/", 405, "GET, HEAD"), ("PUT", "/preview.jpg", 405, "GET, HEAD"),
        ("DELETE", "/api/status.json", 405, "GET, HEAD"), ("OPTIONS", "/", 405, "GET, HEAD"),
        ("TRACE", "/healthz", 405, "GET, HEAD"), ("get", "/", 405, "GET, HEAD"),
        ("GET", "/logout", 405, "POST"), ("PROPFIND", "/nowhere", 404, None),
    ],
)  # fmt: skip
def test_only_the_methods_that_are_needed(
    visit, token_file, token, method, path, status, allow
) -> None:
    visitor = visit(token_file=str(token_file))
    reply = visitor.ask(path, method, Authorization=f"Bearer {token}")
    assert (reply.status, reply.headers.get("Allow")) == (status, allow)


@pytest.mark.parametrize("path", ["/", "/style.css", "/api/status.json", "/healthz"])
def test_head_is_get_without_the_body(visit, says, path) -> None:
    visitor = visit()
    visitor.page.handle(says.observed(), None)
    whole, head = visitor.ask(path), visitor.ask(path, "HEAD")
    assert head.body == b""
    assert head.status == whole.status
    if path != "/api/status.json":  # its times go on
        assert head.headers == whole.headers


@pytest.mark.parametrize("path", ["/", "/preview.jpg", "/healthz", "/style.css"])
def test_another_host_name_is_not_answered(visit, says, path) -> None:
    visitor = visit()
    visitor.page.handle(says.observed(), says.frame())
    assert visitor.ask(path, Host="evil.example:8080").status == 421
    assert visitor.ask(path, Host="localhost:8080").status == 200


@pytest.mark.parametrize("path", ["/api/status.json", "/preview.jpg", "/metrics", "/nowhere"])
def test_without_the_token_nothing_is_told_on_loopback_either(visit, token_file, path) -> None:
    visitor = visit(token_file=str(token_file), exposition=lambda: (b"", "text/plain"))
    reply = visitor.ask(path)
    assert (reply.status, reply.body) == (401, b"Unauthorized\n")
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="mask-kiosk"'


def test_a_browser_is_sent_to_the_form_and_in_by_the_cookie(visit, says, token_file, token) -> None:
    visitor = visit(token_file=str(token_file))
    visitor.page.handle(says.observed(Signal.COMPLIANT), None)
    sent = visitor.ask("/")
    assert (sent.status, sent.headers["Location"]) == (303, "/login")
    assert 'action="/login"' in visitor.ask("/login").text
    done = visitor.ask("/login", "POST", f"token={token}")
    assert (done.status, done.headers["Location"]) == (303, "/")
    cookie = done.headers["Set-Cookie"].split(";")[0]
    inside = visitor.ask("/", Cookie=cookie)
    assert inside.status == 200
    assert "Sign out" in inside.text
    out = visitor.ask("/logout", "POST", Cookie=cookie)
    assert (out.status, out.headers["Location"]) == (303, "/login")
    assert "Max-Age=0" in out.headers["Set-Cookie"]


@pytest.mark.parametrize("body", ["token=wrong", "token=", "nothing", "a=1&token=x&token=y"])
def test_a_wrong_token_is_said_and_sets_no_cookie(visit, token_file, body) -> None:
    reply = visit(token_file=str(token_file)).ask("/login", "POST", body)
    assert reply.status == 403
    assert 'role="alert" >This is not the token.' in reply.text
    assert "Set-Cookie" not in reply.headers


@pytest.mark.parametrize("body", ["token=%ff\xff", "&".join("abcdef")])
def test_a_strange_form_is_refused(visit, token_file, body) -> None:
    assert visit(token_file=str(token_file)).ask("/login", "POST", body).status in (400, 403)


def test_guessing_is_slowed_down(visit, token_file, token) -> None:
    visitor = visit(token_file=str(token_file))
    statuses = [visitor.ask("/login", "POST", "token=wrong").status for _ in range(7)]
    assert statuses == [403] * 5 + [429] * 2
    late = visitor.ask("/login", "POST", f"token={token}")
    assert late.status == 429
    assert 1 <= int(late.headers["Retry-After"]) <= 5
    assert visitor.ask("/metrics", Authorization=f"Bearer {token}").status == 429


def test_the_token_is_never_taken_from_the_address(visit, token_file, token) -> None:
    visitor = visit(token_file=str(token_file))
    assert visitor.ask(f"/api/status.json?token={token}").status == 401


def test_an_error_is_logged_once_and_shown_to_nobody(visit, caplog) -> None:
    def broken():
        raise RuntimeError("private detail")

    visitor = visit(exposition=broken)
    with caplog.at_level(logging.ERROR):
        replies = [visitor.ask("/metrics") for _ in range(3)]
    assert {(reply.status, reply.body) for reply in replies} == {(500, b"Internal Server Error\n")}
    assert [record.getMessage() for record in caplog.records] == [
        "status page: /metrics: RuntimeError: private detail"
    ]
    assert visitor.ask("/style.css").status == 200
