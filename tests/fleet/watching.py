"""Fifty simulated kiosks, and the real Prometheus and Mosquitto that watch them.

The rules and the scrape configuration are the shipped ones, with the addresses of this machine and
with shorter durations (:func:`shortened`): nobody waits a day for an alert.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.fleet.simulated import Plan, write
from tests.integration.mqtt.conftest import Mosquitto, found, free_port, until

ROOT = Path(__file__).resolve().parents[2]

FASTER = 60
"""A minute of the rules is a second here ..."""

SHORTEST_S, LONGEST_S = 10, 20
"""... but no duration becomes shorter (a rate needs several scrapes) or longer than these."""

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

KIOSKS = 50
CANARIES = 2
TROUBLES = {
    "kiosk-02": "slow",
    "kiosk-03": "camera",
    "kiosk-05": "hot",
    "kiosk-06": "throttled",
    "kiosk-08": "restarts",
    "kiosk-09": "old",
}
GONE = "kiosk-04"
"""Killed once all are there, as a power cut would."""

REFUSED = "kiosk-07"
"""The broker's access list does not let it announce itself to Home Assistant."""

Alert = tuple[str, str]
"""Name, and the kiosk; empty for those about the fleet."""

EXPECTED: frozenset[Alert] = frozenset(
    {
        ("KioskSlow", "kiosk-02"),
        ("KioskFewFrames", "kiosk-02"),
        ("CanarySlower", ""),
        ("KioskFault", "kiosk-03"),
        ("KioskDown", GONE),
        ("KioskHot", "kiosk-05"),
        ("KioskThrottled", "kiosk-06"),
        ("KioskTrouble", REFUSED),
        ("KioskRestarts", "kiosk-08"),
        ("FleetVersions", ""),
        ("FleetModels", ""),
    }
)


def shortened(rules: str) -> str:
    """Alert rules with every duration divided by :data:`FASTER`, within limits."""

    def shorter(found: re.Match[str]) -> str:
        seconds = int(found[2]) * UNITS[found[3]] / FASTER
        return f"{found[1]}{min(LONGEST_S, max(SHORTEST_S, round(seconds)))}s{found[4]}"

    rules = re.sub(r"(\[)(\d+)([smhd])(\])", shorter, rules)
    return re.sub(r"(for: )(\d+)([smhd])($)", shorter, rules, flags=re.MULTILINE)


class Prometheus:
    """A real Prometheus on a free port, with the shipped configuration."""

    def __init__(self, folder: Path, plans: list[Plan], token: Path) -> None:
        self._program = found("prometheus")
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        targets = [
            {
                "targets": [f"{plan.address}:{plan.port}"],
                "labels": {"kiosk": plan.kiosk, "group": plan.group},
            }
            for plan in plans
        ]
        (folder / "targets.json").write_text(json.dumps(targets), encoding="utf-8")
        rules = (ROOT / "deploy/fleet/alerts.yml").read_text(encoding="utf-8")
        (folder / "alerts.yml").write_text(shortened(rules), encoding="utf-8")
        example = (ROOT / "deploy/fleet/prometheus.example.yml").read_text(encoding="utf-8")
        config = yaml.safe_load(example.replace("/etc/prometheus/mask-kiosk", str(folder)))
        config["global"] = {"scrape_interval": "2s", "evaluation_interval": "1s"}
        config["scrape_configs"][0]["authorization"]["credentials_file"] = str(token)
        config["scrape_configs"].append(
            {
                "job_name": "prometheus",
                "static_configs": [{"targets": [f"127.0.0.1:{self.port}"]}],
            }
        )
        del config["alerting"]  # nobody listens here
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")

    def start(self) -> None:
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    self._program,
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log,
                stderr=log,
            )
        until(self._ready)

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "prometheus.log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5) as it:
                return bool(it.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def ask(self, path: str, **parameters: Any) -> Any:
        """The ``data`` of an answer of the API."""
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now."""
        return list(self.ask("query", query=expression)["result"])

    def number(self, expression: str) -> float:
        """The one value that an expression gives now."""
        (series,) = self.query(expression)
        return float(series["value"][1])

    def firing(self) -> set[Alert]:
        """What fires now."""
        return _alerts(self.query('ALERTS{alertstate="firing"}'))

    def ever_fired(self) -> set[Alert]:
        """What has fired since the start."""
        return _alerts(self.query('count_over_time(ALERTS{alertstate="firing"}[1h])'))


def _alerts(series: list[dict[str, Any]]) -> set[Alert]:
    return {(one["metric"]["alertname"], one["metric"].get("kiosk", "")) for one in series}


class World:
    """The fleet and what watches it.

    Attributes:
        plans: The kiosks.
        prometheus: Watches their figures.
        broker: Has their messages.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plans = [
            Plan(
                kiosk=(kiosk := f"kiosk-{i:02}"),
                address=f"127.0.1.{i}",
                port=free_port(),
                group="canary" if i <= CANARIES else "fleet",
                trouble=TROUBLES.get(kiosk, ""),
            )
            for i in range(1, KIOSKS + 1)
        ]
        token = folder / "token"
        token.write_text(secrets.token_hex())
        token.chmod(0o600)
        self.prometheus = Prometheus(folder, self.plans, token)
        self.broker = Mosquitto(found("mosquitto"), folder)
        access = ["topic read #", "topic write mask-kiosk/#"]
        access += [
            f"topic write homeassistant/device/mask_kiosk_{plan.kiosk}/config"
            for plan in self.plans
            if plan.kiosk != REFUSED
        ]
        (folder / "access").write_text("\n".join(access) + "\n")
        self.broker.configure(f"acl_file {folder / 'access'}")
        write(folder / "fleet.json", self.plans, token, self.broker.port)
        self._fleet: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start all; comes back when Prometheus has heard of every kiosk."""
        self.broker.start()
        self.prometheus.start()
        with (self.folder / "fleet.log").open("wb") as log:
            self._fleet = subprocess.Popen(
                [sys.executable, "-m", "tests.fleet.simulated", str(self.folder / "fleet.json")],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        up = 'count(mask_kiosk_frames_total{job="mask-kiosk"} > 0)'
        until(lambda: self._runs() and self.prometheus.number(f"{up} or vector(0)") == KIOSKS)

    def _runs(self) -> bool:
        assert self._fleet is not None
        assert self._fleet.poll() is None, (self.folder / "fleet.log").read_text()
        return True

    def cut_off(self, kiosk: str) -> None:
        """End a kiosk as a power cut would."""
        pids = json.loads((self.folder / "pids.json").read_text(encoding="utf-8"))
        os.kill(pids[kiosk], signal.SIGKILL)

    def stop(self) -> None:
        if self._fleet is not None:
            self._fleet.kill()  # the kiosks end with it
            self._fleet.wait()
        self.prometheus.stop()
        self.broker.kill()


@contextmanager
def watched_fleet(folder: Path) -> Iterator[World]:
    """A fleet at work; afterwards nothing of it runs any more."""
    world = World(folder)
    try:
        world.start()
        yield world
    finally:
        world.stop()


def until_alerts(world: World) -> float:
    """Wait until all expected alerts fire; the seconds that it took."""
    begin = time.monotonic()
    until(lambda: world.prometheus.firing() >= EXPECTED)
    return time.monotonic() - begin
