"""The playbooks, the real installer and the real ``models`` command, on kiosks behind an sshd.

The tests are one story, told in order: each begins where the one before ended.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app import __version__
from edge_app.vision.bundle import MODELS_DIR
from tests.fleet.pushing import PLAYBOOKS, SETTINGS, Kiosks, Push, release
from tests.fleet.roots import require_roots
from tests.fleet.signing import Signer, version
from tests.integration.mqtt.conftest import found

CANARY, REST = "canary-door", ("door-1", "door-2")
ALL = {CANARY, *REST}
MODEL = "mask_classifier"
FIRST, BROKEN, SHORT_LIVED, UNCHECKED = __version__, "9.9.1", "9.9.2", "9.9.3"
WATCH_S = 3
DIES_AFTER_S = 9
"""Later than install.sh looks (three seconds active), sooner than the playbook has watched."""

DEBIAN = ("python3-numpy", "python3-opencv", "python3-cryptography", "python3-venv")
"""What install.sh wants of Debian, without network."""


@pytest.fixture(scope="module")
def bundle(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real offline bundle for this machine."""
    found("dpkg")
    for name in DEBIAN:
        done = subprocess.run(["dpkg", "--status", name], capture_output=True, check=False)
        if done.returncode and os.environ.get("MASK_KIOSK_REQUIRE_SHARED") != "1":
            pytest.skip(f"needs Debian's {name}: apt install {' '.join(DEBIAN)}")
        assert done.returncode == 0, f"MASK_KIOSK_REQUIRE_SHARED=1, but there is no {name}"
    # Of a copy: another test may be making one of the checkout at this moment.
    copy = tmp_path_factory.mktemp("bundle")
    for name in ("deploy", "docs", "edge_app", "systemd"):
        shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(root / name, copy)
    done = subprocess.run(
        ["bash", "deploy/bundle/make.sh", platform.machine()],
        cwd=copy,
        env={**os.environ, "PIP": f"{sys.executable} -m pip", "SOURCE_DATE_EPOCH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (made,) = (copy / "build/dist").glob("*.tar.gz")
    return made


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="module")
def kiosks(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Iterator[Kiosks]:
    require_roots()
    folder = tmp_path_factory.mktemp("push")
    kiosks = Kiosks([CANARY, *REST], folder)
    (folder / "test.pub").write_text(signer.public)
    try:
        kiosks.start()
        for root in kiosks.roots.values():
            root.run("install -d /etc/mask-kiosk/keys")
            root.run(f"install -m 644 {folder / 'test.pub'} /etc/mask-kiosk/keys/")
            root.run(f"cat >/etc/mask-kiosk/kiosk.toml <<'END'\n{SETTINGS}\nEND")
        yield kiosks
    finally:
        kiosks.stop()


def installed(kiosks: Kiosks, name: str) -> str:
    """The release in use; empty: none."""
    return (
        kiosks[name]
        .run("sed -n 's/^__version__ = //p' /opt/mask-kiosk/edge_app/__init__.py", check=False)
        .strip('"\n')
    )


def says(kiosks: Kiosks, name: str) -> str:
    """State and status of a kiosk's service."""
    return kiosks[name].run("systemctl show x --value --property=ActiveState,StatusText")


def process(kiosks: Kiosks, name: str) -> str:
    return kiosks[name].run("systemctl show x --value --property=MainPID")


def stopped(push: Push) -> str:
    """The line that says why a run stopped."""
    assert push.code != 0, push.output
    text = " ".join(push.output.split())
    return text[text.index("stopped, ") :]


def leaves_nothing(kiosks: Kiosks, name: str) -> bool:
    return "mask-kiosk-update" not in kiosks[name].run("ls /var/lib")


def test_the_example_inventory_becomes_prometheus_list(root: Path, tmp_path: Path) -> None:
    kiosks = Kiosks.__new__(Kiosks)
    kiosks.folder = tmp_path
    shutil.copy(PLAYBOOKS / "inventory.example.yml", tmp_path / "inventory.yml")
    out = tmp_path / "targets.json"
    push = kiosks.push("targets", out=out)
    assert push.code == 0, push.output
    kiosks_told = {
        target["labels"]["kiosk"]: (target["targets"], target["labels"]["group"])
        for target in json.loads(out.read_text())
    }
    assert kiosks_told["back-office"] == (["192.168.1.20:8080"], "canary")
    assert kiosks_told["side-door"] == (["side-door.local:8080"], "fleet")
    assert len(kiosks_told) == 4
    assert kiosks.push("targets", out=out).changed == {"localhost": 0}


def test_check_changes_nothing_and_says_what_it_would(kiosks: Kiosks, bundle: Path) -> None:
    push = kiosks.push("application", "--check", bundle=bundle)
    assert push.code == 0, push.output
    assert push.changed == dict.fromkeys(ALL, 1)
    assert push.output.count(f"would install {FIRST}; there is no application") == len(ALL)
    for name in ALL:
        assert installed(kiosks, name) == ""
        assert leaves_nothing(kiosks, name)


def test_the_first_push_installs_the_canary_then_the_rest(kiosks: Kiosks, bundle: Path) -> None:
    left = "/var/lib/mask-kiosk-update/unpacked/edge_app"
    kiosks[CANARY].run(f"mkdir -p {left} && touch {left}/of_another_bundle.py")
    push = kiosks.push("application", bundle=bundle, watch_s=WATCH_S)
    assert push.code == 0, push.output
    kiosks[CANARY].run("! test -e /opt/mask-kiosk/edge_app/of_another_bundle.py")
    assert push.output.index(f"changed: [{CANARY}]") < push.output.index("PLAY [The rest")
    for name in ALL:
        assert installed(kiosks, name) == FIRST
        assert says(kiosks, name).startswith("active\nIDLE")
        assert leaves_nothing(kiosks, name)


def test_a_second_push_changes_nothing(kiosks: Kiosks, bundle: Path) -> None:
    before = {name: process(kiosks, name) for name in ALL}
    push = kiosks.push("application", bundle=bundle, watch_s=0)
    assert push.code == 0, push.output
    assert push.changed == dict.fromkeys(ALL, 0)
    assert {name: process(kiosks, name) for name in ALL} == before, "nor was one restarted"


def test_a_canary_that_fails_goes_back_and_the_rest_is_untouched(
    kiosks: Kiosks, bundle: Path, tmp_path: Path
) -> None:
    before = {name: process(kiosks, name) for name in REST}
    breaks = ("edge_app/daemon/__init__.py", "\nraise SystemExit(2)\n")
    push = kiosks.push("application", bundle=release(bundle, tmp_path, BROKEN, breaks), watch_s=0)
    assert CANARY in stopped(push)
    assert "rolled back" in stopped(push)
    assert set(push.recap) == {CANARY}, "nobody else was even looked at"
    assert installed(kiosks, CANARY) == FIRST
    assert says(kiosks, CANARY).startswith("active\nIDLE")
    assert {name: process(kiosks, name) for name in REST} == before
    assert leaves_nothing(kiosks, CANARY)


def test_one_that_does_not_last_is_taken_back(kiosks: Kiosks, bundle: Path, tmp_path: Path) -> None:
    dies = f"\nimport os, threading\nthreading.Timer({DIES_AFTER_S}, os._exit, [1]).start()\n"
    short_lived = release(bundle, tmp_path, SHORT_LIVED, ("edge_app/daemon/kiosk.py", dies))
    push = kiosks.push("application", bundle=short_lived, watch_s=2 * DIES_AFTER_S)
    assert "it went back to what was there before" in stopped(push)
    assert set(push.recap) == {CANARY}
    assert installed(kiosks, CANARY) == FIRST
    assert says(kiosks, CANARY).startswith("active\nIDLE")


def test_one_that_is_switched_to_but_fails_its_check_is_taken_back(
    kiosks: Kiosks, bundle: Path, tmp_path: Path
) -> None:
    """Its install.sh ends with 1, though it is in use."""
    fails = ("deploy/install/service.sh", "finish() { fail 'its check failed'; }\n")
    push = kiosks.push("application", bundle=release(bundle, tmp_path, UNCHECKED, fails), watch_s=0)
    assert "its check failed; it went back to what was there before" in stopped(push)
    assert installed(kiosks, CANARY) == FIRST
    assert says(kiosks, CANARY).startswith("active\nIDLE")


def test_going_back_by_hand_that_does_nothing_is_noticed(kiosks: Kiosks) -> None:
    script = "/opt/mask-kiosk-releases/previous/deploy/install.sh"
    kiosks[CANARY].run(f"cp -p {script} /tmp/kept; echo '#!/bin/sh' >{script}")
    push = kiosks.push("rollback", "--limit", CANARY, what="application", watch_s=0)
    kiosks[CANARY].run(f"mv /tmp/kept {script}")
    assert push.code != 0, push.output
    assert f"it did not go back: there is still {FIRST}" in " ".join(push.output.split())


def test_a_model_is_pushed_and_used(kiosks: Kiosks, signer: Signer, tmp_path: Path) -> None:
    model = signer.bundle(MODELS_DIR, tmp_path / "new", MODEL, "pushed by a test")
    for arguments, changed in ((["--check"], 1), ([], None), ([], 0)):
        push = kiosks.push("models", *arguments, bundle=model, watch_s=0)
        assert push.code == 0, push.output
        assert set(push.recap) == ALL
        for name in ALL:
            assert changed is None or push.changed[name] == changed
            used = f"{MODEL} {version(model)}" in says(kiosks, name)
            assert used == (arguments == []), "--check installs nothing"
            assert leaves_nothing(kiosks, name)


def test_a_model_signed_by_a_stranger_stops_at_the_canary(kiosks: Kiosks, tmp_path: Path) -> None:
    before = {name: says(kiosks, name).split("models ")[1] for name in ALL}
    model = Signer(b"stranger").bundle(MODELS_DIR, tmp_path / "new", MODEL, "by a stranger")
    push = kiosks.push("models", bundle=model, watch_s=0)
    assert "this kiosk does not trust" in stopped(push)
    assert set(push.recap) == {CANARY}
    assert {name: says(kiosks, name).split("models ")[1] for name in ALL} == before


def test_rolling_back_by_hand(kiosks: Kiosks) -> None:
    push = kiosks.push("rollback", "--limit", CANARY, what="models", model=MODEL, watch_s=0)
    assert push.code == 0, push.output
    assert "shipped, active" in kiosks[CANARY].run(
        "cd /opt/mask-kiosk && .venv/bin/python -m edge_app models list"
    )


def test_a_single_kiosk_is_not_pushed_to_without_its_canary(kiosks: Kiosks, bundle: Path) -> None:
    push = kiosks.push("application", "--limit", REST[0], bundle=bundle)
    assert push.code != 0
    assert f"--limit canary,{REST[0]}" in " ".join(push.output.split())
    assert push.changed == {REST[0]: 0}


def test_one_that_cannot_be_reached_stops_its_batch_before_it_begins(
    kiosks: Kiosks, signer: Signer, tmp_path: Path
) -> None:
    kiosks[REST[1]].stop()
    before = process(kiosks, REST[0])
    model = signer.bundle(MODELS_DIR, tmp_path / "new", MODEL, "the second one")
    push = kiosks.push("models", bundle=model, watch_s=0)
    assert f"nothing in this batch was touched: cannot reach {REST[1]}" in stopped(push)
    assert push.recap[REST[1]].unreachable == 1
    assert push.changed[REST[0]] == 0
    assert process(kiosks, REST[0]) == before
    assert f"{MODEL} {version(model)}" in says(kiosks, CANARY), "the canary has it"


def test_what_is_no_bundle_touches_nobody(kiosks: Kiosks, tmp_path: Path) -> None:
    alone = tmp_path / f"{MODEL}.tflite"
    shutil.copy(MODELS_DIR / alone.name, alone)
    for playbook, wrong, why in (
        ("application", tmp_path / "release.zip", "no bundle has such a name"),
        ("application", tmp_path / "mask-kiosk-1.0-offline-arm64.tar.gz", "there is no"),
        ("models", alone, f"{MODEL}.json.minisig"),
    ):
        push = kiosks.push(playbook, bundle=wrong)
        assert push.code != 0
        assert why in " ".join(push.output.split())
        assert push.changed == {CANARY: 0}


def test_a_canary_that_cannot_be_reached_stops_everything(
    kiosks: Kiosks, signer: Signer, tmp_path: Path
) -> None:
    kiosks[CANARY].stop()
    before = process(kiosks, REST[0])
    model = signer.bundle(MODELS_DIR, tmp_path / "new", MODEL, "the third one")
    push = kiosks.push("models", bundle=model, watch_s=0)
    assert push.code != 0
    assert set(push.recap) == {CANARY}
    assert push.recap[CANARY].unreachable == 1
    assert process(kiosks, REST[0]) == before
