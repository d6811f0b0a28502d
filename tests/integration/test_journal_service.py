"""The journal in the running service: its faults never reach the light."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_app.errors import JournalError
from edge_app.sinks.journal_reader import Event, each_event
from tests.disks import Disk
from tests.services import PATIENCE_S, Service, Systemd, pinged

Clip = Callable[[int], Path]


def shows_no_mask(message: str) -> bool:
    return message.startswith("STATUS=NO_MASK")


def events(path: Path) -> list[Event]:
    try:
        return list(each_event(path))
    except JournalError:
        return []


def wait_for_event(path: Path, name: str, state: str) -> None:
    """Until the last event of this name is in this state."""
    end = time.monotonic() + PATIENCE_S
    while [e.state for e in events(path) if e.name == name][-1:] != [state]:
        if time.monotonic() > end:
            pytest.fail(f"no event {name} {state} in {events(path)}")
        time.sleep(0.05)


@pytest.fixture
def keeps(service: Service, clip: Clip) -> Callable[[Path], None]:
    """Lets the service keep its journal in a file."""

    def keep(path: Path) -> None:
        service.write(clip(2000), more=f'[journal]\npath = "{path}"\n')

    return keep


def test_a_full_disk_does_not_reach_the_light_and_loses_no_event(
    keeps: Callable[[Path], None], service: Service, systemd: Systemd, disk: Disk
) -> None:
    path = disk.folder / "events.sqlite3"
    disk.fill()
    keeps(path)
    service.start()
    systemd.wait_for(shows_no_mask)
    heard = [m for _ in range(20) for m in systemd.wait_for(pinged)]
    assert not any(m.startswith("STATUS=") and "NO_MASK" not in m for m in heard)
    assert events(path) == []
    disk.empty()
    wait_for_event(path, "NO_MASK", "open")
    wait_for_event(path, "journal", "ended")
    assert service.end() == 0
    signals = [event.name for event in events(path) if event.kind == "signal"]
    assert signals in (["FAULT", "NO_MASK"], ["FAULT", "IDLE", "NO_MASK"])
    assert {event.state for event in events(path)} == {"ended"}
    assert sum("WARNING: journal: " in line and "full" in line for line in service.lines) == 1
    assert any("written again; 0 events were lost" in line for line in service.lines)
    assert any("journal: works again" in line for line in service.lines)


def test_a_damaged_file_does_not_reach_the_light(
    keeps: Callable[[Path], None], service: Service, systemd: Systemd, tmp_path: Path
) -> None:
    path = tmp_path / "events.sqlite3"
    path.write_bytes(b"noise" * 5000)
    keeps(path)
    service.start()
    systemd.wait_for(shows_no_mask)
    wait_for_event(path, "NO_MASK", "open")
    assert service.end() == 0
    [aside] = tmp_path.glob("events.sqlite3.damaged-*")
    assert aside.read_bytes() == b"noise" * 5000
    assert sum(aside.name in line for line in service.lines) == 1


def test_a_killed_service_leaves_its_events_and_the_next_one_closes_them(
    keeps: Callable[[Path], None], service: Service, systemd: Systemd, tmp_path: Path
) -> None:
    path = tmp_path / "events.sqlite3"
    keeps(path)
    for count in range(1, 3):
        service.start()
        systemd.wait_for(shows_no_mask)
        wait_for_event(path, "NO_MASK", "open")
        assert service.end(signal.SIGKILL) == -signal.SIGKILL
        assert sum(event.name == "NO_MASK" for event in events(path)) == count
    service.start()
    systemd.wait_for(shows_no_mask)
    wait_for_event(path, "NO_MASK", "open")
    assert service.end() == 0
    states = [event.state for event in events(path) if event.name == "NO_MASK"]
    assert states == ["cut", "cut", "ended"]
