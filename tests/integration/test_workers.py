"""Two processes on loopback train one recipe: as one process would, through a kill, to the end.

The network is the MLP: it has no batch norm, so that two workers compute what one computes,
up to the order of a sum; that a team averages the statistics of batch norm is tested in
tests/unit/training/fitting/test_team.py. Class weights, mixup and a rate that falls on plateaus
are on, because a slice of a batch must not change them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge_app.domain import Box, MaskState

pytest.importorskip("torch", reason="the PyTorch backend is not installed")

from training.data.splits import Split
from training.data.store import FaceRecord, Record, StoreWriter

TIME_LIMIT = 400
"""Seconds after which a subprocess has hung; far below the workers' own limit of silence."""

SIDE = 48

PROGRAM = """
import runpy, sys
sys.modules["tensorflow"] = None  # as if it were not installed: Keras would load it for nothing
runpy.run_module("training", run_name="__main__", alter_sys=True)
"""

RECIPE = """
name = "tiny"
task = "classify"
labels = ["with_mask", "without_mask"]
seed = 3
batch = 8
steps_per_epoch = 3
mixup = 0.2
class_weights = true
schedule = "plateau"
[model]
backbone = "mlp"
width = 32
height = 32
dense = 8
dropout = 0.0
[[phases]]
epochs = 2
learning_rate = 1e-3
frozen = true
[[phases]]
epochs = 40
learning_rate = 1e-3
[sampling]
margin = 0.4
min_face = 16.0
class_power = 0.6
dataset_weights = { street = 1.0 }
[thresholds]
confidence_floor = 0.4
"""


@dataclass
class Work:
    """Everything on disk."""

    root: Path
    here: Path
    port: int

    def run(self, name: str) -> Path:
        return self.root / name

    def fit(self, run: str, log: str, *options: str) -> subprocess.Popen[str]:
        """Start ``fit`` and return at once."""
        words = [
            "fit", str(self.root / "tiny.toml"), "--data", str(self.root / "store"),
            "--weights", "none", "--run", str(self.run(run)), *options,
        ]  # fmt: skip
        with (self.root / f"{log}.log").open("w") as stream:
            return subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *words],
                cwd=self.here,
                env={**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"},
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def worker(self, number: int, log: str) -> subprocess.Popen[str]:
        """Start one of two workers; each has a folder of its own, as on a machine of its own."""
        place = ("--worker", f"{number}/2", "--meet", f"127.0.0.1:{self.port}")
        return self.fit(f"together-{number}", log, *place)

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text()

    def history(self, name: str) -> list[dict[str, float]]:
        return json.loads((self.run(name) / "state.json").read_text())["history"]


def make_store(path: Path) -> None:
    """24 faces, half of them with a dark bar for a mask; a third of the faces are without."""
    rng = np.random.default_rng(1)
    face = Box(4.0, 4.0, 44.0, 44.0)
    records = []
    with StoreWriter(path) as writer:
        for i in range(24):
            state = MaskState.WITHOUT_MASK if i % 3 == 0 else MaskState.WITH_MASK
            image = rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
            if state is MaskState.WITH_MASK:
                image[24:42, 8:40] //= 4
            split, file = Split.TRAIN if i < 15 else Split.VAL, f"street/{i}.png"
            records.append(
                Record("street", file, "", file, split, SIDE, SIDE, 1.0, writer.add(image),
                       (FaceRecord(face, state),))
            )  # fmt: skip
        about = {
            "kind": "voc", "licence": "none", "sha256": "", "pictures": 24, "stored": {},
            "faces": {},
        }  # fmt: skip
        writer.finish(records, {"datasets": {"street": about}, "arguments": {}})


def ended(process: subprocess.Popen[str], work: Work, log: str) -> int:
    try:
        return process.wait(TIME_LIMIT)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{log} hangs:\n{work.log(log)}")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Work:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    work = Work(tmp_path_factory.mktemp("work"), root, port)
    make_store(work.root / "store")
    (work.root / "tiny.toml").write_text(RECIPE)
    return work


@dataclass
class Killed:
    """What became of the first worker when the second was killed."""

    epochs: int
    code: int
    log: str


@pytest.fixture(scope="module")
def killed(work: Work) -> Killed:
    """Both workers, the second killed after the first epochs; the first ends by itself."""
    first, second = work.worker(1, "first"), work.worker(2, "second")
    try:
        began = time.monotonic()
        while not (work.run("together-1") / "state.json").is_file():
            assert first.poll() is None, work.log("first")
            assert second.poll() is None, work.log("second")
            assert time.monotonic() - began < TIME_LIMIT, work.log("first") + work.log("second")
            time.sleep(0.01)
        second.send_signal(signal.SIGKILL)
        code = ended(first, work, "first")
        return Killed(len(work.history("together-1")), code, work.log("first"))
    finally:
        for process in (first, second):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def finished(work: Work, killed: Killed) -> Work:
    """The same two commands once more, to their end, and the recipe trained by one process."""
    processes = {"first-again": work.worker(1, "first-again")}
    processes["second-again"] = work.worker(2, "second-again")
    try:
        for log, process in processes.items():
            assert ended(process, work, log) == 0, work.log(log)
        processes["alone"] = work.fit("alone", "alone")
        assert ended(processes["alone"], work, "alone") == 0, work.log("alone")
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    return work


def test_a_worker_that_dies_ends_the_others_with_one_line(killed: Killed) -> None:
    assert killed.code == 1
    lines = [line for line in killed.log.splitlines() if "mask-kiosk: error" in line]
    assert len(lines) == 1, killed.log
    assert "worker 1/2: another worker is gone" in lines[0]
    assert "start every worker again with the same command" in lines[0]
    assert "Traceback" not in killed.log


def test_the_same_commands_go_on_where_the_run_was(killed: Killed, finished: Work) -> None:
    assert 1 <= killed.epochs < 42
    assert f"{killed.epochs} epochs done" in finished.log("first-again")
    rows = finished.history("together-1")
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))


def test_two_workers_train_what_one_process_trains(finished: Work) -> None:
    """Every figure of every epoch agrees up to rounding, though the team was killed once."""
    alone, together = finished.history("alone"), finished.history("together-1")
    assert [row["phase"] for row in alone] == [row["phase"] for row in together]
    assert {row["phase"] for row in alone} == {0, 1}
    for one, two in zip(alone, together, strict=True):
        for figure in ("loss", "score", "learning_rate"):
            assert two[figure] == pytest.approx(one[figure], rel=1e-3, abs=1e-5), one["epoch"]
    assert alone[-1]["loss"] < alone[0]["loss"]


def test_only_the_first_worker_writes_and_tells(finished: Work) -> None:
    assert not finished.run("together-2").exists()
    best = json.loads((finished.run("together-1") / "state.json").read_text())["best_epoch"]
    assert {path.name for path in finished.run("together-1").iterdir()} == {
        "state.json", "model.keras", "fit.json", "curves.png", f"best-{best}.npz",
    }  # fmt: skip
    summary = json.loads((finished.run("together-1") / "fit.json").read_text())
    assert summary["command"].endswith("--worker NUMBER/2 --meet HOST:PORT")
    assert "epoch 1/" not in finished.log("second-again")
    assert "run's folder of worker 1" in finished.log("second-again")
