"""Against a systemctl that answers from a list; the real one is met in the rig."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_app.domain import ModelVersion
from edge_app.errors import ServiceSilentError
from edge_app.policy import STALE
from edge_app.store import service
from edge_app.store.service import (
    Look,
    look,
    look_when_calm,
    models_told,
    restart,
    wait_until_healthy,
)

NEW, OLD = "a" * 64, "b" * 64
TOLD = "IDLE: nobody in view; 5.2 frames per second; models face_detector {}, mask_classifier {}"


@pytest.fixture(autouse=True)
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has it."""
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(service, "RUNS", tmp_path)
    return program


def answer(
    state: str = "active",
    process: int = 7,
    version: str = NEW,
    status: str | None = None,
    more: str = "running",
) -> str:
    text = TOLD.format(version[:12], OLD[:12]) if status is None else status
    return (
        f"LoadState=loaded\nActiveState={state}\nSubState={more}\nMainPID={process}\n"
        f"StatusText={text}\n"
    )


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


HANGS = f"FAULT: {STALE} 2.1 s; 0.4 frames per second; models face_detector {NEW[:12]}"


def waiting(answers: Callable[[float], str | None], name: str = "face_detector") -> Look | str:
    """Wait on a systemctl whose answer depends on the time."""
    clock = Clock()
    return wait_until_healthy(name, NEW, lambda *_: answers(clock.now), clock, clock.sleep)


def test_what_the_kiosk_tells_is_what_is_read() -> None:
    models = [ModelVersion("detector", "a, b\nREADY=1", NEW), ModelVersion("classifier", "c", OLD)]
    told = models_told(models)
    assert "\n" not in told
    seen = look(lambda *_: answer(status=f"IDLE: x; models y; 0.4 frames per second{told}"))
    assert seen is not None
    assert seen.models == {"a__b_READY_1": NEW[:12], "c": OLD[:12]}
    assert (seen.rate, seen.process, seen.state) == (0.4, 7, "active")
    assert models_told(()) == ""


def test_no_systemd_and_no_such_unit_are_nothing_to_wait_for(
    systemd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(lambda *_: "LoadState=not-found\nActiveState=inactive\n") is None
    with monkeypatch.context() as change:
        change.setattr(service, "RUNS", systemd.parent / "nowhere")
        assert look(lambda *_: answer()) is None
    systemd.unlink()
    assert look(lambda *_: answer()) is None


@pytest.mark.parametrize("told", [None, ""])
def test_a_systemd_that_does_not_answer_is_not_taken_for_none(told: str | None) -> None:
    with pytest.raises(ServiceSilentError, match="fails, or takes more than 30 s"):
        look(lambda *_: told)


def test_systemctl_is_given_more_time_than_other_programs(systemd: Path) -> None:
    from edge_app import programs

    assert service.ANSWER_S > programs.TIMEOUT_S
    assert service.ask_systemd.keywords == {"timeout_s": service.ANSWER_S}
    systemd.write_text("#!/bin/sh\nprintf 'LoadState=loaded\\nActiveState=active\\n'\n")
    assert look().state == "active"


def test_a_kiosk_is_healthy_when_it_goes_on_in_one_process() -> None:
    seen = waiting(lambda now: answer("activating") if now < 20 else answer())
    assert isinstance(seen, Look)
    assert seen.models["face_detector"] == NEW[:12]


def test_a_systemctl_that_fails_at_times_says_nothing_against_the_kiosk() -> None:
    assert isinstance(waiting(lambda now: answer() if now % 3 == 0 else None), Look)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (lambda _: None, "systemctl show mask-kiosk.service: fails, or takes"),
        (lambda _: "LoadState=not-found\n", "systemd does not know it"),
        (lambda _: answer("activating", status=""), "the service is activating"),
        (lambda _: answer("failed", status="FAULT: x"), r"the service is failed \(FAULT: x\)"),
        (lambda _: answer(version=OLD), "the kiosk uses face_detector bbbbbbbbbbbb, not aaaa"),
        (lambda _: answer(status="IDLE: x"), "does not say which models it uses"),
        (
            lambda _: answer(status=TOLD.format("a" * 12, "c").replace("5.2", "0.0")),
            "no frames are processed",
        ),
        (lambda _: answer(status=HANGS), r"the model hangs or is too slow \(FAULT: no fresh"),
        (lambda now: answer(status=HANGS if now % 9 == 8 else None), "hangs|did not go on"),
        (
            lambda now: answer("activating", 7 if now < 1 else 0, more="start-post"),
            "the service is activating",
        ),
        (
            lambda now: answer(process=1 + int(now // 5)),
            "did not go on working for 10 s in one proces",
        ),
        (lambda now: answer() if now % 9 else answer("activating"), "the service is activating|on"),
    ],
)
def test_a_kiosk_that_does_not_work_is_said_after_a_minute(
    answers: Callable[[float], str | None], words: str
) -> None:
    told = waiting(answers)
    assert isinstance(told, str)
    assert re.search(words, told)


def test_a_model_that_the_settings_do_not_name_cannot_fail() -> None:
    seen = waiting(lambda _: answer(version=OLD), "door_detector")
    assert isinstance(seen, Look)
    assert "door_detector" not in seen.models


def test_a_kiosk_whose_unit_still_runs_its_last_command_is_up() -> None:
    assert look(lambda *_: answer("activating", more="start-post")).is_up
    assert not look(lambda *_: answer("activating")).is_up


def test_a_kiosk_that_crashed_is_not_up_while_its_unit_still_runs_its_last_command() -> None:
    """systemd goes on saying start-post then, and what the kiosk told last."""
    assert not look(lambda *_: answer("activating", process=0, more="start-post")).is_up


@pytest.mark.parametrize(
    ("second", "calm_s"),
    [
        (answer(), service.CALM_S),
        (answer("activating", more="start-post"), service.CALM_S),
        (answer(process=8), None),
        (answer("activating"), None),
        (answer("activating", 0, more="start-post"), None),
        (answer(status=HANGS), None),
        ("LoadState=not-found\n", None),
    ],
)
def test_only_a_kiosk_that_goes_on_is_calm_and_a_crash_is_not_waited_out(
    second: str, calm_s: float | None
) -> None:
    clock = Clock()
    seen = look_when_calm(lambda *_: answer() if clock.now < 3 else second, clock, clock.sleep)
    assert clock.now == (calm_s or 3.0)
    assert (seen is not None) == (calm_s is not None)
    assert look_when_calm(lambda *_: answer("failed"), clock, clock.sleep) is None


def test_a_kiosk_without_a_rate_is_not_calm() -> None:
    clock = Clock()
    assert look_when_calm(lambda *_: answer(status="IDLE: x"), clock, clock.sleep) is None


def test_restart_clears_a_failure_first() -> None:
    asked: list[tuple[str, ...]] = []

    def ask(*arguments: str) -> str | None:
        asked.append(arguments)
        return "" if arguments[1] == "restart" else None

    assert restart(ask)
    assert [a[1] for a in asked] == ["reset-failed", "restart"]
    assert not restart(lambda *_: None)
    assert service.UNIT in asked[1]
