"""The classifier's recipes beyond the shipped ones: backbones, options, another Keras backend.

Nothing useful is learnt in a few steps of four pictures; what is tested is that a recipe with
every option trains, goes on after a kill, and becomes an integer model.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_app.domain import Box, MaskState
from edge_app.errors import RecipeError

pytest.importorskip("tensorflow", reason="the training half's packages are not installed")

import keras
import tensorflow

from edge_app.vision.bundle import load_bundle
from edge_app.vision.classifier import Classifier
from edge_app.vision.interpreter import load_interpreter
from training.data.splits import Split
from training.data.store import FaceRecord, Record, Store, StoreWriter, open_store
from training.export import PIXEL_SCALE, export, quantise
from training.exporting.flops import float_operators
from training.fit import train_run
from training.fitting.epochs import LOGS
from training.fitting.run import Run
from training.fitting.start import StartWeights, start_weights
from training.models.backbones import BACKBONES
from training.models.classifier import build_classifier, freeze_backbone
from training.recipe import ModelSettings, Phase, Recipe, Sampling
from training.recipe_file import load_recipe

TIME_LIMIT = 400
"""Seconds after which a subprocess has hung."""

SIDE = 40
WITH, WITHOUT, _ = MaskState
NONE = StartWeights("none", None)

EVERY_OPTION = Recipe(
    name="tiny",
    task="classify",
    seed=3,
    batch=4,
    steps_per_epoch=2,
    phases=(
        Phase(1, 1e-3, frozen=True),
        Phase(2, 1e-3, unfreeze_from="block_16_expand"),
    ),
    model=ModelSettings(32, 32, dense=8),
    labels=(WITH, WITHOUT),
    mixup=0.3,
    class_weights=True,
    schedule="plateau",
    metric="balanced_accuracy",
    sampling=Sampling(0.4, 16.0, 0.6, {"street": 1.0}, limits={"street/with_mask": 5}),
    thresholds={"confidence_floor": 0.4},
    path=Path("tiny.toml"),
)
"""A binary recipe that uses all that training knows."""

# Tracing the network into a graph would take most of these tests' time.
eagerly = pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")


@pytest.fixture
def eager() -> Any:
    tensorflow.config.run_functions_eagerly(True)
    yield
    tensorflow.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Eight pictures to train on, four to validate on, of one face each in turn."""
    path, rng, records = tmp_path_factory.mktemp("data") / "store", np.random.default_rng(1), []
    about: dict[str, Any] = {"stored": {}, "faces": {}}
    about |= {"kind": "class_folders", "licence": "CC0", "sha256": "ab" * 32, "pictures": 12}
    with StoreWriter(path) as writer:
        for i in range(12):
            coarse = rng.integers(0, 256, (5, 5, 3)).astype(np.uint8)
            image = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
            label, split = (WITH, WITHOUT)[i % 2], Split.TRAIN if i < 8 else Split.VAL
            if label is WITH:
                image[SIDE // 2 :] = (90, 140, 220)
            offset = writer.add(image)
            face = FaceRecord(Box(4, 4, SIDE - 4, SIDE - 4), label)
            name = f"street/{i}.png"
            records.append(
                Record("street", name, f"{i}", name, split, SIDE, SIDE, 1.0, offset, (face,))
            )
        writer.finish(records, {"datasets": {"street": about}, "arguments": {}})
    return open_store(path)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_becomes_an_integer_model(name: str) -> None:
    """Full INT8 at its smallest input, fed with pixels as they are, near the float model."""
    keras.utils.set_random_seed(1)
    side = BACKBONES[name].smallest
    model = build_classifier(side, 0.35, 2, 0.3, None, name, dense=8)
    freeze_backbone(model, False, BACKBONES[name].fine_tune_from)  # the layer exists
    pictures = np.random.default_rng(0).integers(0, 256, (3, side, side, 3)).astype(np.uint8)
    pictures[0].flat[:] = np.linspace(0, 255, pictures[0].size)
    content = quantise(model, pictures)
    assert float_operators(content) == []
    interpreter = load_interpreter(content)
    assert interpreter.input.scale == pytest.approx(PIXEL_SCALE, rel=0.01)
    assert interpreter.input.zero_point in (127, 128)
    exact = model.predict(pictures.astype(np.float32) / 127.5 - 1, verbose=0)
    rounded = np.concatenate([interpreter.run_real(picture[None])[0] for picture in pictures])
    assert np.abs(exact - rounded).max() < 0.02 + 0.15 * np.abs(exact).max()


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours handles it."""


@eagerly
def test_a_killed_run_with_every_option_goes_on_as_if_nothing_had_been(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: None
) -> None:
    """Killed in the phase that trains from a named layer on, after its first epoch's weights.

    The binary run that nobody killed is then exported to a bundle that the device accepts.
    """
    whole = train_run(EVERY_OPTION, store, tmp_path / "whole", NONE)
    real, seen = Run._save_state, iter(range(1000))

    def killed(run: Run) -> None:
        if next(seen) == 2:  # the first phase's epoch and its end came before
            raise Killed
        real(run)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_save_state", killed)
        with pytest.raises(Killed):
            train_run(EVERY_OPTION, store, tmp_path / "killed", NONE)
    assert json.loads((tmp_path / "killed/state.json").read_text())["epoch"] == 1
    again = train_run(EVERY_OPTION, store, tmp_path / "killed", NONE)
    figures = [json.loads((folder / "fit.json").read_text()) for folder in (whole, again)]
    for one, other in zip(*(f["history"] for f in figures), strict=True):
        # Convolutions may add up in another order, so not to the last bit.
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)
        assert one["learning_rate"] == other["learning_rate"]
    assert figures[0]["best_epoch"] == figures[1]["best_epoch"]
    assert logged(whole) == logged(again) == [1, 2, 3]

    monkeypatch.setattr("training.export.CALIBRATION_PICTURES", 4, raising=False)
    bundle, _ = export(EVERY_OPTION, store.path, whole, tmp_path / "bundles")
    verdict = Classifier(load_bundle(bundle, "classify")).judge(np.zeros((32, 32, 3), np.uint8))
    assert set(verdict.probabilities) == {WITH, WITHOUT}


@eagerly
def test_a_student_learns_from_a_teacher_and_its_card_names_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: None
) -> None:
    one_phase = dataclasses.replace(EVERY_OPTION, phases=(Phase(1, 1e-3),))
    teacher = train_run(one_phase, store, tmp_path / "teacher", NONE) / "model.keras"
    student = dataclasses.replace(one_phase, distillation=0.7)
    run = train_run(student, store, tmp_path / "run", start_weights("none", [str(teacher)]))
    monkeypatch.setattr("training.export.CALIBRATION_PICTURES", 4, raising=False)
    bundle, _ = export(student, store.path, run, tmp_path / "bundles")
    made = json.loads(bundle.with_suffix(".json").read_text())["training"]
    assert made["command"].endswith("--weights none --teachers teacher/model.keras")
    [named] = made["teachers"]
    assert named["sha256"] == hashlib.sha256(teacher.read_bytes()).hexdigest()
    assert set(named["made_by"]["data"]) == set(student.datasets)


def logged(folder: Path) -> list[int]:
    """The epochs whose loss is in the TensorBoard logs."""
    steps = []
    for file in (folder / LOGS).iterdir():
        for record in tensorflow.data.TFRecordDataset(str(file)):
            event = tensorflow.compat.v1.Event.FromString(record.numpy())
            steps += [event.step for value in event.summary.value if value.tag == "loss"]
    return sorted(steps)


def test_a_layer_that_does_not_exist_is_named_before_anything_is_trained(
    store: Store, tmp_path: Path
) -> None:
    phases = (EVERY_OPTION.phases[0], Phase(2, 1e-3, unfreeze_from="block_16_expnd"))
    recipe = dataclasses.replace(EVERY_OPTION, phases=phases)
    with pytest.raises(ValueError, match=r"'block_16_expnd' is no layer .*: block_16_expand, "):
        train_run(recipe, store, tmp_path / "run", NONE)
    assert not (tmp_path / "run" / "state.json").exists()


TORCH_RUN = """
import json, sys
from pathlib import Path
sys.modules["tensorflow"] = None  # as if it were not installed
from training.data.store import open_store
from training.fit import train_run
from training.fitting.start import StartWeights
from training.recipe_file import load_recipe
train_run(load_recipe(sys.argv[1]), open_store(sys.argv[2]), Path(sys.argv[3]),
          StartWeights("none", None))
"""

DENSENET = """
name = "tiny_densenet"
task = "classify"
labels = ["with_mask", "without_mask"]
seed = 3
batch = 2
steps_per_epoch = 2
[model]
backbone = "densenet121"
width = 32
height = 32
[[phases]]
epochs = 1
learning_rate = 1e-3
unfreeze_from = "conv5_block1_0_bn"
[sampling]
margin = 0.4
min_face = 16.0
class_power = 0.6
dataset_weights = { street = 1.0 }
[thresholds]
confidence_floor = 0.4
"""


def test_densenet_trained_on_pytorch_is_exported_by_tensorflow(
    store: Store, tmp_path: Path, root: Path
) -> None:
    pytest.importorskip("torch", reason="the PyTorch backend is not installed")
    recipe, run = tmp_path / "densenet.toml", tmp_path / "run"
    recipe.write_text(DENSENET)
    done = subprocess.run(
        [sys.executable, "-c", TORCH_RUN, str(recipe), str(store.path), str(run)],
        cwd=root,
        env={**os.environ, "KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((run / "fit.json").read_text())
    assert set(summary["versions"]) == {"keras", "torch"}
    assert summary["command"].startswith("KERAS_BACKEND=torch python -m training fit densenet.toml")
    assert np.isfinite(summary["history"][0]["loss"])
    assert keras.backend.backend() == "tensorflow"
    with pytest.raises(RecipeError, match="run holds a run with another backend: give --run"):
        train_run(load_recipe(str(recipe)), store, run, StartWeights("none", None))
    model = keras.models.load_model(run / "model.keras", compile=False)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    assert float_operators(quantise(model, pictures)) == []
