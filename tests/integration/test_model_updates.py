"""``models install`` and a kiosk that really runs, kept by a small systemd (tests/keeper.py).

Killing at every step is in test_model_kills.py; what is let in, in the unit tests.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_app.store.layout import read_record
from edge_app.vision.bundle import read_card
from tests.keeper import Keeper
from tests.model_bundles import DETECTOR, Models, Signer
from tests.services import PATIENCE_S

Clip = Callable[[int], Path]


@pytest.fixture
def long_clip(tmp_path_factory: pytest.TempPathFactory, clip: Clip) -> Path:
    """Written once: that takes seconds."""
    path = tmp_path_factory.getbasetemp() / "long.avi"
    if not path.exists():
        clip(4000).rename(path)
    return path


@pytest.fixture
def keeper(root: Path, tmp_path: Path, models: Models, long_clip: Path) -> Iterator[Keeper]:
    settings = tmp_path / "kiosk.toml"
    settings.write_text(
        f'[source]\nuri = "{long_clip}"\n[indicator]\npins = "mock"\nself_test = false\n'
        f'[detector]\nbundle = "{DETECTOR}"\n[classifier]\nbundle = "tiny_classifier"\n'
    )
    settings.chmod(0o600)
    folder = tmp_path / "systemd"
    folder.mkdir()
    environment = {
        "MASK_KIOSK_MODELS": str(models.store),
        "TEST_SHIPPED": str(models.shipped),
        "TEST_KEYS": str(models.keys),
    }
    it = Keeper(root, folder, settings, environment)
    yield it
    it.stop()


def short(version: str) -> str:
    return f"{DETECTOR} {version[:12]}"


def shipped(models: Models) -> str:
    return read_card(models.shipped / f"{DETECTOR}.tflite").version


def bad(keeper: Keeper, models: Models, way: str) -> Path:
    """A bundle with which the kiosk will not work."""
    bundle = models.bundle(change={"made_by": "bad"})
    keeper.environment |= {"TEST_BAD": models.version(bundle), "TEST_WAY": way}
    return bundle


def only_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line on stderr of a command that failed."""
    assert done.returncode == code, done.stdout + done.stderr
    [line] = done.stderr.splitlines()
    return line


def test_an_update_is_taken_up_and_confirmed_and_can_be_taken_back(
    keeper: Keeper, models: Models
) -> None:
    keeper.start()
    keeper.wait_for(short(shipped(models)))
    bundle = models.bundle()
    done = keeper.run("models", "install", bundle)
    assert done.returncode == 0, done.stderr
    assert "the kiosk works with it" in done.stdout
    assert short(models.version(bundle)) in keeper.status
    assert read_record(models.store, DETECTOR).active.confirmed
    listed = keeper.run("models", "list")
    assert listed.returncode == 0
    assert f"{models.version(bundle)[:12]}  active" in listed.stdout
    done = keeper.run("models", "rollback")
    assert done.returncode == 0, done.stderr
    assert short(shipped(models)) in keeper.status


@pytest.mark.parametrize("way", ["crash", "hang"])
def test_a_model_that_does_not_work_is_rolled_back_within_a_minute(
    keeper: Keeper, models: Models, way: str
) -> None:
    old, new = models.bundle(change={"made_by": "old"}), bad(keeper, models, way)
    keeper.start()
    keeper.wait_for(short(shipped(models)))
    assert keeper.run("models", "install", old).returncode == 0
    line = only_line(keeper.run("models", "install", new), 1)
    assert f"{short(models.version(new))}: the kiosk did not work with it" in line
    assert f"rolled back to {models.version(old)[:12]}, which works again" in line
    keeper.wait_for(short(models.version(old)))
    listed = keeper.run("models", "list")
    assert f"{short(models.version(new))} was rolled back on " in listed.stdout
    assert listed.returncode == 0


@pytest.mark.parametrize("way", ["crash", "refuse"])
def test_a_model_that_was_never_confirmed_is_rolled_back_after_a_few_starts(
    keeper: Keeper, models: Models, way: str
) -> None:
    """As when the power fails right after the switch, before anybody saw how it goes."""
    new = bad(keeper, models, way)
    assert "the service is stopped" in keeper.run("models", "install", new).stdout
    keeper.start()
    keeper.wait_for(short(shipped(models)))
    assert f"{short(models.version(new))} is rolled back to the shipped one: " in keeper.log
    assert keeper.starts <= 5
    if way == "refuse":
        assert "refused by the test; starting again, a newly installed model" in keeper.log


