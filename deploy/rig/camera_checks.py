"""What the rig looks at: a camera that is absent, is lost, or sends nothing of use."""

from __future__ import annotations

from edge_app.domain import Signal
from kiosk import (
    BARS,
    BLACK,
    CLIP,
    DROPPED,
    LIGHT_S,
    NO_TEXT,
    NUMBERS,
    PATTERN,
    START_S,
    TEXT,
    Kiosk,
)
from report import Report

BLIND_S = 4.0
"""So soon the light has to say that the camera is gone: policy.stale_s and a cycle to see it."""

RETRY_S = 40.0
"""The kiosk tries a lost camera again after pauses of up to 30 s."""


def absent(kiosk: Kiosk, report: Report) -> None:
    """Without a camera the unit is not ready and says so; with one it is."""
    kiosk.systemctl("stop")
    kiosk.settle(kiosk.settings())
    kiosk.unplug()
    begin = kiosk.machine.must("systemctl", "start", "--no-block", "mask-kiosk").began
    fault = kiosk.wait_shown(Signal.FAULT, begin, START_S)
    report.timed("start without a camera: red and amber alternate", fault, begin, kiosk.lately)
    state = kiosk.show("ActiveState")
    report.add("start without a camera: not READY", state == "activating", detail=state)
    plugged = kiosk.plug()
    active = kiosk.wait_active(begin, START_S)
    ok = active is not None and active > plugged
    since = None if active is None else active - plugged
    report.add("camera plugged in: READY", ok, since, kiosk.show("StatusText"))
    idle = kiosk.wait_shown(Signal.IDLE, plugged, START_S)
    report.timed("camera plugged in: green heartbeat", idle, plugged, kiosk.lately)


def lost(kiosk: Kiosk, report: Report) -> None:
    """The camera goes away while the kiosk runs, and comes back before the watchdog acts.

    The kiosk tries again 1, 3 and 7 s after the loss, and the watchdog waits 10 s: so the camera
    comes back as soon as the light has said that it is gone.
    """
    before = kiosk.pid()
    begin = kiosk.unplug()
    fault = kiosk.wait_shown(Signal.FAULT, begin, LIGHT_S)
    report.timed("camera unplugged: red and amber alternate", fault, begin, kiosk.lately, BLIND_S)
    plugged = kiosk.plug()
    idle = kiosk.wait_shown(Signal.IDLE, plugged, RETRY_S)
    report.timed("camera plugged in again: green heartbeat", idle, plugged, kiosk.lately)
    same = kiosk.pid() == before
    detail = f"restarts so far: {kiosk.show('NRestarts')}"
    report.add("camera lost and found: the same process all the time", same, detail=detail)


def blind(kiosk: Kiosk, report: Report) -> None:
    """The camera is there, but what it sends says nothing about the door."""
    for what, bad, good in (
        ("frames stop coming", {DROPPED: 100}, {DROPPED: 0}),
        ("every frame is the same", {TEXT: NO_TEXT}, {TEXT: NUMBERS}),
        ("black pictures", {PATTERN: BLACK, TEXT: NO_TEXT}, {PATTERN: BARS, TEXT: NUMBERS}),
    ):
        begin = kiosk.control(bad)
        fault = kiosk.wait_shown(Signal.FAULT, begin, LIGHT_S)
        report.timed(f"{what}: red and amber alternate", fault, begin, kiosk.lately)
        mended = kiosk.control(good)
        idle = kiosk.wait_shown(Signal.IDLE, mended, RETRY_S)
        report.timed(f"{what} no more: green heartbeat", idle, mended, kiosk.lately)


def clip(kiosk: Kiosk, report: Report) -> None:
    """The bundled clip: somebody without a mask puts it on, first in the wrong way."""
    kiosk.settle(kiosk.settings(CLIP))
    begin = kiosk.machine.must("systemctl", "restart", "--no-block", "mask-kiosk").began
    after: float | None = begin
    for signal in (Signal.NO_MASK, Signal.INCORRECT, Signal.COMPLIANT):
        after = kiosk.wait_shown(signal, after, START_S)
        report.timed(f"clip of a person: {signal.value}", after, begin, kiosk.lately)
        if after is None:
            return
