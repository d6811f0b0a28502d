"""The two halves and what passes between them, for docs/architecture.md."""

from __future__ import annotations

from docs.draw.kit import GREY, INK, PALE, Sheet

DEVICE, WORKSTATION, BUNDLE = "#dcefec", "#e6e0f3", "#f6e7bf"

STEPS = (
    ("detect", "boxes of faces"),
    ("classify", "how each wears\nits mask"),
    ("track", "who is who,\nframe after frame"),
    ("decide", "one signal\nfor all"),
)

SOURCES = ("Pi camera", "USB camera", "network camera", "video, photos")
SINKS = ("lamps, buzzer", "event journal", "MQTT", "status page, metrics", "snapshots (off)")
TRAINING = ("prepare", "fit", "evaluate", "export")


def draw_architecture() -> str:
    """The drawing as SVG."""
    sheet = Sheet(1080, 540, "The device half and the training half of mask-kiosk")
    sheet.box(20, 20, 1040, 290, DEVICE, "none", 12)
    sheet.text(40, 52, "On the kiosk: edge_app/", 20, bold=True)
    _list(sheet, 40, 76, 150, "sources/", SOURCES)
    _list(sheet, 880, 76, 160, "sinks/", SINKS)
    sheet.arrow((190, 166), (232, 166))
    sheet.text(211, 154, "frames", 13, "middle", GREY)
    sheet.box(236, 96, 560, 150, "#ffffff", INK, 8)
    sheet.text(250, 122, "pipeline.py: no clock, no threads, no files", 15, colour=GREY)
    for number, (name, what) in enumerate(STEPS):
        x = 250 + number * 136
        sheet.box(x, 138, 116, 92, PALE, INK, 6)
        sheet.text(x + 58, 162, name, 16, "middle", bold=True)
        sheet.text(x + 58, 188, what, 13, "middle")
        if number:
            sheet.arrow((x - 20, 184), (x - 1, 184))
    sheet.arrow((796, 166), (876, 166))
    sheet.text(836, 154, "Observation", 13, "middle", GREY)
    sheet.text(250, 278, "daemon/ turns the wheel: threads, watchdog, recovery", 15)
    sheet.box(20, 400, 1040, 120, WORKSTATION, "none", 12)
    sheet.text(40, 432, "On a workstation: training/", 20, bold=True)
    for number, name in enumerate(TRAINING):
        x = 250 + number * 136
        sheet.box(x, 450, 116, 50, "#ffffff", INK, 6)
        sheet.text(x + 58, 481, name, 16, "middle", bold=True)
        if number:
            sheet.arrow((x - 20, 475), (x - 1, 475))
    sheet.text(40, 480, "photos, labels", 15)
    sheet.arrow((150, 475), (248, 475))
    sheet.box(560, 328, 312, 54, BUNDLE, INK, 8)
    sheet.text(716, 351, "model bundle", 16, "middle", bold=True)
    sheet.text(716, 371, "NAME.tflite and its card NAME.json", 13, "middle")
    sheet.arrow((716, 449), (716, 384))
    sheet.arrow((716, 327), (716, 249))
    return sheet.svg()


def _list(
    sheet: Sheet, x: float, y: float, width: float, name: str, entries: tuple[str, ...]
) -> None:
    sheet.box(x, y, width, 190, "#ffffff", INK, 8)
    sheet.text(x + width / 2, y + 26, name, 16, "middle", bold=True)
    for number, entry in enumerate(entries):
        sheet.text(x + 12, y + 58 + number * 28, entry, 14)
