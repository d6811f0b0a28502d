"""Opens the sinks that the settings ask for; what one of them needs is imported only then."""

from __future__ import annotations

import importlib.util
import logging
from functools import partial

from edge_app.errors import MissingPackageError
from edge_app.settings import Settings
from edge_app.sinks import Sink

log = logging.getLogger(__name__)


def open_sinks(settings: Settings) -> list[Sink]:
    """The sinks that the settings ask for, beside the light.

    Raises:
        MissingPackageError: An optional package is needed but not installed.
        SettingsError: What a setting names cannot be used.
    """
    sinks: list[Sink] = []
    try:
        _open_into(sinks, settings)
    except BaseException:
        for sink in sinks:
            sink.close()
        raise
    return sinks


def _open_into(sinks: list[Sink], settings: Settings) -> None:
    from edge_app.sinks.journal import journal_path, open_journal

    recent_events = exposition = None
    if (journal := journal_path(settings.journal)) is None:
        log.info("no journal: journal.path is empty, and there is no $STATE_DIRECTORY")
    else:
        from edge_app.sinks.journal_reader import recent
        from edge_app.sinks.web.view import MAX_EVENTS

        sinks.append(open_journal(settings.journal))
        recent_events = partial(recent, journal, MAX_EVENTS)
    if settings.snapshots.enabled:
        from edge_app.sinks.snapshots import Snapshots, snapshots_folder

        sinks.append(Snapshots(snapshots_folder(settings.snapshots), settings.snapshots))
    if settings.mqtt.host:
        _require("paho", "paho-mqtt", f"mqtt.host = {settings.mqtt.host}")
        from edge_app.sinks.mqtt import Mqtt

        sinks.append(Mqtt(settings.mqtt))
    if settings.web.enabled and settings.web.metrics:
        _require("prometheus_client", "prometheus_client", "web.metrics = true")
        from edge_app.sinks.metrics import Metrics

        metrics = Metrics(settings)
        sinks.append(metrics)
        exposition = metrics.exposition
    if settings.web.enabled:
        from edge_app.sinks.web import StatusPage

        sinks.append(StatusPage(settings, recent_events, exposition))


def _require(module: str, package: str, setting: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise MissingPackageError(
            f"{setting} needs the package {package}: pip install -r deploy/requirements-network.txt"
        )
