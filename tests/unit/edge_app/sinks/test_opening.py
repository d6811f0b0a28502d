from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from edge_app.errors import MissingPackageError, SettingsError
from edge_app.settings import Settings, replace_settings
from edge_app.sinks.opening import open_sinks


def asked(changes: dict[str, Any]) -> Settings:
    return replace_settings(Settings(), changes)


def test_nothing_is_opened_that_is_not_asked_for() -> None:
    assert open_sinks(Settings()) == []


def test_metrics_come_when_they_are_asked_for() -> None:
    sinks = open_sinks(asked({"web.enabled": True, "web.metrics": True}))
    assert [sink.name for sink in sinks] == ["metrics", "web"]
    for sink in sinks:
        sink.close()
    assert open_sinks(asked({"web.metrics": True})) == [], "nobody could ask for them"


@pytest.mark.parametrize(
    ("changes", "module", "message"),
    [
        ({"mqtt.host": "hub"}, "paho", "mqtt.host = hub needs the package paho-mqtt"),
        (
            {"web.enabled": True, "web.metrics": True},
            "prometheus_client",
            "web.metrics = true needs the package prometheus_client",
        ),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_brings_it(
    changes: dict[str, Any], module: str, message: str, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert open_sinks(Settings()) == [], "nobody needs it who does not ask"
    with pytest.raises(MissingPackageError) as caught:
        open_sinks(asked(changes))
    told, _, command = str(caught.value).partition(": ")
    assert told == message
    assert command == "pip install -r deploy/requirements-network.txt"
    assert (root / command.split()[-1]).is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"host": "a..b"}, "mqtt.host = 'a..b' is no name or address"),
        ({"host": ".hub"}, "mqtt.host = '.hub' is no name or address"),
        ({"password_file": "x"}, "mqtt.password_file is set, but mqtt.username is empty"),
        ({"ca_file": "x"}, "mqtt.ca_file is set, but mqtt.tls = false: nothing is encrypted"),
        (
            {"username": "kiosk", "password_file": "nowhere"},
            "mqtt.password_file = nowhere: there is no such file; "
            "write the secret into it, then run: chmod 600 nowhere",
        ),
        (
            {"tls": True, "ca_file": "nowhere"},
            "mqtt.ca_file = nowhere: cannot be read: No such file or directory",
        ),
        (
            {"tls": True, "ca_file": "ca.pem"},
            "mqtt.ca_file = ca.pem: holds no certificates (PEM)",
        ),
    ],
)
def test_mqtt_settings_that_cannot_be_used_are_refused_in_one_line(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ca.pem").write_text("no certificate\n")
    values = {f"mqtt.{key}": value for key, value in {"host": "hub", **changes}.items()}
    with pytest.raises(SettingsError) as caught:
        open_sinks(asked(values))
    assert str(caught.value) == message
