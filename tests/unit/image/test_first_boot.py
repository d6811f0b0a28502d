"""The first boot from a card, in a folder instead of a Pi, with the power cut at every step.

The scripts are the shipped ones. Programs that need root, or change this machine, are stand-ins
in front of PATH; so is every other program that the scripts use, to count them: the power is cut
(SIGKILL, nothing in a process's hands survives) just before the n-th of them starts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import prepare_card

USED = """bash basename cat cp cut date dirname find grep gzip head install ln mkdir mv python3 rm
sed sha256sum sync tail tar timeout tr"""

COUNTED = """#!/bin/sh
/bin/echo x >>"$COUNTER"
if [ "$CUT_AT" -gt 0 ] && [ "$(/usr/bin/wc -l <"$COUNTER")" -ge "$CUT_AT" ]; then kill -9 0; fi
"""

STAND_INS = {
    "sync": "",
    # Without the owner, which only root can give: "-m MODE ... FILE TARGET".
    "install": 'mode=$2; while [ $# -gt 2 ]; do shift; done; exec /usr/bin/install -m "$mode" "$@"',
}

UNIT = "etc/systemd/system/mask-kiosk-first-boot.service"
WANTED = "etc/systemd/system/multi-user.target.wants/mask-kiosk-first-boot.service"


@dataclass
class Pi:
    """A root file system with a prepared card in it."""

    root: Path
    environment: dict[str, str]

    @property
    def boot_partition(self) -> Path:
        return self.root / "boot" / "firmware"

    @property
    def card(self) -> Path:
        return self.boot_partition / "mask-kiosk"

    def run(self, script: Path, cut_at: int) -> int:
        counter = Path(self.environment["COUNTER"])
        counter.write_bytes(b"")
        done = subprocess.run(
            ["/bin/sh", script],
            env=self.environment | {"CUT_AT": str(cut_at)},
            start_new_session=True,
            capture_output=True,
            check=False,
        )
        return done.returncode

    def boot(self, cut_at: int = 0) -> bool:
        """What cloud-init and systemd do at a boot; whether the power stayed on."""
        hook = self.card / "hook.sh"
        if hook.exists() and self.run(hook, 0) != 0:
            raise AssertionError("hook.sh failed")
        unit, script = self.root / UNIT, self.card / "first-boot.sh"
        if not (unit.exists() and (self.root / WANTED).exists() and script.exists()):
            return True
        return self.run(script, cut_at) != -9

    def result(self) -> str:
        text = (self.card / "RESULT.txt").read_text(encoding="utf-8")
        assert text.count("\n") == 1
        assert text.endswith("\n")
        return text.rstrip("\n")


@pytest.fixture
def pi(trixie: Path, bundle: Path, settings: Path, tmp_path: Path) -> Pi:
    secret = tmp_path / "mqtt-password"
    secret.write_text("s3cret\n", encoding="utf-8")
    arguments = [trixie, bundle, "--settings", settings, "--secret", secret]
    assert prepare_card.main([str(argument) for argument in arguments]) == 0
    shims = tmp_path / "bin"
    shims.mkdir()
    for name in USED.split():
        real = sys.executable if name == "python3" else shutil.which(name, path="/usr/bin:/bin")
        act = STAND_INS.get(name, f'exec {real} "$@"')
        (shims / name).write_text(f"{COUNTED}{act}\n", encoding="utf-8")
        (shims / name).chmod(0o755)
    return Pi(
        tmp_path,
        {
            "PATH": str(shims),
            "MASK_KIOSK_ROOT": str(tmp_path),
            "MASK_KIOSK_WAIT_S": "0",
            "COUNTER": str(tmp_path / "counter"),
        },
    )


def assert_installed(pi: Pi) -> None:
    assert pi.result().startswith("INSTALLED version 0.1.0 on ")
    etc = pi.root / "etc" / "mask-kiosk"
    kiosk_toml = (etc / "kiosk.toml").read_text(encoding="utf-8")
    assert "red = 5" in kiosk_toml
    # The installer's check saw these settings, not the defaults.
    seen = pi.root / "opt" / "mask-kiosk" / "seen.toml"
    assert seen.read_text(encoding="utf-8") == kiosk_toml
    assert (etc / "mqtt-password").read_text(encoding="utf-8") == "s3cret\n"
    assert (etc / "mqtt-password").stat().st_mode & 0o777 == 0o600
    # MQTT needs the network, which the service does not have by itself.
    drop_in = pi.root / "etc" / "systemd" / "system" / "mask-kiosk.service.d" / "network.conf"
    assert "AF_INET" in drop_in.read_text(encoding="utf-8")
    assert [path.name for path in etc.iterdir() if path.name.startswith(".")] == []
    # Nothing is left to do, to read for others, or to start.
    assert [path.name for path in pi.card.iterdir()] == ["RESULT.txt"]
    assert not (pi.boot_partition / "vendor-data").exists()
    assert not (pi.root / UNIT).exists()
    assert not (pi.root / WANTED).is_symlink()
    assert not (pi.root / "var/lib/mask-kiosk-first-boot/work").exists()
    # Everybody may make a folder of any name there, also a link, before root uses it.
    assert not list((pi.root / "var").glob("tmp/*"))
    assert (pi.boot_partition / "user-data").exists()


def test_the_first_boot_installs(pi: Pi) -> None:
    assert pi.boot()
    assert_installed(pi)


def test_a_boot_after_that_does_nothing(pi: Pi) -> None:
    assert pi.boot()
    before = pi.result()
    assert pi.boot()
    assert pi.result() == before


def cuts() -> range:
    """Every seventh step; all of them with MASK_KIOSK_ALL_CUTS=1 (two minutes)."""
    return range(1, 1000, 1 if os.environ.get("MASK_KIOSK_ALL_CUTS") else 7)


def test_the_power_may_fail_at_any_step(pi: Pi, tmp_path: Path) -> None:
    whole = tmp_path / "before"
    shutil.copytree(pi.boot_partition, whole)
    tried = 0
    for step in cuts():
        for name in ("boot", "etc", "opt", "var"):
            shutil.rmtree(pi.root / name, ignore_errors=True)
        shutil.copytree(whole, pi.boot_partition)
        if pi.boot(cut_at=step):
            break
        tried += 1
        assert pi.boot(), f"cut at step {step}"
        if not (pi.root / UNIT).exists():  # cut in the very last act: nothing but this may be left
            (pi.card / "first-boot.sh").unlink(missing_ok=True)
        assert_installed(pi)
    print(f"{tried} cuts")
    assert tried > 8
    assert_installed(pi)


def test_it_gives_up_and_begins_again_when_asked(pi: Pi) -> None:
    for _ in range(5):
        assert not pi.boot(cut_at=40)
    assert pi.boot()
    assert pi.result().startswith("GAVE UP after 5 attempts: each was cut off")
    assert not (pi.root / "opt").exists()
    (pi.card / "RESULT.txt").unlink()
    assert pi.boot()
    assert_installed(pi)


def test_a_mistake_stops_it_before_anything_is_changed(pi: Pi) -> None:
    kiosk_toml = pi.card / "kiosk.toml"
    kiosk_toml.write_bytes(b"[indicator]\r\n\r\nred = 99\r\n")
    for attempt in (1, 2, 3, 4, 5):
        assert pi.boot()
        assert pi.result() == (
            f"NOT INSTALLED (attempt {attempt} of 5): kiosk.toml, line 3: indicator.red = 99 must "
            "be a whole number, 0..27. Correct kiosk.toml on this card and power the box."
        )
        assert "indicator.red = 99" in (pi.card / "install.log").read_text(encoding="utf-8")
    assert not (pi.root / "etc" / "mask-kiosk").exists()
    assert not (pi.root / "opt").exists()
    assert pi.boot()
    assert "GAVE UP" in pi.result()
    assert "indicator.red = 99" in pi.result()
    # Put right, on whatever computer: counted anew.
    kiosk_toml.write_bytes(b'\xef\xbb\xbf[mqtt]\r\nhost = "broker"\r\n[indicator]\r\nred = 5\r\n')
    assert pi.boot()
    assert_installed(pi)


def test_the_name_that_notepad_gives(pi: Pi) -> None:
    (pi.card / "kiosk.toml").rename(pi.card / "kiosk.toml.txt")
    assert pi.boot()
    assert "named kiosk.toml.txt" in pi.result()


def test_without_settings_it_takes_the_defaults(pi: Pi) -> None:
    (pi.card / "kiosk.toml").unlink()
    etc = pi.root / "etc" / "mask-kiosk"
    etc.mkdir(parents=True)
    (etc / "kiosk.toml").write_text("", encoding="utf-8")  # as the installer would
    assert pi.boot()
    assert pi.result().startswith("INSTALLED")
    assert (etc / "kiosk.toml").read_text(encoding="utf-8") == ""


def test_the_result_names_the_status_page(pi: Pi) -> None:
    (pi.card / "kiosk.toml").write_text("[web]\nenabled = true\n", encoding="utf-8")
    assert pi.boot()
    assert pi.result().endswith("Status page: http://127.0.0.1:8080/")


def test_a_damaged_bundle(pi: Pi) -> None:
    (bundle,) = pi.card.glob("*.tar.gz")
    bundle.write_bytes(bundle.read_bytes()[:-100])
    assert pi.boot()
    assert "damaged or missing" in pi.result()


def test_no_bundle(pi: Pi) -> None:
    (bundle,) = pi.card.glob("*.tar.gz")
    bundle.unlink()
    assert pi.boot()
    assert "there must be one file" in pi.result()


def with_installer(pi: Pi, tmp_path: Path, **texts: str) -> None:
    """Have the bundle's scripts do something else."""
    (bundle,) = pi.card.glob("*.tar.gz")
    folder = tmp_path / "repack"
    shutil.unpack_archive(bundle, folder, filter="data")
    for name, text in texts.items():
        path = folder / "mask-kiosk-0.1.0" / "deploy" / name.replace("__", "/")
        path.with_suffix(".sh").write_text(text, encoding="utf-8")
    made = shutil.make_archive(str(tmp_path / "repacked"), "gztar", folder)
    shutil.move(made, bundle)
    sums = pi.card / "SHA256SUMS"
    lines = sums.read_text(encoding="utf-8").splitlines()
    digest = subprocess.run(["sha256sum", bundle], capture_output=True, text=True, check=True)
    mine = [f"{digest.stdout.split()[0]}  {bundle.name}"]
    others = [line for line in lines if not line.endswith(bundle.name)]
    sums.write_text("\n".join(mine + others) + "\n", encoding="utf-8")


