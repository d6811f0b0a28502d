"""What paho's network thread leaves for the thread that sends.

Its callbacks do single assignments and append to a deque, so no lock is needed. They hold no
reference to the client, which therefore goes, with its sockets, as soon as nobody uses it.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_app.sinks.broker_troubles import connect_trouble, goodbye_trouble, refusal_trouble

RETAINED_ALREADY_THERE = 2
"""MQTT 5's retain handling: do not send a retained message when we subscribe."""


class BrokerNotes:
    """The state of the connection, and the broker's answers.

    Args:
        listen: The one topic that is subscribed to.
        is_call: Whether a payload on it asks for everything to be sent again.

    Attributes:
        ready: Whether there is a connection that messages may go to now.
        sessions: How often a connection was made.
        down: Why there is no connection; None while there is one, or before the first try.
        called: Whether a payload asked for everything; whoever does it sets it back.
        answers: Message (its paho number) or subscription (its topic), and the answer to it.
        closing: Set when the client is to leave.
    """

    def __init__(self, listen: str, is_call: Callable[[bytes], bool]) -> None:
        self.ready = False
        self.sessions = 0
        self.down: str | None = None
        self.called = False
        self.answers: deque[tuple[int | str, ReasonCode]] = deque()
        self.closing = False
        self._listen = listen
        self._is_call = is_call
        self._explained = False

    def listen_to(self, client: Client) -> None:
        """Have a client call the methods below, from its network thread."""
        client.on_pre_connect = self._on_pre_connect
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message

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
        if self.closing:  # while the connection was being made
            client.disconnect()
        elif reason.is_failure:
            self._explained = True
            self.down = refusal_trouble(reason)
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
        self.answers.extend((self._listen, reason) for reason in reasons)
        self.sessions += 1
        self.ready = True
        self.down = None

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        error = sys.exception()  # paho calls this while it handles the error
        self.down = connect_trouble(error) if isinstance(error, OSError) else "cannot be reached"

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        # paho may call this twice for one connection; the first reason is the right one.
        if not self._explained and not self.closing:
            said = reason if flags.is_disconnect_packet_from_server else None
            self._explained = True
            self.down = goodbye_trouble(said, self.ready)
        self.ready = False

    def _on_publish(
        self,
        _client: Client,
        _data: Any,
        mid: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self.answers.append((mid, reason))

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if self._is_call(bytes(message.payload)):
            self.called = True
