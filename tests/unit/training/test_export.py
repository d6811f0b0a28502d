"""A run whose files were damaged on the way here is one line, for export and formats alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the training half's packages are not installed")

import cv2
import keras

from training.cli import main
from training.data.store import open_store
from training.recipe_file import load_recipe


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: str) -> Path:
    """A folder with a recipe, prepared data, and what a finished run of it leaves."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "door.toml").write_text(tiny_recipe)
    picture = folder / "people/with_mask/a.png"
    picture.parent.mkdir(parents=True)
    assert cv2.imwrite(str(picture), np.zeros((40, 40, 3), np.uint8))
    assert main(["prepare", str(folder / "people"), "--out", str(folder / "data")]) == 0
    (folder / "run").mkdir()
    picture_in = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(picture_in)
    keras.Model(picture_in, keras.layers.Dense(2)(pooled)).save(folder / "run/model.keras")
    summary = {
        "recipe_sha256": load_recipe(str(folder / "door.toml")).fingerprint,
        "store_sha256": open_store(folder / "data").sha256,
    }
    (folder / "run/fit.json").write_text(json.dumps(summary))
    return folder


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def overwritten(content: bytes) -> bytes:
    return content[:200] + bytes(200) + content[400:]


def a_list(content: bytes) -> bytes:
    return b"[]"


def without_keys(content: bytes) -> bytes:
    return b"{}"


@pytest.mark.parametrize("command", ["export", "formats"])
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.keras", cut),
        ("model.keras", overwritten),
        ("fit.json", cut),
        ("fit.json", a_list),
        ("fit.json", without_keys),
    ],
)
def test_a_damaged_run_is_one_line(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command, name, damage
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for file in (finished / "run").iterdir():
        content = file.read_bytes()
        (run / file.name).write_bytes(damage(content) if file.name == name else content)
    words = [command, finished / "door.toml", "--data", finished / "data", "--run", run]
    assert main([str(word) for word in [*words, "--out", tmp_path / "out"]]) == 2
    error = [x for x in capsys.readouterr().err.splitlines() if x.startswith("mask-kiosk: error:")]
    assert len(error) == 1
    assert f"{run / name}: is damaged (" in error[0]
    assert f"copy it again, or remove {run} and fit again" in error[0]
    assert not (tmp_path / "out").exists()
