from __future__ import annotations

import io
from pathlib import Path

import pytest

from edge_app.store.changes import change
from edge_app.store.check import check_store
from edge_app.store.going_back import go_back
from edge_app.store.install import install
from edge_app.trial import compare_with_export
from tests.model_bundles import DETECTOR, Models


@pytest.fixture(autouse=True)
def no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_app.store.service.look", lambda: None)


def found(models: Models) -> dict[str, tuple[str, str]]:
    return {name: (s, told) for name, s, told in check_store(models.store, models.keys)}


def test_a_kiosk_without_any(tmp_path: Path, models: Models) -> None:
    for store in (None, tmp_path / "nowhere"):
        assert [line[1:] for line in check_store(store, tmp_path / "nowhere")] == [
            ("ok", "none, the shipped ones count"),
            (
                "skipped",
                f"none in {tmp_path / 'nowhere'}: new models are refused (docs/models.md)",
            ),
        ]


def test_installed_models_and_keys_are_named(models: Models) -> None:
    bundle = models.bundle()
    install(bundle, models.store, models.keys, io.StringIO(), compare_with_export)
    status, told = found(models)["installed models"]
    assert status == "ok"
    assert told.startswith(f"{DETECTOR} {models.version(bundle)[:12]} of 2")
    assert told.endswith(" (not confirmed yet)")
    change(models.store, DETECTOR, lambda record: record.confirmed())
    assert "not confirmed" not in found(models)["installed models"][1]
    assert found(models)["model keys"] == ("ok", f"models signed by {models.signer.id} are let in")


def test_a_rollback_that_nobody_asked_for_is_told(models: Models) -> None:
    bundle = models.bundle()
    install(bundle, models.store, models.keys, io.StringIO(), compare_with_export)
    go_back(models.store, DETECTOR, models.version(bundle), "it crashed")
    status, told = found(models)["installed models"]
    assert status == "ok"
    assert told.startswith("none, the shipped ones count; tiny_detector ")
    assert told.endswith(": it crashed")


def test_damage_fails(models: Models) -> None:
    bundle = models.bundle()
    install(bundle, models.store, models.keys, io.StringIO(), compare_with_export)
    version = models.store / "versions" / models.version(bundle)
    (version / f"{DETECTOR}.tflite").write_bytes(b"")
    (models.keys / "b.pub").write_text("x")
    (models.keys / "b.pub").chmod(0o644)
    results = found(models)
    assert results["installed models"][0] == results["model keys"][0] == "FAIL"
    assert "is damaged: its sha256 is not the one on its card" in results["installed models"][1]
