"""Why there is no connection to a broker, in words for whoever has to put it right."""

from __future__ import annotations

import socket
import ssl

from paho.mqtt.reasoncodes import ReasonCode

BAD_CREDENTIALS = (0x86, 0x87)
"""Bad user name or password; not authorised."""

UNSUPPORTED_PROTOCOL = 0x84

TAKEN_OVER = 0x8E
"""Another client came with the same name."""

HUNG_UP = "hung up before it let us in; check mqtt.port and mqtt.tls"


def connect_trouble(error: OSError) -> str:
    """Why no connection could be made."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not accepted ({error.verify_message}); check mqtt.ca_file and "
            "that mqtt.host is the name in the certificate"
        )
    if isinstance(error, ssl.SSLError):
        return "no encrypted connection; check mqtt.port and mqtt.tls"
    if isinstance(error, socket.gaierror):
        return f"the name cannot be resolved ({error.strerror}); check mqtt.host and the network"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; is the broker running, and mqtt.port right?"
    if isinstance(error, ConnectionResetError):
        return HUNG_UP
    if isinstance(error, TimeoutError):
        return "no answer; check mqtt.host and the network"
    return f"cannot be reached ({error.strerror or type(error).__name__})"


def refusal_trouble(reason: ReasonCode) -> str:
    """Why the broker does not let us in."""
    if reason.value in BAD_CREDENTIALS:
        return f"refuses us ({reason.getName()}); check mqtt.username and mqtt.password_file"
    if reason.value == UNSUPPORTED_PROTOCOL:
        return "does not speak MQTT 5; a newer broker is needed"
    return f"refuses us ({reason.getName()})"


def goodbye_trouble(said: ReasonCode | None, was_ready: bool) -> str:
    """Why a connection ended.

    Args:
        said: What the broker gave as its reason, if anything.
        was_ready: Whether the connection had worked.
    """
    if said is not None and said.value == TAKEN_OVER:
        return "another client has our name; has another kiosk the same mqtt.kiosk_id?"
    if said is not None:
        return f"ended the connection ({said.getName()})"
    if was_ready:
        return "the connection was lost"
    return HUNG_UP
