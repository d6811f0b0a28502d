"""The command ``events`` on journals that the real sink has written."""

from __future__ import annotations

import csv
import datetime
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_app import cli
from edge_app.domain import Box, Face, MaskState, Observation, Signal, Verdict, Vitals
from edge_app.events import Wishes, duration, run_events
from edge_app.events_chart import chart
from edge_app.settings import JournalSettings, Settings
from edge_app.sinks.journal import Journal
from edge_app.sinks.journal_reader import each_event
from edge_app.terminal import PLAIN_GLYPHS, Style

ZONE = datetime.timezone(datetime.timedelta(hours=1))
DAY = datetime.date(2026, 3, 2)
BEGIN = datetime.datetime(2026, 3, 2, 7, 58, 30, tzinfo=ZONE)

MORNING: tuple[tuple[float, Signal, str], ...] = (
    (0, Signal.IDLE, "nobody in view"),
    (100, Signal.NO_MASK, "1 person without a mask (of 2 in view)"),
    (112.3, Signal.COMPLIANT, "1 person wears the mask correctly (of 1 in view)"),
    (300, Signal.IDLE, "nobody in view"),
    (7300, Signal.NO_MASK, "2 people without a mask (of 2 in view)"),
    (7310, Signal.FAULT, "no fresh picture for 2.1 s"),
    (7400, Signal.IDLE, "nobody in view"),
)
FACE = Face(Box(0, 0, 9, 9), 0.9, Verdict({MaskState.WITHOUT_MASK: 0.926}, MaskState.WITHOUT_MASK))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.sqlite3"


@pytest.fixture
def running(path: Path) -> Iterator[Journal]:
    """A journal with one morning, still open."""
    now = BEGIN
    journal = Journal(path, JournalSettings(), lambda: now)
    for time, signal, reason in MORNING:
        now = BEGIN + datetime.timedelta(seconds=time)
        faces = (FACE,) if signal is Signal.NO_MASK else ()
        journal.handle(Observation(0, time, signal, reason, faces), None)
    journal.report(Vitals(7450, troubles={"camera": "sends no more frames"}))
    yield journal
    journal.close()


@pytest.fixture
def kept(running: Journal, path: Path) -> Path:
    """The same, closed."""
    running.close()
    return path


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


