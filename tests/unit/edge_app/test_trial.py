"""The child process is a real one, and so is the crash.

``crashing_classifier.tflite`` is ``tiny_classifier.tflite`` with two bytes changed: the zero point
of its input lies far outside of uint8, and ai-edge-litert 2.3 reads where it must not.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path

import pytest

from edge_app import trial
from edge_app.check import check_model
from edge_app.cli import main
from edge_app.errors import BundleError, BundleNotFoundError, SelfTestError
from edge_app.settings import Settings, replace_settings
from edge_app.trial import build_tried_pipeline, try_model, try_selftest
from edge_app.vision import interpreter
from tests.model_bundles import DETECTOR, Models


@pytest.fixture
def crashing(tiny: Path, tmp_path: Path) -> Path:
    """A bundle that kills the process which runs it, with a card that vouches for it."""
    model = tmp_path / "crashing_classifier.tflite"
    shutil.copy(tiny / model.name, model)
    card = json.loads((tiny / "tiny_classifier.json").read_text(encoding="utf-8"))
    card |= {"name": model.stem, "sha256": hashlib.sha256(model.read_bytes()).hexdigest()}
    model.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")
    if not interpreter.runtime_name().startswith("ai-edge-litert"):
        pytest.skip("crashes ai-edge-litert")
    return model


def test_good_models_pass(tiny: Path, tiny_settings: Settings) -> None:
    pipeline = build_tried_pipeline(tiny_settings)
    assert pipeline.classifier.bundle.path == tiny / "tiny_classifier.tflite"


def test_a_model_that_crashes_the_runtime_is_an_error(crashing: Path) -> None:
    with pytest.raises(BundleError, match=r"crashes the runtime \(SIGSEGV\); install") as caught:
        try_model("classify", str(crashing))
    assert str(caught.value).startswith(f"{crashing}: ")


def test_a_model_that_does_not_come_back_is_an_error(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "TIMEOUT_S", 0.01)
    with pytest.raises(BundleError, match="the model hangs in the runtime; install"):
        try_model("detect", str(tiny / "tiny_detector.tflite"))


def test_a_refusal_arrives_in_the_words_of_the_child(tiny: Path, tmp_path: Path) -> None:
    for suffix in (".tflite", ".json"):
        shutil.copy(tiny / f"tiny_detector{suffix}", tmp_path)
    model = tmp_path / "tiny_detector.tflite"
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(BundleError, match="sha256 is .* the file is damaged") as caught:
        try_model("detect", str(model))
    assert "\n" not in str(caught.value)


def test_a_child_that_cannot_start_is_an_error(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(BundleError, match="the trial run failed: .*; install"):
        try_model("detect", str(tiny / "tiny_detector.tflite"))


@pytest.mark.parametrize("name", ["nobody", "nobody.onnx"])
def test_a_missing_model_is_said(name: str, tiny_settings: Settings) -> None:
    settings = replace_settings(tiny_settings, {"detector.bundle": name})
    with pytest.raises(BundleNotFoundError, match="at nobody"):
        build_tried_pipeline(settings)


def test_shipped_models_need_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial.subprocess, "run", lambda *_: pytest.fail("a child was started"))
    try_model("detect", "face_detector")
    try_model("classify", "mask_classifier")


def test_check_names_the_model_that_crashes(crashing: Path) -> None:
    [result] = check_model("classifier", "classify", str(crashing), 1)
    assert result.status == "FAIL"
    assert "crashes the runtime (SIGSEGV)" in result.detail


def test_run_ends_with_one_line_and_exit_code_2(
    crashing: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = root / "edge_app" / "assets" / "demo.mp4"
    settings = tmp_path / "kiosk.toml"
    settings.write_text(f'[classifier]\nbundle = "{crashing}"\n', encoding="utf-8")
    settings.chmod(0o600)
    arguments = ["run", "--settings", str(settings), "--source", str(clip), "--mock-pins"]
    assert main(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"mask-kiosk: error: {crashing}: the model crashes the runtime")
    logging.getLogger().handlers.clear()


def test_a_self_test_runs_in_a_child_and_says_how_close_it_is(models: Models) -> None:
    bundle = models.bundle()
    said = try_selftest("detect", bundle / f"{DETECTOR}.tflite")
    assert said.startswith("2 pictures, outputs differ by at most 0 of 255, ")


def test_a_self_test_that_fails_arrives_in_the_words_of_the_child(models: Models) -> None:
    bundle = models.bundle()
    other = models.bundle(change={"thresholds": {"score": 0.05, "nms_iou": 0.9}})
    shutil.copy(other / f"{DETECTOR}.selftest.npz", bundle)
    with pytest.raises(SelfTestError, match=r"picture \d of its self-test gives 'faces: "):
        try_selftest("detect", bundle / f"{DETECTOR}.tflite")


def test_a_self_test_that_crashes_the_runtime_is_an_error(crashing: Path, models: Models) -> None:
    bundle = models.bundle("tiny_classifier")
    shutil.copy(bundle / "tiny_classifier.selftest.npz", crashing.with_suffix(".selftest.npz"))
    with pytest.raises(BundleError, match=r"crashes the runtime \(SIGSEGV\)"):
        try_selftest("classify", crashing)
