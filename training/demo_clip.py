"""Make the demo clip that ships with the kiosk: ``python -m training.demo_clip``.

The clip is rendered, not filmed: a portrait walks into an empty room, first bare, then with
a mask under the nose, then with the mask worn correctly, and leaves. It shows that the
kiosk's parts work together; it says nothing about accuracy on real people.

The portrait is NASA's 1993 photo of astronaut Eileen Collins, which is in the public domain
and comes inside scikit-image (``skimage.data.astronaut()``), so nothing is downloaded. Room
and masks are drawn by this project. Every random draw is seeded: the same libraries write
the same frames.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.domain import Image, Signal
from edge_app.errors import DatasetError, KioskError, OutputError
from training.data.cloth import Kind, surgical_blue
from training.data.overlay import place_mask
from training.data.wear import worn_surface

WIDTH, HEIGHT, FPS = 640, 480, 15
DEFAULT_OUT = Path("edge_app/assets/demo.mp4")
FOURCC = "mp4v"
"""MPEG-4 part 2: every stock OpenCV wheel reads and writes it, on x86-64 and arm64."""

SECONDS = 9.8
ENTERS, ARRIVED = 0.8, 1.5
MASK_APPEARS, MASK_UNDER_NOSE = 3.8, 4.1
MASK_RISES, MASK_CORRECT = 6.3, 6.6
LEAVES, GONE = 8.8, 9.4
SLACK = 1.0
"""Seconds that the kiosk is given to confirm a change."""
SAFETY = 0.1
"""Seconds before the next change in which nothing is expected any more."""

LANDMARKS = np.array(
    [[200.1, 101.8], [247.1, 102.6], [220.4, 124.5], [198.6, 142.8], [239.7, 143.6]], np.float32
)
"""Eyes, nose tip and mouth corners in the 512 x 512 portrait, measured once with
``cv2.FaceDetectorYN`` (yunet_2026may.onnx, score 0.93)."""

_OUTLINE = np.array(
    [
        [20, 512], [20, 430], [28, 360], [38, 290], [55, 255], [90, 230], [113, 210], [113, 190],
        [124, 170], [150, 154], [183, 149], [183, 132], [172, 118], [160, 108], [153, 86],
        [156, 62], [170, 40], [192, 23], [222, 15], [250, 18], [275, 30], [292, 49], [301, 74],
        [299, 100], [287, 120], [272, 130], [266, 146], [259, 172], [276, 182], [296, 206],
        [306, 235], [330, 249], [348, 272], [360, 318], [362, 350], [388, 344], [430, 346],
        [466, 366], [490, 410], [498, 470], [500, 512],
    ],
    np.float32,
)  # fmt: skip
"""The sitter's outline in the portrait, traced by hand."""

_SEED = 11
"""The same for every frame, so that the mask's cloth and light stay as they are."""

_FOCUS = 0.7
"""Blur of a small camera's lens, sigma in pixels; it also keeps the file under 1 MB."""

_PORTRAIT_SCALE = 1.2
_NECK = (222.0, 190.0)
"""The base of the sitter's neck in the portrait, about which she sways."""

_STAND = (300.0, 258.0)
"""Where that point is in the frame when she stands."""

_FROM_RIGHT, _TO_LEFT = 560.0, 620.0
"""How far she walks in and out, in pixels: enough to be wholly out of the frame."""


@dataclass(frozen=True, slots=True)
class _Position:
    """Where a mask sits on the face, in head units; see ``worn_surface``."""

    top: float
    bottom: float
    side_top: float
    side_bottom: float

    def towards(self, other: _Position, share: float) -> _Position:
        return _Position(
            self.top + (other.top - self.top) * share,
            self.bottom + (other.bottom - self.bottom) * share,
            self.side_top + (other.side_top - self.side_top) * share,
            self.side_bottom + (other.side_bottom - self.side_bottom) * share,
        )


_NARROW = 0.85
"""The sitter smiles broadly, which makes an average mask too wide for her face."""

_BELOW = _Position(1.45, 2.0, 1.2, 1.7)
_UNDER_NOSE = _Position(0.78, 1.85, 0.75, 1.42)
_CORRECT = _Position(0.22, 1.92, 0.45, 1.35)


def portrait() -> Image:
    """The sitter's photo, RGB uint8 512 x 512.

    Raises:
        DatasetError: scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise DatasetError(
            "the demo clip's portrait comes with scikit-image, which is not installed: "
            "pip install scikit-image"
        ) from error
    return np.ascontiguousarray(data.astronaut(), np.uint8)


def expectations(name: str) -> dict[str, object]:
    """What the light must show and when, in the format that ``replay --expect`` reads."""

    def hold(start: float, end: float, signal: Signal) -> dict[str, object]:
        span = [round(start, 3), round(end - SAFETY, 3)]
        return {"throughout": span, "signal": signal.value}

    return {
        "what": "what the light must show, in seconds from the start of the rendered demo clip; "
        "one second after each change is left free",
        name: [
            hold(0.0, ENTERS, Signal.IDLE),
            hold(ARRIVED + SLACK, MASK_APPEARS, Signal.NO_MASK),
            hold(MASK_UNDER_NOSE + SLACK, MASK_RISES, Signal.INCORRECT),
            hold(MASK_CORRECT + SLACK, LEAVES, Signal.COMPLIANT),
        ],
    }


def frames() -> Iterator[Image]:
    """Render the clip, RGB uint8 480 x 640, ``FPS`` frames a second.

    Raises:
        DatasetError: scikit-image is not installed.
    """
    photo, alpha, room = portrait(), _cut_out(), _room()
    for index in range(round(SECONDS * FPS)):
        time = index / FPS
        yield _compose(room, _dressed(photo, time), alpha, time)


def write(out: Path) -> None:
    """Write the clip to ``out`` and the expectations beside it, each in one step.

    Raises:
        DatasetError: scikit-image is not installed.
        OutputError: A file cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".demo-") as folder:
            clip, expected = Path(folder, "clip.mp4"), Path(folder, "expected.json")
            _encode(clip)
            text = json.dumps(expectations(out.name), indent=2)
            expected.write_text(text + "\n", encoding="utf-8")
            clip.replace(out)
            expected.replace(out.with_suffix(".expected.json"))
    except OSError as error:
        if isinstance(error, KioskError):
            raise
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.demo_clip", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_OUT, help="the clip (default: %(default)s)"
    )
    out: Path = parser.parse_args(arguments).out
    try:
        write(out)
    except KioskError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(f"{out}: {SECONDS} s, {out.stat().st_size / 1000:.0f} kB\n")
    return 0


