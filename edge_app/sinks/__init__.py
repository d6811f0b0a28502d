"""Where observations go: the light, the journal, the network."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from edge_app.domain import Frame, Observation, Vitals
from edge_app.errors import MissingPackageError
from edge_app.settings import Settings

log = logging.getLogger(__name__)

__all__ = ["Server", "Sink", "open_sinks"]


class Sink(Protocol):
    """Takes what a run observes, in order, from one thread that is not the light's.

    Every method may raise a :class:`~edge_app.errors.Temporary` error: the daemon says so
    once and goes on. The sink is over it when :meth:`report` raises no more, so that is to
    raise as long as the trouble lasts. How often the sink tries again is its own affair (see
    :class:`edge_app.backoff.Backoff`), and so is keeping what must not be lost. A
    :class:`~edge_app.errors.Permanent` error ends the run.

    Attributes:
        name: One word for logs and for :attr:`~edge_app.domain.Vitals.troubles`.
    """

    name: str

    def handle(self, observation: Observation, frame: Frame | None) -> None:
        """Act on one observation; must not change it.

        When the sinks fall behind, of several observations that show the same signal only
        the first and the last arrive. No change of the signal is left out.

        Args:
            observation: Also with ``FAULT``, when no fresh frames come.
            frame: What it was made from; None for such a fault.
        """
        ...

    def report(self, vitals: Vitals) -> None:
        """Act on how the kiosk is doing, about once a second."""
        ...

    def close(self) -> None:
        """Finish and give everything back; a second call does nothing."""
        ...


@runtime_checkable
class Server(Protocol):
    """A sink that also answers others; the daemon runs :meth:`serve` in a thread of its own."""

    def serve(self) -> None:
        """Answer until the sink is closed."""
        ...


def open_sinks(settings: Settings) -> list[Sink]:
    """The sinks that the settings ask for, beside the light.

    Raises:
        MissingPackageError: An optional package is needed but not installed.
        SettingsError: What a setting names cannot be used.
    """
    wanted: list[tuple[bool, Callable[[Settings], Sink]]] = [
        (bool(settings.mqtt.host), _open_mqtt),
        (settings.web.metrics, _open_metrics),
        (_wants_journal(settings), _open_journal),
        (settings.snapshots.enabled, _open_snapshots),
    ]
    return [make(settings) for is_wanted, make in wanted if is_wanted]


def _open_mqtt(settings: Settings) -> Sink:
    _require("paho", "paho-mqtt", f"mqtt.host = {settings.mqtt.host}")
    from edge_app.sinks.mqtt import Mqtt

    return Mqtt(settings.mqtt)


def _open_metrics(settings: Settings) -> Sink:
    _require("prometheus_client", "prometheus_client", "web.metrics = true")
    from edge_app.sinks.metrics import Metrics

    return Metrics(settings)


def _require(module: str, package: str, setting: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise MissingPackageError(
            f"{setting} needs the package {package}: pip install -r deploy/requirements-network.txt"
        )


def _wants_journal(settings: Settings) -> bool:
    from edge_app.sinks.journal import journal_path

    wanted = journal_path(settings.journal) is not None
    if not wanted:
        log.info("no journal: journal.path is empty, and there is no $STATE_DIRECTORY")
    return wanted


def _open_journal(settings: Settings) -> Sink:
    from edge_app.sinks.journal import open_journal

    return open_journal(settings.journal)


def _open_snapshots(settings: Settings) -> Sink:
    from edge_app.sinks.snapshots import Snapshots, snapshots_folder

    return Snapshots(snapshots_folder(settings.snapshots), settings.snapshots)
