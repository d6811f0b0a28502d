"""``fit --mlflow``: a real run, recorded on a real MLflow server on this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the training half's packages are not installed")
pytest.importorskip("mlflow", reason="mlflow is not installed")
pytest.importorskip("flask", reason="only mlflow's client is installed, no server")

from training.cli import main
from training.tracking import EXPERIMENT, FINGERPRINT, record_run

TIME_LIMIT = 300
"""Seconds after which a server hangs; it makes its database first."""

RECIPE = """
name = "tiny"
task = "classify"
labels = ["with_mask", "without_mask"]
seed = 3
batch = 4
steps_per_epoch = 1
[model]
width = 32
height = 32
backbone = "mlp"
[[phases]]
epochs = 2
learning_rate = 1e-3
frozen = true
[sampling]
margin = 0.4
min_face = 16.0
class_power = 0.6
dataset_weights = { portraits = 1.0 }
[thresholds]
confidence_floor = 0.4
"""


@dataclass
class Work:
    """A store and a recipe; the run is trained by the first test that gives the command."""

    root: Path

    @property
    def run(self) -> Path:
        return self.root / "runs" / "tiny"

    def fit(self, uri):
        return [
            "fit", str(self.root / "tiny.toml"), "--data", str(self.root / "store"),
            "--weights", "none", "--run", str(self.run), "--mlflow", uri,
        ]  # fmt: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    work = Work(tmp_path_factory.mktemp("work"))
    rng = np.random.default_rng(1)
    for i in range(12):
        coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        label = ("with_mask", "without_mask")[i % 2]
        file = work.root / "portraits" / label / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(file), cv2.resize(coarse, (64, 64)))
    (work.root / "tiny.toml").write_text(RECIPE)
    prepared = ["prepare", str(work.root / "portraits"), "--out", str(work.root / "store")]
    assert main([*prepared, "--val-fraction", "0.4"]) == 0
    return work


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A tracking server with its database and artefacts in a folder of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
                "--port", str(port), "--workers", "1",
                "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
                "--artifacts-destination", str(folder / "artifacts"),
            ],
            cwd=folder,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + TIME_LIMIT
        while not answers(url):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.3)
        yield url
    finally:
        process.terminate()
        process.wait(TIME_LIMIT)


def answers(url):
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:  # noqa: S310
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def recorded(url):
    """The runs on the server."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=url)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return client, [] if experiment is None else client.search_runs([experiment.experiment_id])


def test_a_server_that_is_down_costs_one_line_and_no_run(work, capsys) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    assert main(work.fit(uri)) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "mask-kiosk: error" in line]
    assert lines == [
        f"mask-kiosk: error: {uri}: the run is not recorded (Connection refused); {work.run} is "
        "whole: give the same command again when the server answers"
    ]
    assert {"model.keras", "fit.json", "curves.png"} <= {p.name for p in work.run.iterdir()}


def test_a_run_is_recorded_once_with_all_that_made_it(work, server, root, capsys) -> None:
    assert main(work.fit(server)) == 0
    client, [run] = recorded(server)
    assert f"recorded on {server}: run {run.info.run_id}" in capsys.readouterr().out
    summary = json.loads((work.run / "fit.json").read_text())
    assert run.info.status == "FINISHED"
    params = run.data.params
    assert params["recipe_sha256"] == summary["recipe_sha256"]
    assert params["recipe.phases.0.learning_rate"] == "0.001"
    assert params["recipe.labels"] == "with_mask, without_mask"
    assert params["data.portraits.sha256"] == summary["data"]["portraits"]["sha256"]
    assert params["store_sha256"] == summary["store_sha256"]
    history = client.get_metric_history(run.info.run_id, "balanced_accuracy")
    assert {m.step: m.value for m in history} == {
        row["epoch"]: row["balanced_accuracy"] for row in summary["history"]
    }
    assert len(history) == 2
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert names == {"fit.json", "curves.png", "model.keras", "tiny.toml"}
    assert run.data.tags.get("mlflow.source.git.commit") == commit(root)
    assert main(work.fit(server)) == 0
    _, again = recorded(server)
    assert [r.info.run_id for r in again] == [run.info.run_id]


def commit(root):
    done = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None


def test_a_record_that_was_broken_off_is_made_anew(work, server) -> None:
    first = record_run(work.run, server)
    client, _ = recorded(server)
    client.update_run(first, status="RUNNING")
    second = record_run(work.run, server)
    _, runs = recorded(server)
    assert second != first
    assert [(r.info.run_id, r.info.status) for r in runs] == [(second, "FINISHED")]
    assert len({r.data.tags[FINGERPRINT] for r in runs}) == 1


def test_an_address_that_cannot_be_is_refused_before_the_training(tmp_path, capsys) -> None:
    run = tmp_path / "run"
    assert main(["fit", "mask_classifier", "--run", str(run), "--mlflow", "nowhere:5000"]) == 2
    assert "--mlflow nowhere:5000: must begin with http://" in capsys.readouterr().err
    assert not run.exists()


def test_a_folder_without_a_finished_run_is_one_line(tmp_path) -> None:
    with pytest.raises(ValueError, match="no finished run here"):
        record_run(tmp_path, "http://127.0.0.1:1")
