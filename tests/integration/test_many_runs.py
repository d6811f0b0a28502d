"""crossval, compare and tune: many small trainings, killed, resumed and spread over a cluster.

Nothing useful is learnt in a few steps of four pictures; what is tested is that each command
leaves what it promises, and the same after a kill or from a cluster as in one go.

The network is the MLP, which needs no time to be built, traced and converted. Trainings run
in processes of their own, which execute TensorFlow's operations one by one, as in
test_fit_and_export.py.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.domain import Box, MaskState

pytest.importorskip("tensorflow", reason="the training half's packages are not installed")

from training.cli import main
from training.data.splits import Split
from training.data.store import FaceRecord, Record, StoreWriter
from training.recipe_file import load_recipe

TIME_LIMIT = 400
"""Seconds after which a subprocess has hung."""

SIDE = 48

EAGER = """
import runpy, sys
import tensorflow
tensorflow.config.run_functions_eagerly(True)
runpy.run_module("training", run_name="__main__", alter_sys=True)
"""

RECIPE = """
name = "{name}"
task = "classify"
labels = ["with_mask", "without_mask"]
seed = 3
batch = 4
steps_per_epoch = 2
[model]
backbone = "mlp"
width = 32
height = 32
[[phases]]
epochs = 1
learning_rate = 1e-2
frozen = true
[[phases]]
epochs = 2
learning_rate = 1e-3
warmup_epochs = 0.5
[sampling]
margin = 0.4
min_face = 16.0
class_power = 0.6
dataset_weights = {{ street = 1.0 }}
[thresholds]
confidence_floor = 0.4
"""


@dataclass
class Work:
    """Everything on disk."""

    root: Path
    here: Path

    @property
    def store(self) -> Path:
        return self.root / "store"

    def recipe(self, name: str, *changes: tuple[str, str]) -> Path:
        text = RECIPE.format(name=name)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = self.root / f"{name}.toml"
        path.write_text(text)
        return path

    def start(self, log: str, *arguments: object) -> subprocess.Popen[str]:
        """Begin a command on the store and return at once."""
        words = [*map(str, arguments), "--data", str(self.store), "--weights", "none"]
        with (self.root / f"{log}.log").open("a") as stream:
            return subprocess.Popen(
                [sys.executable, "-c", EAGER, *words],
                cwd=self.here,
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def finish(self, log: str, *arguments: object, code: int = 0) -> str:
        """A command on the store, to its end; returns what it said."""
        process = self.start(log, *arguments)
        try:
            assert process.wait(TIME_LIMIT) == code, self.log(log)
        finally:
            process.kill()
            process.wait()
        return self.log(log)

    def kill_when(self, log: str, seen: Callable[[], bool], *arguments: object) -> None:
        """A command on the store, killed as soon as something is to be seen."""
        process = self.start(log, *arguments)
        try:
            began = time.monotonic()
            while not seen():
                assert process.poll() is None, self.log(log)
                assert time.monotonic() - began < TIME_LIMIT
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            assert process.wait(TIME_LIMIT) == -signal.SIGKILL
        finally:
            process.kill()
            process.wait()

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text()


def picture(rng: np.random.Generator, state: MaskState) -> np.ndarray:
    """A face on a smooth random ground."""
    coarse = rng.integers(0, 256, (5, 5, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    cv2.ellipse(image, (24, 24), (16, 20), 0, 0, 360, (200, 160, 130), -1)
    top = {MaskState.WITH_MASK: 24, MaskState.INCORRECT_MASK: 34}.get(state)
    if top is not None:
        cv2.rectangle(image, (10, top), (38, 43), (90, 140, 220), -1)
    return image


def make_store(path: Path) -> None:
    """24 faces that are not test, 12 of each label, twins in twos; 6 test faces, 2 unknown."""
    rng = np.random.default_rng(1)
    face = Box(4.0, 4.0, 44.0, 44.0)
    states = [MaskState.WITH_MASK, MaskState.WITHOUT_MASK]
    records = []
    with StoreWriter(path) as writer:
        for i in range(30):
            state, split = states[i % 2], Split.TRAIN if i % 4 < 2 else Split.VAL
            if i >= 24:
                split = Split.TEST
                state = MaskState.INCORRECT_MASK if i >= 28 else state
            file, group = f"street/{i}.png", f"street/{i % 12 if i < 24 else i}.png"
            offset = writer.add(picture(rng, state))
            faces = (FaceRecord(face, state),)
            records.append(Record("street", file, "", group, split, SIDE, SIDE, 1.0, offset, faces))
        about = {
            "kind": "voc", "licence": "none", "sha256": "", "pictures": 30, "stored": {},
            "faces": {},
        }  # fmt: skip
        writer.finish(records, {"datasets": {"street": about}, "arguments": {}})


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Work:
    work = Work(tmp_path_factory.mktemp("work"), root)
    make_store(work.store)
    return work


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def same_predictions(first: Path, second: Path) -> None:
    """The same faces in the same order, and the same logits up to rounding."""
    ours, theirs = rows(first), rows(second)
    names = ("fold", "file", "face", "group", "truth")
    assert [[r[n] for n in names] for r in ours] == [[r[n] for n in names] for r in theirs]
    for label in ("with_mask", "without_mask"):
        np.testing.assert_allclose(
            [float(r[f"logit_{label}"]) for r in ours],
            [float(r[f"logit_{label}"]) for r in theirs],
            rtol=1e-2,
            atol=1e-4,
        )


@pytest.fixture(scope="module")
def crossed(work: Work) -> Path:
    """A cross-validation that nobody disturbed."""
    out = work.root / "crossed"
    said = work.finish(
        "crossed", "crossval", work.recipe("tiny"), "--folds", "3", "--out", out
    )  # fmt: skip
    assert "standard deviation" in said
    return out


def test_crossval_judges_every_face_once_by_a_model_that_did_not_see_it(crossed: Path) -> None:
    predictions = rows(crossed / "predictions.csv")
    assert sorted(int(Path(row["file"]).stem) for row in predictions) == list(range(24))
    folds_of_group: dict[str, set[str]] = {}
    for row in predictions:
        folds_of_group.setdefault(row["group"], set()).add(row["fold"])
    assert len(folds_of_group) == 12
    assert all(len(folds) == 1 for folds in folds_of_group.values())
    report = json.loads((crossed / "crossval.json").read_text())
    right = [row["truth"] == row["verdict"] for row in predictions]
    assert report["out_of_fold"]["accuracy"] == pytest.approx(np.mean(right))
    accuracies = [fold["accuracy"] for fold in report["folds"]]
    assert report["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert report["standard_deviation"]["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
    assert "| mean |" in (crossed / "crossval.md").read_text()


def test_a_killed_crossval_goes_on_to_the_same_result(work: Work, crossed: Path) -> None:
    out = work.root / "killed"
    command = ("crossval", work.root / "tiny.toml", "--folds", "3", "--out", out)
    second = out / "fold-2" / "state.json"
    work.kill_when("killed", second.is_file, *command)
    first = out / "fold-1" / "scores.json"
    made = first.stat().st_mtime_ns
    assert not (out / "crossval.json").exists()
    said = work.finish("killed", *command)
    assert "finished already" in said
    assert first.stat().st_mtime_ns == made
    same_predictions(out / "predictions.csv", crossed / "predictions.csv")


def test_crossval_says_what_it_cannot_divide(
    work: Work, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "crossval", str(work.recipe("tiny_folds")), "--data", str(work.store),
        "--weights", "none", "--out", str(tmp_path / "never"),
    ]  # fmt: skip
    assert main([*arguments, "--folds", "2"]) == 2
    assert "--folds 2: at least 3 are needed" in capsys.readouterr().err
    assert main([*arguments, "--folds", "9"]) == 2
    assert "fewer independent pictures than folds (9) of: with_mask (6)" in capsys.readouterr().err
    assert not (tmp_path / "never").exists()


@pytest.fixture(scope="module")
def compared(work: Work) -> Path:
    """Three recipes, one of which cannot be trained; killed when the first row was there."""
    out = work.root / "compared"
    recipes = [
        work.recipe("first"),
        work.recipe("hopeless", ("frozen = true", 'unfreeze_from = "nowhere"')),
        work.recipe("second", ("width = 32", "width = 40"), ("height = 32", "height = 40")),
    ]
    command = ("compare", *recipes, "--out", out, "--runs", work.root / "runs", "--epochs", "1")
    work.kill_when("compared", (out / "second" / "run" / "state.json").is_file, *command)
    made = (out / "first" / "row.json").stat().st_mtime_ns
    assert not (out / "compare.md").exists()
    work.finish("compared", *command, code=1)
    assert (out / "first" / "row.json").stat().st_mtime_ns == made
    return out


def test_compare_goes_on_after_a_kill_and_a_failed_recipe_is_a_line(compared: Path) -> None:
    lines = rows(compared / "compare.csv")
    assert [line["name"] for line in lines] == ["first", "second", "hopeless"]
    assert "'nowhere' is no layer of the backbone" in lines[2]["error"]
    assert not lines[0]["error"]
    assert "- hopeless: " in (compared / "compare.md").read_text()
    assert (compared / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_compare_scores_the_int8_file_that_it_leaves(compared: Path, work: Work) -> None:
    from edge_app.vision.geometry import square_crop
    from edge_app.vision.interpreter import load_interpreter
    from training.data.store import open_store
    from training.exporting.flops import float_operators, multiply_adds

    report = json.loads((compared / "compare.json").read_text())
    store = open_store(work.store)
    for row in report["rows"]:
        content = (compared / row["name"] / "int8.tflite").read_bytes()
        assert len(content) == row["int8_bytes"]
        assert multiply_adds(content) == row["multiply_adds"]
        assert float_operators(content) == []
        engine, right = load_interpreter(content), []
        for record in store.records:
            face = record.faces[0]
            if record.split is Split.TEST and face.label is not MaskState.INCORRECT_MASK:
                crop = square_crop(store.image(record), face.box, 0.4, row["input"])
                said = int(np.argmax(engine.run(crop[None])[0]))
                right.append(row["labels"][said] == face.label)
        assert row["int8"]["faces"] == len(right) == 4
        assert row["int8"]["accuracy"] == pytest.approx(np.mean(right))
        assert row["left_out"] == {"incorrect_mask": 2}
        drop = row["float"]["test"]["balanced_accuracy"] - row["int8"]["balanced_accuracy"]
        assert row["int8_drop"] == pytest.approx(drop)
        assert row["float_ms"] > 0
        assert row["int8_ms"] > 0


def tuned_values(out: Path) -> list[tuple[int, str, dict[str, object]]]:
    trials = json.loads((out / "tune.json").read_text())["trials"]
    return [(t["trial"], t["state"], t["values"]) for t in trials]


def test_a_killed_tune_goes_on_to_the_same_search(work: Work) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed")
    whole, killed = work.root / "tuned", work.root / "tuned_killed"
    recipe = work.recipe("tiny_tune", ("seed = 3", "seed = 46"))  # which draws small networks
    command = (
        "tune", recipe, "--trials", "3", "--epochs", "1", "--steps", "1", "--max-mmac", "2",
    )  # fmt: skip
    work.finish("tuned", *command, "--out", whole)
    again = (*command, "--out", killed)
    work.kill_when("tuned_killed", (killed / "trial-001" / "state.json").is_file, *again)
    work.finish("tuned_killed", *again)
    assert tuned_values(killed) == tuned_values(whole)
    trials = json.loads((whole / "tune.json").read_text())["trials"]
    assert len(trials) == 3
    for trial in trials:
        assert (trial["state"] == "pruned") == (trial["multiply_adds"] > 2e6)
        assert (whole / f"trial-{trial['trial']:03d}").exists() == (trial["state"] != "pruned")
    assert {"pruned", "complete"} == {trial["state"] for trial in trials}
    best = load_recipe(whole / "tiny_tune_tuned.toml")
    assert best.name == "tiny_tune_tuned"
    assert [phase.epochs for phase in best.phases] == [1, 2], "the search was short, not the recipe"


def test_tune_does_not_spend_a_trial_on_what_can_be_mended(
    work: Work, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed")
    out = work.root / "mended"
    options = [
        "--data", str(work.store), "--weights", "none", "--out", str(out), "--trials", "1",
        "--epochs", "1", "--steps", "1",
    ]  # fmt: skip
    command = ["tune", str(work.recipe("mended")), *options]
    damaged = out / "trial-000" / "state.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{")
    for _ in range(2):
        assert main(command) == 2
        assert f"{damaged}: not the state of a run" in capsys.readouterr().err
    damaged.unlink()
    assert main(command) == 0
    [(_, state, values)] = tuned_values(out)
    assert state == "complete"
    assert values["model.size"] == 32, "the recipe as it is"
    assert main(["tune", str(work.recipe("another")), *options]) == 2
    said = capsys.readouterr().err
    assert f"{out} holds a study with another recipe: give --out another folder" in said


def process_named(title: str) -> int | None:
    """A process of this user whose title begins so: Ray gives its workers the job's name."""
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and (folder / "cmdline").read_bytes().startswith(
                title.encode()
            ):
                return int(folder.name)
        except OSError:
            continue  # it ended in between
    return None


