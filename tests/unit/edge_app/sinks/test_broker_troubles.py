from __future__ import annotations

import errno
import os
import socket

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from edge_app.sinks.broker_troubles import connect_trouble, goodbye_trouble, refusal_trouble


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(), "connection refused; is the broker running"),
        (TimeoutError("timed out"), "no answer; check mqtt.host"),
        (socket.gaierror(-2, "Name or service not known"), "(Name or service not known); check"),
        (
            OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH)),
            "cannot be reached (Network is unreachable)",
        ),
        (OSError(), "cannot be reached (OSError)"),
        (ConnectionResetError(), "hung up before it let us in"),
    ],
)
def test_a_failed_connection_is_explained(error: OSError, words: str) -> None:
    assert words in connect_trouble(error)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Bad user name or password", "check mqtt.username and mqtt.password_file"),
        ("Not authorized", "check mqtt.username and mqtt.password_file"),
        ("Unsupported protocol version", "does not speak MQTT 5"),
        ("Server busy", "refuses us (Server busy)"),
    ],
)
def test_a_refusal_is_explained(name: str, words: str) -> None:
    assert words in refusal_trouble(ReasonCode(PacketTypes.CONNACK, name))


def test_the_end_of_a_connection_is_explained() -> None:
    taken_over = ReasonCode(PacketTypes.DISCONNECT, "Session taken over")
    assert "the same mqtt.kiosk_id?" in goodbye_trouble(taken_over, was_ready=True)
    busy = ReasonCode(PacketTypes.DISCONNECT, "Server shutting down")
    assert goodbye_trouble(busy, True) == "ended the connection (Server shutting down)"
    assert goodbye_trouble(None, was_ready=True) == "the connection was lost"
    assert "hung up before it let us in" in goodbye_trouble(None, was_ready=False)
