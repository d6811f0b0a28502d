"""kiosk.toml: defaults, ranges, messages, and the example file made from the same fields."""

from __future__ import annotations

import dataclasses
import datetime
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.errors import SettingsError
from edge_app.settings import (
    PolicySettings,
    Settings,
    load_settings,
    parse_settings,
    replace_settings,
    sections,
    settings_from,
)
from edge_app.settings_example import example
from edge_app.settings_rules import Rule, rules, toml_value

EVERY = [
    (f"{name}.{key}", kind, rule)
    for name, section in sections().items()
    for key, (kind, rule) in rules(section).items()
]
NUMBERS = [(dotted, kind, rule) for dotted, kind, rule in EVERY if kind in (int, float)]


def load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "kiosk.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path)


def complaint(tmp_path: Path, text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(tmp_path / "kiosk.toml") + ": ")
    return message.removeprefix(str(tmp_path / "kiosk.toml") + ": ")


def test_without_a_file_the_defaults_hold() -> None:
    assert load_settings(None) == Settings()


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == Settings()


def test_a_value_replaces_its_default_and_nothing_else(tmp_path: Path) -> None:
    settings = load(tmp_path, '[source]\nuri = "/dev/video0"\nfps = 10\n[indicator]\nred = 5\n')
    assert settings.source.uri == "/dev/video0"
    assert settings.source.fps == 10
    assert isinstance(settings.source.fps, float)
    assert settings.indicator.red == 5
    assert settings.source.width == Settings().source.width
    assert settings.policy == Settings().policy


def test_defaults_obey_their_own_rules() -> None:
    for dotted, _, _ in EVERY:
        section, key = dotted.split(".")
        value = getattr(getattr(Settings(), section), key)
        if value is not None:
            assert replace_settings(Settings(), {dotted: value}) == Settings()


@pytest.mark.parametrize(("dotted", "kind", "rule"), NUMBERS)
def test_both_ends_of_a_range_are_allowed_and_nothing_beyond(
    dotted: str, kind: type, rule: Rule
) -> None:
    assert rule.low is not None
    assert rule.high is not None
    # Freed from the rules between two settings, so that each range is tested to its ends.
    free = dataclasses.replace(
        Settings(),
        indicator=dataclasses.replace(
            Settings().indicator, red=101, amber=102, green=103, buzzer=104
        ),
        policy=PolicySettings(
            enter=0.0 if dotted == "policy.enter" else 1.0,
            leave=0.0,
        ),
    )
    section, key = dotted.split(".")
    for end in (rule.low, rule.high):
        changed = replace_settings(free, {dotted: kind(end)})
        assert getattr(getattr(changed, section), key) == end
    for beyond in (rule.low - 1, rule.high + 1, float("nan"), float("inf"), True, "5", [5]):
        with pytest.raises(SettingsError, match=re.escape(f"{dotted} = ")):
            replace_settings(free, {dotted: beyond})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[source]\nfps = 0\n", "source.fps = 0 must be a number, 1..60"),
        ("[source]\nfps = true\n", "source.fps = true must be a number, 1..60"),
        ("[source]\nwidth = 640.0\n", "source.width = 640.0 must be a whole number, 64..4096"),
        (
            '[source]\nflip = "up"\n',
            'source.flip = \'up\' must be one of: "none", "horizontal", "vertical", "both"',
        ),
        ('[source]\nuri = ""\n', "source.uri = '' must be text of 1..2000 characters"),
        (
            "[indicator]\nactive_high = 1\n",
            "indicator.active_high = 1 must be true or false",
        ),
        (
            '[policy]\nquiet_hours = "25:00-06:00"\n',
            "policy.quiet_hours = '25:00-06:00' must be empty, or text like \"22:00-06:00\"",
        ),
        (
            '[policy]\nquiet_hours = "06:00-06:00"\n',
            "policy.quiet_hours = '06:00-06:00' must begin and end at different times; "
            "for no sound at all set indicator.buzzer_enabled = false",
        ),
        (
            "[policy]\nleave = 0.7\n",
            "policy.leave = 0.7 must be at most policy.enter = 0.6",
        ),
        (
            "[indicator]\nbuzzer = 17\n",
            "indicator.buzzer = 17 must differ from indicator.red, which uses the same pin",
        ),
        (
            "[tracking]\nhistroy = 3\n",
            "there is no setting 'tracking.histroy'; did you mean tracking.history?",
        ),
        ("[sorce]\nfps = 3\n", "there is no section 'sorce'; did you mean source?"),
        (
            "zzzzz = 3\n",
            "there is no section 'zzzzz'; known: source, detector, classifier, tracking, "
            "policy, indicator, journal, snapshots, mqtt, web",
        ),
        ("source = 3\n", "source = 3 must be a section with the heading [source]"),
        (
            "[[policy]]\nenter = 0.6\n",
            "policy = [{'enter': 0.6}] must be a section with the heading [policy]",
        ),
        ("[source.uri]\nx = 1\n", "source.uri = {'x': 1} must be text of 1..2000 characters"),
    ],
)
def test_messages_name_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, message: str
) -> None:
    assert complaint(tmp_path, text) == message


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    assert re.match(r"not valid TOML: .*line 2", complaint(tmp_path, "[source]\nfps = = 3\n"))


