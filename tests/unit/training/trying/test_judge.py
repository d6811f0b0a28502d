from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data as skimage_data

from edge_app.domain import Frame, MaskState, Observation, Signal
from edge_app.errors import SourceUnreadableError
from edge_app.replay import replay, replay_pipeline
from edge_app.settings import Settings, load_settings
from edge_app.sources import open_source
from edge_app.vision.annotate import annotate
from training.trying.judge import BrowserClip, JudgedClip, JudgedPicture, judge, safe_name

FPS = 10.0


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(None)


def never(done: float) -> None:
    raise AssertionError(f"a picture has no progress: {done}")


def still(frames: int, size: tuple[int, int], path: Path) -> bytes:
    """A clip of one bare face."""
    image = cv2.cvtColor(cv2.resize(skimage_data.astronaut(), size), cv2.COLOR_RGB2BGR)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, size)
    for _ in range(frames):
        writer.write(image)
    writer.release()
    return path.read_bytes()


def test_a_picture_is_judged_as_replay_judges_it(settings: Settings) -> None:
    image = skimage_data.astronaut()
    ok, content = cv2.imencode(".png", image[:, :, ::-1])
    assert ok
    result = judge(content.tobytes(), "me.PNG", settings, never)
    assert isinstance(result, JudgedPicture)
    seen = replay_pipeline(settings).judge_alone(Frame(image, 0.0, 0))
    assert result.observation.faces == seen.faces
    assert result.observation.signal is Signal.NO_MASK
    np.testing.assert_array_equal(result.image, image)
    np.testing.assert_array_equal(result.annotated, annotate(image, seen))
    [face] = seen.faces
    assert face.verdict is not None
    assert face.verdict.state is MaskState.WITHOUT_MASK
    side = result.card.input_width
    assert result.crop(face).shape == (side, side, 3)


def test_a_clip_gives_an_annotated_copy_and_the_timeline(
    settings: Settings, tmp_path: Path
) -> None:
    content = still(12, (320, 320), tmp_path / "clip.mp4")
    told: list[float] = []
    result = judge(content, "clip.mp4", settings, told.append)
    assert isinstance(result, JudgedClip)
    with open_source(str(tmp_path / "clip.mp4"), settings.source) as source:
        expected = replay(source, replay_pipeline(settings))
    assert result.replay.observations == expected.observations
    assert result.replay.spans == expected.spans
    assert told == sorted(told)
    assert told[-1] == 1.0
    (tmp_path / "copy.webm").write_bytes(result.content)
    with open_source(str(tmp_path / "copy.webm"), settings.source) as copy:
        frames = list(copy)
    assert len(frames) == 12
    assert copy.fps == pytest.approx(FPS, rel=0.01)


def test_a_large_clip_is_shown_smaller(tmp_path: Path, settings: Settings) -> None:
    clip = BrowserClip(tmp_path / "x.webm", FPS)
    frame = Frame(np.zeros((1080, 1920, 3), np.uint8), 0.0, 0)
    clip.add(frame, Observation(0, 0.0, Signal.IDLE, "nobody in view"))
    clip.close()
    with open_source(str(tmp_path / "x.webm"), settings.source) as source:
        assert source.size == (960, 540)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("me.jpg", b"", "me.jpg: the file is empty (0 bytes)"),
        ("me.jpg", b"text", "me.jpg: not an image that can be read"),
        ("clip.mp4", b"text", "clip.mp4: is a text file, not a video"),
        ("notes.txt", b"text", "notes.txt: neither a picture (.jpg, "),
        ("../../etc/me.jpg", b"", "me.jpg: the file is empty (0 bytes)"),
    ],
)
def test_a_bad_upload_is_one_line_that_names_it(
    name: str, content: bytes, said: str, settings: Settings
) -> None:
    with pytest.raises(SourceUnreadableError) as caught:
        judge(content, name, settings, never)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_clip_that_breaks_off_says_how_far_it_came(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    image = skimage_data.astronaut()[:, :, ::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (512, 512))
    for _ in range(10):
        writer.write(image)
    writer.release()
    content = path.read_bytes()
    with pytest.raises(SourceUnreadableError, match=r"^clip.avi: \d+ .*the file is cut off"):
        judge(content[: len(content) // 2], "clip.avi", settings, lambda done: None)


def test_nothing_of_an_upload_is_kept(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "kept"))
    (tmp_path / "kept").mkdir()
    judge(still(2, (64, 64), tmp_path / "c.mp4"), "c.mp4", settings, lambda done: None)
    with pytest.raises(SourceUnreadableError):
        judge(b"text", "me.jpg", settings, never)
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("photo 1.jpg", "photo-1.jpg"),
        ("../../passwd.png", "passwd.png"),
        ("C:\\me\\a.jpg", "C--me-a.jpg"),
        ("![x](http://host).jpg", "host-.jpg"),
        ("straße.jpg", "straße.jpg"),
        (".jpg", "jpg"),
    ],
)
def test_names_lose_what_a_path_or_markdown_would_act_on(name: str, safe: str) -> None:
    assert safe_name(name) == safe
