"""Keep OpenCV's and FFmpeg's own chatter off the user's terminal.

Our errors say in one line what is wrong. Whoever wants the libraries' messages too sets
``OPENCV_LOG_LEVEL`` or ``OPENCV_FFMPEG_LOGLEVEL`` in the environment, which then wins.
"""

from __future__ import annotations

import os

import cv2

OPENCV_SILENT = 0
"""``cv::utils::logging::LOG_LEVEL_SILENT``"""

FFMPEG_QUIET = "-8"
"""``AV_LOG_QUIET``"""


def quieten_opencv() -> None:
    """Silence both libraries; OpenCV reads FFmpeg's level when it first opens a video."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", FFMPEG_QUIET)
    if "OPENCV_LOG_LEVEL" in os.environ:
        return
    # OpenCV 5 has the function in a submodule, the 4.x of Debian 12 at the top level.
    home = getattr(cv2.utils, "logging", cv2)
    home.setLogLevel(OPENCV_SILENT)
