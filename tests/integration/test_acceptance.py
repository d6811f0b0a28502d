"""What the shipped models must reach on real data; the numbers here are the project's floors.

Pictures and faces are counted first, so that nothing passes because it was left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge_app.domain import Image
from edge_app.recording import VideoRecorder
from edge_app.vision.bundle import MODELS_DIR
from edge_app.vision.geometry import letterbox

pytestmark = pytest.mark.acceptance

PATIENCE_S = 600
"""Far more than any of these processes takes; a hang shall not block the whole run."""

TEST_FACES = 974
"""Hand-made boxes of kaggle853's and ilc2021's test pictures, 24 px or more, not difficult."""

TEST_PORTRAITS = 818
TEST_SCENES = 170
HELD_OUT_ROOMS = 174
"""Rooms that ``prepare`` keeps out of training (their list follows from the seed)."""

MAX_CLASSIFIER_MULTIPLY_ADDS = 25_000_000
MAX_DETECTOR_MULTIPLY_ADDS = 65_000_000

MAX_RESIDENT_MB = 200
WATCHED_FRAMES = 90
SOURCE_SIZE = (640, 480)


def evaluate(root: Path, out: Path, bundle: str, *arguments: object) -> dict[str, Any]:
    """The figures that ``python -m training evaluate`` writes."""
    pytest.importorskip("tensorflow", reason="the training half is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "training", "evaluate", bundle, *map(str, arguments), "--out", out],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads((out / f"{bundle}.json").read_text())
    return figures


@pytest.fixture(scope="module")
def classification(
    root: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    data = shared / "data"
    figures = evaluate(
        root,
        tmp_path_factory.mktemp("classifier"),
        "mask_classifier",
        *("--data", data / "kaggle853", data / "ilc2021", data / "binary"),
        *("--boxes", data / "teacher_boxes.json", "--split", "test"),
    )
    pools: dict[str, Any] = figures["classification"]["INT8"]
    return pools


@pytest.fixture(scope="module")
def detection(root: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    data = shared / "data"
    return evaluate(
        root,
        tmp_path_factory.mktemp("detector"),
        "face_detector",
        *("--data", data / "kaggle853", "--negatives", data / "rooms", "--split", "test"),
    )


def test_the_light_shows_what_the_real_clips_expect(root: Path, shared: Path) -> None:
    videos = shared / "data" / "videos"
    clips = sorted(path for path in videos.iterdir() if path.suffix != ".json")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "edge_app", "replay", *clips),
            *("--expect", videos / "expected.json"),
        ],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 clips as expected" in done.stdout


def test_the_classifier_tells_the_three_states_apart(classification: dict[str, Any]) -> None:
    faces = classification["hand-made boxes"]
    assert faces["samples"] == TEST_FACES
    recalls = {state: figures["recall"] for state, figures in faces["classes"].items()}
    assert min(recalls.values()) >= 0.82, recalls


def test_the_classifier_is_right_on_average_over_the_states(classification: dict[str, Any]) -> None:
    assert classification["hand-made boxes"]["balanced_accuracy"] >= 0.92


def test_the_classifier_knows_masked_from_bare_portraits(classification: dict[str, Any]) -> None:
    portraits = classification["binary"]
    assert portraits["samples"] == TEST_PORTRAITS
    assert portraits["accuracy"] >= 0.985


def test_the_detector_finds_faces_in_street_photos(detection: dict[str, Any]) -> None:
    by_size = detection["detection"]["INT8"]["kaggle853"]
    assert by_size["16 px"]["pictures"] == TEST_SCENES
    assert by_size["32 px"]["average_precision"] >= 0.97


def test_the_detector_finds_small_faces_in_street_photos(detection: dict[str, Any]) -> None:
    by_size = detection["detection"]["INT8"]["kaggle853"]
    assert by_size["16 px"]["average_precision"] >= 0.92


def test_the_detector_sees_nobody_in_empty_rooms(detection: dict[str, Any]) -> None:
    alarms = detection["false_alarms"]["INT8"]["rooms"]
    assert alarms["pictures"] == HELD_OUT_ROOMS
    card = json.loads((MODELS_DIR / "face_detector.json").read_text())
    assert alarms["threshold"] == card["thresholds"]["score"]


def test_the_detector_raises_few_false_alarms(detection: dict[str, Any]) -> None:
    assert detection["false_alarms"]["INT8"]["rooms"]["per_hundred"] <= 2


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("mask_classifier", MAX_CLASSIFIER_MULTIPLY_ADDS),
        ("face_detector", MAX_DETECTOR_MULTIPLY_ADDS),
    ],
)
def test_the_models_are_cheap(name: str, limit: int) -> None:
    flops = pytest.importorskip(
        "training.exporting.flops", reason="the training half is not installed"
    )
    counted = flops.multiply_adds((MODELS_DIR / f"{name}.tflite").read_bytes())
    assert 0 < counted <= limit


@pytest.mark.parametrize("name", ["mask_classifier", "face_detector"])
def test_no_shipped_model_saw_the_non_commercial_data(name: str) -> None:
    card = json.loads((MODELS_DIR / f"{name}.json").read_text())
    assert "kaggle853" in json.dumps(card["training"])
    assert "overlay" not in json.dumps(card["training"])


def test_run_needs_little_memory(root: Path, shared: Path, tmp_path: Path) -> None:
    clip = tmp_path / "vga.mp4"
    record_scaled(shared / "data" / "videos" / "puts_mask_on.mp4", clip)
    command = [sys.executable, "-m", "edge_app", "run", "--source", clip, "--mock-pins"]
    with (tmp_path / "stderr").open("w+") as stderr:
        child = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=stderr)
        try:
            resident_kib = watch_memory(child)
        finally:
            child.kill()
            child.wait()
        stderr.seek(0)
        said = stderr.read()
    assert child.returncode == 0, said
    assert "NO_MASK" in said, "the run must have found and judged the face"
    assert resident_kib / 1024 < MAX_RESIDENT_MB


def record_scaled(source: Path, target: Path) -> None:
    """The first frames of a clip, letterboxed to what a camera delivers."""
    capture = cv2.VideoCapture(str(source))
    with VideoRecorder(target, capture.get(cv2.CAP_PROP_FPS)) as recorder:
        for _ in range(WATCHED_FRAMES):
            read, picture = capture.read()
            assert read, f"{source.name} has fewer than {WATCHED_FRAMES} frames"
            image: Image = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]
            recorder.add(letterbox(image, *SOURCE_SIZE)[0])
    capture.release()


def watch_memory(child: subprocess.Popen[bytes]) -> int:
    """The most memory (KiB) that a process held at once, seen until it ends."""
    status = Path(f"/proc/{child.pid}/status")
    most, end = 0, time.monotonic() + PATIENCE_S
    while child.poll() is None:
        assert time.monotonic() < end, "the run did not end with its clip"
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                most = max(most, int(line.split()[1]))
        time.sleep(0.02)
    return most