def test_a_kiosk_that_works_confirms_what_was_never_confirmed(
    keeper: Keeper, models: Models
) -> None:
    bundle = models.bundle()
    keeper.run("models", "install", bundle)
    assert not read_record(models.store, DETECTOR).active.confirmed
    keeper.start()
    keeper.wait_for(short(models.version(bundle)))
    assert read_record(models.store, DETECTOR).active.confirmed
    assert keeper.starts == 1


def test_an_installation_killed_while_it_waits_leaves_a_kiosk_that_works(
    keeper: Keeper, models: Models
) -> None:
    """An SSH connection that ends, say."""
    keeper.start()
    keeper.wait_for(short(shipped(models)))
    bundle = models.bundle()
    install = subprocess.Popen(
        keeper.command("models", "install", bundle),
        cwd=keeper.root,
        env=keeper._environ(),
        stdout=subprocess.DEVNULL,
    )
    before, end = keeper.starts, time.monotonic() + PATIENCE_S
    while keeper.starts == before and time.monotonic() < end:
        time.sleep(0.02)
    install.send_signal(signal.SIGKILL)
    assert install.wait() == -signal.SIGKILL
    keeper.wait_for(short(models.version(bundle)))
    assert read_record(models.store, DETECTOR).active.confirmed


def test_a_store_that_is_damaged_while_the_power_is_off_is_rolled_back_at_the_next_start(
    keeper: Keeper, models: Models
) -> None:
    old, new = models.bundle(change={"made_by": "old"}), models.bundle(change={"made_by": "new"})
    for bundle in (old, new):
        keeper.run("models", "install", bundle)
    path = models.store / "versions" / models.version(new) / f"{DETECTOR}.tflite"
    path.write_bytes(path.read_bytes()[:-1])
    keeper.start()
    keeper.wait_for(short(models.version(old)))
    assert (
        f"{short(models.version(new))} is rolled back to {models.version(old)[:12]}" in keeper.log
    )
    assert keeper.starts == 1


def test_a_damaged_store_is_a_fault_where_nobody_rolls_back(keeper: Keeper, models: Models) -> None:
    """A unit without its ExecStartPre, or a store that cannot be written: never another model."""
    keeper.run("models", "install", models.bundle())
    (models.store / "active" / f"{DETECTOR}.json").write_bytes(b"")
    for command in ("run", "check"):
        words = [command, "--settings", keeper.settings]
        done = keeper.run(*words)
        assert "the record of installed models is damaged" in done.stdout + done.stderr
        assert done.returncode == (2 if command == "run" else 1)
        assert "NO_MASK" not in done.stderr


def test_what_is_refused_is_one_line_and_never_reaches_the_kiosk(
    keeper: Keeper, models: Models
) -> None:
    keeper.start()
    keeper.wait_for(short(shipped(models)))
    stranger, wrong, failing = (models.bundle(change={"made_by": str(i)}) for i in range(3))
    models.sign(stranger, Signer())
    card = wrong / f"{DETECTOR}.json"
    card.write_text(card.read_text() + " ")
    other = models.bundle(change={"thresholds": {"score": 0.05, "nms_iou": 0.9}})
    test = f"{DETECTOR}.selftest.npz"
    digest = read_card(other / f"{DETECTOR}.tflite").selftest_sha256
    card = failing / f"{DETECTOR}.json"
    before = read_card(failing / f"{DETECTOR}.tflite").selftest_sha256
    card.write_text(card.read_text().replace(before, digest))
    (failing / test).write_bytes((other / test).read_bytes())
    models.sign(failing)
    for bundle, code, words in (
        (stranger, 2, "which this kiosk does not trust"),
        (wrong, 2, "did not sign this card as it is"),
        (failing, 1, "of its self-test gives"),
    ):
        assert words in only_line(keeper.run("models", "install", bundle), code)
    assert keeper.starts == 1
    keeper.wait_for(short(shipped(models)))
