"""Draws the pictures of the documentation into docs/images, from the numbers in the code.

python -m docs.make_drawings [--check]

With ``--check`` nothing is written: exit code 1 if a picture is not what the code says now.
Needs drawsvg (``make docs``).
"""

from __future__ import annotations

import sys
from pathlib import Path

from docs.draw.architecture import draw_architecture
from docs.draw.lamps import strips
from docs.draw.placing import draw_placing
from docs.draw.wiring import draw_wiring
from edge_app.settings import Settings

FOLDER = Path(__file__).resolve().parent / "images"


def drawings() -> dict[str, str]:
    """File name to content, of every picture that is drawn."""
    return {
        "architecture.svg": draw_architecture(),
        "placing.svg": draw_placing(),
        "wiring.svg": draw_wiring(Settings().indicator),
        **strips(),
    }


def main(arguments: list[str]) -> int:
    found = drawings()
    if arguments == ["--check"]:
        stale = [name for name, svg in found.items() if _now(FOLDER / name) != svg]
        for name in stale:
            print(f"docs/images/{name} is not what the code says: python -m docs.make_drawings")
        return 1 if stale else 0
    if arguments:
        print(f"what is {arguments[0]}? only --check is known", file=sys.stderr)
        return 2
    for name, svg in found.items():
        if _now(FOLDER / name) != svg:
            (FOLDER / name).write_text(svg, encoding="utf-8")
            print(f"docs/images/{name}")
    return 0


def _now(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
