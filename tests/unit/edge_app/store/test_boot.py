"""What root does around a start: see docs/models.md, "When something breaks"."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_app.errors import BundleError, ServiceSilentError
from edge_app.store import changes
from edge_app.store.boot import before_start, main, ready
from edge_app.store.going_back import go_back
from edge_app.store.install import install
from edge_app.store.layout import is_on_trial, read_record
from edge_app.store.overview import show
from edge_app.store.record import MAX_STARTS
from edge_app.store.service import Look
from edge_app.trial import compare_with_export
from edge_app.vision.bundle import find_bundle, load_bundle
from tests.model_bundles import CLASSIFIER, DETECTOR, Models


@pytest.fixture(autouse=True)
def no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_app.store.service.look", lambda: None)


@pytest.fixture
def two(models: Models) -> tuple[str, str]:
    """An old, confirmed version and a new, unconfirmed one that counts."""
    old, new = models.bundle(change={"made_by": "old"}), models.bundle(change={"made_by": "new"})
    put_in(models, old)
    changes.change(models.store, DETECTOR, lambda record: record.confirmed())
    put_in(models, new)
    return models.version(old), models.version(new)


def put_in(models: Models, bundle: Path) -> None:
    install(bundle, models.store, models.keys, io.StringIO(), compare_with_export)


def told(**models: str) -> Look:
    return Look("activating", True, 7, "", 0.2, {name: v[:12] for name, v in models.items()})


def in_use() -> str:
    return load_bundle(DETECTOR, "detect").card.version


def listed(models: Models) -> tuple[int, str]:
    out = io.StringIO()
    return show(models.store, out), out.getvalue()


def test_ready_confirms_the_version_that_the_kiosk_uses(
    models: Models, two: tuple[str, str]
) -> None:
    assert before_start(models.store) == 0
    assert ready(models.store, lambda: told(tiny_detector=two[1])) == 0
    active = read_record(models.store, DETECTOR).active
    assert (active.version, active.confirmed, active.starts) == (two[1], True, 0)
    for _ in range(MAX_STARTS + 2):
        before_start(models.store)
    assert in_use() == two[1]


@pytest.mark.parametrize("seen", [None, told(), told(tiny_detector="0" * 64)])
def test_ready_confirms_nothing_else(
    models: Models, two: tuple[str, str], seen: Look | None
) -> None:
    before_start(models.store)
    ready(models.store, lambda: seen)
    active = read_record(models.store, DETECTOR).active
    assert (active.confirmed, active.starts) == (False, 1)


def test_a_systemd_that_does_not_answer_is_said_and_confirms_nothing(
    models: Models, two: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    def silent() -> None:
        raise ServiceSilentError("systemctl show: fails")

    assert ready(models.store, silent) == 1
    assert caplog.messages == [
        "systemctl show: fails; the new models are not confirmed by this start"
    ]
    assert not read_record(models.store, DETECTOR).active.confirmed


def test_an_unconfirmed_model_that_never_gets_ready_is_rolled_back(
    models: Models, two: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(MAX_STARTS):
        assert before_start(models.store) == 0
        assert in_use() == two[1]
    assert before_start(models.store) == 0
    assert in_use() == two[0]
    [line] = caplog.messages
    why = "the kiosk did not work in 3 starts with it"
    assert line == f"tiny_detector {two[1][:12]} is rolled back to {two[0][:12]}: {why}"
    code, table = listed(models)
    assert code == 0
    assert f"tiny_detector {two[1][:12]} was rolled back on " in table
    assert why in table


def test_starts_of_a_kiosk_that_uses_other_models_do_not_count(
    models: Models, two: tuple[str, str]
) -> None:
    for _ in range(MAX_STARTS + 2):
        before_start(models.store)
        ready(models.store, lambda: told(door_detector="c" * 64))
    assert in_use() == two[1]
    assert not read_record(models.store, DETECTOR).active.confirmed


def damage_model(folder: Path) -> None:
    path = folder / f"{DETECTOR}.tflite"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "a bit of the model": damage_model,
    "a cut model": lambda f: os.truncate(f / f"{DETECTOR}.tflite", 100),
    "no model": lambda f: (f / f"{DETECTOR}.tflite").unlink(),
    "no card": lambda f: (f / f"{DETECTOR}.json").unlink(),
    "an empty card": lambda f: (f / f"{DETECTOR}.json").write_bytes(b""),
    "another card": lambda f: (f / f"{DETECTOR}.json").write_text(
        (f / f"{DETECTOR}.json").read_text().replace("0.5", "0.1")
    ),
    "no folder": lambda f: f.rename(f.with_name("gone")),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_installed_model_is_a_fault_until_it_is_rolled_back_before_a_start(
    models: Models, two: tuple[str, str], what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The kiosk itself never takes another model in silence; the start after that does, loudly."""
    changes.change(models.store, DETECTOR, lambda record: record.confirmed())
    DAMAGE[what](models.store / "versions" / two[1])
    with pytest.raises((BundleError, FileNotFoundError)):
        load_bundle(DETECTOR, "detect")
    assert listed(models)[0] == 1
    assert before_start(models.store) == 0
    assert in_use() == two[0]
    assert f"{two[1][:12]} is rolled back to {two[0][:12]}: " in caplog.text
    assert listed(models)[0] == 0


