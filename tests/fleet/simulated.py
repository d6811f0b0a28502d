"""A fleet of simulated kiosks, each a process of its own.

    python -m tests.fleet.simulated FLEET.json

Each runs the real daemon with the real sinks: status page with the figures for Prometheus, MQTT
with discovery. Only camera, models and the Pi's sensors are pretended
(:mod:`tests.fleet.scene`), and there are no lamps. ``FLEET.json`` has the ``plans``
(:class:`Plan`), the ``broker``'s port and the ``token`` file; the processes' numbers are written to
``pids.json`` in its folder. The kiosks end when this process does.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import random
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import edge_app.sinks.metrics
import edge_app.sinks.mqtt
import edge_app.sinks.web
from edge_app.daemon import Kiosk
from edge_app.daemon.meter import Health
from edge_app.domain import ModelVersion
from edge_app.pipeline import Pipeline
from edge_app.settings import Settings
from edge_app.sinks.indicator import open_indicator
from edge_app.sinks.opening import open_sinks
from tests.fleet.scene import (
    THROTTLED_NOW,
    UNDERVOLTED_BEFORE,
    Door,
    Finder,
    Judge,
    settings_of,
)

OLD_VERSION = "0.0.9"
SLOW_S, USUAL_S = 1.2, 0.01
"""What a slow kiosk takes for a picture, and all others."""

RESTART_S = 4.0
"""How long the kiosk that keeps dying lives."""

CAMERA_LASTS_S = 3.0
"""How long the camera works that then goes away for good."""

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when the one that started it ends."""


@dataclass(frozen=True)
class Plan:
    """One simulated kiosk.

    Attributes:
        kiosk: Its name, also at the broker.
        address: Where its status page is.
        port: The same.
        group: ``canary`` or ``fleet``.
        trouble: What is wrong with it: ``camera``, ``hot``, ``throttled``, ``restarts``,
            ``old`` (another release, another model), ``slow``; empty: nothing.
    """

    kiosk: str
    address: str
    port: int
    group: str
    trouble: str = ""


def run(plan: Plan, token: str, broker: int) -> int:
    """Be one kiosk until SIGTERM."""
    settings = settings_of(plan.kiosk, plan.address, plan.port, token, broker)
    generator = random.Random(plan.kiosk)
    began = time.monotonic()
    if plan.trouble == "old":
        edge_app.sinks.metrics.__version__ = OLD_VERSION

    def works() -> bool:
        return plan.trouble != "camera" or time.monotonic() - began < CAMERA_LASTS_S

    def health() -> Health:
        celsius = generator.uniform(48, 56) + (33 if plan.trouble == "hot" else 0)
        flags = (THROTTLED_NOW, UNDERVOLTED_BEFORE) if plan.trouble == "throttled" else ()
        return celsius, flags

    def build(settings: Settings) -> Pipeline:
        finder = Finder(SLOW_S if plan.trouble == "slow" else USUAL_S)
        old = "0" if plan.trouble == "old" else "f"
        models = tuple(
            ModelVersion(role, name, digit * 64)
            for role, name, digit in (("detector", "finder", "d"), ("classifier", "judge", old))
        )
        return Pipeline(finder, Judge(), settings, models=models)

    kiosk = Kiosk(
        settings,
        open_indicator(settings.indicator),
        logging.getLogger(plan.kiosk),
        open_sinks(settings),
        open_source=lambda _uri, source: Door(generator, source.fps, works),
        build_pipeline=build,
        read_health=health,
    )
    signal.signal(signal.SIGTERM, lambda *_: kiosk.stop())
    return kiosk.run()


class Fleet:
    """The processes, as the one that started them sees them."""

    def __init__(self, plans: list[Plan], token: str, broker: int, folder: Path) -> None:
        self.plans = plans
        self.pids: dict[str, int] = {}
        self._token, self._broker = token, broker
        self._folder = folder

    def start(self, plan: Plan) -> None:
        """Fork a kiosk: everything is imported already, so fifty of them start in a second."""
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            os._exit(run(plan, self._token, self._broker))
        self.pids[plan.kiosk] = pid
        new = self._folder / "pids.json.new"
        new.write_text(json.dumps(self.pids), encoding="utf-8")
        new.replace(self._folder / "pids.json")

    def keep(self) -> None:
        """Start all; then let those die and start again that are to do so."""
        for plan in self.plans:
            self.start(plan)
        restless = [plan for plan in self.plans if plan.trouble == "restarts"]
        while True:
            time.sleep(RESTART_S)
            for plan in restless:
                os.kill(self.pids[plan.kiosk], signal.SIGKILL)
                os.waitpid(self.pids[plan.kiosk], 0)
                self.start(plan)


def write(path: Path, plans: list[Plan], token: Path, broker: int) -> None:
    """Write ``FLEET.json``."""
    whole = {"plans": [asdict(plan) for plan in plans], "token": str(token), "broker": broker}
    path.write_text(json.dumps(whole), encoding="utf-8")


def main() -> int:
    """Be the fleet until a signal comes."""
    path = Path(sys.argv[1])
    whole = json.loads(path.read_text(encoding="utf-8"))
    plans = [Plan(**plan) for plan in whole["plans"]]
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Fleet(plans, whole["token"], whole["broker"], path.parent).keep()
    return 0


if __name__ == "__main__":
    sys.exit(main())
