"""Settings: ``kiosk.toml`` read into frozen dataclasses.

Every setting is optional. Its default, its allowed range and its one-line description
stand beside the field, and nowhere else: validation, ``deploy/kiosk.example.toml``
(see :mod:`edge_app.settings_example`) and error messages are all made from them.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_app.errors import SettingsError
from edge_app.settings_rules import check_value, one_line, rules, setting, show, unknown

COMMAND_LINE = "command line"
"""Named in errors about values that were not read from a file."""

QUIET_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


def _bundle(default: str, what: str) -> Any:
    doc = f"{what}: the name of a shipped model bundle, or the path of a .tflite file."
    return setting(default, doc, low=1, high=1000)


def _threads(default: int) -> Any:
    return setting(default, "Processor cores that the model may use.", low=1, high=8)


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
    timeout_s: float = setting(
        3.0, "A camera with no frame for so many seconds has stalled.", low=0.5, high=60
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
        "Detector: the name of a shipped model bundle, or the path of a .tflite file, or of "
        "YuNet's .onnx file.",
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


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, one attribute per section of the file."""

    source: SourceSettings = SourceSettings()
    detector: DetectorSettings = DetectorSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    tracking: TrackingSettings = TrackingSettings()
    policy: PolicySettings = PolicySettings()
    indicator: IndicatorSettings = IndicatorSettings()


def load_settings(path: Path | None) -> Settings:
    """Read a settings file; without one, the defaults.

    Args:
        path: A TOML file, or None.

    Raises:
        SettingsError: The file is missing or not TOML, or names a key that does not
            exist or a value that is not allowed. The message is one line.
    """
    if path is None:
        return Settings()
    try:
        content = path.read_bytes()
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise SettingsError(f"{path}: cannot read the settings file: {why}") from None
    return parse_settings(content, str(path))


def parse_settings(content: bytes, where: str) -> Settings:
    """Settings from the bytes of a TOML file.

    Args:
        content: UTF-8 text, with or without a byte order mark.
        where: The file, for messages.

    Raises:
        SettingsError: It is not TOML, a key is unknown, or a value is not allowed.
    """
    try:
        parsed = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SettingsError(f"{where}: not UTF-8 text (byte {error.start})") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{where}: not valid TOML: {one_line(str(error))}") from None
    return settings_from(parsed, where)


def settings_from(content: Mapping[str, Any], where: str) -> Settings:
    """Settings from parsed TOML: a table per section.

    Args:
        content: What :mod:`tomllib` returns.
        where: The file, for messages.

    Raises:
        SettingsError: A key is unknown or a value is not allowed.
    """
    changes: dict[str, Any] = {}
    for name, table in content.items():
        if name not in (known := sections()):
            raise SettingsError(f"{where}: {unknown('section', name, list(known))}")
        if not isinstance(table, dict):
            raise SettingsError(
                f"{where}: {name} = {show(table)} must be a section with the heading [{name}]"
            )
        changes |= {f"{name}.{key}": value for key, value in table.items()}
    return replace_settings(Settings(), changes, where)


def replace_settings(
    settings: Settings, changes: Mapping[str, Any], where: str = COMMAND_LINE
) -> Settings:
    """A copy with some settings changed, each checked like one read from a file.

    Args:
        settings: The settings to start from.
        changes: New values by dotted key, e.g. ``{"source.uri": "clip.mp4"}``.
        where: Where the values come from, for messages.

    Raises:
        SettingsError: A key is unknown or a value is not allowed.
    """
    known = sections()
    by_section: dict[str, dict[str, Any]] = {}
    for dotted, value in changes.items():
        name, _, key = dotted.partition(".")
        if name not in known:
            raise SettingsError(f"{where}: {unknown('section', name, list(known))}")
        fields = rules(known[name])
        if key not in fields:
            message = unknown("setting", dotted, [f"{name}.{field}" for field in fields])
            raise SettingsError(f"{where}: {message}")
        kind, rule = fields[key]
        by_section.setdefault(name, {})[key] = check_value(value, kind, rule, where, dotted)
    new = {
        name: dataclasses.replace(getattr(settings, name), **values)
        for name, values in by_section.items()
    }
    result = dataclasses.replace(settings, **new)
    _check_together(result, where)
    return result


def sections() -> dict[str, type]:
    """The sections by name, each a dataclass."""
    return typing.get_type_hints(Settings)


def _check_together(settings: Settings, where: str) -> None:
    policy = settings.policy
    if policy.leave > policy.enter:
        raise SettingsError(
            f"{where}: policy.leave = {policy.leave:g} must be at most "
            f"policy.enter = {policy.enter:g}"
        )
    if policy.quiet_hours and policy.quiet_hours[:5] == policy.quiet_hours[6:]:
        raise SettingsError(
            f"{where}: policy.quiet_hours = {policy.quiet_hours!r} must begin and end at "
            "different times; for no sound at all set indicator.buzzer_enabled = false"
        )
    pins: dict[int, str] = {}
    for name in ("red", "amber", "green", "buzzer"):
        number = getattr(settings.indicator, name)
        if number in pins:
            raise SettingsError(
                f"{where}: indicator.{name} = {number} must differ from "
                f"indicator.{pins[number]}, which uses the same pin"
            )
        pins[number] = name
