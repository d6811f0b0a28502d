"""Where the camera may hang: how many pixels a face has at which distance.

A camera that sees ``angle`` across has ``width`` pixels for ``2 * distance * tan(angle / 2)``
metres at a distance, and a face gets its share of them. Pixels and limits are the settings'
defaults; the angles are Raspberry Pi's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from docs.draw.kit import COLOURS, GREY, INK, PALE, WHITE, Sheet
from edge_app.settings import Settings

FACE_M = 0.14
"""Width of an adult's face across the cheekbones, 13 to 15 cm."""

RELIABLE = {64: 98.2, 32: 93.6}
"""Face width in pixels of a 640 x 480 picture -> average precision in percent of finding faces at
least that large, measured on street photos (docs/benchmarks.md: 32 and 16 px at 320 x 240)."""

DISTANCES_M = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)


@dataclass(frozen=True)
class Camera:
    """A camera, and the part of its picture that the kiosk asks for.

    Attributes:
        across: Horizontal angle of the whole sensor in degrees, as Raspberry Pi states it.
        down: The same, vertical.
        sensor: Width and height of the sensor in pixels.
        mode: Width and height of the part that the sensor reads for a small picture: picamera2
            asks for the mode that is nearest to the picture's size.
    """

    name: str
    across: float
    down: float
    sensor: tuple[int, int]
    mode: tuple[int, int]

    @property
    def crop(self) -> tuple[float, float]:
        """Of the mode, the largest part that has the picture's shape; libcamera takes that."""
        width, height = self.mode
        shape = picture_size()[0] / picture_size()[1]
        return (height * shape, height) if width / height > shape else (width, width / shape)

    @property
    def tangent(self) -> float:
        """Half of what is seen across, per metre of distance."""
        return math.tan(math.radians(self.across) / 2) * self.crop[0] / self.sensor[0]

    @property
    def tangent_down(self) -> float:
        """Half of what is seen from top to bottom, per metre of distance."""
        return math.tan(math.radians(self.down) / 2) * self.crop[1] / self.sensor[1]

    @property
    def angle(self) -> float:
        """What the kiosk sees across, in degrees."""
        return math.degrees(2 * math.atan(self.tangent))

    def face_px(self, distance_m: float) -> float:
        """Width of a face in pixels of the picture."""
        return picture_size()[0] * FACE_M / (2 * distance_m * self.tangent)

    def reach_m(self, pixels: float) -> float:
        """The distance at which a face has so many pixels."""
        return picture_size()[0] * FACE_M / (2 * pixels * self.tangent)

    def view_m(self, distance_m: float) -> tuple[float, float]:
        """Width and height in metres of what is seen at a distance."""
        return 2 * distance_m * self.tangent, 2 * distance_m * self.tangent_down


CAMERAS = (
    Camera("Camera Module 3", 66, 41, (4608, 2592), (3072, 1728)),
    Camera("Camera Module 3 Wide", 102, 67, (4608, 2592), (3072, 1728)),
    Camera("Camera Module 2", 62.2, 48.8, (3280, 2464), (1280, 960)),
)
"""Angles and sensors: Raspberry Pi's documentation, "Camera", hardware specification. Modes: what
``rpicam-hello --list-cameras`` prints for 1536x864 (imx708) and 640x480 (imx219)."""


def picture_size() -> tuple[int, int]:
    """Width and height that the kiosk asks of a camera."""
    source = Settings().source
    return source.width, source.height


def judged_px() -> float:
    """Smaller faces are followed, not judged."""
    return Settings().classifier.min_face_px


def table() -> str:
    """The table of docs/install.md: pixels of a face at each distance, and how far each reaches."""
    names = [f"{camera.name} ({camera.angle:.0f}°)" for camera in CAMERAS]
    lines = [f"| A face at | {' | '.join(names)} |", "|---|" + "--:|" * len(names)]
    for metres in DISTANCES_M:
        cells = [_cell(camera.face_px(metres)) for camera in CAMERAS]
        lines.append(f"| {metres:g} m | {' | '.join(cells)} |")
    for pixels, words in _limits().items():
        cells = [f"{camera.reach_m(pixels):.1f} m" for camera in CAMERAS]
        lines.append(f"| **{words}: up to** | {' | '.join(cells)} |")
    widths = [f"{camera.view_m(2)[0]:.1f} x {camera.view_m(2)[1]:.1f} m" for camera in CAMERAS]
    lines.append(f"| What is seen at 2 m | {' | '.join(widths)} |")
    return "\n".join(lines) + "\n"


