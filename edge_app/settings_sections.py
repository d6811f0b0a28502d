"""The sections of ``kiosk.toml``: one frozen dataclass each.

Default, allowed range and one-line description of a setting stand beside its field, and
nowhere else, see :mod:`edge_app.settings`.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

from edge_app.settings_rules import setting

QUIET_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


KIOSK_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)

TOPIC = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_/-]{0,99}", re.ASCII)
"""The beginning of an MQTT topic; without wildcards."""


def _bundle(default: str, what: str) -> Any:
    doc = f"{what}: the name of a shipped or installed model bundle, or the path of a .tflite file."
    return setting(default, doc, low=1, high=1000)


def _threads(default: int) -> Any:
    return setting(default, "Processor cores that the model may use.", low=1, high=8)


def _path(doc: str) -> Any:
    return setting("", doc, low=0, high=1000)


def _port(default: int, doc: str) -> Any:
    return setting(default, doc, low=1, high=65535)


def _pin(default: int, what: str) -> Any:
    return setting(default, f"{what}: GPIO number (BCM, not the header position).", low=0, high=27)


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where the pictures come from."""

    uri: str = setting(
        "picamera",
        "picamera, picamera:1, /dev/video0, rtsp://..., clip.mp4 or photos/.",
        low=1,
        high=2000,
    )
    width: int = setting(640, "Pixels across, asked of a camera.", low=64, high=4096)
    height: int = setting(480, "Pixels down, asked of a camera.", low=64, high=4096)
    fps: float = setting(15.0, "Frames per second, asked of a camera.", low=1, high=60)
    idle_fps: float = setting(
        5.0,
        "Frames per second that are looked at while nobody is in view; at least two in "
        "policy.stale_s.",
        low=0.5,
        high=60,
    )
    timeout_s: float = setting(
        3.0, "A camera with no frame for so many seconds has stalled.", low=0.5, high=60
    )
    frozen_s: float = setting(
        5.0,
        "A camera whose pictures are the very same for so many seconds has stalled; 0: never.",
        low=0,
        high=600,
    )
    blind_s: float = setting(
        3.0,
        "Black or empty pictures for so many seconds are a fault: nobody could be seen; 0: never.",
        low=0,
        high=600,
    )
    flip: str = setting(
        "none",
        "Mirror the picture of a camera; both = turn it by 180 degrees.",
        choices=("none", "horizontal", "vertical", "both"),
    )


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """Finding faces."""

    bundle: str = setting(
        "face_detector",
        "Detector: the name of a shipped or installed model bundle, or the path of a .tflite file, "
        "or of YuNet's .onnx file.",
        low=1,
        high=1000,
    )
    threads: int = _threads(2)
    score_threshold: float | None = setting(
        None,
        "A face needs at least this score; left out: as the model card says, 0.6 for YuNet.",
        low=0,
        high=1,
    )
    min_face_px: float = setting(
        16.0, "Faces with a shorter side in frame pixels are ignored.", low=0, high=1000
    )


@dataclass(frozen=True, slots=True)
class ClassifierSettings:
    """Judging faces."""

    bundle: str = _bundle("mask_classifier", "Classifier")
    threads: int = _threads(1)
    confidence_floor: float | None = setting(
        None,
        "Verdicts less probable than this are uncertain; left out: as the model card says.",
        low=0,
        high=1,
    )
    budget_ms: float = setting(
        40.0, "Milliseconds per frame for judging faces, the largest first.", low=1, high=1000
    )
    min_face_px: float = setting(
        24.0,
        "Faces with a shorter side in frame pixels are followed, not judged.",
        low=0,
        high=1000,
    )


