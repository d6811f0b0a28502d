"""Faults that need a process of its own: injected for real, judged from outside.

The table in docs/reliability.md names these tests; faults that can be injected into threads
are tested in tests/unit/edge_app/daemon, those of journal, MQTT and page beside their modules.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_app.sinks.journal_reader import recent
from tests.services import PATIENCE_S, Service, Systemd, pinged, ready

Clip = Callable[[int], Path]

MIB = 1 << 20

TOO_LITTLE = 24 * MIB
"""Python, NumPy and OpenCV alone need more."""


def silent(systemd: Systemd) -> bool:
    """Whether systemd heard neither that all is well nor that the kiosk is ready."""
    return not {"READY=1", "WATCHDOG=1"} & set(systemd.received())


# Model bundles


def change_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "tiny_classifier.json"
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card))


def truncate(folder: Path) -> None:
    model = folder / "tiny_classifier.tflite"
    os.truncate(model, model.stat().st_size // 2)


def truncate_with_a_fitting_hash(folder: Path) -> None:
    truncate(folder)
    content = (folder / "tiny_classifier.tflite").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    change_card(folder, lambda card: card.update(sha256=digest))


BUNDLE_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda f: (f / "tiny_classifier.tflite").unlink(), "no model bundle at"),
    "without its card": (lambda f: (f / "tiny_classifier.json").unlink(), "the card of"),
    "truncated": (truncate, "the file is damaged or not the one described"),
    "truncated, the card made for it": (truncate_with_a_fitting_hash, "tiny_classifier.tflite: "),
    "wrong hash": (
        lambda f: change_card(f, lambda card: card.update(sha256="0" * 64)),
        "its card says 000000000000...",
    ),
    "wrong shape": (
        lambda f: change_card(f, lambda card: card["labels"].pop()),
        "outputs are [(1, 3)], its card says [(1, 2)]",
    ),
}


@pytest.mark.parametrize("fault", BUNDLE_FAULTS)
def test_a_bundle_that_cannot_be_used_is_a_fault_that_can_be_mended(
    fault: str, clip: Clip, service: Service, systemd: Systemd, tmp_path: Path, tiny: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(tiny, models)
    service.models = models
    service.write(clip(2000))
    damage, words = BUNDLE_FAULTS[fault]
    damage(models)
    service.start()
    heard = systemd.wait_for(lambda m: m.startswith("STATUS=FAULT: ") and words in m)
    assert not {"READY=1", "WATCHDOG=1"} & set(heard)
    assert not any(m.startswith(("STATUS=IDLE", "STATUS=COMPLIANT")) for m in heard)
    for name in ("tiny_classifier.tflite", "tiny_classifier.json"):
        shutil.copy(tiny / name, models)
    service.reload()
    systemd.wait_for(ready)
    assert service.end() == 0
    assert sum(words in line and "ERROR" in line for line in service.lines) == 1


# A hang and a kill


def test_a_process_that_hangs_no_longer_feeds_the_watchdog(
    clip: Clip, service: Service, systemd: Systemd
) -> None:
    """What systemd does then (SIGABRT, start again) is seen in deploy/rig."""
    service.write(clip(2000))
    service.start()
    systemd.wait_for(pinged)
    assert service.process is not None
    service.process.send_signal(signal.SIGSTOP)
    time.sleep(0.2)
    systemd.received()
    time.sleep(1.0)
    assert systemd.received() == []
    service.process.send_signal(signal.SIGABRT)
    service.process.send_signal(signal.SIGCONT)
    assert service.wait() == -signal.SIGABRT
    service.start()
    systemd.wait_for(ready)
    assert service.end() == 0


def test_killed_and_started_again_it_works(clip: Clip, service: Service, systemd: Systemd) -> None:
    service.write(clip(2000))
    for _ in range(3):
        service.start()
        systemd.wait_for(pinged)
        assert service.end(signal.SIGKILL) == -signal.SIGKILL
        systemd.received()
    service.start()
    systemd.wait_for(ready)
    assert service.end() == 0


# The clock


MOVED_CLOCK = """
import datetime, os, runpy, time