def test_what_the_parser_quotes_without_end_is_cut_short(tmp_path: Path) -> None:
    """tomllib names a key of many parts in full."""
    header = "[" + "long_part." * 90 + "b]\n"
    message = complaint(tmp_path, header + header)
    assert re.match(r"not valid TOML: Cannot declare .*\.\.\.$", message)
    assert len(message) < 300


def test_a_file_that_would_keep_the_parser_busy_is_refused(tmp_path: Path) -> None:
    """tomllib takes gigabytes for the second one."""
    long = complaint(tmp_path, "#" * 65 * 1024)
    assert long == "has more than 64 KiB: is it a settings file?"
    dots = complaint(tmp_path, "[source]\n" + "a." * 30_000 + "a = 1\n")
    assert dots == "line 2 has more than 100 dots"
    assert load(tmp_path, "# " + "." * 200 + "\n") == Settings()


def test_a_device_without_an_end_is_refused() -> None:
    with pytest.raises(SettingsError, match="/dev/zero: has more than 64 KiB"):
        load_settings(Path("/dev/zero"))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kiosk.toml"
    path.write_bytes(b"[source]\nuri = '\xff\xfe'\n")
    with pytest.raises(SettingsError, match="not UTF-8 text"):
        load_settings(path)


def test_a_missing_file_is_refused_though_all_settings_are_optional(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml: cannot read .*No such file"):
        load_settings(tmp_path / "nowhere.toml")


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read the settings file: Is a directory"):
        load_settings(tmp_path)


@pytest.mark.parametrize("value", ["9" * 5000, "0x" + "f" * 5000])
def test_a_number_too_large_to_print_still_gives_one_short_line(tmp_path: Path, value: str) -> None:
    assert len(complaint(tmp_path, f"[source]\nfps = {value}\n")) < 200


def test_deeply_nested_toml_is_refused(tmp_path: Path) -> None:
    complaint(tmp_path, "[source]\nuri = " + "[" * 20_000)


def test_overrides_are_checked_like_a_file() -> None:
    settings = replace_settings(Settings(), {"source.uri": "clip.mp4", "indicator.pins": "mock"})
    assert (settings.source.uri, settings.indicator.pins) == ("clip.mp4", "mock")
    with pytest.raises(SettingsError, match=r"^command line: detector\.threads = 9 must be"):
        replace_settings(Settings(), {"detector.threads": 9})
    with pytest.raises(SettingsError, match=r"^command line: there is no setting 'detector'"):
        replace_settings(Settings(), {"detector": 9})


@pytest.mark.parametrize(
    ("hours", "clock", "quiet"),
    [
        ("", "12:00", False),
        ("22:00-06:00", "21:59", False),
        ("22:00-06:00", "22:00", True),
        ("22:00-06:00", "03:00", True),
        ("22:00-06:00", "06:00", False),
        ("12:30-14:00", "12:29", False),
        ("12:30-14:00", "13:59", True),
        ("12:30-14:00", "14:00", False),
    ],
)
def test_quiet_hours(hours: str, clock: str, quiet: bool) -> None:
    assert PolicySettings(quiet_hours=hours).is_quiet(datetime.time.fromisoformat(clock)) is quiet


# --- the example file -----------------------------------------------------------------


def test_the_example_file_is_up_to_date(root: Path) -> None:
    text = (root / "deploy" / "kiosk.example.toml").read_text(encoding="utf-8")
    assert text == example(), "run: python -m edge_app.settings_example > deploy/kiosk.example.toml"


def test_the_example_file_holds_every_setting_with_its_default(root: Path) -> None:
    path = root / "deploy" / "kiosk.example.toml"
    assert load_settings(path) == Settings()
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    listed = {f"{name}.{key}" for name, table in content.items() for key in table}
    optional = {"detector.score_threshold", "classifier.confidence_floor"}
    assert listed == {dotted for dotted, _, _ in EVERY} - optional
    for dotted in optional:
        assert f"\n#{dotted.split('.')[1]} =" in example()


def test_every_setting_is_documented() -> None:
    assert [dotted for dotted, _, rule in EVERY if len(rule.doc) < 15] == []


# --- properties ------------------------------------------------------------------------

KEYS = st.sampled_from([dotted.split(".")[1] for dotted, _, _ in EVERY]) | st.text(max_size=8)
SCALARS = (
    st.integers()
    | st.floats()
    | st.booleans()
    | st.text(max_size=20)
    | st.dates()
    | st.sampled_from(["mock", "both", "22:00-06:00", 0.5, 3, 17])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
CONTENTS = st.dictionaries(
    st.sampled_from(list(sections())) | st.text(max_size=8),
    st.dictionaries(KEYS, VALUES, max_size=4) | VALUES,
    max_size=4,
)


def result_of(read: Callable[[], Settings]) -> Settings | str:
    """The settings, or the message of the one error that is allowed."""
    try:
        return read()
    except SettingsError as error:
        return str(error)


@given(CONTENTS)
def test_any_content_is_accepted_or_refused_in_one_line(content: dict[str, Any]) -> None:
    result = result_of(lambda: settings_from(content, "kiosk.toml"))
    if isinstance(result, str):
        assert result.startswith("kiosk.toml: ")
        assert "\n" not in result
        return
    for name, table in content.items():
        for key, value in table.items():
            assert getattr(getattr(result, name), key) == value


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_accepted_or_refused_in_one_line(content: bytes) -> None:
    result = result_of(lambda: parse_settings(content, "kiosk.toml"))
    assert result == Settings() or isinstance(result, str)
    assert "\n" not in str(result)


def _valid(kind: type, rule: Rule) -> st.SearchStrategy[Any]:
    if kind is bool:
        return st.booleans()
    if rule.choices:
        return st.sampled_from(rule.choices)
    if rule.pattern:
        matching = st.from_regex(rule.pattern[0], fullmatch=True)
        return matching if rule.low else matching | st.just("")
    if kind is str:
        letters = st.characters(exclude_categories=["C", "Z"], codec="utf-8")
        return st.text(letters, min_size=int(rule.low or 0), max_size=30)
    low, high = rule.low or 0, rule.high or 0
    if kind is int:
        return st.integers(int(low), int(high))
    return st.floats(low, high)


ONE_VALID = st.sampled_from(EVERY).flatmap(
    lambda entry: st.tuples(st.just(entry[0]), _valid(entry[1], entry[2]))
)
TOGETHER = (
    "policy.quiet_hours",
    "policy.enter",
    "policy.leave",
    "indicator.red",
    "indicator.amber",
    "indicator.green",
    "indicator.buzzer",
)


@given(ONE_VALID.filter(lambda change: change[0] not in TOGETHER))
def test_an_allowed_value_survives_the_way_through_a_file(change: tuple[str, Any]) -> None:
    dotted, value = change
    section, key = dotted.split(".")
    content = tomllib.loads(f"[{section}]\n{key} = {toml_value(value)}\n")
    settings = settings_from(content, "kiosk.toml")
    assert getattr(getattr(settings, section), key) == value
    assert settings == replace_settings(Settings(), {dotted: value})
