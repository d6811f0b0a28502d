import io
from pathlib import Path

import cv2
import pytest

from edge_app.demo import Pace, run_demo
from edge_app.domain import MaskState
from edge_app.errors import SourceNotFoundError
from edge_app.recording import VideoRecorder
from edge_app.settings import Settings, replace_settings

FPS = 10


class Clock:
    """A clock that only its own sleep moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


@pytest.fixture
def clip(tmp_path: Path, paint) -> Path:
    path = tmp_path / "demo.mp4"
    with VideoRecorder(path, FPS) as recorder:
        for state in [MaskState.WITHOUT_MASK] * 20 + [MaskState.WITH_MASK] * 30:
            recorder.add(paint({(6, 6): state}))
    return path


def test_frames_wait_for_their_time_and_a_late_one_does_not() -> None:
    clock = Clock()
    pace = Pace(clock, clock.sleep)
    pace.wait_for(0.0)
    clock.now += 0.03
    pace.wait_for(0.1)
    clock.now += 0.5
    pace.wait_for(0.2)
    pace.wait_for(0.7)
    assert clock.slept == [0.07, 0.1]


def test_the_demo_shows_changes_writes_the_video_and_says_where(
    tiny_settings: Settings, clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gpio = replace_settings(tiny_settings, {"indicator.pins": "gpio"})
    out, target = io.StringIO(), tmp_path / "new" / "out.mp4"
    code = run_demo(gpio, target, fast=True, out=out, clip=clip, environment={})
    assert code == 0
    live, summary = out.getvalue().split("timeline:")
    words = ["IDLE", "NO_MASK", "COMPLIANT"]
    assert [line.split()[2] for line in live.splitlines() if " s  " in line] == words
    spans = [line for line in summary.splitlines() if " - " in line]
    assert [line.split()[4] for line in spans] == words
    assert out.getvalue().endswith(f"annotated video: {target}\n")
    assert "pretend pins" in caplog.text
    video = cv2.VideoCapture(str(target))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 50
    video.release()


def test_a_missing_clip_is_said_and_leaves_no_folder(
    tiny_settings: Settings, tmp_path: Path
) -> None:
    target = tmp_path / "new" / "out.mp4"
    with pytest.raises(SourceNotFoundError):
        run_demo(tiny_settings, target, fast=True, out=io.StringIO(), clip=tmp_path / "no.mp4")
    assert not target.parent.exists()