def moved():
    with open(os.environ["CLOCK_MOVED_BY"]) as file:
        return float(file.read())

real_time, real_datetime = time.time, datetime.datetime

class Moved(real_datetime):
    @classmethod
    def now(cls, tz=None):
        return real_datetime.fromtimestamp(real_time() + moved(), tz)

time.time = lambda: real_time() + moved()
datetime.datetime = Moved
runpy.run_module("edge_app", run_name="__main__", alter_sys=True)
"""
"""Runs the kiosk with a wall clock that stands off by what a file says. The monotonic clock goes
on, as it does when a real clock is set. (libfaketime cannot do that: it breaks sleeping.)"""

DAY_S = 86_400


@pytest.fixture
def set_clock(service: Service, tmp_path: Path) -> Callable[[int], None]:
    """Moves the service's wall clock by so many seconds."""
    offset = tmp_path / "clock"
    offset.write_text("0")
    service.program = ("-c", MOVED_CLOCK)
    service.environment = {"CLOCK_MOVED_BY": str(offset)}

    def move(seconds: int) -> None:
        offset.write_text(str(seconds))

    return move


@pytest.mark.parametrize("jump", [-DAY_S, DAY_S])
def test_a_clock_that_jumps_by_a_day_changes_nothing(
    jump: int,
    set_clock: Callable[[int], None],
    clip: Clip,
    service: Service,
    systemd: Systemd,
    tmp_path: Path,
) -> None:
    events = tmp_path / "events.sqlite3"
    service.write(clip(2000), more=f'[journal]\npath = "{events}"\n')
    service.start()
    systemd.wait_for(lambda m: m.startswith("STATUS=NO_MASK"))
    set_clock(jump)
    heard = [m for _ in range(20) for m in systemd.wait_for(pinged)]
    assert not any(m.startswith("STATUS=") and "NO_MASK" not in m for m in heard)
    assert service.end() == 0
    begun = next(i for i, line in enumerate(service.lines) if "NO_MASK" in line)
    assert not any("FAULT" in line for line in service.lines[begun:])
    assert all(0 <= event.duration_s < PATIENCE_S for event in recent(events, 100))


# Memory


MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")


@pytest.fixture
def memory_group(service: Service) -> Iterator[Path]:
    """A control group that the service is started in; the test sets its limit."""
    group = MEMORY_GROUPS / f"mask-kiosk-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"cannot make a memory control group (version 1) here: {error}")
    enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    service.before = ("sh", "-c", enter, str(group))
    yield group
    if service.process is not None and service.process.poll() is None:
        service.end(signal.SIGKILL)
    end = time.monotonic() + PATIENCE_S
    while (group / "cgroup.procs").read_text().strip() and time.monotonic() < end:
        time.sleep(0.05)
    group.rmdir()


def limit(group: Path, size: int) -> None:
    (group / "memory.limit_in_bytes").write_text(str(size))


def test_somebody_else_who_eats_the_memory_dies_first(
    memory_group: Path, clip: Clip, service: Service, systemd: Systemd
) -> None:
    limit(memory_group, 250 * MIB)
    service.write(clip(2000))
    service.start()
    systemd.wait_for(pinged)
    hog = (
        "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('0')\n"
        "eaten = []\n"
        "while True: eaten.append(bytearray(b'x') * (1 << 20))\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", hog, str(memory_group / "cgroup.procs")], timeout=PATIENCE_S
    )
    assert died.returncode == -signal.SIGKILL
    systemd.received()
    systemd.wait_for(pinged)
    assert service.end() == 0


def test_with_too_little_memory_it_is_killed_and_never_says_that_it_is_ready(
    memory_group: Path, clip: Clip, service: Service, systemd: Systemd
) -> None:
    limit(memory_group, TOO_LITTLE)
    service.write(clip(2000))
    service.start()
    assert service.wait() == -signal.SIGKILL
    assert silent(systemd)
    limit(memory_group, 1024 * MIB)
    service.start()
    systemd.wait_for(ready)
    assert service.end() == 0
