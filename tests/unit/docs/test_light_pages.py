"""docs/wiring.md and docs/staff.md say what the settings and the rhythms are by default."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_app.domain import Signal
from edge_app.settings import IndicatorSettings

HEADER_PIN = {17: 11, 27: 13, 22: 15, 23: 16}
"""Position on the 40-pin header of the GPIO numbers used (pinout of the Raspberry Pi)."""


@pytest.mark.parametrize("name", ["red", "amber", "green", "buzzer"])
def test_the_table_agrees_with_the_defaults(root: Path, name: str) -> None:
    page = (root / "docs" / "wiring.md").read_text(encoding="utf-8")
    found = re.search(rf"\| `{name}` \| (\d+) \| (\d+) \|", page)
    assert found is not None
    number = getattr(IndicatorSettings(), name)
    assert (int(found[1]), int(found[2])) == (number, HEADER_PIN[number])


def test_the_staff_page_has_every_signal(root: Path) -> None:
    page = (root / "docs" / "staff.md").read_text(encoding="utf-8")
    for signal in Signal:
        assert f"](images/lamps-{signal.lower().replace('_', '-')}.svg)" in page
    assert "](images/lamps-start.svg)" in page
