"""A cut-down run of every fuzzed target; the full ones are in docs/fuzzing.md."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fuzz.__main__ import TARGETS, target_class
from tests.fuzz.engine import Engine
from tests.fuzz.target import Target, Violation, Visit

CASES = {"settings": 400, "cards": 400, "models": 200, "videos": 300, "mqtt": 400, "http": 300}

MOSQUITTO_PATH = "/usr/sbin:/usr/bin:/usr/local/sbin"

SEED = 1
"""Not the one of the full runs: it adds a few cases to theirs."""


@pytest.mark.parametrize("name", TARGETS)
def test_bad_input_is_refused_and_nothing_breaks(name: str, tmp_path: Path) -> None:
    if name == "mqtt" and shutil.which("mosquitto", path=MOSQUITTO_PATH) is None:
        pytest.skip("needs mosquitto: sudo apt install mosquitto")
    summary = Engine(target_class(name), SEED, tmp_path).run(CASES[name])
    assert not summary.violations, f"{summary}\n" + "\n".join(
        path.with_name(f"{path.name}.txt").read_text(encoding="utf-8") for path in summary.saved
    )
    assert summary.outcomes.total() == CASES[name]
    assert len(summary.outcomes) > 1, "all cases ended the same way: they are not what they seem"


@pytest.mark.parametrize("name", ["settings", "cards"])
def test_the_same_seed_makes_the_same_cases(name: str) -> None:
    def row(seed: int) -> list[bytes]:
        made: list[bytes] = []
        target = target_class(name)()
        target.open()
        target.cases(seed, 0, 60, made.append)
        target.close()
        return made

    assert row(3) == row(3) != row(4)
    assert len(row(3)) == 60


class Faulty(Target):
    """Input of one byte, each with another fault."""

    name = "faulty"
    contained = frozenset({"elsewhere"})

    def cases(self, seed: int, start: int, count: int, visit: Visit) -> None:
        for number in range(start, start + count):
            visit(bytes([number]))

    def judge(self, content: bytes) -> str:
        import os
        import signal
        import time

        if content == b"\1":
            raise KeyError("x")
        if content == b"\2":
            raise Violation("wrong")
        if content == b"\3":
            os.kill(os.getpid(), signal.SIGSEGV)
        if content == b"\4":
            self.enter("elsewhere")
            os.kill(os.getpid(), signal.SIGABRT)
        if content == b"\5":
            time.sleep(3600)
        return "fine"


def test_a_crash_a_hang_and_an_exception_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fuzz.engine.HANG_S", 0.5)
    summary = Engine(Faulty, 0, tmp_path).run(8)
    assert summary.cases == 8
    assert summary.outcomes == {"fine": 3, "contained: elsewhere dies of SIGABRT": 1}
    assert summary.violations == {
        "KeyError escapes": 1,
        "wrong": 1,
        "the process dies of SIGSEGV": 1,
        "the process hangs for more than 0.5 s": 1,
    }
    assert sorted(path.read_bytes() for path in summary.saved) == [b"\1", b"\2", b"\3", b"\5"]
    assert "WRONG: wrong" in str(summary)