def test_no_network(pi: Pi, tmp_path: Path) -> None:
    with_installer(
        pi, tmp_path, install__system="install_packages() { echo 'no route' >&2; return 1; }"
    )
    assert pi.boot()
    assert "(no route)" in pi.result()
    assert "network cable" in pi.result()
    assert (pi.card / "kiosk.toml").exists()


def test_installed_but_the_camera_is_missing(pi: Pi, tmp_path: Path) -> None:
    with_installer(
        pi,
        tmp_path,
        install=(
            "echo 'FAIL     source             no camera; plug it in'\n"
            "echo 'installed      mask-kiosk.service starts at boot'\n"
            "echo 'install.sh: the service is installed but not healthy' >&2\nexit 1\n"
        ),
    )
    assert pi.boot()
    assert pi.result().startswith("INSTALLED version 0.1.0 on ")
    assert ", but FAIL source no camera; plug it in. Put it right" in pi.result()
    assert [path.name for path in pi.card.iterdir()] == ["RESULT.txt"]


@pytest.mark.parametrize("code", [1, 2])
def test_the_installer_fails(pi: Pi, tmp_path: Path, code: int) -> None:
    with_installer(pi, tmp_path, install=f"echo 'install.sh: no space' >&2\nexit {code}\n")
    assert pi.boot()
    assert "NOT INSTALLED (attempt 1 of 5): install.sh: no space" in pi.result()
    assert (pi.card / "kiosk.toml").exists()
    assert (pi.root / UNIT).exists()
