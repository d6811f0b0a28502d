"""What ``check`` says of a real broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_app.check_sinks import check_sinks
from edge_app.settings import Settings, replace_settings


def said(port: int, **changes: Any) -> tuple[str, str]:
    values = {"host": "127.0.0.1", "port": port, "kiosk_id": "door", **changes}
    settings = replace_settings(Settings(), {f"mqtt.{key}": v for key, v in values.items()})
    return next(
        (status, detail) for name, status, detail in check_sinks(settings) if name == "MQTT"
    )


def test_a_broker_that_lets_us_in_and_hears_nothing(
    broker: Any, subscribe: Callable[..., Any]
) -> None:
    broker.start()
    reader = subscribe()
    assert said(broker.port) == ("ok", f"127.0.0.1:{broker.port} lets us in")
    reader.publish("after", b"")
    assert [topic for topic, _, _ in reader.messages if topic != "after"] == []


def test_a_broker_that_is_not_there(broker: Any) -> None:
    status, detail = said(broker.port)
    assert status == "FAIL"
    assert "connection refused; is the broker running" in detail


def test_a_broker_that_refuses(broker: Any, tmp_path: Any) -> None:
    broker.let_in(("door", "right"))
    broker.configure(broker.passwords)
    broker.start()
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    status, detail = said(broker.port, username="door", password_file=str(secret))
    assert status == "FAIL"
    assert "check mqtt.username and mqtt.password_file" in detail
