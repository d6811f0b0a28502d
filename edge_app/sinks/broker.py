"""The connection to an MQTT broker.

Messages go through one first-in-first-out queue with QoS 1: the next few are handed to paho,
which sends them again after a lost connection until the broker has confirmed them. So
whatever was queued arrives at least once and in order. paho's network thread does the
connecting, with a growing pause, and only leaves notes here (:attr:`BrokerLink.ready`,
answers); everything else happens in the thread that calls :meth:`BrokerLink.send` and
:meth:`BrokerLink.pump`.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTMessageInfo
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_app.settings import MqttSettings
from edge_app.sinks.broker_client import make_client
from edge_app.sinks.broker_troubles import connect_trouble, goodbye_trouble, refusal_trouble

IN_FLIGHT = 10
"""Messages on their way at a time: the strictest common broker (HiveMQ) takes no more, and
after a lost connection paho sends all of them again at once."""

MAX_QUEUED = 1000
"""Messages that wait behind those: a minute of a light that changes with every frame, longer
than a dead connection stays unnoticed; at most a few hundred kilobytes."""

FAREWELL_S = 0.5
"""Patience with the last messages at the end."""

RETAINED_ALREADY_THERE = 2
"""MQTT 5's retain handling: do not send a retained message when we subscribe."""


WITH_WILL = ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message")
"""Leaving in an orderly way, with which the broker still publishes the will."""


class BrokerLink:
    """One client of one broker.

    Args:
        settings: Where the broker is and how it is entered.
        will: Topic and payload that the broker publishes, retained, when the client is gone.
        listen: The one topic that is subscribed to.
        is_call: Whether a payload on it asks for everything to be sent again.

    Raises:
        SettingsError: A name or file in the settings cannot be used.

    Attributes:
        ready: Whether there is a connection that messages may go to now.
        sessions: How often a connection was made.
        called: Whether such a payload came; whoever answers it sets it back.
        refusals: Topics that the broker does not take, and why.
        overflowed: Whether a message was left out, because the queue was full.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        will: tuple[str, str],
        listen: str,
        is_call: Callable[[bytes], bool],
    ) -> None:
        self.ready = False
        self.sessions = 0
        self.called = False
        self.refusals: dict[str, str] = {}
        self.overflowed = False
        self._listen = listen
        self._is_call = is_call
        self._where = f"MQTT broker {settings.host}:{settings.port}"
        self._down: str | None = None
        self._explained = False
        self._closed = False
        self._queue: deque[tuple[str, str]] = deque()
        self._on_their_way: dict[int, str] = {}
        self._answers: deque[tuple[int | str, ReasonCode]] = deque()
        self._last: MQTTMessageInfo | None = None
        self._client = client = make_client(settings, will=will, in_flight=IN_FLIGHT)
        client.on_pre_connect = self._on_pre_connect
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message

    @property
    def trouble(self) -> str | None:
        """What is wrong now, in one line; None when all is well."""
        if self._down is not None:
            return f"{self._where}: {self._down}"
        if self.refusals:
            topic, why = next(iter(self.refusals.items()))
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
        if self._closed:
            return
        if not self.ready:
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
        """Send what waits, within :data:`FAREWELL_S`, and leave; a second call does nothing.

        The broker then publishes the will.
        """
        if self._closed:
            return
        if self.ready:
            self.pump()
            self._await_last()
        self._closed = True
        self._client.disconnect(WITH_WILL)

    def _await_last(self) -> None:
        if self._last is None:
            return
        try:
            self._last.wait_for_publish(FAREWELL_S)
        except RuntimeError:
            return  # the connection was lost at this moment, and the message with it

    def _settle(self) -> None:
        """Take note of the broker's answers."""
        while self._answers:
            what, reason = self._answers.popleft()
            topic = what if isinstance(what, str) else self._on_their_way.pop(what)
            if reason.is_failure:
                self.refusals[topic] = reason.getName()
            else:
                self.refusals.pop(topic, None)

    # paho's network thread calls these. They only leave notes: single assignments, and a deque.

    def _on_pre_connect(self, _client: Client, _data: Any) -> None:
        self._explained = False

    def _on_connect(
        self,
        client: Client,
        _data: Any,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._closed:  # while the connection was being made
            client.disconnect()
        elif reason.is_failure:
            self._explained = True
            self._down = refusal_trouble(reason)
        else:
            options = SubscribeOptions(qos=0, retainHandling=RETAINED_ALREADY_THERE)
            client.subscribe(self._listen, options=options)

    def _on_subscribe(
        self,
        _client: Client,
        _data: Any,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        # Not earlier: paho has by now sent again what was on its way when the last
        # connection was lost, so nothing new can overtake it.
        self._answers.extend((self._listen, reason) for reason in reasons)
        self.sessions += 1
        self.ready = True
        self._down = None

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        error = sys.exception()  # paho calls this while it handles the error
        self._down = connect_trouble(error) if isinstance(error, OSError) else "cannot be reached"

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        # paho may call this twice for one connection; the first reason is the right one.
        if not self._explained and not self._closed:
            said = reason if flags.is_disconnect_packet_from_server else None
            self._explained = True
            self._down = goodbye_trouble(said, self.ready)
        self.ready = False

    def _on_publish(
        self,
        _client: Client,
        _data: Any,
        mid: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._answers.append((mid, reason))

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if self._is_call(bytes(message.payload)):
            self.called = True
