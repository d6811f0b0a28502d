"""A live window with the annotated picture, where there is a screen to show it on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import cv2

from edge_app.domain import Image
from edge_app.errors import UsageError

TITLE = "mask-kiosk (Q quits)"

SCREEN_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY")
"""One of these is set wherever a Linux program can open a window."""

KEY_WAIT_MS = 1
"""OpenCV draws and reads keys only while it waits for one; this is the shortest wait."""

_QUIT_KEYS = {ord("q"), ord("Q")}


class Window:
    """Shows pictures until somebody presses Q or closes it.

    Raises:
        UsageError: There is no screen, or this OpenCV was built without windows.
    """

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        build_information: str | None = None,
    ) -> None:
        require_window(environment, build_information or cv2.getBuildInformation())

    def show(self, image: Image, seconds: float = 0.0) -> bool:
        """Show an RGB picture for ``seconds`` at least; False once the viewer quits."""
        cv2.imshow(TITLE, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        pressed = cv2.waitKey(max(KEY_WAIT_MS, round(seconds * 1000))) & 0xFF
        closed = cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
        return not (closed or pressed in _QUIT_KEYS)

    def __enter__(self) -> Self:
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise UsageError(f"--show: cannot open a window: {error.err}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        cv2.destroyAllWindows()


def require_window(environment: Mapping[str, str], build_information: str) -> None:
    """Make sure that a window can be opened.

    Raises:
        UsageError: There is no screen, or OpenCV has no windows; says what to do.
    """
    if not any(environment.get(name) for name in SCREEN_VARIABLES):
        raise UsageError(
            f"--show: there is no screen here ({' and '.join(SCREEN_VARIABLES)} are not set); "
            "use --annotate OUT.mp4 instead"
        )
    if re.search(r"GUI:\s+NONE", build_information):
        raise UsageError(
            "--show: this OpenCV was built without windows; "
            "pip install opencv-python in place of opencv-python-headless, or use --annotate"
        )
