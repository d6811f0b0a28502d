"""Telling MQTT subscribers, Home Assistant above all, what the light shows.

Everything is retained, so that whoever subscribes later learns the present state at once.
While there is no connection only the present state is kept, and sent when there is one
again: an alarm for somebody who left an hour ago would only mislead, and the event journal
has everything. What was queued while connected is never left out; see
:mod:`edge_app.sinks.broker`.
"""

from __future__ import annotations

import json
from typing import Any

from edge_app.domain import Frame, Observation, Signal, Vitals
from edge_app.errors import BrokerError
from edge_app.pi_health import throttled_now
from edge_app.settings import MqttSettings
from edge_app.sinks.broker import BrokerLink
from edge_app.sinks.broker_notes import BrokerNotes
from edge_app.sinks.homeassistant import (
    OFF,
    OFFLINE,
    ON,
    ONLINE,
    UNKNOWN,
    base_topic,
    discovery,
    discovery_topic,
    says_started,
    status_topic,
)

SLOW_S = 10.0
"""Seconds between two messages about a figure that drifts."""

NOTICEABLE = {"fps": 1.0, "temperature": 2.0}
"""A change of a figure (frames per second, degrees Celsius) that is told at once."""

AGAIN_S = 60.0
"""While the broker refuses a topic, all is sent again after so many seconds: its access list
may have been mended."""


class Mqtt:
    """A :class:`edge_app.sinks.Sink` that mends its connection itself.

    Args:
        settings: Where the broker is, and this kiosk's name there.

    Raises:
        SettingsError: A name or file in the settings cannot be used.

    Attributes:
        changes: How often the signal has changed.
    """

    name = "mqtt"

    def __init__(self, settings: MqttSettings) -> None:
        self._settings = settings
        self._base = base_topic(settings)
        self._notes = BrokerNotes(status_topic(settings), says_started)
        self._link = BrokerLink(
            settings, will=(f"{self._base}/availability", OFFLINE), notes=self._notes
        )
        self._signal = Signal.FAULT
        self.changes = 0
        self._state: dict[str, str] = {}
        self._numbers: dict[str, float | None] = {}
        self._told_at: dict[str, float] = {}
        self._announced = 0
        self._announced_at = 0.0
        # A kiosk that has not seen anything yet shows a fault, whatever the broker remembers.
        self._tell_signal("starting")

    @property
    def trouble(self) -> str | None:
        """What is wrong now, in one line; None when all is well."""
        return self._link.trouble

    @property
    def connected(self) -> bool:
        """Whether a subscriber can learn of a change now."""
        return self._notes.ready and self._announced == self._notes.sessions

    @property
    def idle(self) -> bool:
        """Whether everything that was told has arrived at the broker."""
        return self._link.idle

    def handle(self, observation: Observation, frame: Frame | None) -> None:  # noqa: ARG002
        """Tell the signal and the number of people when they change."""
        if observation.signal is not self._signal:
            self._signal = observation.signal
            self.changes += 1
            self._tell_signal(observation.reason)
        blind = observation.signal is Signal.FAULT
        self._tell("people", UNKNOWN if blind else str(observation.people))
        self._pump()

    def report(self, vitals: Vitals) -> None:
        """Tell how the kiosk is doing, figures now and then.

        Raises:
            BrokerError: There is no connection, or the broker refuses something.
        """
        now = vitals.time
        self._tell_number("fps", vitals.fps, now)
        self._tell_number("temperature", vitals.temperature_c, now)
        self._tell_problem("throttling", _throttling(vitals.throttled), now)
        troubles = dict(vitals.troubles)
        self._tell_problem("problem", {"state": _on(bool(troubles)), "troubles": troubles}, now)
        if self._link.refusals and now - self._announced_at >= AGAIN_S:
            self._announced = 0
        if self._announced != self._notes.sessions:
            self._announced_at = now
        self._pump()
        if (trouble := self.trouble) is not None:
            raise BrokerError(trouble)

    def close(self) -> None:
        """Say that the kiosk was stopped, and leave; a second call does nothing.

        Takes half a second at most.
        """
        if self._signal is not Signal.FAULT:
            self._signal = Signal.FAULT
            self.changes += 1
            self._tell_signal("the kiosk was stopped")
        self._link.close()

    # What is told

    def _tell_signal(self, reason: str) -> None:
        content = {"signal": self._signal, "reason": reason, "change": self.changes}
        self._tell("signal", _json(content))

    def _tell_number(self, key: str, value: float | None, now: float) -> None:
        """Tell a figure that has changed much, or a little and some time ago."""
        value = None if value is None else round(value, 1)
        before = self._numbers.get(key)
        much = value is None or before is None or abs(value - before) >= NOTICEABLE[key]
        if self._may_tell(key, much, now):
            self._numbers[key] = value
            self._tell(key, UNKNOWN if value is None else str(value))

    def _tell_problem(self, key: str, content: dict[str, Any], now: float) -> None:
        """Tell a problem that begins or ends; new words for the same one in their own time."""
        before = self._state.get(key)
        begins_or_ends = before is None or json.loads(before)["state"] != content["state"]
        if self._may_tell(key, begins_or_ends, now):
            self._tell(key, _json(content))

    def _may_tell(self, key: str, urgent: bool, now: float) -> bool:
        if not urgent and now - self._told_at[key] < SLOW_S:
            return False
        self._told_at[key] = now
        return True

    def _tell(self, key: str, payload: str) -> None:
        """Remember the state under a topic; tell it, if it is new and there is a connection."""
        if self._state.get(key) == payload:
            return
        self._state[key] = payload
        if self.connected:
            self._link.send(f"{self._base}/{key}", payload)

    # When it is told

    def _pump(self) -> None:
        if self._notes.called:
            self._notes.called = False
            self._announced = 0
        if self._notes.ready and self._announced != self._notes.sessions:
            self._announce()
        elif self._link.overflowed and self._link.idle:
            self._link.overflowed = False
            self._announce()
        self._link.pump()

    def _announce(self) -> None:
        """Tell everything: after a connection was made, or for who has just started."""
        self._announced = self._notes.sessions
        self._link.send(discovery_topic(self._settings), _json(discovery(self._settings)))
        for key, payload in self._state.items():
            self._link.send(f"{self._base}/{key}", payload)
        self._link.send(f"{self._base}/availability", ONLINE)


def _throttling(throttled: tuple[str, ...] | None) -> dict[str, Any]:
    if throttled is None:
        return {"state": None, "what": []}
    return {"state": _on(throttled_now(throttled)), "what": list(throttled)}


def _on(state: bool) -> str:
    return ON if state else OFF


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False)
