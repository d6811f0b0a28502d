"""Against a systemctl that answers from a list; the real one is met in the rig."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from edge_app.domain import ModelVersion
from edge_app.store import service
from edge_app.store.service import (
    look,
    look_when_calm,
    models_told,
    restart,
    wait_until_healthy,
)

NEW, OLD = "a" * 64, "b" * 64
TOLD = "IDLE: nobody in view; 5.2 frames per second; models face_detector {}, mask_classifier {}"


def answer(
    state: str = "active", process: int = 7, version: str = NEW, status: str | None = None
) -> str:
    text = TOLD.format(version[:12], OLD[:12]) if status is None else status
    return (
        f"LoadState=loaded\nActiveState={state}\nSubState=running\nMainPID={process}\n"
        f"StatusText={text}\n"
    )


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def waiting(answers: Callable[[float], str | None], name: str = "face_detector") -> str | None:
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


def test_no_systemd_and_no_such_unit_are_nothing_to_wait_for() -> None:
    assert look(lambda *_: None) is None
    assert look(lambda *_: "LoadState=not-found\nActiveState=inactive\n") is None


def test_a_kiosk_is_healthy_when_it_goes_on_in_one_process() -> None:
    assert waiting(lambda now: answer("activating") if now < 20 else answer()) is None


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (lambda _: None, "systemd does not answer"),
        (lambda _: answer("activating", status=""), "the service is activating"),
        (lambda _: answer("failed", status="FAULT: x"), r"the service is failed \(FAULT: x\)"),
        (lambda _: answer(version=OLD), "the kiosk uses face_detector bbbbbbbbbbbb, not aaaa"),
        (lambda _: answer(status="IDLE: x"), "does not say which models it uses"),
        (
            lambda _: answer(status=TOLD.format("a" * 12, "c").replace("5.2", "0.0")),
            "no frames are processed",
        ),
        (lambda now: answer(process=int(now // 5)), "did not go on working for 10 s in one proces"),
        (lambda now: answer() if now % 9 else answer("activating"), "the service is activating|on"),
    ],
)
def test_a_kiosk_that_does_not_work_is_said_after_a_minute(
    answers: Callable[[float], str | None], words: str
) -> None:
    told = waiting(answers)
    assert told is not None
    assert re.search(words, told)


def test_a_model_that_the_settings_do_not_name_cannot_fail() -> None:
    assert waiting(lambda _: answer(version=OLD), "door_detector") is None


def test_a_kiosk_whose_unit_still_runs_its_last_command_is_up() -> None:
    text = answer("activating").replace("SubState=running", "SubState=start-post")
    assert look(lambda *_: text).is_up
    assert not look(lambda *_: answer("activating")).is_up


@pytest.mark.parametrize(
    ("second", "is_calm"),
    [
        (answer(), True),
        (answer(process=8), False),
        (answer("activating"), False),
        (answer(status="IDLE: x"), False),
        (None, False),
    ],
)
def test_only_a_kiosk_that_goes_on_is_calm(second: str | None, is_calm: bool) -> None:
    clock = Clock()
    seen = look_when_calm(lambda *_: answer() if clock.now == 0 else second, clock.sleep)
    assert clock.now == service.CALM_S
    assert (seen is not None) == is_calm
    assert look_when_calm(lambda *_: answer("failed"), clock.sleep) is None


def test_restart_clears_a_failure_first() -> None:
    asked: list[tuple[str, ...]] = []

    def ask(*arguments: str) -> str | None:
        asked.append(arguments)
        return "" if arguments[1] == "restart" else None

    assert restart(ask)
    assert [a[1] for a in asked] == ["reset-failed", "restart"]
    assert not restart(lambda *_: None)
    assert service.UNIT in asked[1]
