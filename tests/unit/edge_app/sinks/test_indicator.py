"""The light on gpiozero's mock pins: what the pins went through, not what we meant to do."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import pytest
from gpiozero import DigitalOutputDevice
from gpiozero.pins.mock import MockFactory

from edge_app.domain import Signal
from edge_app.errors import PinBusyError, PinError
from edge_app.rhythm import OFF, LampState
from edge_app.settings import IndicatorSettings
from edge_app.sinks import Sink
from edge_app.sinks.indicator import Indicator, open_indicator

PINS = IndicatorSettings(pins="mock")


def run(light: Indicator, begin: float, end: float, quiet: bool = False) -> None:
    """Tick 20 times a second from ``begin`` up to, not including, ``end``."""
    for i in range(round(begin * 20), round(end * 20)):
        light.tick(i / 20, quiet)


def states(factory: MockFactory, number: int) -> list[bool]:
    """The states a pin went through as an output, without repetitions."""
    seen = [bool(entry.state) for entry in factory.pin(number).states]
    return [now for i, now in enumerate(seen) if i == 0 or now != seen[i - 1]]


def test_it_is_a_sink(mock_factory: MockFactory) -> None:
    light: Sink = Indicator(PINS, mock_factory)
    light.show(Signal.COMPLIANT)
    assert isinstance(light, Indicator)
    assert light.tick(0.0) == LampState(green=True)


def test_everything_is_off_until_the_first_signal(mock_factory: MockFactory) -> None:
    light = Indicator(PINS, mock_factory)
    run(light, 0, 5)
    for number in (17, 27, 22, 23):
        assert mock_factory.pin(number).function == "output"
        assert states(mock_factory, number) == [False]


def test_compliant_is_steady_green(mock_factory: MockFactory) -> None:
    light = Indicator(PINS, mock_factory)
    light.show(Signal.COMPLIANT)
    run(light, 0, 5)
    assert states(mock_factory, 22) == [False, True]
    for number in (17, 27, 23):
        assert states(mock_factory, number) == [False]


def test_no_mask_blinks_red_five_times_in_two_seconds_and_chirps_once(
    mock_factory: MockFactory,
) -> None:
    light = Indicator(PINS, mock_factory)
    light.show(Signal.NO_MASK)
    run(light, 0, 3.2)
    assert states(mock_factory, 17) == [False] + [True, False] * 8
    assert states(mock_factory, 23) == [False] + [True, False] * 2
    assert states(mock_factory, 22) == states(mock_factory, 27) == [False]


def test_incorrect_blinks_amber_slowly_and_silently(mock_factory: MockFactory) -> None:
    light = Indicator(PINS, mock_factory)
    light.show(Signal.INCORRECT)
    run(light, 0, 6)
    assert states(mock_factory, 27) == [False] + [True, False] * 3
    assert states(mock_factory, 23) == [False]


def test_fault_alternates_red_and_amber(mock_factory: MockFactory) -> None:
    light = Indicator(PINS, mock_factory)
    light.show(Signal.FAULT)
    order = []
    for i in range(60):
        lamps = light.tick(i / 20)
        assert not (lamps.red and lamps.amber)
        order += ["red"] * lamps.red + ["amber"] * lamps.amber
    assert [lamp for lamp, _ in itertools.groupby(order)] == ["red", "amber"] * 3
    assert states(mock_factory, 17) == states(mock_factory, 27) == [False] + [True, False] * 3
    assert states(mock_factory, 22) == states(mock_factory, 23) == [False]


def test_idle_is_a_green_heartbeat(mock_factory: MockFactory) -> None:
    light = Indicator(PINS, mock_factory)
    light.show(Signal.IDLE)
    run(light, 0, 6)
    assert states(mock_factory, 22) == [False] + [True, False] * 3


def test_a_new_signal_begins_its_rhythm_at_once(mock_factory: MockFactory) -> None:
    light = Indicator(PINS, mock_factory)
    light.show(Signal.INCORRECT)
    run(light, 0, 1.5)
    light.show(Signal.NO_MASK)
    assert light.tick(1.5) == LampState(red=True, buzzer=True)
    assert not mock_factory.pin(27).state


def test_the_same_signal_again_does_not_restart_the_rhythm(mock_factory: MockFactory) -> None:
    light = Indicator(PINS, mock_factory)
    for i in range(120):
        light.show(Signal.INCORRECT)
        light.tick(i / 20)
    assert states(mock_factory, 27) == [False] + [True, False] * 3


def test_quiet_hours_silence_the_buzzer_and_nothing_else(mock_factory: MockFactory) -> None:
    light = Indicator(PINS, mock_factory)
    light.show(Signal.NO_MASK)
    run(light, 0, 1.6, quiet=True)
    assert states(mock_factory, 23) == [False]
    assert states(mock_factory, 17) == [False] + [True, False] * 4
    run(light, 1.6, 10)
    assert states(mock_factory, 23) == [False]
    run(light, 10, 11.6)
    assert states(mock_factory, 23) == [False] + [True, False] * 2


CHIRP = [True, False] * 2


def test_somebody_who_stays_without_a_mask_is_chirped_at_again(mock_factory: MockFactory) -> None:
    light = Indicator(IndicatorSettings(pins="mock", buzzer_repeat_s=5), mock_factory)
    light.show(Signal.NO_MASK)
    run(light, 0, 11.6)
    assert states(mock_factory, 23) == [False] + CHIRP * 3


def test_one_chirp_is_enough_where_the_owner_says_so(mock_factory: MockFactory) -> None:
    light = Indicator(IndicatorSettings(pins="mock", buzzer_repeat_s=0), mock_factory)
    light.show(Signal.NO_MASK)
    run(light, 0, 60)
    assert states(mock_factory, 23) == [False, *CHIRP]


def test_the_next_person_without_a_mask_is_chirped_at(mock_factory: MockFactory) -> None:
    light = Indicator(IndicatorSettings(pins="mock", buzzer_cooldown_s=3), mock_factory)
    light.show(Signal.NO_MASK)
    for i in range(160):  # one person, a second one at 2 s, a third at 6 s
        now = i / 20
        light.tick(now, violations=1 + (now >= 2) + (now >= 6))
    assert states(mock_factory, 23) == [False] + CHIRP * 3
    began = [i for i, on in enumerate(buzzes(light, 8.0, 3)) if on]
    assert not began, "nobody new, and not yet time to repeat"


def test_a_chirp_is_whole_and_begins_at_once(mock_factory: MockFactory) -> None:
    light = Indicator(PINS, mock_factory)
    light.show(Signal.NO_MASK)
    run(light, 0, 4.7)
    assert light.tick(4.7, violations=1) == LampState(red=True, buzzer=True)


def buzzes(light: Indicator, begin: float, violations: int) -> list[bool]:
    return [light.tick(begin + i / 20, violations=violations).buzzer for i in range(20)]


def test_without_a_buzzer_its_pin_stays_free(mock_factory: MockFactory) -> None:
    light = Indicator(IndicatorSettings(pins="mock", buzzer_enabled=False), mock_factory)
    light.show(Signal.NO_MASK)
    assert light.tick(0.0) == LampState(red=True)
    assert 23 not in mock_factory.pins


def test_active_low_lamps_and_buzzer(mock_factory: MockFactory) -> None:
    settings = IndicatorSettings(pins="mock", active_high=False, buzzer_active_high=False)
    light = Indicator(settings, mock_factory)
    assert mock_factory.pin(17).state
    light.show(Signal.NO_MASK)
    light.tick(0.0)
    assert not mock_factory.pin(17).state
    assert not mock_factory.pin(23).state
    assert mock_factory.pin(22).state


def test_other_pins(mock_factory: MockFactory) -> None:
    light = Indicator(IndicatorSettings(pins="mock", green=5), mock_factory)
    light.show(Signal.COMPLIANT)
    light.tick(0.0)
    assert mock_factory.pin(5).state


def test_close_switches_everything_off_and_may_be_repeated(mock_factory: MockFactory) -> None:
    light = Indicator(PINS, mock_factory)
    light.set(LampState(True, True, True, True))
    pins = [mock_factory.pin(number) for number in (17, 27, 22, 23)]
    light.close()
    # The last recorded state as an output is "off"; then the pin becomes an input again.
    assert [bool(pin.states[-1].state) for pin in pins] == [False] * 4
    assert [pin.function for pin in pins] == ["input"] * 4
    light.close()
    assert light.lamps == OFF
    assert light.tick(1.0) == OFF


def test_the_context_manager_closes(mock_factory: MockFactory) -> None:
    with Indicator(PINS, mock_factory) as light:
        light.set(LampState(red=True))
        pin = mock_factory.pin(17)
    assert pin.function == "input"


def test_a_pin_in_use_is_named_and_the_others_are_given_back(mock_factory: MockFactory) -> None:
    other = DigitalOutputDevice(22, pin_factory=mock_factory)
    with pytest.raises(PinError, match=r"^indicator\.green = 22: .*22.*in use"):
        Indicator(PINS, mock_factory)
    assert mock_factory.pin(17).function == "input"
    other.close()


def test_a_pin_that_does_not_exist_is_named(mock_factory: MockFactory) -> None:
    with pytest.raises(PinError, match=r"^indicator\.red = 99: 99 is not a valid pin"):
        Indicator(IndicatorSettings(pins="mock", red=99), mock_factory)


def test_a_pin_held_by_another_program_is_a_temporary_fault() -> None:
    # lgpio reports it as a bare Exception class of its own, here with its real text.
    lgpio_error = type("error", (Exception,), {"__module__": "lgpio"})

    class Held(MockFactory):  # type: ignore[misc]
        def pin(self, name: object) -> Any:
            raise lgpio_error("'GPIO busy'")

    with pytest.raises(PinBusyError, match=r"^indicator\.red = 17: another program"):
        Indicator(PINS, Held())


def test_mock_pins_are_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), open_indicator(PINS) as light:
        light.show(Signal.COMPLIANT)
        assert light.tick(0.0).green
    assert "indicator.pins is mock, no lamp will light" in caplog.text


def test_none_means_no_light() -> None:
    with open_indicator(IndicatorSettings(pins="none")) as light:
        light.show(Signal.COMPLIANT)
        light.tick(0.0)


@pytest.mark.skipif(Path("/dev/gpiochip0").exists(), reason="this machine has GPIO pins")
def test_real_pins_on_a_machine_without_any_fail_loudly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # lgpio, where installed, leaves a pipe where it is imported
    with pytest.raises(PinError, match=r'set indicator\.pins = "mock"$') as caught:
        open_indicator(IndicatorSettings(pins="gpio"))
    assert "\n" not in str(caught.value)
