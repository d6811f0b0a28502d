"""The Pi camera against a stand-in for picamera2.

The real picamera2 needs libcamera and a camera, so it cannot run here. The stand-in has the
signatures, defaults, array layouts and the queueing of picamera2 0.3.38, read from its source;
what it cannot show is the hardware. The device rig checks that.
"""

from __future__ import annotations

import sys
import types
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from edge_app.domain import Frame, Image
from edge_app.errors import CameraLostError, CameraStalledError, SourceMissingDriverError
from edge_app.settings import SourceSettings
from edge_app.sources import open_source
from edge_app.sources.picamera import yuv420_to_rgb

SCENE = (200, 120, 40)
"""What the camera looks at, as RGB; its left eighth is black."""

STRIDE = 384
"""Row length of the small stream in memory: more than its 320 pixels, as on a Pi."""


class Picamera2:
    """Signatures and behaviour of picamera2.Picamera2, as far as our source uses it."""

    opened: ClassVar[list[Picamera2]] = []
    frames_until_stall: ClassVar[int | None] = None
    broken: ClassVar[str | None] = None
    camera_controls: ClassVar[dict[str, Any]] = {"FrameDurationLimits": (100, 1_000_000, None)}

    def __init__(
        self,
        camera_num: int = 0,
        verbose_console: int | None = None,
        tuning: str | None = None,
        allocator: Any = None,
    ) -> None:
        if camera_num >= 1:
            raise RuntimeError(
                f"No camera number {camera_num} found - use "
                '"rpicam-hello --list-cameras" to check connected cameras'
            )
        if self.broken:
            raise RuntimeError(self.broken)
        self.calls: list[str] = []
        self.config: dict[str, Any] = {}
        self.queued_jobs = 0
        self.taken = 0
        self.opened.append(self)

    def create_video_configuration(
        self,
        main: dict[str, Any] = {},  # noqa: B006 - as in picamera2
        lores: dict[str, Any] | None = None,
        raw: dict[str, Any] | None = {},  # noqa: B006
        transform: Any = None,
        colour_space: Any = None,
        buffer_count: int = 6,
        controls: dict[str, Any] = {},  # noqa: B006
        display: str | None = "main",
        encode: str | None = "main",
        queue: bool = True,
        sensor: dict[str, Any] = {},  # noqa: B006
        use_case: str = "video",
    ) -> dict[str, Any]:
        for stream in (main, lores or {}):
            unknown = set(stream) - {"format", "size", "stride", "preserve_ar"}
            if unknown:
                raise ValueError(f"Bad key {unknown}")
        return {"main": main, "lores": lores, "controls": controls}

    def configure(self, camera_config: dict[str, Any] | str | None = "preview") -> None:
        assert isinstance(camera_config, dict)
        for name in camera_config["controls"]:
            if name not in self.camera_controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
        for name in ("main", "lores"):
            stream = camera_config[name]
            if stream is not None and (stream["size"][0] % 2 or stream["size"][1] % 2):
                raise RuntimeError("width and height should be even")
        self.config = camera_config

    def start(self, config: Any = None, show_preview: Any = False) -> None:
        self.calls.append("start")

    def capture_arrays(
        self,
        names: list[str] = ["main"],  # noqa: B006
        wait: float | bool | None = None,
        signal_function: Any = None,
    ) -> tuple[list[Image], dict[str, Any]]:
        assert isinstance(wait, float), "without a timeout a stalled camera blocks for ever"
        if self.frames_until_stall is not None and self.taken >= self.frames_until_stall:
            self.queued_jobs += 1
            raise TimeoutError
        self.taken += 1
        arrays = [self._array(name) for name in names]
        return arrays, {"SensorTimestamp": 5_000_000_000 + self.taken * 100_000_000}

    def _array(self, name: str) -> Image:
        stream = self.config[name]
        width, height = stream["size"]
        scene = np.full((height, width, 3), SCENE, np.uint8)
        scene[:, : width // 8] = 0
        if stream["format"] == "RGB888":  # bytes in memory: blue, green, red
            return np.ascontiguousarray(scene[:, :, ::-1])
        assert stream["format"] == "YUV420"
        padded = np.zeros((height, STRIDE, 3), np.uint8)
        padded[:, :width] = scene
        planes: Image = cv2.cvtColor(padded, cv2.COLOR_RGB2YUV_I420)  # type: ignore[assignment]
        assert planes.shape == (height * 3 // 2, STRIDE)
        return planes

    def cancel_all_and_flush(self) -> None:
        self.calls.append("cancel_all_and_flush")
        self.queued_jobs = 0

    def close(self) -> None:
        # The real one waits for ever behind a job that will never get its frame.
        assert self.queued_jobs == 0
        self.calls.append("close")


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> type[Picamera2]:
    module = types.ModuleType("picamera2")
    module.Picamera2 = Picamera2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setattr(Picamera2, "opened", [])
    monkeypatch.setattr(Picamera2, "frames_until_stall", None)
    monkeypatch.setattr(Picamera2, "broken", None)
    return Picamera2


def first_frame(settings: SourceSettings) -> Frame:
    with open_source("picamera", settings) as source:
        frame = source.read()
    assert frame is not None
    return frame


def test_colours_are_right_in_both_streams(camera: type[Picamera2]) -> None:
    frame = first_frame(SourceSettings())
    assert frame.image.shape == (480, 640, 3)
    assert frame.image[240, 320] == pytest.approx(SCENE)
    assert frame.small is not None
    assert frame.small.shape == (240, 320, 3)
    assert frame.small[120, 160] == pytest.approx(SCENE, abs=4)
    assert frame.small[120, 318] == pytest.approx(SCENE, abs=4)
    assert frame.small[120, 10] == pytest.approx((0, 0, 0), abs=4)


@pytest.mark.parametrize("flip", ["none", "horizontal", "vertical", "both"])
def test_both_streams_are_flipped_alike(camera: type[Picamera2], flip: str) -> None:
    frame = first_frame(SourceSettings(flip=flip))
    assert frame.small is not None
    black_on_the_right = flip in ("horizontal", "both")
    for image in (frame.image, frame.small):
        assert bool(image[5, -5].max() < 10) is black_on_the_right
        assert bool(image[5, 5].max() < 10) is not black_on_the_right


def test_size_rate_and_times(camera: type[Picamera2]) -> None:
    settings = SourceSettings(width=1281, height=961, fps=20)
    with open_source("picamera:0", settings) as source:
        assert (source.live, source.frame_count) == (True, None)
        assert (source.size, source.fps, source.name) == ((1280, 960), 20, "picamera")
        frames = [source.read() for _ in range(3)]
    assert [frame.index for frame in frames if frame] == [0, 1, 2]
    assert [frame.time for frame in frames if frame] == pytest.approx([5.1, 5.2, 5.3])
    config = camera.opened[0].config
    assert config["controls"] == {"FrameDurationLimits": (50_000, 50_000)}
    assert config["main"] == {"format": "RGB888", "size": (1280, 960)}
    assert config["lores"] == {"format": "YUV420", "size": (320, 240)}


def test_a_camera_without_a_rate_is_not_asked_for_one(
    camera: type[Picamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera, "camera_controls", {})
    first_frame(SourceSettings())
    assert camera.opened[0].config["controls"] == {}


def test_a_small_picture_needs_no_smaller_one(camera: type[Picamera2]) -> None:
    frame = first_frame(SourceSettings(width=320, height=240))
    assert frame.small is None
    assert camera.opened[0].config["lores"] is None


def test_a_stall_is_reported_and_closing_does_not_hang(camera: type[Picamera2]) -> None:
    camera.frames_until_stall = 2
    with open_source("picamera", SourceSettings(timeout_s=1.5)) as source:
        source.read()
        source.read()
        with pytest.raises(CameraStalledError, match=r"^source picamera: no frame for 1\.5 s"):
            source.read()
    assert camera.opened[0].calls == ["start", "cancel_all_and_flush", "close"]


def test_a_stall_before_the_first_frame_closes_the_camera(camera: type[Picamera2]) -> None:
    camera.frames_until_stall = 0
    with pytest.raises(CameraStalledError):
        open_source("picamera", SourceSettings())
    assert camera.opened[0].calls[-1] == "close"


def test_closing_twice_and_reading_afterwards(camera: type[Picamera2]) -> None:
    source = open_source("picamera", SourceSettings())
    source.read()
    source.close()
    source.close()
    assert camera.opened[0].calls.count("close") == 1
    with pytest.raises(CameraLostError, match="is closed"):
        source.read()


def test_a_camera_that_is_not_there(camera: type[Picamera2]) -> None:
    with pytest.raises(CameraLostError, match=r"^source picamera:1: No camera number 1 found"):
        open_source("picamera:1", SourceSettings())


def test_a_camera_in_use(camera: type[Picamera2]) -> None:
    camera.broken = "Camera __init__ sequence did not complete."
    with pytest.raises(CameraLostError, match="no other program uses the camera"):
        open_source("picamera", SourceSettings())


def test_without_picamera2_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(SourceMissingDriverError, match="apt install python3-picamera2") as caught:
        open_source("picamera", SourceSettings())
    assert "\n" not in str(caught.value)


def test_yuv_padding_is_cut_off() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    padded = np.zeros((64, 128, 3), np.uint8)
    padded[:, :96] = rgb
    planes: Image = cv2.cvtColor(padded, cv2.COLOR_RGB2YUV_I420)  # type: ignore[assignment]
    back = yuv420_to_rgb(planes, (96, 64))
    assert back.shape == rgb.shape
    # Limited range costs a level or two; the middle of each block is free of chroma bleed.
    error = np.abs(back.astype(int) - rgb.astype(int))[4::8, 4::8]
    assert np.median(error) <= 3
