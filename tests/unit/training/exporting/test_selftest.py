"""Self-tests from the demo clip, by the code that ``export`` and ``selftest`` share."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_app.errors import ExportError
from edge_app.vision.bundle import MODELS_DIR, load_bundle, read_card
from edge_app.vision.selftest import compare, selftest_path, unpacked
from training.cli import main
from training.exporting.card_schema import violations
from training.exporting.selftest import frames, pictures_for, with_self_test

NAMES = ["face_detector", "mask_classifier"]


@pytest.mark.parametrize("name", NAMES)
def test_the_command_changes_card_and_self_test_and_not_the_model(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / f"{name}.tflite"
    for path in (model, model.with_suffix(".json")):
        shutil.copy(MODELS_DIR / path.name, path)
    card = json.loads(model.with_suffix(".json").read_text())
    before = card.pop("selftest")
    model.with_suffix(".json").write_text(json.dumps(card))
    assert main(["selftest", str(model)]) == 0
    assert "selftest.npz, its hash is in" in capsys.readouterr().out
    assert model.read_bytes() == (MODELS_DIR / model.name).read_bytes()
    made = json.loads(model.with_suffix(".json").read_text())
    assert made == card | {"selftest": made["selftest"]}
    assert violations(made) == []
    bundle = load_bundle(model, card["task"])
    assert compare(bundle, unpacked(selftest_path(model).read_bytes(), model)) == 0
    if bundle.interpreter.runtime == "ai-edge-litert":
        assert made["selftest"] == before, "the shipped one was made by this very code"


def test_the_command_goes_on_where_a_kill_left_a_bundle_half_in_place(tmp_path: Path) -> None:
    """Of three files the first is renamed, the others still lie in the hidden folder."""
    name = NAMES[1]
    ready = tmp_path / f".ready-{name}"
    ready.mkdir()
    model = tmp_path / f"{name}.tflite"
    shutil.copy(MODELS_DIR / model.name, ready)
    shutil.copy(MODELS_DIR / f"{name}.json", ready)
    model.write_bytes(b"the model before")
    (tmp_path / f"{name}.json").write_text("{}")
    assert main(["selftest", str(model)]) == 0
    assert not ready.exists()
    assert (
        load_bundle(model, "classify").card.sha256
        == hashlib.sha256((MODELS_DIR / model.name).read_bytes()).hexdigest()
    )
    assert main(["selftest", str(model)]) == 0


@pytest.mark.parametrize("name", NAMES)
def test_pictures_have_the_model_s_input_size(name: str) -> None:
    card = read_card(MODELS_DIR / f"{name}.tflite")
    found = list(pictures_for(card))
    assert {p.shape for p in found} == {(card.input_height, card.input_width, 3)}
    assert all(p.dtype == np.uint8 for p in found)
    for first, second in itertools.pairwise(found):
        assert np.abs(first.astype(int) - second.astype(int)).mean() > 1, "different pictures"


def test_an_older_self_test_is_replaced(tiny: Path) -> None:
    card = json.loads((tiny / "tiny_classifier.json").read_text()) | {
        "selftest": {"sha256": "0" * 64}
    }
    named, test = with_self_test(card, (tiny / "tiny_classifier.tflite").read_bytes())
    assert named["selftest"]["sha256"] != "0" * 64
    assert len(unpacked(test, tiny).pictures) == 3


def test_a_clip_that_ends_too_early_is_named() -> None:
    with pytest.raises(ExportError, match=r"demo\.mp4: ends before second 60"):
        list(frames(0.4, 60.0))
