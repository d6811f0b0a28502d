"""The connection to an MQTT broker.

Messages go through one first-in-first-out queue with QoS 1: the next few are handed to paho,
which sends them again after a lost connection until the broker has confirmed them. So
whatever was queued arrives at least once and in order. paho's network thread does the
connecting, with a growing pause, and only leaves notes (:mod:`edge_app.sinks.broker_notes`);
everything else happens in the thread that calls :meth:`BrokerLink.send` and
:meth:`BrokerLink.pump`.
"""

from __future__ import annotations

from collections import deque

from paho.mqtt.client import MQTTMessageInfo
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from edge_app.settings import MqttSettings
from edge_app.sinks.broker_client import make_client
from edge_app.sinks.broker_notes import BrokerNotes

IN_FLIGHT = 10
"""Messages on their way at a time: the strictest common broker (HiveMQ) takes no more, and
after a lost connection paho sends all of them again at once."""

MAX_QUEUED = 1000
"""Messages that wait behind those: a minute of a light that changes with every frame, longer
than a dead connection stays unnoticed; at most a few hundred kilobytes."""

FAREWELL_S = 0.25
"""Patience with the last messages at the end, twice: everything there is to say fits into two
rounds of :data:`IN_FLIGHT`."""

WITH_WILL = ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message")
"""Leaving in an orderly way, with which the broker still publishes the will."""


class BrokerLink:
    """One client of one broker.

    Args:
        settings: Where the broker is and how it is entered.
        will: Topic and payload that the broker publishes, retained, when the client is gone.
        notes: Tells what to listen to, and gets what the broker says.

    Raises:
        SettingsError: A name or file in the settings cannot be used.

    Attributes:
        notes: What the network thread has noted.
        refusals: Topics that the broker does not take, and why.
        overflowed: Whether a message was left out, because the queue was full.
    """

    def __init__(
        self, settings: MqttSettings, *, will: tuple[str, str], notes: BrokerNotes
    ) -> None:
        self.notes = notes
        self.refusals: dict[str, str] = {}
        self.overflowed = False
        self._where = f"MQTT broker {settings.host}:{settings.port}"
        self._queue: deque[tuple[str, str]] = deque()
        self._on_their_way: dict[int, str] = {}
        self._last: MQTTMessageInfo | None = None
        self._client = make_client(settings, will=will, in_flight=IN_FLIGHT)
        notes.listen_to(self._client)

    @property
    def trouble(self) -> str | None:
        """What is wrong now, in one line; None when all is well."""
        if (down := self.notes.down) is not None:
            return f"{self._where}: {down}"
        for topic, why in list(self.refusals.items()):  # a copy: another thread may be asking
            return f"{self._where}: does not take {topic}: {why}; check the broker's access list"
        if self.overflowed:
            return f"{self._where}: too slow; some changes are left out"
        return None

    def send(self, topic: str, payload: str) -> None:
        """Queue a retained message; with a full queue it is left out, see ``overflowed``."""
        if len(self._queue) < MAX_QUEUED:
            self._queue.append((topic, payload))
        else:
            self.overflowed = True

    def pump(self) -> None:
        """Hand over what waits, as far as the broker keeps up; never blocks."""
        self._settle()
        if self.notes.closing:
            return
        if not self.notes.ready:
            # Starts the network thread the first time, and again should an error have ended
            # it; does nothing while it runs.
            self._client.loop_start()
            return
        while self._queue and len(self._on_their_way) < IN_FLIGHT:
            topic, payload = self._queue.popleft()
            info = self._client.publish(topic, payload, qos=1, retain=True)
            self._on_their_way[info.mid] = topic
            self._last = info

    @property
    def idle(self) -> bool:
        """Whether everything that was queued has arrived."""
        self._settle()
        return not self._queue and not self._on_their_way

    def close(self) -> None:
        """Send what waits and leave; a second call does nothing.

        Takes at most twice :data:`FAREWELL_S`. The broker then publishes the will.
        """
        if self.notes.closing:
            return
        for _ in range(2):
            if self.notes.ready:
                self.pump()
                self._await_last()
        self.notes.closing = True
        self._client.disconnect(WITH_WILL)

    def leave(self) -> None:
        """Leave at once and without a word: the broker does not publish the will."""
        self.notes.closing = True
        self._client.disconnect()
        self._client.loop_stop()

    def _await_last(self) -> None:
        if self._last is None:
            return
        try:
            self._last.wait_for_publish(FAREWELL_S)
        except RuntimeError:
            return  # the connection was lost at this moment, and the message with it

    def _settle(self) -> None:
        """Take note of the broker's answers."""
        while self.notes.answers:
            what, reason = self.notes.answers.popleft()
            topic = what if isinstance(what, str) else self._on_their_way.pop(what)
            if reason.is_failure:
                self.refusals[topic] = reason.getName()
            else:
                self.refusals.pop(topic, None)
