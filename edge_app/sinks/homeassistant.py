"""What Home Assistant is told, so that it sets the kiosk up as a device by itself.

Device-based discovery, as in Home Assistant's documentation of its MQTT integration
(Home Assistant 2024.11 or newer).
"""

from __future__ import annotations

from typing import Any

from edge_app import __version__
from edge_app.domain import Signal
from edge_app.settings import MqttSettings

ONLINE, OFFLINE = "online", "offline"

UNKNOWN = "None"
"""Home Assistant's word for a value that is not known."""

ON, OFF = "ON", "OFF"


def base_topic(settings: MqttSettings) -> str:
    """What all topics of this kiosk begin with."""
    return f"mask-kiosk/{settings.kiosk_id}"


def status_topic(settings: MqttSettings) -> str:
    """Where Home Assistant says that it has started."""
    return f"{settings.discovery_prefix}/status"


def says_started(payload: bytes) -> bool:
    """Whether a message on :func:`status_topic` means that Home Assistant has started."""
    return payload == ONLINE.encode()


def discovery_topic(settings: MqttSettings) -> str:
    """Where Home Assistant looks for this kiosk."""
    return f"{settings.discovery_prefix}/device/{_identifier(settings)}/config"


def discovery(settings: MqttSettings) -> dict[str, Any]:
    """The device and its entities, to be sent as JSON."""
    base, identifier = base_topic(settings), _identifier(settings)
    entities: dict[str, dict[str, Any]] = {
        "signal": {
            "platform": "sensor",
            "name": "Signal",
            "icon": "mdi:traffic-light",
            "device_class": "enum",
            "options": [str(signal) for signal in Signal],
            "value_template": "{{ value_json.signal }}",
            "json_attributes_topic": f"{base}/signal",
        },
        "people": {
            "platform": "sensor",
            "name": "People in view",
            "icon": "mdi:account-group",
            "unit_of_measurement": "people",
            "state_class": "measurement",
        },
        "fps": {
            "platform": "sensor",
            "name": "Frame rate",
            "icon": "mdi:camera-timer",
            "unit_of_measurement": "fps",
            "state_class": "measurement",
            "suggested_display_precision": 1,
            "entity_category": "diagnostic",
        },
        "temperature": {
            "platform": "sensor",
            "name": "Processor temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "state_class": "measurement",
            "suggested_display_precision": 0,
            "entity_category": "diagnostic",
        },
        "throttling": _problem("Throttling", f"{base}/throttling"),
        "problem": _problem("Problem", f"{base}/problem"),
    }
    for key, entity in entities.items():
        entity["unique_id"] = f"{identifier}_{key}"
        entity["state_topic"] = f"{base}/{key}"
    return {
        "device": {
            "identifiers": [identifier],
            "name": settings.kiosk_id.replace("-", " ").replace("_", " ").strip().capitalize()
            or settings.kiosk_id,
            "manufacturer": "mask-kiosk",
            "model": "Face mask light",
            "sw_version": __version__,
        },
        "origin": {"name": "mask-kiosk", "sw_version": __version__},
        "availability": [
            {
                "topic": f"{base}/availability",
                "payload_available": ONLINE,
                "payload_not_available": OFFLINE,
            }
        ],
        "qos": 1,
        "components": entities,
    }


def _problem(name: str, topic: str) -> dict[str, Any]:
    return {
        "platform": "binary_sensor",
        "name": name,
        "device_class": "problem",
        "payload_on": ON,
        "payload_off": OFF,
        "value_template": "{{ value_json.state }}",
        "json_attributes_topic": topic,
        "entity_category": "diagnostic",
    }


def _identifier(settings: MqttSettings) -> str:
    return f"mask_kiosk_{settings.kiosk_id}"
