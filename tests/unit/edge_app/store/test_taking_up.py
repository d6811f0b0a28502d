"""Whether the kiosk takes up what was installed, and the way back."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from edge_app.errors import (
    BundleError,
    ModelStoreError,
    ServiceSilentError,
    UpdateFailedError,
    UsageError,
)
from edge_app.store.changes import change
from edge_app.store.install import rollback
from edge_app.store.layout import read_record
from edge_app.store.overview import show
from edge_app.store.service import Look
from edge_app.vision.bundle import find_bundle, load_bundle
from tests.model_bundles import CLASSIFIER, DETECTOR, Models
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


# The service

WORKS = Look("active", True, 7, "IDLE: x", 5.0, {DETECTOR: "?"})


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The service runs, takes orders and works."""
    given: list[str] = []
    monkeypatch.setattr("edge_app.store.service.look", lambda: WORKS)
    monkeypatch.setattr("edge_app.store.service.restart", lambda: given.append("restart") or True)
    monkeypatch.setattr("edge_app.store.service.wait_until_healthy", lambda *_: WORKS)
    return given


def test_a_version_that_the_kiosk_works_with_is_confirmed(
    models: Models, orders: list[str]
) -> None:
    assert "the kiosk works with it" in put_in(models, models.bundle())
    assert read_record(models.store, DETECTOR).active.confirmed
    assert orders == ["restart"]


def test_a_version_that_the_settings_do_not_use_is_not_confirmed(
    models: Models, orders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(WORKS, models={"door_detector": "?"})
    monkeypatch.setattr("edge_app.store.service.wait_until_healthy", lambda *_: other)
    said = put_in(models, models.bundle())
    assert "switched, but the kiosk's settings name other models" in said
    assert "works with it" not in said
    assert not read_record(models.store, DETECTOR).active.confirmed


def test_nothing_is_switched_while_systemd_does_not_answer(
    models: Models, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent() -> None:
        raise ServiceSilentError("systemctl show: fails")

    monkeypatch.setattr("edge_app.store.service.look", silent)
    refused(models, models.bundle(), ServiceSilentError, "systemctl show: fails")
    out = io.StringIO()
    assert rollback(DETECTOR, models.store, out) == 1, "that is done all the same"
    assert "the kiosk does not work: systemctl show: fails; it was not restarted" in out.getvalue()
    assert find_bundle(DETECTOR).parent == models.shipped


def test_a_version_that_failed_leaves_no_files(
    models: Models, old: str, orders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["it crashed", WORKS])
    monkeypatch.setattr("edge_app.store.service.wait_until_healthy", lambda *_: next(answers))
    words = f"it crashed; rolled back to {old[:12]}, which works again"
    refused(models, models.bundle(), UpdateFailedError, words)
    assert orders == ["restart", "restart"]


# Back


def test_rollback_takes_no_path(models: Models, old: str) -> None:
    """It would take the shipped model's card for a damaged record, and move it away."""
    files = sorted(models.shipped.iterdir())
    for name in (str(models.shipped / DETECTOR), f"../{DETECTOR}", "..", "", f"{DETECTOR}/"):
        with pytest.raises(UsageError, match="is not the name of a model"):
            rollback(name, models.store, io.StringIO())
        with pytest.raises(UsageError, match="cannot be the name of an installed model"):
            change(models.store, name, lambda _record: None)
    assert sorted(models.shipped.iterdir()) == files
    assert in_use() == old


def test_rollback_goes_back_one_by_one_and_at_last_to_the_shipped_model(models: Models) -> None:
    shipped, bundles = in_use(), [models.bundle(change={"made_by": str(i)}) for i in range(2)]
    for bundle in bundles:
        put_in(models, bundle)
    for version in (models.version(bundles[0]), shipped):
        out = io.StringIO()
        assert rollback(None, models.store, out) == 0
        assert in_use() == version
        assert "gave way to" in out.getvalue()
    with pytest.raises(UsageError, match="no model is installed"):
        rollback(None, models.store, io.StringIO())


def test_a_shipped_model_that_could_not_be_installed_is_listed_as_any_other(
    models: Models, old: str
) -> None:
    for suffix in (".tflite", ".json"):
        path = models.shipped / f"{CLASSIFIER}{suffix}"
        path.rename(path.with_stem("my model"))
    card = models.shipped / "my model.json"
    card.write_text(card.read_text().replace(CLASSIFIER, "my model"))
    out = io.StringIO()
    assert show(models.store, out) == 0
    assert "my model" in out.getvalue()


def test_rollback_passes_over_a_damaged_version(models: Models, old: str) -> None:
    shipped = load_bundle(models.shipped / f"{DETECTOR}.tflite", "detect").card.version
    put_in(models, models.bundle())
    (models.store / "versions" / old / f"{DETECTOR}.tflite").unlink()
    assert rollback(DETECTOR, models.store, io.StringIO()) == 0
    assert in_use() == shipped


def test_rollback_mends_a_damaged_record(models: Models, old: str) -> None:
    (models.store / "active" / f"{DETECTOR}.json").write_bytes(b"{")
    with pytest.raises(BundleError, match="damaged.*run: sudo systemctl restart"):
        find_bundle(DETECTOR)
    assert rollback(DETECTOR, models.store, io.StringIO()) == 0
    assert find_bundle(DETECTOR).parent == models.shipped


def test_rollback_wants_a_name_when_there_are_several(models: Models, old: str) -> None:
    put_in(models, models.bundle(CLASSIFIER))
    with pytest.raises(UsageError, match=f"name one .*: {CLASSIFIER}, {DETECTOR}"):
        rollback(None, models.store, io.StringIO())
    with pytest.raises(UsageError, match="nobody: no such model"):
        rollback("nobody", models.store, io.StringIO())


def test_a_model_that_ships_nowhere_cannot_be_taken_away(models: Models) -> None:
    bundle = models.bundle()
    for suffix in (".tflite", ".json"):
        (models.shipped / f"{DETECTOR}{suffix}").unlink()
    put_in(models, bundle)
    with pytest.raises(ModelStoreError, match="there is no other tiny_detector to go back to"):
        rollback(DETECTOR, models.store, io.StringIO())
    assert in_use() == models.version(bundle)
