"""Network cameras against a real HTTP stream served here; device cameras as far as possible.

There is no V4L2 device on a test machine: of that kind only the failures are tested.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from edge_app.errors import (
    CameraLostError,
    CameraMissingError,
    CameraStalledError,
    SourceUnreadableError,
)
from edge_app.settings import SourceSettings
from edge_app.sources import open_source
from edge_app.sources.camera import V4L_TIMEOUT, DeviceCamera

GREEN = (20, 200, 40)

SETTINGS = SourceSettings(timeout_s=1.0)


class Stream(BaseHTTPRequestHandler):
    """Motion JPEG as cheap network cameras send it; the path says what happens at the end."""

    released = threading.Event()

    def do_GET(self) -> None:
        image = np.full((48, 64, 3), GREEN, np.uint8)
        image[:, :8] = 255
        jpeg = cv2.imencode(".jpg", image[:, :, ::-1])[1].tobytes()
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for _ in range(60):
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")
        if self.path == "/stalls":
            self.released.wait(30)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a running server."""
    Stream.released.clear()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{httpd.server_port}"
    Stream.released.set()
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def read_until(uri: str, settings: SourceSettings, error: type[Exception]) -> str:
    with open_source(uri, settings) as source, pytest.raises(error) as caught:
        list(source)
    return str(caught.value)


def test_a_network_camera_gives_rgb_frames_with_rising_times(server: str) -> None:
    with open_source(f"http://{server}/ends", SETTINGS) as source:
        assert (source.live, source.frame_count, source.size) == (True, None, (64, 48))
        frames = [source.read() for _ in range(5)]
    assert [frame.index for frame in frames if frame] == [0, 1, 2, 3, 4]
    times = [frame.time for frame in frames if frame]
    assert times == sorted(times)
    assert frames[0] is not None
    assert frames[0].image[24, 32] == pytest.approx(GREEN, abs=6)


def test_flip(server: str) -> None:
    settings = SourceSettings(timeout_s=1.0, flip="horizontal")
    with open_source(f"http://{server}/ends", settings) as source:
        frame = source.read()
    assert frame is not None
    assert frame.image[24, 62] == pytest.approx((255, 255, 255), abs=6)
    assert frame.image[24, 1] == pytest.approx(GREEN, abs=6)


def test_a_camera_that_hangs_up_is_lost(server: str) -> None:
    message = read_until(f"http://{server}/ends", SETTINGS, CameraLostError)
    assert message == f"source http://{server}/ends: the camera went away"


def test_a_camera_that_stops_sending_has_stalled(server: str) -> None:
    message = read_until(f"http://{server}/stalls", SETTINGS, CameraStalledError)
    assert "(source.timeout_s = 1)" in message


def test_an_unreachable_camera_is_lost_and_its_password_stays_secret() -> None:
    with pytest.raises(CameraLostError) as caught:
        open_source("rtsp://admin:hunter2@127.0.0.1:9/live?key=hunter2", SETTINGS)
    assert str(caught.value).startswith("source rtsp://***@127.0.0.1:9/live?***: cannot be opened")


def test_an_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(SourceUnreadableError, match=r"ftp:// is not supported; allowed: rtsp, "):
        open_source("ftp://u:secret@cam/clip.mp4", SETTINGS)


def test_a_missing_device_is_named() -> None:
    with pytest.raises(CameraMissingError, match=r"^source /dev/video99: there is no such camera"):
        open_source("/dev/video99", SETTINGS)


def test_a_device_that_is_no_camera_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/null in place of a camera: OpenCV's real V4L2 backend refuses it."""
    monkeypatch.setenv(V4L_TIMEOUT, "")  # so that it is put back afterwards
    with pytest.raises(CameraLostError, match=r"^source /dev/null: cannot be opened"):
        DeviceCamera("/dev/null", SourceSettings(timeout_s=2.5))
    assert os.environ[V4L_TIMEOUT] == "3"
