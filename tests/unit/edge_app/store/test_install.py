"""What is let in and what is not; the old model counts after every refusal.

Self-tests run in this process, which is quicker; tests/unit/edge_app/test_trial.py has the child.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
from pathlib import Path

import pytest

from edge_app.errors import (
    BundleError,
    BundleNotFoundError,
    ModelStoreBusyError,
    ModelStoreError,
    SelfTestError,
    SignatureError,
)
from edge_app.store import install as installing
from edge_app.store.install import install, rollback
from edge_app.store.layout import read_record
from edge_app.vision.bundle import find_bundle
from tests.disks import Disk
from tests.model_bundles import CLASSIFIER, DETECTOR, Models, Signer
from tests.model_installs import in_use, put_in, refused


@pytest.fixture(autouse=True)
def no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_app.store.service.look", lambda: None)


@pytest.fixture
def old(models: Models) -> str:
    """The version of a model that was installed already."""
    bundle = models.bundle(change={"made_by": "old"})
    put_in(models, bundle)
    return models.version(bundle)


def test_an_installed_model_counts_before_the_shipped_one(models: Models) -> None:
    shipped = in_use()
    bundle = models.bundle()
    said = put_in(models, bundle)
    assert in_use() == models.version(bundle) != shipped
    assert find_bundle(DETECTOR).is_relative_to(models.store)
    assert f"signed by key {models.signer.id} (for tests)" in said
    assert "self-test passed: 2 pictures, outputs differ by at most 0 of 255" in said
    assert "switched without waiting: systemd does not run the kiosk here" in said


def test_everybody_may_read_what_was_installed(models: Models) -> None:
    before = os.umask(0o077)
    try:
        put_in(models, models.bundle())
    finally:
        os.umask(before)
    for path in [models.store, *models.store.rglob("*")]:
        if path.name in ("lock", "record.lock"):
            assert path.stat().st_mode & 0o777 == 0o600, "the kiosk must not hold it"
        else:
            assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


def test_the_same_again_changes_nothing_once_it_is_confirmed(models: Models) -> None:
    bundle = models.bundle()
    put_in(models, bundle)
    assert "self-test" in put_in(models, bundle), "not confirmed: tried again"
    installing.change(models.store, DETECTOR, lambda record: record.confirmed())
    before = read_record(models.store, DETECTOR)
    assert "is in use already" in put_in(models, bundle)
    assert read_record(models.store, DETECTOR) == before


def test_a_version_that_counts_is_never_away_while_it_is_installed_again(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = models.bundle()
    put_in(models, bundle)
    folder = find_bundle(DETECTOR).parent
    before = folder.stat().st_ino
    monkeypatch.setattr("edge_app.store.changes.move", lambda *_: pytest.fail("moved"))
    put_in(models, bundle)
    assert folder.stat().st_ino == before
    assert [path.name for path in folder.parent.iterdir()] == [models.version(bundle)]


def test_a_folder_that_a_killed_command_left_closed_is_opened(models: Models) -> None:
    (models.store / "active").mkdir(parents=True)
    for folder in (models.store, models.store / "active"):
        folder.chmod(0o700)
    put_in(models, models.bundle())
    for folder in (models.store, models.store / "active"):
        assert folder.stat().st_mode & 0o777 == 0o755


def test_a_kill_right_after_a_folder_was_made_leaves_it_open(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = models.bundle()

    class KilledError(Exception):
        pass

    def kill(*_: object) -> None:
        raise KilledError

    monkeypatch.setattr(Path, "chmod", kill)
    before = os.umask(0o077)
    try:
        with pytest.raises(KilledError):
            put_in(models, bundle)
        assert os.umask(0o077) == 0o077, "put back"
    finally:
        os.umask(before)
    assert models.store.stat().st_mode & 0o777 == 0o755


def test_a_damaged_version_is_mended_by_installing_it_again(models: Models) -> None:
    bundle = models.bundle()
    put_in(models, bundle)
    installing.change(models.store, DETECTOR, lambda record: record.confirmed())
    find_bundle(DETECTOR).write_bytes(b"damaged")
    put_in(models, bundle)
    assert in_use() == models.version(bundle)


# Refused


def test_without_a_key_nothing_is_let_in(models: Models, old: str) -> None:
    shutil.rmtree(models.keys)
    words = r"no key that this kiosk trusts .*; run: sudo install -D -m 644 -t "
    refused(models, models.bundle(), SignatureError, words)


def test_without_a_signature_nothing_is_let_in(models: Models, old: str) -> None:
    bundle = models.bundle()
    (bundle / f"{DETECTOR}.json.minisig").unlink()
    refused(models, bundle, SignatureError, "is not signed; .* run: minisign -S -m")


def test_a_wrong_signature_is_refused_and_the_old_model_stays(models: Models, old: str) -> None:
    bundle = models.bundle()
    card = bundle / f"{DETECTOR}.json"
    card.write_text(card.read_text().replace("0.5", "0.1"))
    refused(models, bundle, SignatureError, "did not sign this card as it is")


def test_an_untrusted_key_is_refused_and_the_old_model_stays(models: Models, old: str) -> None:
    bundle, stranger = models.bundle(), Signer()
    models.sign(bundle, stranger)
    words = f"signed by key {stranger.id}, which this kiosk does not trust .*{models.signer.id}"
    refused(models, bundle, SignatureError, words)


def test_a_failed_self_test_is_refused_and_the_old_model_stays(models: Models, old: str) -> None:
    """The signed self-test of another model: same shapes, other answers."""
    bundle = models.bundle()
    other = models.bundle(change={"thresholds": {"score": 0.05, "nms_iou": 0.9}})
    swap_selftest(models, bundle, (other / f"{DETECTOR}.selftest.npz").read_bytes())
    refused(models, bundle, SelfTestError, r"gives 'faces: \d+' here, 'faces: \d+' at export")


def test_a_self_test_that_is_none_is_refused(models: Models, old: str) -> None:
    bundle = models.bundle()
    swap_selftest(models, bundle, b"PK rubbish")
    refused(models, bundle, BundleError, "no self-test that can be read")


def swap_selftest(models: Models, bundle: Path, content: bytes) -> None:
    import hashlib

    (bundle / f"{DETECTOR}.selftest.npz").write_bytes(content)
    change_card(models, bundle, {"selftest": {"sha256": hashlib.sha256(content).hexdigest()}})


def change_card(models: Models, bundle: Path, changes: dict[str, object]) -> None:
    """Signed again: what is wrong must be found behind the signature."""
    [card] = bundle.glob("*.json")
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))
    models.sign(bundle)


@pytest.mark.parametrize("suffix", [".tflite", ".selftest.npz"])
def test_a_file_with_another_hash_is_refused(models: Models, old: str, suffix: str) -> None:
    bundle = models.bundle()
    with (bundle / f"{DETECTOR}{suffix}").open("ab") as file:
        file.write(b"x")
    words = rf"{DETECTOR}{suffix} is damaged or not the one that the card describes"
    refused(models, bundle, BundleError, words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": 2}, "schema 2 is not 1; update the application"),
        ({"name": "other"}, "is the card of 'other'|is the card of \"other\""),
        ({"task": "fly"}, "task = .fly. must be 'detect' or 'classify'"),
        ({"selftest": {}}, "key 'selftest.sha256' is missing"),
        ({"strides": [8]}, "outputs are"),
    ],
)
def test_a_card_that_the_kiosk_could_not_use_is_refused(
    models: Models, old: str, changes: dict[str, object], words: str
) -> None:
    bundle = models.bundle()
    change_card(models, bundle, changes)
    refused(models, bundle, BundleError, words)


def test_a_bundle_from_before_self_tests_is_refused(models: Models, old: str) -> None:
    bundle = models.bundle()
    [path] = bundle.glob("*.json")
    card = json.loads(path.read_text())
    del card["selftest"]
    path.write_text(json.dumps(card))
    models.sign(bundle)
    refused(models, bundle, BundleError, "names no self-test; on the workstation run")


def test_a_model_for_another_task_is_refused(models: Models, old: str) -> None:
    bundle = models.bundle(CLASSIFIER)
    for path in list(bundle.iterdir()):
        path.rename(bundle / path.name.replace(CLASSIFIER, DETECTOR))
    change_card(models, bundle, {"name": DETECTOR})
    words = "is for 'classify' .*, but tiny_detector is for 'detect': export it under another name"
    refused(models, bundle, BundleError, words)


def test_a_classifier_with_other_labels_is_refused(models: Models) -> None:
    """The shipped one here knows fewer: a model that does not know a state is no update."""
    card = models.shipped / f"{CLASSIFIER}.json"
    fewer = json.loads(card.read_text()) | {"labels": ["with_mask", "without_mask"]}
    card.write_text(json.dumps(fewer))
    bundle = models.bundle(CLASSIFIER)
    with pytest.raises(BundleError, match=r"is for 'classify' \(with_mask, .*incorrect_mask\), b"):
        install(bundle, models.store, models.keys, io.StringIO())


def test_a_missing_file_is_named(models: Models, old: str) -> None:
    bundle = models.bundle()
    (bundle / f"{DETECTOR}.selftest.npz").unlink()
    refused(models, bundle, BundleNotFoundError, r"selftest\.npz is missing")


# The disk, and others at work


def test_a_second_command_at_the_same_time_is_refused(models: Models, old: str) -> None:
    with (models.store / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(models, models.bundle(), ModelStoreBusyError, "another command installs")
        with pytest.raises(ModelStoreBusyError):
            rollback(DETECTOR, models.store, io.StringIO())
    put_in(models, models.bundle())


def test_a_full_disk_leaves_the_old_model(
    models: Models, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.store = disk.folder / "store"
    monkeypatch.setenv("MASK_KIOSK_MODELS", str(models.store))
    first, second = models.bundle(), models.bundle(change={"made_by": "x" * 60_000})
    put_in(models, first)
    disk.fill()
    refused(models, second, ModelStoreError, "cannot write: No space left on device; free some")
    disk.empty()
    put_in(models, second)
    assert in_use() == models.version(second)


def test_a_store_that_may_not_be_written_says_how(
    models: Models, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    refused(models, models.bundle(), ModelStoreError, r"Permission denied; run this .* \(sudo\)")


def test_old_versions_and_what_killed_commands_left_are_removed(models: Models) -> None:
    versions = []
    for i in range(5):
        bundle = models.bundle(change={"made_by": str(i)})
        (models.store / "versions" / ".new-abc").mkdir(parents=True, exist_ok=True)
        put_in(models, bundle)
        versions.append(models.version(bundle))
    found = {path.name for path in (models.store / "versions").iterdir()}
    assert found == set(versions[2:])
