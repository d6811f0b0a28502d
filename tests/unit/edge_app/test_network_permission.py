from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_app.check import check_network
from edge_app.network_permission import (
    ask_systemctl,
    network_user,
    require_network,
    service_may,
)
from edge_app.settings import Settings, replace_settings

WANTS = [
    ("mqtt.host", "broker.local"),
    ("web.enabled", True),
    ("source.uri", "rtsp://camera.local/stream"),
]


def told(state: str, families: str) -> str:
    return f"LoadState={state}\nRestrictAddressFamilies={families}\n"


@pytest.mark.parametrize(("key", "value"), WANTS)
def test_the_setting_that_needs_the_network_is_named(key: str, value: str | bool) -> None:
    assert network_user(replace_settings(Settings(), {key: value})) == key


@pytest.mark.parametrize("uri", ["picamera:1", "/dev/video0", "clip.mp4"])
def test_a_kiosk_by_itself_needs_none(uri: str) -> None:
    settings = replace_settings(Settings(), {"source.uri": uri})
    assert network_user(settings) is None
    assert check_network(settings).status == "skipped"


@pytest.mark.parametrize(("key", "value"), WANTS)
def test_where_the_network_is_free_it_may_be_used(key: str, value: str | bool) -> None:
    require_network(replace_settings(Settings(), {key: value}))


@pytest.mark.parametrize(("key", "value"), WANTS)
def test_inside_the_service_s_rules_it_is_refused_with_what_to_do(
    root: Path, key: str, value: str | bool
) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze (package systemd)")
    rules, unit = root / "tests/integration/in_the_unit.py", root / "systemd/mask-kiosk.service"
    toml = f"{key} = {json.dumps(value)}"
    code = (
        "import sys, tomllib\n"
        "from edge_app.network_permission import require_network\n"
        "from edge_app.settings import settings_from\n"
        "require_network(settings_from(tomllib.loads(sys.argv[1]), 'test'))\n"
    )
    done = subprocess.run(
        [*(sys.executable, rules, unit), *(sys.executable, "-c", code, toml)],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
    )
    assert f"SettingsError: {key} needs the network" in done.stderr
    assert "systemd/network.conf" in done.stderr


@pytest.mark.parametrize(
    ("answer", "may"),
    [
        (None, None),
        (told("not-found", ""), None),
        (told("loaded", "AF_NETLINK AF_UNIX"), False),
        (told("loaded", "AF_INET AF_INET6 AF_NETLINK AF_UNIX"), True),
        (told("loaded", ""), True),
        (told("loaded", "~AF_INET AF_INET6"), False),
        (told("loaded", "~AF_PACKET"), True),
    ],
)
def test_systemd_s_answer_is_understood(answer: str | None, may: bool | None) -> None:
    assert service_may(lambda: answer) is may


def test_without_a_systemd_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert ask_systemctl() is None


@pytest.mark.parametrize(
    ("may", "status", "words"),
    [
        (None, "ok", "no service is installed"),
        (True, "ok", "here and in the service"),
        (False, "FAIL", "network.conf"),
    ],
)
def test_check_says_what_the_service_may(may: bool | None, status: str, words: str) -> None:
    result = check_network(replace_settings(Settings(), {"mqtt.host": "b"}), lambda: may)
    assert result.status == status
    assert words in str(result)
