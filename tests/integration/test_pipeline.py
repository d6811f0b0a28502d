"""``pipeline``, ``formats`` and ``export --layers`` on drawn pictures, and a kill on the way.

The pictures are blue all over, which the tiny classifier takes for an incorrectly worn mask:
it is wrong about every one of them, so whatever a few steps of training make is not worse.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.vision.bundle import load_bundle

pytest.importorskip("tensorflow", reason="the training half's packages are not installed")
pytest.importorskip("jsonschema")

from training.cli import main

TIME_LIMIT = 1200
"""Seconds after which a subprocess has hung."""

STEPS = ["prepare", "fit", "export", "evaluate", "gate", "card"]

DOOR_FILES = ["door.json", "door.selftest.npz", "door.tflite"]

EAGER = """
import runpy, sys
import tensorflow
tensorflow.config.run_functions_eagerly(True)
runpy.run_module("training", run_name="__main__", alter_sys=True)
"""

RECIPE = """
name = "door"
task = "classify"
labels = ["with_mask", "without_mask"]
seed = 3
batch = 4
steps_per_epoch = 1
[model]
width = 32
height = 32
[[phases]]
epochs = 2
learning_rate = 1e-3
frozen = true
[sampling]
margin = 0.4
min_face = 16.0
class_power = 0.6
dataset_weights = { people = 1.0 }
[thresholds]
confidence_floor = 0.4
"""


class Door:
    """A folder of photos, a recipe, and the pipeline on them."""

    def __init__(self, folder: Path, here: Path) -> None:
        self.folder, self.here, self.out = folder, here, folder / "out"
        self.recipe = folder / "door.toml"
        self.recipe.write_text(RECIPE)
        rng = np.random.default_rng(0)
        listed = []
        for label in ("with_mask", "without_mask"):
            for i in range(12):
                image = cv2.resize(
                    rng.integers(0, 100, (6, 6, 3)).astype(np.uint8), (48, 48),
                    interpolation=cv2.INTER_CUBIC,
                )  # fmt: skip
                image[:, :, 0] = 220  # blue, as OpenCV orders colours
                path = folder / "people" / label / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), image)
                if i < 6:
                    listed.append(f"people/{label}/{i}.png")
        (folder / "splits.json").write_text(json.dumps({"test": listed}))

    def arguments(self, recipe: Path | None = None) -> list[str]:
        words = [
            "pipeline", recipe or self.recipe, "--data", self.folder / "people",
            "--splits", self.folder / "splits.json", "--val-fraction", "0.4", "--weights", "none",
            "--against", self.here / "tests/data/tiny_classifier.tflite", "--out", self.out,
        ]  # fmt: skip
        return [str(word) for word in words]

    def start(self) -> subprocess.Popen[str]:
        with (self.folder / "log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-u", "-c", EAGER, *self.arguments()],
                cwd=self.here, stdout=log, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def run(self) -> Path:
        (folder,) = (self.out / "runs").iterdir()
        return folder


@pytest.fixture(scope="module")
def door(tmp_path_factory, root: Path) -> Door:
    """The pipeline, killed when the first epoch is there, and then run to its end."""
    door = Door(tmp_path_factory.mktemp("door"), root)
    process = door.start()
    try:
        began = time.monotonic()
        while not list(door.out.glob("runs/*/state.json")):
            assert process.poll() is None, door.log
            assert time.monotonic() - began < TIME_LIMIT, door.log
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait(TIME_LIMIT) == -signal.SIGKILL
        assert [p.stem for p in (door.out / "steps").iterdir()] == ["prepare"]
        process = door.start()
        assert process.wait(TIME_LIMIT) == 0, door.log
    finally:
        process.kill()
        process.wait()
    return door


def test_a_killed_pipeline_goes_on_where_it_was(door: Door) -> None:
    said = [line for line in door.log.splitlines() if line.split(":")[0] in STEPS]
    began = [line.split(" ")[0] for line in said if "python -m training" in line]
    assert began == ["prepare:", "fit:", "fit:", "export:", "evaluate:", "gate:", "card:"]
    assert "prepare: there already" in said
    assert [row["epoch"] for row in json.loads((door.run / "state.json").read_text())["history"]]
    assert {p.stem for p in (door.out / "steps").iterdir()} == set(STEPS)


def test_it_leaves_a_bundle_that_the_device_runs_with_its_figures(door: Door) -> None:
    bundle = load_bundle(door.out / "bundles/door.tflite", "classify")
    raw = bundle.card.raw
    assert raw is not None
    assert raw["metrics"]["classification"]["people"]["samples"] == 12
    page = (door.out / "door.md").read_text()
    assert "| people | 12 |" in page
    gate = json.loads((door.out / "gate/door.json").read_text())
    assert [c["old"] for c in gate["comparisons"]] == [0.0, 0.0]
    assert gate["refused"] == []
    assert sorted(p.name for p in (door.out / "bundles").iterdir()) == DOOR_FILES


def test_a_second_call_has_nothing_to_do(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(door.arguments()) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:6] == [f"{step}: there already" for step in STEPS]
    assert said[6].startswith("may ship: ")


def test_a_damaged_result_is_made_again_and_nothing_else(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    page = door.out / "door.md"
    whole = page.read_text()
    page.write_text(whole[:100])
    assert main(door.arguments()) == 0
    said = capsys.readouterr().out
    assert said.count("there already") == 5
    assert page.read_text() == whole


def test_it_stops_at_the_first_failure_with_that_exit_code(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "door.toml"
    recipe.write_text(RECIPE.replace("people", "nobody"))
    assert main(door.arguments(recipe)) == 2
    written = capsys.readouterr()
    assert "has no data set nobody" in written.err
    assert written.out.splitlines()[-1].startswith("fit: failed with exit code 2")
    assert "export:" not in written.out


def test_what_is_missing_is_said_before_anything_runs(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = door.arguments()
    words[words.index("--data") + 1] = "nowhere"
    words[words.index("--out") + 1] = str(tmp_path / "out")
    assert main(words) == 2
    assert "nowhere: no such data set folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_formats_stand_side_by_side(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["formats", door.recipe, "--data", door.out / "data", "--run", door.run]
    words += ["--split", "val", "test", "--layers", "--out", tmp_path]
    assert main([str(word) for word in words]) == 0
    report = json.loads((tmp_path / "formats.json").read_text())
    assert list(report["formats"]) == ["float32", "float16", "dynamic", "int8"]
    for name, figures in report["formats"].items():
        assert figures["bytes"] == (tmp_path / f"door.{name}.tflite").stat().st_size
        assert figures["test"]["samples"] == 12
        assert 0 < figures["median_ms"] <= figures["p95_ms"]
    float32, int8 = (report["formats"][name] for name in ("float32", "int8"))
    assert float32["bytes"] > 2 * int8["bytes"]
    assert float32["time_of_float32"]["median"] == 1
    lost = float32["val"]["balanced_accuracy"] - int8["val"]["balanced_accuracy"]
    assert report["int8_drop"]["val"] == pytest.approx(lost)
    said = capsys.readouterr().out
    assert "| int8 |" in said
    assert f"| {report['layers'][0]['operator']} |" in said


def test_export_lists_the_layers_on_request(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", door.recipe, "--data", door.out / "data", "--run", door.run]
    assert main([str(word) for word in [*words, "--layers", "--out", tmp_path]]) == 0
    assert "where quantisation changes most:" in capsys.readouterr().out
    card = json.loads((tmp_path / "door.json").read_text())
    assert len(card["parity"]["layers"]) == 10
    assert main(["card", str(tmp_path / "door.tflite")]) == 0


def test_export_finishes_what_a_killed_one_had_made_ready(door: Door, tmp_path: Path) -> None:
    """Even when it fails itself: the bundle that was ready is whole, and is put in place."""
    out = tmp_path / "bundles"
    shutil.copytree(door.out / "bundles", out / ".ready-door")
    (out / ".partial-door-abcdefgh").mkdir()
    words = ["export", door.recipe, "--data", door.out / "data", "--run", tmp_path / "none"]
    assert main([str(word) for word in [*words, "--out", out]]) == 1
    assert sorted(p.name for p in out.iterdir()) == DOOR_FILES
    load_bundle(out / "door.tflite", "classify")
