from __future__ import annotations

import logging

import pytest

from edge_app.daemon.meter import HEALTH_S, RATE_WINDOW_S, Health, Meter

LOG = logging.getLogger("kiosk")


def nothing() -> Health:
    return None, None


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = Meter(LOG, nothing)
    for i in range(100):
        meter.processed(i / 10)
    assert meter.rate(9.9) == pytest.approx(10)
    assert meter.rate(9.9 + RATE_WINDOW_S / 2) == pytest.approx(5, abs=0.2)
    assert meter.rate(9.9 + RATE_WINDOW_S) == 0


def test_latency_is_told_by_its_spread() -> None:
    meter = Meter(LOG, nothing)
    assert meter.vitals(0, 0).latency_ms == {}
    for i in range(1, 101):
        meter.lit(i / 1000)
    assert meter.vitals(1, 0).latency_ms == pytest.approx({"p50": 50.5, "p99": 99.01, "max": 100})


def test_a_trouble_is_counted_and_said_once_until_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    meter = Meter(LOG, nothing)
    for _ in range(3):
        meter.trouble("journal", "disk full")
    assert meter.trouble_of("journal") == "disk full"
    meter.well("journal")
    meter.well("journal")
    meter.trouble("journal", "disk full")
    assert meter.vitals(0, 0).faults == {"journal": 2}
    assert meter.vitals(0, 0).troubles == {"journal": "disk full"}
    assert [r.getMessage() for r in caplog.records] == [
        "journal: disk full",
        "journal: works again",
        "journal: disk full",
    ]


def test_heat_is_looked_at_seldom_and_what_was_is_no_trouble() -> None:
    asked = []

    def health() -> Health:
        asked.append(1)
        return 70.5, ("throttled since boot",)

    meter = Meter(LOG, health)
    for second in range(int(2 * HEALTH_S)):
        vitals = meter.vitals(second, 0)
    assert len(asked) == 2
    assert vitals.temperature_c == 70.5
    assert vitals.throttled == ("throttled since boot",)
    assert vitals.troubles == {}
