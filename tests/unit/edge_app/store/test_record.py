from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.store.record import KEPT, Entry, Record, Undone, parsed, written

versions = st.text("0123456789abcdef", min_size=64, max_size=64)
entries = st.builds(
    Entry, versions, st.text(), st.text(), st.text(), st.booleans(), st.integers(0, 99)
)
records = st.builds(
    Record,
    st.just("face_detector"),
    st.lists(entries, max_size=KEPT, unique_by=lambda e: e.version).map(tuple),
    st.none() | st.builds(Undone, versions, st.text(), st.text()),
)


def entry(letter: str) -> Entry:
    return Entry(letter * 64, "2026-11-28T22:00:00Z", "KEY")


@given(records)
def test_what_is_written_is_read_back(record: Record) -> None:
    assert parsed(written(record), record.name) == record


@given(records, entries)
def test_installing_puts_first_and_going_back_undoes_it(record: Record, new: Entry) -> None:
    after = record.installed(new)
    assert after.active == new
    assert len(after.history) <= KEPT
    assert len({e.version for e in after.history}) == len(after.history)
    if new.version not in {e.version for e in record.history}:
        before = [e.version for e in record.history]
        kept = [e.version for e in after.rolled_back().history]
        assert kept[: KEPT - 2] == before[: KEPT - 2]
        assert len(kept) == min(len(before), KEPT - 1)


@given(st.lists(st.booleans(), max_size=20))
def test_the_last_version_that_worked_is_never_forgotten(worked: list[bool]) -> None:
    record, last = Record("a"), None
    for number, works in enumerate(worked):
        version = f"{number:064x}"
        record = record.installed(Entry(version, "now", "KEY"))
        if works:
            record, last = record.confirmed(), version
        assert next((e.version for e in record.history if e.confirmed), None) == last
        assert len(record.history) <= KEPT


def test_going_back_ends_at_the_shipped_one() -> None:
    record = Record("a").installed(entry("a")).installed(entry("b"))
    assert record.rolled_back().active == entry("a")
    assert record.rolled_back().rolled_back() == Record("a")


def test_starts_count_for_the_active_version_until_it_is_confirmed() -> None:
    record = Record("a").installed(entry("a")).started().started()
    assert record.active.starts == 2
    assert record.excused().active.starts == 0
    assert record.confirmed().active.confirmed
    assert record.confirmed().active.starts == 0
    back = record.installed(entry("b")).started().rolled_back(Undone("b" * 64, "now", "why"))
    assert back.active == entry("a"), "whose starts are counted anew"
    assert back.undone.why == "why"


def test_a_new_installation_forgets_the_old_failure() -> None:
    record = Record("a", (entry("a"),), Undone("b" * 64, "now", "why"))
    assert record.installed(entry("b")).undone is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Expecting value"),
        (b"\xff", "can't decode"),
        (b"[]", "no record of schema 1"),
        (b'{"schema": 2}', "no record of schema 1"),
        (b'{"schema": 1, "name": "b", "history": []}', "is the record of 'b'"),
        (b'{"schema": 1, "name": "a"}', "history is no list"),
        (b'{"schema": 1, "name": "a", "history": [1]}', "entry has other keys"),
        (b'{"schema": 1, "name": "a", "history": [], "undone": {}}', "undone has other keys"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_damage_is_named(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parsed(content, "a")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("version", "../../etc", "is no SHA-256"),
        ("version", 1, "wrong type"),
        ("confirmed", 1, "wrong type"),
        ("starts", True, "wrong type"),
        ("starts", "1", "wrong type"),
    ],
)
def test_every_value_has_its_type(key: str, value: object, words: str) -> None:
    raw = json.loads(written(Record("a", (entry("a"),))))
    raw["history"][0][key] = value
    with pytest.raises(ValueError, match=words):
        parsed(json.dumps(raw).encode(), "a")


@given(st.binary(max_size=200))
def test_rubbish_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        parsed(content, "a")
