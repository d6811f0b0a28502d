"""Fifty simulated kiosks, watched by a real Prometheus and through a real Mosquitto."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app import __version__
from edge_app.domain import Signal
from tests.fleet.simulated import OLD_VERSION
from tests.fleet.watching import EXPECTED, GONE, KIOSKS, REFUSED, World, until_alerts, watched_fleet
from tests.integration.mqtt.conftest import Reader, until

MORE_S = 5.0
"""Seconds in which no further alert may come, once all are there."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The fleet at work, one of it cut off from its power."""
    with watched_fleet(tmp_path_factory.mktemp("fleet")) as world:
        reader = Reader(world.broker.port, None, 1)
        online = f"mask-kiosk/{GONE}/availability"
        until(lambda: reader.newest(online) == b"online")
        reader.close()
        world.cut_off(GONE)
        yield world


def test_those_alerts_fire_that_must_and_no_other(world: World) -> None:
    until_alerts(world)
    time.sleep(MORE_S)
    assert world.prometheus.ever_fired() == EXPECTED


def test_a_late_subscriber_learns_the_state_of_all(world: World) -> None:
    reader = Reader(world.broker.port, None, 1)
    try:
        for plan in world.plans:
            base = f"mask-kiosk/{plan.kiosk}"
            gone = plan.kiosk == GONE
            wanted = b"offline" if gone else b"online"
            until(lambda b=base, w=wanted: reader.newest(f"{b}/availability") == w)
            until(lambda b=base: reader.newest(f"{b}/signal"))
            announced = reader.newest(f"homeassistant/device/mask_kiosk_{plan.kiosk}/config")
            assert (announced is None) == (plan.kiosk == REFUSED)
        retained = {name for name, _, is_retained in reader.messages if is_retained}
        assert len([name for name in retained if name.endswith("/signal")]) == KIOSKS
        blind = json.loads(reader.newest("mask-kiosk/kiosk-03/signal") or b"")
        assert blind["signal"] == Signal.FAULT
        throttled = json.loads(reader.newest("mask-kiosk/kiosk-06/throttling") or b"")
        assert throttled["state"] == "ON"
    finally:
        reader.close()


def test_every_panel_has_something_to_show(world: World, root: Path) -> None:
    dashboard = json.loads((root / "deploy/fleet/grafana-dashboard.json").read_text("utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$kiosk", ".*").replace("$__rate_interval", "10s")
            assert world.prometheus.query(expression), panel["title"]


def test_the_panels_say_what_is_so(world: World) -> None:
    ask = world.prometheus
    assert ask.number('sum(up{job="mask-kiosk"})') in (KIOSKS - 1, KIOSKS - 2), "one restarts"
    versions = ask.query("count by (version) (mask_kiosk_build_info)")
    assert {one["metric"]["version"] for one in versions} == {__version__, OLD_VERSION}
    hot = ask.query("mask_kiosk_temperature_celsius >= 80")
    assert {one["metric"]["kiosk"] for one in hot} == {"kiosk-05"}
    groups = {one["metric"]["group"] for one in ask.query("count by (group) (up)") if one["metric"]}
    assert groups == {"canary", "fleet"}
