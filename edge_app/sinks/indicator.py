"""The light and the buzzer on GPIO pins: the only file that imports gpiozero.

The lamps follow :mod:`edge_app.rhythm` through :meth:`Indicator.tick`, which the daemon
calls every :data:`edge_app.rhythm.TICK_S` seconds. gpiozero's own background blinking is
not used: it would start a thread per lamp, and two lamps would drift apart.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from types import TracebackType
from typing import Self

from gpiozero import DigitalOutputDevice, Factory, GPIOZeroError
from gpiozero.pins.mock import MockFactory

from edge_app.domain import Signal
from edge_app.errors import PinBusyError, PinError
from edge_app.rhythm import OFF, RHYTHMS, LampState, lamps_at
from edge_app.settings import IndicatorSettings

log = logging.getLogger(__name__)

LAMPS = ("red", "amber", "green")

USE_MOCK = 'to run without a light set indicator.pins = "mock"'


class Indicator:
    """Three lamps and a buzzer.

    Until the first signal everything is off.
    """

    def __init__(self, settings: IndicatorSettings, factory: Factory | None) -> None:
        """Claim the pins and switch them off.

        Args:
            settings: Pin numbers and polarity.
            factory: Makes the pins; None: there is no light, and all calls do nothing.

        Raises:
            PinError: A pin does not exist or cannot be an output.
            PinBusyError: Another program uses a pin.
        """
        self.signal: Signal | None = None
        self.lamps = OFF
        self._shown: Signal | None = None
        self._since = 0.0
        self._cooldown_s = settings.buzzer_cooldown_s
        self._repeat_s = settings.buzzer_repeat_s
        self._chirped = -math.inf
        self._violations = 0
        self._factory = factory
        self._outputs: dict[str, DigitalOutputDevice] = {}
        if factory is None:
            return
        names = [*LAMPS, "buzzer"] if settings.buzzer_enabled else [*LAMPS]
        try:
            for name in names:
                self._outputs[name] = _claim(settings, name, factory)
        except (PinError, PinBusyError):
            self.close()
            raise

    def show(self, signal: Signal) -> None:
        """Show a signal from the next tick on; the same signal goes on in its rhythm."""
        self.signal = signal

    def tick(self, now: float, quiet: bool = False, violations: int = 0) -> LampState:
        """Set the outputs to what they shall be now.

        The buzzer chirps for one round of its rhythm when somebody new breaks the rule, and
        again every ``indicator.buzzer_repeat_s`` while the signal stays.

        Args:
            now: Seconds on a clock that only moves forward.
            quiet: Keep the buzzer silent (quiet hours).
            violations: How many people broke the rule so far; one more is somebody new.

        Returns:
            The state that was set.
        """
        signal = self.signal
        if signal is None:
            return self.lamps
        is_new = signal is not self._shown
        if is_new:
            self._shown, self._since = signal, now
        if signal is Signal.NO_MASK and self._chirp_due(now, is_new, violations):
            # The round begins here, so that the chirp is whole and at once.
            self._since = self._chirped = now
        lamps = lamps_at(signal, now - self._since)
        chirps = signal is Signal.NO_MASK and now - self._chirped < RHYTHMS[signal].period
        if quiet or not chirps:
            lamps = replace(lamps, buzzer=False)
        return self.set(lamps)

    def _chirp_due(self, now: float, is_new: bool, violations: int) -> bool:
        passed = now - self._chirped
        if (is_new or violations != self._violations) and passed >= self._cooldown_s:
            self._violations = violations
            return True
        return 0 < self._repeat_s <= passed

    def set(self, lamps: LampState) -> LampState:
        """Set the outputs; only those that change are touched.

        Returns:
            The state that was set: without a buzzer where none is enabled.
        """
        for name, output in self._outputs.items():
            wanted = getattr(lamps, name)
            if bool(output.value) != wanted:
                output.value = wanted
        if "buzzer" not in self._outputs:
            lamps = replace(lamps, buzzer=False)
        self.lamps = lamps
        return lamps

    def close(self) -> None:
        """Switch everything off and give the pins back; a second call does nothing."""
        self.signal = self._shown = None
        self.lamps = OFF
        outputs, self._outputs = self._outputs, {}
        for output in outputs.values():
            output.off()
            output.close()
        factory, self._factory = self._factory, None
        if factory is not None:
            factory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_indicator(settings: IndicatorSettings) -> Indicator:
    """The light that ``indicator.pins`` asks for; never another one instead.

    Raises:
        PinError: The pins are asked for but this is no Raspberry Pi, or one cannot be used.
        PinBusyError: Another program uses the pins.
    """
    if settings.pins == "none":
        log.info("no light: indicator.pins is none")
        return Indicator(settings, None)
    if settings.pins == "mock":
        log.warning("pretend pins: indicator.pins is mock, no lamp will light")
        return Indicator(settings, MockFactory())
    return Indicator(settings, _pi_factory())


def _pi_factory() -> Factory:
    try:
        from gpiozero.pins.lgpio import LGPIOFactory
    except ImportError as error:
        raise PinError(
            f"the GPIO library cannot be imported ({error}); on a Raspberry Pi run: sudo apt "
            f"install python3-lgpio; {USE_MOCK}"
        ) from None
    try:
        return LGPIOFactory()
    except GPIOZeroError as error:
        raise PinError(f"no GPIO pins: {error} (not a Raspberry Pi?); {USE_MOCK}") from None
    except Exception as error:
        if not _is_from_lgpio(error):
            raise
        raise PinError(
            f"the GPIO pins cannot be opened: {error}; is the user in the group gpio? {USE_MOCK}"
        ) from None


def _claim(settings: IndicatorSettings, name: str, factory: Factory) -> DigitalOutputDevice:
    number = getattr(settings, name)
    polarity = settings.buzzer_active_high if name == "buzzer" else settings.active_high
    where = f"indicator.{name} = {number}"
    try:
        return DigitalOutputDevice(
            number, active_high=polarity, initial_value=False, pin_factory=factory
        )
    except GPIOZeroError as error:
        raise PinError(f"{where}: {error}") from None
    except Exception as error:
        if not _is_from_lgpio(error):
            raise
        if "busy" in str(error).lower():
            raise PinBusyError(f"{where}: another program uses this pin") from None
        raise PinError(f"{where}: {error}") from None


def _is_from_lgpio(error: Exception) -> bool:
    """lgpio.error is a bare Exception, and cannot be named where lgpio is not installed."""
    return type(error).__module__ == "lgpio"
