"""``explain`` from a run's folder to pictures, with a model whose answers can be foreseen.

The model takes green for a correct mask, red for none and blue for an incorrect one.
"""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from edge_app.domain import MaskState

pytest.importorskip("keras", reason="the training half's packages are not installed")

import keras

from training.cli import main
from training.recipe_file import load_recipe

WITH, WITHOUT, INCORRECT = MaskState
CHANNEL = {WITHOUT: 0, WITH: 1, INCORRECT: 2}
RECIPE = """
name = "colours"
task = "classify"
labels = ["with_mask", "without_mask", "incorrect_mask"]
seed = 3
batch = 8
steps_per_epoch = 2
[model]
width = 32
height = 32
[[phases]]
epochs = 1
learning_rate = 1e-3
[sampling]
margin = 0.4
min_face = 16.0
class_power = 0.6
dataset_weights = { street = 1.0 }
[thresholds]
confidence_floor = 0.4
"""


def colour_model(side):
    """Logits of (green, red, blue): three times the mean of a channel in 0..2."""
    picture = keras.Input((side, side, 3))
    colours = keras.layers.Conv2D(3, 1, activation="relu", name="colours")
    mean = keras.layers.GlobalAveragePooling2D()(colours(picture))
    logits = keras.layers.Dense(3)
    model = keras.Model(picture, logits(mean))
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    kernel[0, 0, [1, 0, 2], [0, 1, 2]] = 1
    colours.set_weights([kernel, np.ones(3, np.float32)])
    logits.set_weights([3 * np.eye(3, dtype=np.float32), np.zeros(3, np.float32)])
    return model


def save(path, state, level=255, side=60):
    image = np.zeros((side, side, 3), np.uint8)
    image[:, : side // 2, CHANNEL[state]] = level
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[:, :, ::-1])
    return path


def make_run(folder, recipe, side=32):
    folder.mkdir(parents=True)
    colour_model(side).save(folder / "model.keras")
    made = {"recipe": recipe.path.name, "recipe_sha256": recipe.fingerprint}
    (folder / "fit.json").write_text(json.dumps(made))
    return folder


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "colours.toml"
    path.write_text(RECIPE)
    return load_recipe(path)


@pytest.fixture
def run(tmp_path, recipe):
    return make_run(tmp_path / "run", recipe)


def explain(run, *arguments):
    return main(["explain", str(run), *map(str, arguments)])


