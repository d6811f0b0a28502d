from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_app.daemon import run_kiosk
from edge_app.errors import AlreadyRunningError, PinError
from edge_app.settings import Settings, replace_settings
from tests.services import Service, Systemd, pinged, ready


def test_a_clip_runs_to_its_end(
    tiny_settings: Settings, clip: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    settings = replace_settings(tiny_settings, {"source.uri": str(clip(20))})
    caplog.set_level(logging.INFO, "kiosk")
    before = signal.getsignal(signal.SIGTERM)
    assert run_kiosk(settings, log=logging.getLogger("kiosk")) == 0
    assert "NO_MASK: 1 person without a mask (of 1 in view)" in caplog.text
    assert signal.getsignal(signal.SIGTERM) is before


def test_pins_are_never_replaced_by_pretend_ones(tiny_settings: Settings) -> None:
    settings = replace_settings(tiny_settings, {"indicator.pins": "gpio"})
    with pytest.raises(PinError, match="mock"):
        run_kiosk(settings, log=logging.getLogger("kiosk"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_cleanly(
    number: signal.Signals, clip: Callable[[int], Path], service: Service, systemd: Systemd
) -> None:
    service.write(clip(2000))
    service.start()
    systemd.wait_for(pinged)
    assert service.end(number) == 0
    assert "Traceback" not in "".join(service.lines)
    assert systemd.received()[-1] == "STOPPING=1"


# Reading the settings anew


def test_new_settings_are_used_without_a_restart(
    clip: Callable[[int], Path], service: Service, systemd: Systemd
) -> None:
    service.write(clip(2000))
    service.start()
    systemd.wait_for(lambda m: m.startswith("STATUS=NO_MASK"))
    service.write(clip(2000), more="[policy]\nconfirm_verdicts = 60\nhold_s = 0\n")
    service.reload()
    told = systemd.wait_for(ready)
    assert "STOPPING=1" not in told, "systemd would kill what goes on"
    assert any(m.startswith("STATUS=IDLE: 1 person in view, none certain yet") for m in told)
    assert service.end() == 0
    assert sum("the settings were read anew" in line for line in service.lines) == 1


def test_a_file_with_a_mistake_changes_nothing(
    clip: Callable[[int], Path], service: Service, systemd: Systemd
) -> None:
    service.write(clip(2000))
    service.start()
    systemd.wait_for(pinged)
    service.write(clip(2000), more="[policy]\nhold = 3\n")
    service.reload()
    systemd.wait_for(lambda m: m.startswith("STATUS=NO_MASK"))
    systemd.wait_for(pinged)
    assert service.end() == 0
    said = [line for line in service.lines if "the settings stay as they were" in line]
    assert len(said) == 1
    assert f"{service.file}: there is no setting 'policy.hold'" in said[0]
    assert not any("STOPPING" in m for m in systemd.messages)


def test_settings_that_cannot_be_used_give_way_to_those_before(
    clip: Callable[[int], Path], service: Service, systemd: Systemd
) -> None:
    service.write(clip(2000))
    service.start()
    systemd.wait_for(pinged)
    service.write(clip(2000), detector="nobody")
    service.reload()
    systemd.wait_for(lambda m: m.startswith("STATUS=FAULT: no model bundle at"))
    systemd.wait_for(ready)
    systemd.wait_for(lambda m: m.startswith("STATUS=NO_MASK"))
    assert service.end() == 0
    said = [line for line in service.lines if "going back to the settings before" in line]
    assert len(said) == 1


def test_a_permanent_fault_of_a_service_can_be_mended_and_read_anew(
    clip: Callable[[int], Path], service: Service, systemd: Systemd, tmp_path: Path
) -> None:
    service.write(tmp_path / "nothing.mp4")
    service.start()
    heard = systemd.wait_for(lambda m: m.startswith("EXTEND_TIMEOUT_USEC="))
    assert any("there is no such file" in m for m in heard)
    service.write(clip(2000))
    service.reload()
    systemd.wait_for(ready)
    assert service.end() == 0


def test_a_permanent_fault_ends_what_is_no_service(
    service: Service, tmp_path: Path, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET")
    service.write(tmp_path / "nothing.mp4")
    service.start()
    assert service.wait() == 2


# One instance


def test_a_second_kiosk_is_refused(tiny_settings: Settings) -> None:
    settings = replace_settings(tiny_settings, {"indicator.pins": "gpio"})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as first:
        first.bind("\0mask-kiosk/gpio")
        with pytest.raises(AlreadyRunningError, match="another mask-kiosk drives the lamps"):
            run_kiosk(settings, log=logging.getLogger("kiosk"))
    with pytest.raises(PinError):  # the way is free: this machine has no pins
        run_kiosk(settings, log=logging.getLogger("kiosk"))


def test_two_kiosks_do_not_write_one_journal(
    clip: Callable[[int], Path], service: Service, systemd: Systemd, tmp_path: Path
) -> None:
    service.write(clip(2000), more=f'[journal]\npath = "{tmp_path / "events.sqlite3"}"\n')
    service.start()
    systemd.wait_for(pinged)
    second = Service(service.root, tmp_path, service.models)
    second.start()
    assert second.wait() == 1
    (refusal,) = [line for line in second.lines if "error" in line]
    assert "another mask-kiosk writes" in refusal
    systemd.received()
    systemd.wait_for(pinged)
    assert service.end() == 0
