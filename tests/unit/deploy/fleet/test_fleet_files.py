"""Alert rules and dashboard name what the kiosk really says, and promtool finds them sound."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from edge_app.domain import Frame, ModelVersion, Observation, Signal, Vitals
from edge_app.settings import Settings
from edge_app.sinks.metrics import Metrics
from tests.fleet.watching import shortened
from tests.integration.mqtt.conftest import found

FROM_PROMETHEUS = {"up": set[str](), "ALERTS": {"alertstate", "alertname"}}
"""Series that Prometheus makes itself, and their labels."""

FROM_SCRAPING = {"job", "instance", "kiosk", "group"}
"""Labels that Prometheus adds to whatever a kiosk says; see deploy/update/targets.yml."""

SELECTOR = re.compile(r"\b([a-zA-Z_:][a-zA-Z0-9_:]*)\s*\{([^}]*)\}", re.DOTALL)
NAME = re.compile(r"\b(?:mask_kiosk|process)_[a-z0-9_]+\b")
TEXT = re.compile(r'"[^"]*"')
LABEL = re.compile(r"([a-z_0-9]+)\s*(?:=~|!~|!=|=)")
BY = re.compile(r"\bby \(([^)]*)\)")


@pytest.fixture
def folder(root: Path) -> Path:
    return root / "deploy/fleet"


@pytest.fixture
def alerts(folder: Path) -> list[dict[str, Any]]:
    whole = yaml.safe_load((folder / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in whole["groups"] for rule in group["rules"]]


@pytest.fixture
def dashboard(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "grafana-dashboard.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def told() -> dict[str, set[str]]:
    """Every series of a kiosk that has something to say of everything, and its labels."""
    metrics = Metrics(Settings())
    timings = {"detect": 3.0, "classify": 2.0, "track": 0.1, "total": 5.1}
    picture = Frame(np.zeros((8, 8, 3), np.uint8), 0.0, 0)
    metrics.handle(Observation(0, 0.0, Signal.IDLE, "as seen", timings=timings), picture)
    metrics.report(
        Vitals(
            time=1.0,
            latency_ms={"p50": 20.0, "p99": 40.0, "max": 55.0},
            temperature_c=51.0,
            throttled=(),
            faults={"camera": 1},
            troubles={"mqtt": "connection refused"},
            models=(ModelVersion("detector", "face_detector", "d" * 64),),
        )
    )
    series: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.exposition()[0].decode()):
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    return series


def expressions(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Title and expression of every query."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


def require_known(where: str, expression: str, told: dict[str, set[str]]) -> None:
    """Every series exists, with every label that is asked for."""
    known = told | FROM_PROMETHEUS
    outside = TEXT.sub('""', expression)
    for name, labels in SELECTOR.findall(outside):
        assert name in known, f"{where}: no kiosk tells {name}"
        strange = set(LABEL.findall(labels)) - known[name] - FROM_SCRAPING
        assert not strange, f"{where}: {name} has no labels {strange}"
    # A label is named as its metric is: mask_kiosk_signal.
    for name in NAME.findall(outside):
        assert name in told, f"{where}: no kiosk tells {name}"
    every = set().union(*known.values(), FROM_SCRAPING)
    for labels in BY.findall(outside):
        assert {label.strip() for label in labels.split(",")} <= every, where


def test_alerts_ask_for_what_the_kiosk_tells(
    alerts: list[dict[str, Any]], told: dict[str, set[str]]
) -> None:
    for alert in alerts:
        require_known(alert["alert"], alert["expr"], told)


def test_panels_ask_for_what_the_kiosk_tells(
    dashboard: dict[str, Any], told: dict[str, set[str]]
) -> None:
    for title, expression in expressions(dashboard):
        require_known(title, expression, told)


@pytest.mark.parametrize(
    "wrong",
    [
        "mask_kiosk_signals == 1",
        'mask_kiosk_signal{signal="FAULT"}',
        "sum by (door) (mask_kiosk_people)",
        'unheard{job="mask-kiosk"}',
    ],
)
def test_a_wrong_name_is_noticed(wrong: str, told: dict[str, set[str]]) -> None:
    with pytest.raises(AssertionError):
        require_known("wrong", wrong, told)


def test_the_dashboard_shows_whatever_a_kiosk_tells(
    dashboard: dict[str, Any], told: dict[str, set[str]]
) -> None:
    shown = {name for _, expression in expressions(dashboard) for name in NAME.findall(expression)}
    ours = {name for name in told if name.startswith("mask_kiosk_")}
    # Behind others that are shown: counts beside rates, and the parts of a histogram.
    behind = {
        "mask_kiosk_people",
        "mask_kiosk_faces_total",
        "mask_kiosk_frames_total",
        "mask_kiosk_observations_total",
        "mask_kiosk_stage_duration_seconds_count",
        "mask_kiosk_stage_duration_seconds_sum",
    }
    assert ours - shown == behind


def test_the_dashboard_is_as_its_script_writes_it(
    folder: Path, dashboard: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    made = importlib.import_module("make_dashboard")
    try:
        assert dashboard == made.dashboard(), "run: python deploy/fleet/make_dashboard.py"
    finally:
        for name in ("make_dashboard", "panels"):
            del sys.modules[name]


def test_panels_neither_overlap_nor_share_a_number(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_every_alert_is_tested_and_has_its_advice(
    root: Path, folder: Path, alerts: list[dict[str, Any]]
) -> None:
    names = [alert["alert"] for alert in alerts]
    tests = yaml.safe_load((folder / "alerts.test.yml").read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == set(names)
    quiet = {case["alertname"] for case in cases if not case["exp_alerts"]}
    assert quiet == set(names), "each also has a moment at which it must not fire"
    page = (root / "docs/fleet.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == names, "in the same order"


def test_durations_become_shorter_within_limits() -> None:
    rules = "expr: rate(x[5m]) + y[1h]\nfor: 15m\nfor: 1d\nfor: 5m or 3m\n"
    assert shortened(rules) == "expr: rate(x[10s]) + y[20s]\nfor: 15s\nfor: 20s\nfor: 5m or 3m\n"


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(
        [found("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_the_rules_sound(folder: Path) -> None:
    promtool("check", "rules", folder / "alerts.yml")


def test_promtool_runs_the_rules_own_tests(folder: Path) -> None:
    promtool("test", "rules", folder / "alerts.test.yml")


def test_promtool_accepts_the_example(folder: Path, tmp_path: Path) -> None:
    for name, content in {"targets.json": "[]", "token": "secret"}.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "alerts.yml").write_bytes((folder / "alerts.yml").read_bytes())
    example = (folder / "prometheus.example.yml").read_text(encoding="utf-8")
    config = tmp_path / "prometheus.yml"
    config.write_text(example.replace("/etc/prometheus/mask-kiosk", str(tmp_path)))
    promtool("check", "config", config)
