"""What ``check`` finds out about journal, MQTT broker and status page; changes nothing there."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from edge_app.errors import JournalError, KioskError
from edge_app.settings import MqttSettings, Settings
from edge_app.sinks.journal import journal_path
from edge_app.sinks.journal_reader import recent

BROKER_S = 8.0
"""Patience with a broker: longer than the five seconds after which paho gives a connection up."""

Status = Literal["ok", "FAIL", "skipped"]

Found = tuple[Status, str]
"""How it stands, and the details for people."""


def check_sinks(settings: Settings) -> Iterator[tuple[str, Status, str]]:
    """Name, status and details of each of them."""
    yield ("journal", *_journal(settings))
    yield ("MQTT", *_broker(settings.mqtt))
    yield ("status page", *_page(settings))


def _journal(settings: Settings) -> Found:
    path = journal_path(settings.journal)
    if path is None:
        return "skipped", "journal.path is empty; the service keeps one in its state folder"
    try:
        newest = recent(path, 1) if path.exists() else []
    except JournalError as error:
        return "FAIL", str(error)
    folder = _existing(path.parent)
    if not os.access(path if path.exists() else folder, os.W_OK):
        return "FAIL", f"{path}: cannot be written by this user"
    return "ok", f"{path}, last event {newest[0].begin:%Y-%m-%d %H:%M}" if newest else f"{path}"


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that there is."""
    return folder if folder.exists() or folder == folder.parent else _existing(folder.parent)


def _broker(settings: MqttSettings) -> Found:
    if not settings.host:
        return "skipped", "mqtt.host is empty"
    if importlib.util.find_spec("paho") is None:
        return "FAIL", "paho-mqtt is missing: pip install -r deploy/requirements-network.txt"
    from edge_app.sinks.broker import BrokerLink
    from edge_app.sinks.broker_notes import BrokerNotes
    from edge_app.sinks.homeassistant import OFFLINE, base_topic, status_topic

    # Under another name: a running kiosk keeps its connection.
    guest = replace(settings, kiosk_id=f"{settings.kiosk_id[:58]}-check")
    notes = BrokerNotes(status_topic(guest), lambda _payload: False)
    try:
        link = BrokerLink(guest, will=(f"{base_topic(guest)}/availability", OFFLINE), notes=notes)
    except KioskError as error:
        return "FAIL", str(error)
    end = time.monotonic() + BROKER_S
    while not notes.ready and notes.down is None and time.monotonic() < end:
        link.pump()
        time.sleep(0.05)
    where, trouble, ready = f"{settings.host}:{settings.port}", link.trouble, notes.ready
    link.leave()
    if ready:
        return "ok", f"{where} lets us in"
    return "FAIL", trouble or f"MQTT broker {where}: no answer within {BROKER_S:g} s"


def _page(settings: Settings) -> Found:
    web = settings.web
    if not web.enabled:
        return "skipped", "web.enabled is false"
    from edge_app.sinks.web import StatusPage

    try:
        StatusPage(settings).close()
    except KioskError as error:
        return "FAIL", str(error)
    token = "with the token" if web.token_file else "from this machine only"
    return "ok", f"http://{web.host}:{web.port}/, {token}"