def _encode(path: Path) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*FOURCC), FPS, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise OutputError(f"cannot write {path}: this OpenCV has no {FOURCC} encoder")
    try:
        for frame in frames():
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    finally:
        writer.release()


def _ease(time: float, start: float, end: float) -> float:
    """0 before ``start``, 1 after ``end``, smooth between."""
    share = min(1.0, max(0.0, (time - start) / (end - start)))
    return share * share * (3 - 2 * share)


def _dressed(photo: Image, time: float) -> Image:
    """The portrait as it looks at a moment: bare, or with the mask where it then is."""
    if time < MASK_APPEARS:
        return photo
    up = _BELOW.towards(_UNDER_NOSE, _ease(time, MASK_APPEARS, MASK_UNDER_NOSE))
    at = up.towards(_CORRECT, _ease(time, MASK_RISES, MASK_CORRECT))
    surface = worn_surface(at.top, at.bottom, at.side_top, at.side_bottom, Kind.SURGICAL)
    surface[..., 0] *= _NARROW
    rng = np.random.default_rng(_SEED)
    return place_mask(photo, LANDMARKS, surface, surgical_blue(rng), rng)


def _cut_out() -> NDArray[np.float32]:
    """Soft mask of the sitter, float32 512 x 512 in 0..1."""
    alpha = np.zeros((512, 512), np.uint8)
    cv2.fillPoly(alpha, [np.round(_OUTLINE * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    inner = cv2.erode(alpha, np.ones((3, 3), np.uint8), iterations=2)
    soft = cv2.GaussianBlur(np.asarray(inner, np.float32) / np.float32(255), (0, 0), 2.0)
    return np.asarray(soft, np.float32)


def _room() -> Image:
    """An empty hallway: a lit wall, a door, a skirting board and the floor."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    light = 1.04 - 0.16 * np.hypot((x - 230) / WIDTH, (y - 120) / HEIGHT)
    room = np.empty((HEIGHT, WIDTH, 3), np.float32)
    room[:] = (196, 190, 182)
    floor, board = 440, 424
    room[board:floor] = (222, 219, 213)
    room[floor:] = (124, 106, 90)
    left, right, top = 452, 596, 84
    room[top - 12 : floor, left - 12 : right + 12] = (226, 223, 217)
    room[top:floor, left:right] = (150, 118, 88)
    for panel_top, panel_bottom in ((108, 236), (262, 412)):
        room[panel_top:panel_bottom, left + 22 : right - 22] = (138, 107, 79)
        room[panel_bottom - 2 : panel_bottom, left + 22 : right - 22] = (172, 140, 108)
        room[panel_top : panel_top + 2, left + 22 : right - 22] = (104, 80, 58)
    room[248:256, left + 8 : left + 30] = (196, 192, 180)
    room *= light[..., None]
    room = np.asarray(cv2.GaussianBlur(room, (0, 0), 1.0), np.float32)
    room += np.random.default_rng(_SEED).normal(0, 1.2, (HEIGHT, WIDTH, 1)).astype(np.float32)
    return np.clip(room, 0, 255).astype(np.uint8)


def _compose(room: Image, person: Image, alpha: NDArray[np.float32], time: float) -> Image:
    """Put the person into the room: walks in from the right, sways, leaves to the left."""
    away = 1 - _ease(time, ENTERS, ARRIVED)
    gone = _ease(time, LEAVES, GONE)
    if away == 1 or gone == 1:
        return room.copy()
    sway = time * 2 * math.pi
    x = _STAND[0] + _FROM_RIGHT * away - _TO_LEFT * gone + 14 * math.sin(0.31 * sway)
    y = _STAND[1] + 4 * math.sin(0.5 * sway) + 10 * (away + gone)
    scale = _PORTRAIT_SCALE * (1 + 0.02 * math.sin(0.23 * sway))
    angle = 2.5 * math.sin(0.27 * sway + 0.6)
    matrix = cv2.getRotationMatrix2D(_NECK, angle, scale)
    matrix[:, 2] += np.array([x - _NECK[0], y - _NECK[1]])
    size = (WIDTH, HEIGHT)
    layer = cv2.warpAffine(person, matrix, size, flags=cv2.INTER_LINEAR)
    layer = cv2.GaussianBlur(layer, (0, 0), _FOCUS)
    cover = cv2.warpAffine(alpha, matrix, size)[..., None]
    mixed = room + cover * (layer.astype(np.float32) - room)
    return np.asarray(np.clip(mixed + 0.5, 0, 255), np.uint8)


if __name__ == "__main__":
    sys.exit(main())
