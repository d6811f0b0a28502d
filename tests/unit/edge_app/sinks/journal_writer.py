"""A kiosk that only writes its journal, to be killed: see ``test_journal_power.py``.

    python journal_writer.py ROOT SEED FOLDER...

For every folder a fork of this process writes events to ``FOLDER/events.sqlite3``, and sends
the number of each one that the journal has accepted down a pipe. At a random moment it is
killed. Standard output gets one line of JSON per folder: the highest number accepted. Before
the next one it waits for a line on standard input.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, sys.argv[1])

from edge_app.domain import Observation, Signal, Vitals
from edge_app.settings import JournalSettings
from edge_app.sinks.journal import FILE_NAME, Journal

SIGNALS = (Signal.IDLE, Signal.NO_MASK, Signal.COMPLIANT)
NUMBER = struct.Struct("<q")
LONGEST_S = 0.03
"""A writer lives so long at most after it has begun: some tens of events."""


def write(folder: Path, generation: str, pipe: int, jumps: random.Random) -> None:
    """Write events, one a second on their own clock, until somebody kills us."""
    wall = datetime.datetime(2026, 3, 2, 8, tzinfo=datetime.UTC)

    def jumping() -> datetime.datetime:
        return wall + datetime.timedelta(days=jumps.choice((-1, 0, 0, 1)))

    journal = Journal(folder / FILE_NAME, JournalSettings(), jumping)
    for number in range(10_000):
        name = SIGNALS[number % len(SIGNALS)]
        seen = Observation(number, float(number), name, f"{generation}:{number}")
        journal.handle(seen, None)
        os.write(pipe, NUMBER.pack(number))
        if number % 5 == 4:
            troubles = {"camera": "gone"} if number % 10 == 4 else {}
            journal.report(Vitals(number + 0.5, troubles=troubles))


def kill_one(folder: Path, generation: str, chance: random.Random) -> int:
    """Start a writer and kill it; returns the last number that it reported, -1 for none."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            write(folder, generation, writing, random.Random(generation))
        finally:
            os._exit(1)
    os.close(writing)
    received = b""
    if chance.random() < 0.8:  # the others are killed while they open the file, or make it
        received = os.read(reading, NUMBER.size)
    time.sleep(chance.uniform(0, LONGEST_S))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise SystemExit("the writer ended by itself")
    while part := os.read(reading, 65536):
        received += part
    os.close(reading)
    return NUMBER.unpack(received[-NUMBER.size :])[0] if received else -1


def main() -> None:
    logging.disable(logging.WARNING)  # every start finds that the last one was killed
    chance = random.Random(int(sys.argv[2]))
    for generation, folder in enumerate(sys.argv[3:]):
        last = kill_one(Path(folder), str(generation), chance)
        print(json.dumps({"generation": generation, "accepted": last}), flush=True)
        if not sys.stdin.readline():
            return


if __name__ == "__main__":
    main()