def _limits() -> dict[float, str]:
    good, fair = RELIABLE
    return {
        good: f"good ({good} px)",
        fair: f"fair ({fair} px)",
        judged_px(): f"judged at all ({judged_px():g} px)",
    }


def _cell(pixels: float) -> str:
    return f"{pixels:.0f} px" if pixels >= judged_px() else f"{pixels:.0f} px, too small"


Place = Callable[[float, float], tuple[float, float]]
"""Metres along and above the floor -> where that is in the drawing."""

HEIGHT_M, TILT = 1.9, 8.0
"""Of the camera in the picture: above the floor, and degrees downwards."""


def draw_placing() -> str:
    """Seen from the side: one camera, what it sees, and how far a face is large enough."""
    camera = CAMERAS[0]
    sheet = Sheet(1080, 560, "Where people stand and where the camera hangs, from the side")
    scale, left, floor = 142.0, 110.0, 440.0
    half = math.degrees(math.atan(camera.tangent_down))

    def at(metres: float, height: float) -> tuple[float, float]:
        return left + metres * scale, floor - height * scale

    def ray(metres: float, angle: float) -> float:
        return HEIGHT_M + metres * math.tan(math.radians(angle))

    end = 6.5
    sheet.text(30, 44, "Where the camera hangs, where people stand", 26, bold=True)
    sheet.text(
        30,
        72,
        f"{camera.name}, {HEIGHT_M:g} m above the floor, tilted {TILT:g}° down",
        16,
        colour=GREY,
    )
    bounds = [0.0, *(camera.reach_m(pixels) for pixels in _limits()), end]
    fills = ("#b7dfd9", "#dcefec", "#f6e7bf", PALE)
    low_at = HEIGHT_M / math.tan(math.radians(TILT + half))
    for (begin, stop), fill in zip(pairwise(bounds), fills, strict=True):
        corners = [at(x, ray(x, half - TILT)) for x in (begin, stop)]
        bottom = [x for x in (stop, low_at, begin) if begin <= x <= stop]
        corners += [at(x, max(0.0, ray(x, -half - TILT))) for x in bottom]
        sheet.shape(corners, fill)
    sheet.line([(left - 40, floor), at(end, 0)], INK, 4)
    sheet.box(left - 40, floor - 2.4 * scale, 26, 2.4 * scale, "#cfd8dc", GREY)
    sheet.box(left - 14, floor - (HEIGHT_M + 0.06) * scale, 16, 0.12 * scale, INK, INK, 3)
    _measure(sheet, at, bounds)
    for metres, tall in ((1.5, 1.55), (2.5, 1.85), (4.0, 1.7)):
        _person(sheet, *at(metres, 0), tall * scale, f"{camera.face_px(metres):.0f} px")
    return sheet.svg()


def _measure(sheet: Sheet, at: Place, bounds: list[float]) -> None:
    words = ("good", "fair", "judged,\nless reliably", "followed,\nnot judged")
    for (begin, stop), word in zip(pairwise(bounds), words, strict=True):
        (x0, y), (x1, _) = at(begin, 0), at(stop, 0)
        sheet.line([(x0, y + 14), (x1, y + 14)], INK, 2)
        for x in (x0, x1):
            sheet.line([(x, y + 7), (x, y + 21)], INK, 2)
        sheet.text((x0 + x1) / 2, y + 68, word, 16, "middle", bold=True)
        if begin:
            sheet.text(x0, y + 40, f"{begin:.1f} m", 15, "middle")


def _person(sheet: Sheet, x: float, floor: float, tall: float, words: str) -> None:
    head = 0.115 * tall / 1.7
    sheet.dot(x, floor - tall + head, head, WHITE, INK)
    sheet.shape(
        [
            (x - head, floor - tall + head),
            (x, floor - tall + head),
            (x - 0.2 * head, floor - tall + 1.8 * head),
            (x - head, floor - tall + 1.6 * head),
        ],
        COLOURS["green"],
    )
    top = floor - tall + 2.3 * head
    sheet.shape(
        [
            (x - 14, top),
            (x + 14, top),
            (x + 12, floor - tall * 0.45),
            (x + 9, floor - 3),
            (x - 9, floor - 3),
            (x - 12, floor - tall * 0.45),
        ],
        "#90a4ae",
    )
    sheet.text(x, floor - tall - 10, words, 16, "middle", bold=True)


if __name__ == "__main__":
    print(table(), end="")