@pytest.fixture
def events(path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command on the journal; returns its exit code, output and errors."""

    def run(*arguments: str, file: Path = path) -> tuple[int, list[str], list[str]]:
        code = cli.main(["events", "--file", str(file), *arguments])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err.splitlines()

    return run


def test_the_last_events_are_printed(kept: Path, events: Any) -> None:
    code, lines, _ = events()
    assert code == 0
    assert lines == [
        "2026-03-02 07:58:30  IDLE                 1 min 40 s   0 in view        nobody in view",
        "2026-03-02 08:00:10  NO_MASK                  12.3 s   1 in view   93%  "
        "1 person without a mask (of 2 in view)",
        "2026-03-02 08:00:22  COMPLIANT            3 min 07 s   0 in view        "
        "1 person wears the mask correctly (of 1 in view)",
        "2026-03-02 08:03:30  IDLE                 1 h 56 min   0 in view        nobody in view",
        "2026-03-02 10:00:10  NO_MASK                  10.0 s   1 in view   93%  "
        "2 people without a mask (of 2 in view)",
        "2026-03-02 10:00:20  FAULT                1 min 30 s   0 in view        "
        "no fresh picture for 2.1 s",
        "2026-03-02 10:01:50  IDLE                     50.0 s   0 in view        nobody in view",
        "2026-03-02 10:01:50  camera                    0.0 s                    "
        "sends no more frames",
    ]


def test_it_works_while_the_kiosk_writes(running: Journal, path: Path, events: Any) -> None:
    before = names(path)
    code, lines, _ = events()
    assert code == 0
    assert lines[-1].split() == [
        "2026-03-02", "10:01:50", "camera", "0.0", "s", "so", "far", "sends", "no", "more",
        "frames",
    ]  # fmt: skip
    assert names(path) == before
    running.handle(Observation(0, 7500, Signal.NO_MASK, "one more"), None)
    assert events()[1][-1].endswith("one more")


def test_reading_makes_and_changes_no_file(kept: Path, events: Any) -> None:
    before = kept.read_bytes()
    for form in ([], ["--daily"], ["--chart"], ["--day", "2026-03-02"]):
        assert events(*form)[0] == 0
    assert names(kept) == ["events.sqlite3"]
    assert kept.read_bytes() == before


def test_one_day_alone(kept: Path, events: Any) -> None:
    assert len(events("--day", "2026-03-02")[1]) == 8
    assert events("--day", "2026-03-01") == (0, ["no events on 2026-03-01"], [])


def test_what_was_cut_off_says_so(path: Path, running: Journal, events: Any) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE events SET state = 'cut' WHERE kind = 'trouble'")
    db.commit()
    db.close()
    assert "0.0 s or more" in events()[1][-1]


def test_nothing_in_an_event_can_disturb_the_terminal(
    path: Path, running: Journal, events: Any
) -> None:
    running.handle(Observation(0, 7500, Signal.NO_MASK, "\x1b[31mred\r\nnext"), None)
    assert events()[1][-1].endswith("?[31mred??next")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min 00 s"),
        (3599.9, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (200_000, "55 h 33 min"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


# CSV


def test_csv_is_what_a_spreadsheet_reads(kept: Path, events: Any, tmp_path: Path) -> None:
    target = tmp_path / "new" / "out.csv"
    code, lines, _ = events("--csv", str(target))
    assert (code, lines) == (0, [f"8 events written: {target}"])
    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert rows[1] == {
        "id": "2",
        "begin": "2026-03-02T08:00:10.000+01:00",
        "begin_utc": "2026-03-02T07:00:10.000+00:00",
        "duration_s": "12.3",
        "state": "ended",
        "kind": "signal",
        "name": "NO_MASK",
        "reason": "1 person without a mask (of 2 in view)",
        "people": "1",
        "confidence": "0.926",
    }
    assert [row["confidence"] for row in rows].count("") == 6


def test_csv_of_a_day_alone(kept: Path, events: Any, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    assert events("--csv", str(target), "--day", "2026-03-01")[0] == 0
    assert len(target.read_text().splitlines()) == 1


def test_a_csv_that_fails_leaves_the_old_one(kept: Path, events: Any, tmp_path: Path) -> None:
    target = tmp_path / "out" / "out.csv"
    assert events("--csv", str(target))[0] == 0
    before = target.read_bytes()
    with kept.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 20_000)
    code, _, errors = events("--csv", str(target))
    assert code == 2
    assert len(errors) == 1
    assert target.read_bytes() == before
    assert [file.name for file in target.parent.iterdir()] == ["out.csv"]


def test_a_csv_that_cannot_be_written_is_one_line(kept: Path, events: Any, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    code, _, (error,) = events("--csv", str(tmp_path / "folder"))
    assert code == 2
    assert f"{tmp_path / 'folder'}: cannot be written" in error


# Counts


def test_daily_counts(kept: Path, events: Any) -> None:
    code, lines, _ = events("--daily")
    assert code == 0
    assert re.split(r"\s{2,}", lines[0]) == [
        "day", "NO_MASK", "INCORRECT", "COMPLIANT", "FAULT", "troubles",
    ]  # fmt: skip
    assert [re.split(r"\s{2,}", line) for line in lines[1:]] == [
        ["2026-03-02", "2 (22.3 s)", "-", "1 (3 min 07 s)", "1 (1 min 30 s)", "1 (0.0 s)"]
    ]
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len(events("--daily", "--day", "2026-03-01")[1]) == 1


# The chart


def drawn(path: Path, now: datetime.datetime, *, colour: bool = False) -> list[str]:
    style = Style(animated=False, colour=colour, glyphs=PLAIN_GLYPHS, width=80)
    return list(chart(DAY, each_event(path, DAY), now, style))


def test_the_chart_of_a_day(kept: Path) -> None:
    lines = drawn(kept, datetime.datetime(2026, 3, 2, 12, 30))
    assert [line.rstrip() for line in lines] == [
        "2026-03-02: how often each signal began, by the hour",
        "hour  NO_MASK           INCORRECT         COMPLIANT         FAULT",
        *[f"{hour:02d}    off" for hour in range(7)],
        "07",
        "08    ##########     1                    ##########     1",
        "09",
        "10    ##########     1                                      ##########     1",
        "11    off",
        "12    off",
        *[f"{hour}" for hour in range(13, 24)],
        "all                  2                 0                 1                 1",
        "off: the kiosk did not run; an hour without bars: nobody came",
    ]
    assert max(map(len, lines)) < 80


def test_colour_only_adds_to_the_text(kept: Path) -> None:
    now = datetime.datetime(2026, 3, 2, 12, 30)
    painted = drawn(kept, now, colour=True)
    assert "\x1b[1;31m##########\x1b[0m" in painted[12]
    assert [re.sub(r"\x1b\[[\d;]*m", "", line) for line in painted] == drawn(kept, now)


def test_a_night_that_began_the_day_before_counts_as_running(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = BEGIN - datetime.timedelta(days=2)
    journal = Journal(path, JournalSettings(), lambda: now)
    journal.handle(Observation(0, 0, Signal.IDLE, "nobody in view"), None)
    journal.report(Vitals(2.2 * 86400))
    journal.close()
    at = datetime.datetime(2026, 3, 3)
    assert run_events(Settings(), Wishes(path, DAY, chart=True), _stdout(), at) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "  off" in line] == [f"{h}    off" for h in range(13, 24)]


def _stdout() -> Any:
    import sys

    return sys.stdout


# Where, and what cannot be read


def failing(events: Any, *arguments: str, **given: Any) -> str:
    code, lines, errors = events(*arguments, **given)
    assert (code, lines, len(errors)) == (2, [], 1)
    assert errors[0].startswith("mask-kiosk: error: ")
    return str(errors[0])


def test_the_settings_name_the_file(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = tmp_path / "kiosk.toml"
    toml.write_text(f'[journal]\npath = "{kept}"\n')
    assert cli.main(["events", "--settings", str(toml)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 8
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert cli.main(["events"]) == 2
    assert "which journal? name it with --file" in capsys.readouterr().err


def test_a_missing_file_is_one_line_and_stays_missing(path: Path, events: Any) -> None:
    assert f"{path}: there is no such file" in failing(events)
    assert not path.exists()


def test_an_empty_file_holds_no_events(path: Path, events: Any) -> None:
    path.write_bytes(b"")
    assert "holds no events yet" in failing(events)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("form", [[], ["--daily"], ["--chart", "--day", "2026-03-02"]])
@pytest.mark.parametrize("part", [0, 4096])
def test_a_damaged_file_is_one_line_and_stays(
    kept: Path, events: Any, form: list[str], part: int
) -> None:
    with kept.open("r+b") as file:
        file.seek(part)
        file.write(b"\xff" * 20_000)
    before = kept.read_bytes()
    assert "it is damaged" in failing(events, *form)
    assert kept.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET begin_ms = 9223372036854775807",
        "UPDATE events SET utc_offset_s = 999999999",
        "UPDATE events SET day = 'tomorrow'",
    ],
)
def test_values_that_cannot_be_are_one_line(kept: Path, events: Any, change: str) -> None:
    db = sqlite3.connect(kept)
    db.execute(change)
    db.commit()
    db.close()
    assert "it is damaged" in failing(events, *(["--daily"] if "day" in change else []))


def test_a_locked_file_is_one_line(kept: Path, events: Any) -> None:
    db = sqlite3.connect(kept, isolation_level=None)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    db.execute("DELETE FROM events WHERE id = 1")
    assert "another program has it locked" in failing(events)
    db.execute("ROLLBACK")
    db.close()


def test_another_programs_file_and_a_newer_one_are_one_line(path: Path, events: Any) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE invoices (a)")
    db.close()
    assert "is another program's file" in failing(events)
    path.unlink()
    Journal(path, JournalSettings()).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    assert "was written by a newer mask-kiosk" in failing(events)


@pytest.mark.parametrize("arguments", [["--day", "yesterday"], ["--csv", "a.csv", "--chart"]])
def test_bad_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["events", *arguments])
    assert caught.value.code == 2
