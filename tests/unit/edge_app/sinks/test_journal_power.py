"""The journal and sudden ends: kill -9 at random moments, and disks as a power cut leaves them.

``MASK_KIOSK_KILLS=1000`` kills a thousand times instead of a hundred.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_app.sinks.journal import FILE_NAME
from edge_app.sinks.journal_reader import Event, each_event
from tests.disks import Card

KILLS = int(os.environ.get("MASK_KIOSK_KILLS", "100"))
KILLS_PER_FILE = 25
"""Then a new file begins, so that files are killed in the making too."""

POWER_CUTS = 20
SEED = 2026

WRITER = Path(__file__).with_name("journal_writer.py")


def run_writers(root: Path, folders: Sequence[Path], check: Callable[[int, int], None]) -> None:
    """Kill a writer per folder; ``check`` gets its generation and the last number accepted."""
    command = [sys.executable, str(WRITER), str(root), str(SEED), *map(str, folders)]
    # One thread in numpy's library, so that forking is safe.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as writers:
        assert writers.stdin is not None
        assert writers.stdout is not None
        for generation in range(len(folders)):
            told = json.loads(writers.stdout.readline())
            assert told["generation"] == generation
            check(generation, told["accepted"])
            print(file=writers.stdin, flush=True)
    assert writers.returncode == 0


def check_events(path: Path, generation: int, accepted: int) -> list[Event]:
    """The last generation's events are there: all that were accepted, at most one more."""
    found: list[Event] = []
    if has_events(path):  # else it was killed while the file was made
        found = list(each_event(path))
    signals = [event for event in found if event.kind == "signal"]
    latest = [e for e in signals if e.reason.startswith(f"{generation}:")]
    numbers = [int(event.reason.split(":")[1]) for event in latest]
    assert numbers == list(range(len(numbers))), "none is missing in between"
    assert accepted <= len(numbers) - 1 <= accepted + 1, "none that was accepted is missing"
    for event in latest[:-1]:
        assert (event.state, event.duration_s) == ("ended", 1.0)
    assert all(0 <= event.duration_s <= 1000 for event in found)
    return signals


def copy_of(path: Path, folder: Path) -> Path:
    """The file and its log elsewhere: checking must not repair what the next writer finds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in (path.name, f"{path.name}-wal"):
        if path.with_name(name).exists():
            shutil.copy(path.with_name(name), folder / name)
    return folder / path.name


def has_events(path: Path) -> bool:
    if not path.exists():
        return False
    db = sqlite3.connect(path)
    try:
        return bool(db.execute("PRAGMA user_version").fetchone()[0])
    finally:
        db.close()


def is_sound(path: Path) -> bool:
    db = sqlite3.connect(path)
    try:
        return bool(db.execute("PRAGMA integrity_check").fetchone() == ("ok",))
    finally:
        db.close()


def test_kill_at_random_moments_loses_nothing_that_was_accepted(root: Path, tmp_path: Path) -> None:
    folders = [tmp_path / str(i // KILLS_PER_FILE) for i in range(KILLS)]
    for folder in dict.fromkeys(folders):
        folder.mkdir()
    known: dict[Path, int] = {}
    total = 0

    def check(generation: int, accepted: int) -> None:
        nonlocal total
        folder = folders[generation]
        copy = copy_of(folder / FILE_NAME, tmp_path / "copy")
        if copy.exists():
            assert is_sound(copy)
        signals = check_events(copy, generation, accepted)
        before = [e for e in signals if not e.reason.startswith(f"{generation}:")]
        assert len(before) == known.get(folder, 0), "what earlier ones wrote stays"
        if len(signals) > len(before):
            assert {event.state for event in before} <= {"ended", "cut"}
        known[folder] = len(signals)
        total += accepted + 1

    run_writers(root, folders, check)
    assert not [file for folder in set(folders) for file in folder.glob("*damaged*")]
    print(f"{KILLS} kills, {total} events accepted, {sum(known.values())} in the files")
    assert total > KILLS // 2


def test_a_power_cut_loses_nothing_that_was_accepted(
    root: Path, tmp_path: Path, card: Card
) -> None:
    """What an SD card holds at the moment of the cut, without what Linux only had in memory."""
    cut = tmp_path / "cut"
    cut.mkdir()
    folders = [card.folder / str(i) for i in range(POWER_CUTS)]
    for folder in folders:
        folder.mkdir()
    os.sync()

    def check(generation: int, accepted: int) -> None:
        nonlocal total
        shutil.copyfile(card.image, tmp_path / "cut.img")
        after = Card(tmp_path / "cut.img", cut)
        after.mount()
        try:
            # Not on the image itself: what another writer of this test has done is in it too.
            copy = copy_of(cut / folders[generation].name / FILE_NAME, tmp_path / "copy")
        finally:
            after.unmount()
        if copy.exists():
            assert is_sound(copy)
        check_events(copy, generation, accepted)
        total += accepted + 1

    total = 0
    run_writers(root, folders, check)
    print(f"{POWER_CUTS} power cuts, {total} events accepted")
    assert total > POWER_CUTS // 2