def test_crossval_on_two_nodes_is_the_same_though_a_worker_dies(
    work: Work, crossed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster of two nodes on loopback; the worker of one fold is killed in its training."""
    pytest.importorskip("ray", reason="Ray is not installed")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_register_timeout_seconds", "600")  # a busy machine starts slowly
    nodes = {"num_cpus": 1, "object_store_memory": 80 * 1024 * 1024}
    cluster = Cluster(initialize_head=True, head_node_args={**nodes, "include_dashboard": False})
    out = work.root / "spread"
    command = ("crossval", work.root / "tiny.toml", "--folds", "3", "--out", out)
    try:
        cluster.add_node(**nodes)
        process = work.start("spread", *command, "--ray", cluster.address)
        try:
            began = time.monotonic()
            while not (out / "fold-1" / "state.json").is_file():
                assert process.poll() is None, work.log("spread")
                assert time.monotonic() - began < TIME_LIMIT
                time.sleep(0.02)
            worker = process_named("ray::fold 1")
            assert worker is not None
            os.kill(worker, signal.SIGKILL)
            assert process.wait(TIME_LIMIT) == 0, work.log("spread")
        finally:
            process.kill()
            process.wait()
    finally:
        cluster.shutdown()
    same_predictions(out / "predictions.csv", crossed / "predictions.csv")
