"""Temperature, throttling and supply voltage of a Raspberry Pi, read from the system."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from edge_app.programs import output_of

SYSTEM_ROOT = Path("/")

MODEL_FILE = "proc/device-tree/model"
TEMPERATURE_FILE = "sys/class/thermal/thermal_zone0/temp"

THROTTLED_FILE = "sys/devices/platform/soc*/soc*:firmware/get_throttled"
"""What ``vcgencmd get_throttled`` prints, as hexadecimal digits from the Raspberry Pi kernel's own
driver. The service may read this, but not use vcgencmd, see ``systemd/mask-kiosk.service``."""

THROTTLED_BITS = {
    0: "under-voltage now",
    1: "clock capped now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since boot",
    17: "clock capped since boot",
    18: "throttled since boot",
    19: "soft temperature limit since boot",
}
"""Bits of ``vcgencmd get_throttled``, from Raspberry Pi's documentation of vcgencmd."""

SINCE_BOOT = "since boot"
"""How the words for what has passed end."""


Runner = Callable[[], str | None]


def raspberry_pi_model(root: Path = SYSTEM_ROOT) -> str | None:
    """The board's name, e.g. ``Raspberry Pi 5 Model B Rev 1.0``; None on any other machine."""
    try:
        model = (root / MODEL_FILE).read_bytes().decode("ascii", "replace").strip("\0\n ")
    except OSError:
        return None
    return model if model.startswith("Raspberry Pi") else None


def temperature(root: Path = SYSTEM_ROOT) -> float | None:
    """Temperature of the processor in degrees Celsius; None where it cannot be read."""
    try:
        return int((root / TEMPERATURE_FILE).read_text()) / 1000
    except (OSError, ValueError):
        return None


def ask_vcgencmd() -> str | None:
    """What ``vcgencmd get_throttled`` prints; None without vcgencmd or an answer."""
    return output_of("vcgencmd", "get_throttled")


def throttling(root: Path = SYSTEM_ROOT, ask: Runner = ask_vcgencmd) -> list[str] | None:
    """Everything that slows the processor down, or has since boot, in words.

    From the firmware through the kernel or ``vcgencmd``, else from the kernel's under-voltage
    alarm (``rpi_volt``).

    Returns:
        An empty list when all is well; None when neither source can be read.
    """
    for answer in _firmware_answers(root, ask):
        flags = parse_throttled(answer)
        if flags is not None:
            return flags
    for name in sorted(root.glob("sys/class/hwmon/hwmon*/name")):
        try:
            if name.read_text().strip() == "rpi_volt":
                alarm = int((name.parent / "in0_lcrit_alarm").read_text())
                return [THROTTLED_BITS[0]] if alarm else []
        except (OSError, ValueError):
            continue
    return None


def present(flags: Collection[str]) -> list[str]:
    """Those of the words that :func:`throttling` gives that are about the present."""
    return [words for words in flags if not words.endswith(SINCE_BOOT)]


def throttled_now(flags: Collection[str]) -> bool:
    """Whether any of the words that :func:`throttling` gives is about the present."""
    return bool(present(flags))


def _firmware_answers(root: Path, ask: Runner) -> Iterator[str]:
    for path in sorted(root.glob(THROTTLED_FILE)):
        try:
            yield f"throttled={path.read_text()}"
        except (OSError, ValueError):
            continue
    answer = ask()
    if answer is not None:
        yield answer


def parse_throttled(answer: str) -> list[str] | None:
    """The set bits of ``throttled=0x50005`` in words; None if the answer has another form."""
    _, _, digits = answer.strip().partition("throttled=")
    try:
        bits = int(digits, 16)
    except ValueError:
        return None
    return [words for bit, words in THROTTLED_BITS.items() if bits >> bit & 1]