def test_pictures_of_ones_own(tmp_path, run, recipe, capsys):
    save(tmp_path / "photos" / "b" / "größe.png", WITHOUT)
    save(tmp_path / "photos" / "a.png", WITH)
    out = tmp_path / "out"
    assert explain(
        run, "--recipe", recipe.path, "--images", tmp_path / "photos", "--out", out
    ) == 0  # fmt: skip
    names = ["001_a.png", "002_gr_e.png", "contact.png", "explain.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    content = json.loads((out / "explain.json").read_text())
    assert content["layer"] == "colours"
    assert [(f["file"], f["said"], f["truth"]) for f in content["faces"]] == [
        ("a.png", "with_mask", None),
        ("größe.png", "without_mask", None),
    ]
    assert sum(content["faces"][0]["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    panel = cv2.imread(str(out / "001_a.png"))[:, :, ::-1].astype(int)
    hot = (panel[..., 0] > 60) & (panel[..., 1] < 120) & (panel[..., 2] < 40)
    columns = np.nonzero(hot.sum(axis=0) > 100)[0]
    # The second of two pictures of 256 pixels; only its left half has the colour.
    assert columns.size, "where most speaks for the verdict, green turns dark red"
    assert columns.min() > 256
    assert columns.max() < 256 + 128 + 30
    assert "2 faces explained by colours" in capsys.readouterr().out


def test_the_surest_mistakes_come_first_and_also_show_the_truth(tmp_path, run, recipe):
    data = tmp_path / "faces"
    save(data / "with_mask" / "right.png", WITH)
    save(data / "with_mask" / "sure.png", WITHOUT)
    save(data / "with_mask" / "faint.png", INCORRECT, level=120)
    save(data / "without_mask" / "third.png", WITH, level=90)
    out = tmp_path / "out"
    arguments = ["--recipe", recipe.path, "--data", data, "--out", out]
    assert explain(run, *arguments, "--worst", 2) == 0
    faces = json.loads((out / "explain.json").read_text())["faces"]
    assert [(f["file"], f["said"], f["truth"]) for f in faces] == [
        ("faces/with_mask/sure.png", "without_mask", "with_mask"),
        ("faces/with_mask/faint.png", "incorrect_mask", "with_mask"),
    ]
    wide = cv2.imread(str(out / faces[0]["picture"])).shape[1]
    assert wide > 3 * 256, "crop, what was said, the truth"


def test_a_bundle_is_explained_by_its_run(tmp_path, root, recipe, monkeypatch, capsys):
    bundle = root / "tests" / "data" / "tiny_classifier.tflite"
    picture = save(tmp_path / "a.png", WITH)
    monkeypatch.chdir(tmp_path)
    arguments = [bundle, "--images", picture, "--out", "out"]
    assert explain(*arguments) == 2
    assert "an INT8 file has no gradients" in capsys.readouterr().err
    made = make_run(tmp_path / "build" / "runs" / "tiny_classifier", recipe, side=16)
    card = json.loads(bundle.with_suffix(".json").read_text())
    card["training"] = json.loads((made / "fit.json").read_text()) | {"store_sha256": "ab"}
    (made / "fit.json").write_text(json.dumps(card["training"] | {"history": []}))
    copy = tmp_path / "tiny_classifier.tflite"
    copy.write_bytes(bundle.read_bytes())
    copy.with_suffix(".json").write_text(json.dumps(card))
    assert explain(copy, "--images", picture, "--out", "out") == 0
    assert "a.png: with_mask" in capsys.readouterr().out
    other_data = card["training"] | {"store_sha256": "cd"}
    (made / "fit.json").write_text(json.dumps(other_data))
    assert explain(copy, "--images", picture, "--out", "out") == 2
    assert "is not the training that" in capsys.readouterr().err


def test_faces_are_found_by_a_detector(tmp_path, root, run, recipe, capsys):
    # The tiny detector sees an 80-pixel face around a bright spot of 20 pixels on its grid.
    image = np.zeros((240, 320, 3), np.uint8)
    image[70:150, 30:110, CHANNEL[WITH]] = 50
    image[100:120, 60:80, CHANNEL[WITH]] = 255
    path = tmp_path / "scene.png"
    assert cv2.imwrite(str(path), image[:, :, ::-1])
    detector = root / "tests" / "data" / "tiny_detector.tflite"
    arguments = ["--recipe", recipe.path, "--detector", detector, "--out", tmp_path / "out"]
    assert explain(run, *arguments, "--images", path) == 0
    (face,) = json.loads((tmp_path / "out" / "explain.json").read_text())["faces"]
    assert face["box"] == pytest.approx([30, 70, 110, 150], abs=8)
    assert face["said"] == "with_mask"
    assert cv2.imwrite(str(path), np.zeros_like(image))
    capsys.readouterr()
    assert explain(run, *arguments, "--images", path) == 2
    assert "no face was found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to explain: give --images PATH"),
        (["--worst", "2"], "--worst N and --data DIR go together"),
        (["--images", "nowhere.png", "--recipe", "RECIPE"], "nowhere.png: no such picture"),
        (["--images", "RECIPE", "--recipe", "RECIPE"], "not a picture that can be decoded"),
        (["--images", "RECIPE"], "give it with --recipe"),
        (["--images", "RECIPE", "--recipe", "mask_classifier"], "is not the recipe that"),
    ],
)
def test_what_cannot_be_explained_is_one_line_and_exit_code_2(
    tmp_path, run, recipe, capsys, arguments, message
):
    given = [recipe.path if word == "RECIPE" else word for word in arguments]
    assert explain(run, *given, "--out", tmp_path / "out") == 2
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("mask-kiosk: error:")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_run_and_a_detector_are_refused(tmp_path, root, capsys):
    assert explain(tmp_path, "--images", "x.png", "--out", tmp_path / "out") == 2
    assert "not the folder of a finished run" in capsys.readouterr().err
    detector = root / "tests" / "data" / "tiny_detector.tflite"
    assert explain(detector, "--images", "x.png", "--out", tmp_path / "out") == 2
    assert "explain shows what classifiers look at" in capsys.readouterr().err
