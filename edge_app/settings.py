"""Settings: ``kiosk.toml`` read into frozen dataclasses.

Every setting is optional. Its default, its allowed range and its one-line description
stand beside its field in :mod:`edge_app.settings_sections`, and nowhere else: validation,
``deploy/kiosk.example.toml`` (see :mod:`edge_app.settings_example`) and error messages are
all made from them.
"""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_app.errors import SettingsError
from edge_app.settings_rules import check_value, reason, rules, show, unknown
from edge_app.settings_sections import (
    ClassifierSettings,
    DetectorSettings,
    IndicatorSettings,
    JournalSettings,
    MqttSettings,
    PolicySettings,
    SnapshotSettings,
    SourceSettings,
    TrackingSettings,
    WebSettings,
)

__all__ = [
    "ClassifierSettings",
    "DetectorSettings",
    "IndicatorSettings",
    "JournalSettings",
    "MqttSettings",
    "PolicySettings",
    "Settings",
    "SnapshotSettings",
    "SourceSettings",
    "TrackingSettings",
    "WebSettings",
    "load_settings",
    "parse_settings",
    "replace_settings",
    "sections",
    "settings_from",
]

COMMAND_LINE = "command line"
"""Named in errors about values that were not read from a file."""

MAX_BYTES = 64 * 1024
"""A settings file that holds every setting with its description has a tenth of this."""

MAX_DOTS = 100
"""In one line. A setting's name has one dot; a key of many thousand parts, which is TOML, would
take the parser minutes and gigabytes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, one attribute per section of the file."""

    source: SourceSettings = field(default_factory=SourceSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    classifier: ClassifierSettings = field(default_factory=ClassifierSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    indicator: IndicatorSettings = field(default_factory=IndicatorSettings)
    journal: JournalSettings = field(default_factory=JournalSettings)
    snapshots: SnapshotSettings = field(default_factory=SnapshotSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    web: WebSettings = field(default_factory=WebSettings)


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
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
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
        SettingsError: It is too long or not TOML, a key is unknown, or a value is not allowed.
    """
    _check_extent(content, where)
    try:
        parsed = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SettingsError(f"{where}: not UTF-8 text (byte {error.start})") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{where}: not valid TOML: {reason(error)}") from None
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


def _check_extent(content: bytes, where: str) -> None:
    if len(content) > MAX_BYTES:
        raise SettingsError(
            f"{where}: has more than {MAX_BYTES // 1024} KiB: is it a settings file?"
        )
    for number, line in enumerate(content.splitlines(), 1):
        if line.count(b".") > MAX_DOTS and not line.lstrip().startswith(b"#"):
            raise SettingsError(f"{where}: line {number} has more than {MAX_DOTS} dots")


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