@dataclass(frozen=True, slots=True)
class TrackingSettings:
    """Following people from frame to frame."""

    iou: float = setting(
        0.3, "Overlap with the last box that makes it the same person.", low=0.05, high=0.95
    )
    max_unseen_s: float = setting(
        0.7, "A person not seen for so many seconds has left.", low=0.05, high=10
    )
    history: int = setting(7, "Verdicts that the running median looks at.", low=1, high=60)
    evidence_s: float = setting(
        3.0,
        "Without a certain verdict for so many seconds a person is unjudged again.",
        low=0.2,
        high=60,
    )


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """From people to the light."""

    confirm_verdicts: int = setting(
        3, "Verdicts that a person needs before the light answers.", low=1, high=60
    )
    enter: float = setting(
        0.6, "A state begins when its median probability reaches this.", low=0, high=1
    )
    leave: float = setting(
        0.45, "It ends when the median falls below this; at most policy.enter.", low=0, high=1
    )
    hold_s: float = setting(
        1.0,
        "A signal stays for so many seconds before a less urgent one may replace it.",
        low=0,
        high=30,
    )
    stale_s: float = setting(
        2.0, "With the newest frame older than this the light shows a fault.", low=0.2, high=60
    )
    quiet_hours: str = setting(
        "",
        "Local time in which the buzzer stays silent, e.g. 22:00-06:00; empty: never.",
        pattern=(QUIET_HOURS, "22:00-06:00"),
    )

    def is_quiet(self, at: datetime.time) -> bool:
        """Whether ``at`` (local time of day) lies in the quiet hours; they may span midnight."""
        found = QUIET_HOURS.fullmatch(self.quiet_hours)
        if found is None:
            return False
        hour, minute, end_hour, end_minute = (int(part) for part in found.groups())
        begin, end = datetime.time(hour, minute), datetime.time(end_hour, end_minute)
        at = at.replace(tzinfo=None)
        if begin < end:
            return begin <= at < end
        return at >= begin or at < end


@dataclass(frozen=True, slots=True)
class IndicatorSettings:
    """The light and the buzzer."""

    pins: str = setting(
        "gpio",
        "gpio = the Raspberry Pi's header; mock = pretend pins; none = no light at all.",
        choices=("gpio", "mock", "none"),
    )
    red: int = _pin(17, "Red lamp")
    amber: int = _pin(27, "Amber lamp")
    green: int = _pin(22, "Green lamp")
    buzzer: int = _pin(23, "Buzzer")
    active_high: bool = setting(True, "true: a lamp lights when its pin is high.")
    buzzer_active_high: bool = setting(True, "true: the buzzer sounds when its pin is high.")
    buzzer_enabled: bool = setting(True, "false: no buzzer is fitted or wanted.")
    buzzer_cooldown_s: float = setting(
        3.0,
        "After a chirp the next person without a mask is not chirped at for so many seconds.",
        low=0,
        high=600,
    )
    buzzer_repeat_s: float = setting(
        10.0,
        "While somebody without a mask stays, chirp again after so many seconds; 0: never.",
        low=0,
        high=3600,
    )
    self_test: bool = setting(True, "true: at the start every lamp lights once, and the buzzer.")


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """What the light showed and when; never a picture."""

    path: str = _path(
        "SQLite file; empty: events.sqlite3 in the service's state folder ($STATE_DIRECTORY), "
        "and no journal where there is none.",
    )
    keep_days: int = setting(400, "Events older than this are deleted.", low=1, high=36500)
    max_mb: int = setting(
        100, "The oldest events go when the file grows beyond this.", low=1, high=100_000
    )


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """Pictures of violations, for owners who may keep them; everybody else is pixelated."""

    enabled: bool = setting(False, "true: keep a picture of each new violation.")
    folder: str = _path(
        "Where; empty: snapshots in the service's state folder ($STATE_DIRECTORY).",
    )
    keep_days: int = setting(7, "Pictures older than this are deleted.", low=1, high=3650)
    max_mb: int = setting(200, "The oldest go when all are larger than this.", low=1, high=100_000)


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Telling Home Assistant, or any other MQTT subscriber."""

    host: str = setting("", "Name or address of the broker; empty: no MQTT.", low=0, high=255)
    port: int = _port(1883, "Port of the broker; with TLS usually 8883.")
    kiosk_id: str = setting(
        "mask-kiosk",
        "This kiosk's name in topics: letters, digits, - and _; no two kiosks share one.",
        low=1,
        pattern=(KIOSK_ID, "front-door"),
    )
    discovery_prefix: str = setting(
        "homeassistant",
        "Where Home Assistant looks for devices.",
        low=1,
        pattern=(TOPIC, "homeassistant"),
    )
    username: str = setting("", "Empty: the broker asks for none.", low=0, high=255)
    password_file: str = _path("File that holds the password, readable by nobody else.")
    tls: bool = setting(False, "true: encrypted, the broker must prove who it is.")
    ca_file: str = _path("Certificates that may vouch for the broker; empty: the system's.")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The status page, and figures for Prometheus."""

    enabled: bool = setting(False, "true: serve the status page.")
    host: str = setting(
        "127.0.0.1", "Address to listen at; beyond this machine only with a token.", low=1, high=255
    )
    port: int = _port(8080, "Port to listen at.")
    token_file: str = _path(
        "File with the token that every visitor must know, readable by nobody else."
    )
    preview: bool = setting(True, "true: the page shows what the camera sees, never stored.")
    metrics: bool = setting(False, "true: figures for Prometheus under /metrics.")
