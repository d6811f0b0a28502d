"""A client for an MQTT broker, made from the settings: names, password, encryption.

MQTT 5, because only there a broker says why it refuses something, and only there a client
can limit the size of what it is sent. Needs the optional package paho-mqtt.
"""

from __future__ import annotations

import ssl

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_app.errors import SettingsError
from edge_app.private_files import read_secret
from edge_app.settings import MqttSettings

BACKOFF_S = (1, 30)
"""Pause before the next attempt to connect: doubled from the first to the second."""

KEEPALIVE_S = 15
"""The broker declares a silent kiosk offline after one and a half times as long."""

MAX_INCOMING_BYTES = 4096
"""Larger packets are not sent to us: the only message we read is one word."""


class _TidySocket(ssl.SSLSocket):
    """Closes itself when the two sides do not come together.

    paho leaves that to the garbage collector, and holds on to it for the pause that follows.
    """

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def make_client(settings: MqttSettings, *, will: tuple[str, str], in_flight: int) -> Client:
    """A client that knows where to connect to; its ``loop_start`` begins.

    Args:
        settings: Where the broker is and how it is entered.
        will: Topic and payload that the broker publishes, retained, when the client is gone.
        in_flight: How many messages may be on their way at a time.

    Raises:
        SettingsError: A name or file in the settings cannot be used.
    """
    _check(settings)
    client = Client(
        CallbackAPIVersion.VERSION2,
        f"mask-kiosk-{settings.kiosk_id}",
        protocol=MQTTProtocolVersion.MQTTv5,
    )
    client.reconnect_delay_set(*BACKOFF_S)
    client.max_inflight_messages_set(in_flight)
    client.will_set(*will, qos=1, retain=True)
    if settings.username:
        password = None
        if settings.password_file:
            password = read_secret(settings.password_file, "mqtt.password_file")
        client.username_pw_set(settings.username, password)
    if settings.tls:
        client.tls_set_context(_tls(settings.ca_file))
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = MAX_INCOMING_BYTES
    client.connect_async(
        settings.host, settings.port, KEEPALIVE_S, clean_start=True, properties=properties
    )
    return client


def _check(settings: MqttSettings) -> None:
    """Refuse settings that cannot mean what they say."""
    try:
        settings.host.encode("idna")
    except UnicodeError:
        raise SettingsError(f"mqtt.host = {settings.host!r} is no name or address") from None
    if settings.password_file and not settings.username:
        raise SettingsError("mqtt.password_file is set, but mqtt.username is empty")
    if settings.ca_file and not settings.tls:
        raise SettingsError("mqtt.ca_file is set, but mqtt.tls = false: nothing is encrypted")


def _tls(ca_file: str) -> ssl.SSLContext:
    """Encryption with a broker that proves its name."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError:
        raise SettingsError(f"mqtt.ca_file = {ca_file}: holds no certificates (PEM)") from None
    except OSError as error:
        raise SettingsError(f"mqtt.ca_file = {ca_file}: cannot be read: {error.strerror}") from None
    context.sslsocket_class = _TidySocket
    return context
