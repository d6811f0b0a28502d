"""prepare, fit and export on drawn pictures, up to bundles that the device runs.

Nothing useful is learnt in a few steps of eight pictures; what is tested is that each command
leaves what the next one needs, and that a killed ``fit`` goes on as if nothing had been.

``fit`` runs in processes of its own, which execute TensorFlow's operations one by one:
tracing the unfrozen network into a graph, as ``python -m training fit`` does, takes a
minute on a busy machine, and no test here depends on it. What can run beside each other does.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.domain import MaskState
from edge_app.vision.bundle import load_bundle
from edge_app.vision.classifier import Classifier
from edge_app.vision.detector import BundleDetector

pytest.importorskip("tensorflow", reason="the training half's packages are not installed")

from training.cli import main

TIME_LIMIT = 300
"""Seconds after which a subprocess has hung."""

EAGER = """
import runpy, sys
import tensorflow
tensorflow.config.run_functions_eagerly(True)
runpy.run_module("training", run_name="__main__", alter_sys=True)
"""

CLASSIFIER = """
name = "tiny_classifier"
task = "classify"
labels = ["with_mask", "without_mask", "incorrect_mask"]
seed = 3
batch = 8
steps_per_epoch = 2
[model]
width = 64
height = 64
[[phases]]
epochs = 2
learning_rate = 1e-3
frozen = true
[[phases]]
epochs = 2
learning_rate = 1e-3
warmup_epochs = 0.5
unfreeze_from = "block_12_expand"
[sampling]
margin = 0.4
min_face = 16.0
class_power = 0.6
dataset_weights = { street = 1.0, portraits = 1.0 }
[thresholds]
confidence_floor = 0.4
"""
DETECTOR = """
name = "tiny_detector"
task = "detect"
seed = 3
batch = 4
steps_per_epoch = 1
[model]
width = 96
height = 64
channels = 8
[[phases]]
epochs = 1
learning_rate = 1e-3
frozen = true
[[phases]]
epochs = 1
learning_rate = 1e-3
[placement]
dataset_weights = { street = 1.0 }
[thresholds]
score = 0.5
nms_iou = 0.4
"""


@dataclass
class Work:
    """Everything on disk, and the trainings under way."""

    root: Path
    here: Path

    @property
    def store(self) -> Path:
        return self.root / "store"

    def recipe(self, name: str) -> Path:
        return self.root / f"{name}.toml"

    def run(self, name: str) -> Path:
        return self.root / "runs" / name

    def fit(self, name: str, run: str) -> subprocess.Popen[str]:
        """Start ``fit`` and return at once."""
        arguments = ["fit", str(self.recipe(name)), "--data", str(self.store), "--weights", "none"]
        with (self.root / f"{run}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-c", EAGER, *arguments, "--run", str(self.run(run))],
                cwd=self.here,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def log(self, run: str) -> str:
        return (self.root / f"{run}.log").read_text()

    def state(self, run: str) -> dict:
        return json.loads((self.run(run) / "state.json").read_text())


def blobs(rng, width, height):
    """A smooth random picture: unlike any other to a perceptual hash."""
    coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def draw_face(image, x, y, side, state):
    centre = (x + side // 2, y + side // 2)
    cv2.ellipse(image, centre, (side * 2 // 5, side // 2), 0, 0, 360, (200, 160, 130), -1)
    for way in (-1, 1):
        eye = (centre[0] + way * side // 6, y + side * 2 // 5)
        cv2.circle(image, eye, max(1, side // 16), (20, 20, 20), -1)
    top = {MaskState.WITH_MASK: 0.5, MaskState.INCORRECT_MASK: 0.72}.get(state)
    if top is not None:
        corners = (x + side // 6, y + int(side * top)), (x + side * 5 // 6, y + side - 1)
        cv2.rectangle(image, *corners, (90, 140, 220), -1)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[:, :, ::-1])


def make_data(root):
    """12 pictures of two faces each (VOC), 8 portraits (class folders), 4 rooms."""
    rng = np.random.default_rng(1)
    states = list(MaskState)
    for i in range(12):
        image, objects = blobs(rng, 160, 120), ""
        for k in range(2):
            side = int(rng.integers(30, 60))
            x, y = int(rng.integers(0, 80 - side)) + 80 * k, int(rng.integers(0, 120 - side))
            state = states[(i + k) % 3]
            draw_face(image, x, y, side, state)
            objects += (
                f"<object><name>{state}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>"
                f"<xmax>{x + side}</xmax><ymax>{y + side}</ymax></bndbox></object>"
            )
        save(root / f"street/images/{i}.png", image)
        annotation = root / f"street/annotations/{i}.xml"
        annotation.parent.mkdir(exist_ok=True)
        annotation.write_text(f"<annotation><filename>{i}.png</filename>{objects}</annotation>")
    for i in range(8):
        image, state = blobs(rng, 64, 64), states[i % 2]
        draw_face(image, 4, 4, 56, state)
        save(root / f"portraits/{state}/{i}.png", image)
    for i in range(4):
        save(root / f"rooms/{i}.png", blobs(rng, 160, 120))


def training(*arguments, here):
    """``python -m training``, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "training", *map(str, arguments)],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory, root):
    work = Work(tmp_path_factory.mktemp("work"), root)
    make_data(work.root)
    work.recipe("classifier").write_text(CLASSIFIER)
    work.recipe("detector").write_text(DETECTOR)
    done = training(
        "prepare", work.root / "street", work.root / "portraits",
        "--negatives", work.root / "rooms", "--val-fraction", "0.3", "--out", work.store,
        here=root,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return work


@dataclass
class Killed:
    """The classifier's training, killed once."""

    work: Work
    detector: subprocess.Popen[str]
    epochs_before: int


@pytest.fixture(scope="module")
def killed(work):
    """Start both trainings, and kill the classifier's when its first epoch is there."""
    detector = work.fit("detector", "detector")
    classifier = work.fit("classifier", "classifier")
    try:
        began = time.monotonic()
        while not (work.run("classifier") / "state.json").is_file():
            assert classifier.poll() is None, work.log("classifier")
            assert time.monotonic() - began < TIME_LIMIT
            time.sleep(0.02)
        classifier.send_signal(signal.SIGKILL)
        assert classifier.wait(TIME_LIMIT) == -signal.SIGKILL
        yield Killed(work, detector, work.state("classifier")["epoch"])
    finally:
        for process in (classifier, detector):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def trained(killed):
    """Both trainings, finished: the classifier's after the same command was given again."""
    work, again = killed.work, killed.work.fit("classifier", "classifier")
    try:
        for process, name in ((again, "classifier"), (killed.detector, "detector")):
            assert process.wait(TIME_LIMIT) == 0, work.log(name)
    finally:
        again.kill()
        again.wait()
    return work


@pytest.fixture(scope="module")
def exported(trained):
    """Both bundles, the second beside the first in this process; name -> .tflite."""

    def arguments(name):
        places = (trained.recipe(name), "--data", trained.store, "--run", trained.run(name))
        return [str(word) for word in ("export", *places, "--out", trained.root / "bundles")]

    with ThreadPoolExecutor() as pool:
        classifier = pool.submit(training, *arguments("classifier"), here=trained.here)
        assert main(arguments("detector")) == 0
        assert classifier.result().returncode == 0, classifier.result().stderr
    bundles = {n: trained.root / f"bundles/tiny_{n}.tflite" for n in ("classifier", "detector")}
    assert str(bundles["classifier"]) in classifier.result().stdout
    return bundles


def failing(capsys, *arguments):
    """The one line that a command ends with, by the way that needs no process of its own."""
    assert main([str(argument) for argument in arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "mask-kiosk: error" in line]
    assert len(lines) == 1
    return lines[0]


def test_a_killed_fit_goes_on_where_it_was(killed, trained) -> None:
    """SIGKILL after the first epoch, then the same command: no epoch twice, none left out.

    That the figures are those of a run that nobody killed is compared, bit by bit, in
    tests/unit/training/fitting/test_run.py.
    """
    assert 1 <= killed.epochs_before < 4
    assert f"{killed.epochs_before} epochs done" in trained.log("classifier")
    state = trained.state("classifier")
    assert state["done"]
    assert [row["epoch"] for row in state["history"]] == [1, 2, 3, 4]
    assert [row["phase"] for row in state["history"]] == [0, 0, 1, 1]


@pytest.mark.parametrize(("name", "epochs"), [("classifier", 4), ("detector", 2)])
def test_fit_leaves_model_summary_and_curves(trained, name, epochs) -> None:
    folder = trained.run(name)
    best = trained.state(name)["best_epoch"]
    assert {path.name for path in folder.iterdir()} == {
        "state.json", "model.keras", "fit.json", "curves.png", "logs", f"best-{best}.npz",
    }  # fmt: skip
    summary = json.loads((folder / "fit.json").read_text())
    assert summary["epochs"] == len(summary["history"]) == epochs
    assert "street" in summary["data"]
    assert f"run folder: {folder}" in trained.log(name)
    assert str(folder / "model.keras") in trained.log(name)


def test_fit_on_a_finished_run_does_nothing(trained, caplog) -> None:
    before = (trained.run("classifier") / "model.keras").stat().st_mtime_ns
    with caplog.at_level("INFO"):
        code = main(
            ["fit", str(trained.recipe("classifier")), "--data", str(trained.store),
             "--run", str(trained.run("classifier")), "--weights", "none"]
        )  # fmt: skip
    assert code == 0
    assert "finished already" in caplog.text
    assert (trained.run("classifier") / "model.keras").stat().st_mtime_ns == before


def test_the_exported_classifier_is_one_that_the_device_runs(exported) -> None:
    bundle = load_bundle(exported["classifier"], "classify")
    assert bundle.card.labels == tuple(MaskState)
    assert bundle.card.confidence_floor == 0.4
    image = blobs(np.random.default_rng(5), 64, 64)
    verdict = Classifier(bundle).judge(image)
    assert sum(verdict.probabilities.values()) == pytest.approx(1)
    card = bundle.card.raw
    assert card["parity"]["faces"] > 0
    assert set(card["training"]["data"]) == {"street", "portraits"}
    assert "history" not in card["training"]


def test_the_exported_detector_is_one_that_the_device_runs(exported) -> None:
    bundle = load_bundle(exported["detector"], "detect")
    assert (bundle.card.input_width, bundle.card.input_height) == (96, 64)
    assert bundle.card.strides == (8, 16, 32)
    image = blobs(np.random.default_rng(5), 160, 120)
    for face in BundleDetector(bundle, score_threshold=0.0).detect(image):
        assert 0 <= face.box.x0 < face.box.x1 <= 160
        assert 0 <= face.box.y0 < face.box.y1 <= 120
        assert 0 <= face.score <= 1
    assert bundle.card.raw["parity"]["pictures"] > 0
    assert "rooms" in bundle.card.raw["training"]["data"]


def test_export_leaves_nothing_half_made(exported) -> None:
    names = {path.name for path in exported["classifier"].parent.iterdir()}
    assert names == {f"tiny_{n}.{e}" for n in exported for e in ("tflite", "json", "selftest.npz")}


def test_export_of_an_unfinished_run_is_one_line(work, capsys) -> None:
    arguments = ("export", work.recipe("classifier"), "--data", work.store)
    assert main([*map(str, arguments), "--run", str(work.root / "nowhere")]) == 1
    assert "no finished run here; run: python -m training fit" in capsys.readouterr().err


def test_export_refuses_another_recipe_and_other_data(trained, capsys, tmp_path) -> None:
    changed = tmp_path / "changed.toml"
    changed.write_text(CLASSIFIER.replace("seed = 3", "seed = 4"))
    run = ("--run", str(trained.run("classifier")), "--out", str(tmp_path / "out"))
    assert main(["export", str(changed), "--data", str(trained.store), *run]) == 1
    assert "was trained with another version of" in capsys.readouterr().err
    other = other_store(trained, tmp_path)
    assert main(["export", str(trained.recipe("classifier")), "--data", str(other), *run]) == 1
    assert "was trained with other data than" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def other_store(work, folder):
    """A store like the work's, but for one more room."""
    rooms = folder / "rooms"
    shutil.copytree(work.root / "rooms", rooms)
    save(rooms / "new.png", blobs(np.random.default_rng(9), 160, 120))
    prepared = main(
        ["prepare", str(work.root / "street"), str(work.root / "portraits"),
         "--negatives", str(rooms), "--val-fraction", "0.3", "--out", str(folder / "store")]
    )  # fmt: skip
    assert prepared == 0
    return folder / "store"


def test_fit_refuses_to_go_on_with_other_data(trained, capsys, tmp_path) -> None:
    said = failing(
        capsys, "fit", trained.recipe("classifier"), "--data", other_store(trained, tmp_path),
        "--run", trained.run("classifier"), "--weights", "none",
    )  # fmt: skip
    assert "holds a run with another data set: give --run another folder" in said


def test_fit_without_a_data_set_that_the_recipe_names_is_one_line(work, capsys, tmp_path) -> None:
    recipe = tmp_path / "other.toml"
    recipe.write_text(CLASSIFIER.replace("portraits", "passports"))
    run = tmp_path / "run"
    said = failing(
        capsys, "fit", recipe, "--data", work.store, "--run", run, "--weights", "none"
    )  # fmt: skip
    assert "has no data set passports" in said
    assert "it has: street, portraits, rooms" in said
    assert not run.exists()


def test_fit_with_missing_or_unfit_start_weights_is_one_line(work, capsys, tmp_path) -> None:
    arguments = (
        "fit", work.recipe("classifier"), "--data", work.store, "--run", tmp_path / "run",
    )  # fmt: skip
    said = failing(capsys, *arguments, "--weights", tmp_path / "none.weights.h5")
    assert "none.weights.h5: no such file; or give 'imagenet' or 'none'" in said
    import keras

    wide = tmp_path / "wide.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(wide)
    said = failing(capsys, *arguments, "--weights", wide)
    assert "wide.weights.h5: cannot be used for MobileNetV2 0.35" in said