def test_when_both_are_damaged_the_shipped_model_counts(
    models: Models, two: tuple[str, str]
) -> None:
    for version in two:
        damage_model(models.store / "versions" / version)
    before_start(models.store)
    assert find_bundle(DETECTOR).parent == models.shipped


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 300])
def test_a_damaged_record_is_a_fault_until_it_is_moved_aside(
    models: Models, two: tuple[str, str], content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = models.store / "active" / f"{DETECTOR}.json"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="the record of installed models is damaged"):
        find_bundle(DETECTOR)
    code, table = listed(models)
    assert code == 1
    assert "unknown, damaged" in table
    assert before_start(models.store) == 0
    assert find_bundle(DETECTOR).parent == models.shipped
    assert "it was moved aside, the shipped model counts" in caplog.text
    assert path.with_name(f"{path.name}.damaged").read_bytes() == content


def test_one_model_in_trouble_leaves_the_others_alone(
    models: Models, two: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    put_in(models, models.bundle(CLASSIFIER))
    (models.shipped / f"{CLASSIFIER}.tflite").unlink()  # nothing to go back to
    (models.store / "versions").joinpath(
        read_record(models.store, CLASSIFIER).active.version, f"{CLASSIFIER}.tflite"
    ).unlink()
    assert before_start(models.store) == 1
    assert "there is no other tiny_classifier to go back to" in caplog.text
    assert read_record(models.store, DETECTOR).active.starts == 1


def test_a_model_that_nothing_was_before_is_not_tried_for_ever(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kiosk ends for the sake of being counted only as long as that leads to something."""
    put_in(models, models.bundle())
    assert not is_on_trial(models.store), "nobody counts"
    (models.shipped / f"{DETECTOR}.tflite").unlink()
    for _ in range(MAX_STARTS):
        assert before_start(models.store) == 0
        assert is_on_trial(models.store)
    for _ in range(2):
        assert before_start(models.store) == 1
        assert not is_on_trial(models.store)
    assert find_bundle(DETECTOR).is_relative_to(models.store)


def test_going_back_twice_does_not_go_two_steps(models: Models, two: tuple[str, str]) -> None:
    """A failed update and the unit may both find out."""
    go_back(models.store, DETECTOR, two[1], "first")
    go_back(models.store, DETECTOR, two[1], "second")
    record = read_record(models.store, DETECTOR)
    assert record.active.version == two[0]
    assert record.undone.why == "first"


def test_without_a_store_there_is_nothing_to_do(tmp_path: Path) -> None:
    for work in (before_start, ready):
        arguments = () if work is before_start else (lambda: told(a="b" * 64),)
        assert work(tmp_path / "nowhere", *arguments) == 0
    assert not (tmp_path / "nowhere").exists()


def test_the_command_as_the_unit_runs_it(models: Models, two: tuple[str, str]) -> None:
    """With what the unit says about it: PYTHONSAFEPATH, another working directory, a umask."""
    root = Path(changes.__file__).parents[2]
    command = [sys.executable, "-m", "edge_app.store.boot"]
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
    for words, code in ((["before-start"], 0), (["ready"], 0), (["fly"], 2), ([], 2)):
        done = subprocess.run(
            [*command, *words], cwd="/", env=environment, umask=0o077, capture_output=True
        )
        assert done.returncode == code, done.stderr
    path = models.store / "active" / f"{DETECTOR}.json"
    assert path.stat().st_mode & 0o777 == 0o644, "the kiosk must read it"
    assert read_record(models.store, DETECTOR).active.starts == 1


def test_an_empty_variable_is_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASK_KIOSK_MODELS", "")
    assert main(["before-start"]) == 0


def test_a_store_that_cannot_be_written_is_said_and_keeps_no_kiosk_from_starting(
    models: Models, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(changes, "replace_file", refuse)
    with caplog.at_level(logging.ERROR):
        assert before_start(models.store) == 1
    assert "cannot write: Read-only file system" in caplog.text
    assert in_use() == two[1]
