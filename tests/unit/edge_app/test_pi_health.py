from pathlib import Path

import pytest

from edge_app.pi_health import (
    MODEL_FILE,
    TEMPERATURE_FILE,
    ask_vcgencmd,
    parse_throttled,
    raspberry_pi_model,
    temperature,
    throttling,
)


def place(root: Path, name: str, content: bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_a_pi_is_known_by_its_device_tree(tmp_path: Path) -> None:
    place(tmp_path, MODEL_FILE, b"Raspberry Pi 5 Model B Rev 1.0\0")
    assert raspberry_pi_model(tmp_path) == "Raspberry Pi 5 Model B Rev 1.0"


def test_other_machines_are_not_a_pi(tmp_path: Path) -> None:
    assert raspberry_pi_model(tmp_path) is None
    place(tmp_path, MODEL_FILE, b"Radxa ROCK 5B\0")
    assert raspberry_pi_model(tmp_path) is None


def test_temperature_is_in_degrees(tmp_path: Path) -> None:
    place(tmp_path, TEMPERATURE_FILE, b"48312\n")
    assert temperature(tmp_path) == 48.312


@pytest.mark.parametrize("content", [b"", b"warm\n"])
def test_a_temperature_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    assert temperature(tmp_path) is None
    place(tmp_path, TEMPERATURE_FILE, content)
    assert temperature(tmp_path) is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("throttled=0x0\n", []),
        ("throttled=0x50000", ["under-voltage since boot", "throttled since boot"]),
        (
            "throttled=0xf000f",
            [
                "under-voltage now",
                "clock capped now",
                "throttled now",
                "soft temperature limit now",
                "under-voltage since boot",
                "clock capped since boot",
                "throttled since boot",
                "soft temperature limit since boot",
            ],
        ),
        ("VCHI initialization failed", None),
        ("", None),
    ],
)
def test_the_bits_of_get_throttled(answer: str, words: list[str] | None) -> None:
    assert parse_throttled(answer) == words
    assert throttling(Path("/nonexistent"), lambda: answer) == words


@pytest.mark.parametrize(("alarm", "words"), [(b"1\n", ["under-voltage now"]), (b"0\n", [])])
def test_without_vcgencmd_the_kernels_voltage_alarm_is_read(
    tmp_path: Path, alarm: bytes, words: list[str]
) -> None:
    place(tmp_path, "sys/class/hwmon/hwmon0/name", b"cpu_thermal\n")
    place(tmp_path, "sys/class/hwmon/hwmon1/name", b"rpi_volt\n")
    place(tmp_path, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", alarm)
    assert throttling(tmp_path, lambda: None) == words


@pytest.mark.parametrize(
    ("script", "answer"),
    [('echo "throttled=0x$#"', "throttled=0x1\n"), ("exit 1", None), (None, None)],
)
def test_vcgencmd_is_asked_and_may_fail_or_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, answer: str | None
) -> None:
    if script is not None:
        place(tmp_path, "vcgencmd", f"#!/bin/sh\n{script}\n".encode())
        (tmp_path / "vcgencmd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_vcgencmd() == answer


def test_with_neither_the_answer_is_none(tmp_path: Path) -> None:
    place(tmp_path, "sys/class/hwmon/hwmon1/name", b"rpi_volt\n")
    assert throttling(tmp_path, lambda: None) is None


@pytest.mark.parametrize("soc", ["soc/soc:firmware", "soc@107c000000/soc@107c000000:firmware"])
def test_the_kernel_s_own_answer_comes_before_vcgencmd_s(tmp_path: Path, soc: str) -> None:
    """The service may not use vcgencmd; the second is a Pi 5's path."""
    place(tmp_path, f"sys/devices/platform/{soc}/get_throttled", b"50000\n")
    found = throttling(tmp_path, lambda: "throttled=0x0\n")
    assert found == ["under-voltage since boot", "throttled since boot"]


def test_without_a_readable_answer_of_the_kernel_s_vcgencmd_is_asked(tmp_path: Path) -> None:
    place(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", b"\n")
    assert throttling(tmp_path, lambda: "throttled=0x1\n") == ["under-voltage now"]
