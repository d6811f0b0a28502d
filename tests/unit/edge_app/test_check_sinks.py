from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_app.check_sinks import check_sinks
from edge_app.domain import Observation, Signal
from edge_app.settings import Settings, replace_settings
from edge_app.sinks.journal import open_journal


def found(name: str, **changes: Any) -> tuple[str, str]:
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    settings = replace_settings(Settings(), dotted)
    return next((status, detail) for n, status, detail in check_sinks(settings) if n == name)


def test_what_is_off_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert {status for _, status, _ in check_sinks(Settings())} == {"skipped"}


def test_a_journal_that_is_not_there_yet_can_be_made(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "events.sqlite3"
    assert found("journal", journal__path=str(path)) == ("ok", str(path))
    assert not path.parent.exists(), "check makes nothing"


def test_a_journal_tells_its_last_event(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite3"
    settings = replace_settings(Settings(), {"journal.path": str(path)})
    journal = open_journal(settings.journal)
    journal.handle(Observation(0, 0.0, Signal.IDLE, "nobody in view"), None)
    journal.close()
    status, detail = found("journal", journal__path=str(path))
    assert status == "ok"
    assert "last event 20" in detail


def test_a_damaged_journal_fails(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite3"
    path.write_bytes(b"no database" * 100)
    status, detail = found("journal", journal__path=str(path))
    assert status == "FAIL"
    assert str(path) in detail


def test_a_page_says_where_and_for_whom(tmp_path: Path) -> None:
    where = "http://127.0.0.1:8080/"
    assert found("status page", web__enabled=True) == ("ok", f"{where}, from this machine only")
    token = tmp_path / "token"
    token.write_text("a long enough token for this\n")
    token.chmod(0o600)
    assert found("status page", web__enabled=True, web__token_file=str(token)) == (
        "ok",
        f"{where}, with the token",
    )


def test_a_page_for_everybody_without_a_token_fails() -> None:
    status, detail = found("status page", web__enabled=True, web__host="0.0.0.0")  # noqa: S104
    assert status == "FAIL"
    assert "web.token_file" in detail
