"""docs/wiring.md names the pins that the settings have by default."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_app.rhythm import RHYTHMS
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


def test_the_rhythm_table_has_a_row_for_every_signal(root: Path) -> None:
    page = (root / "docs" / "wiring.md").read_text(encoding="utf-8")
    rows = page.split("## What the light shows")[1].split("##")[0].count("\n|")
    assert rows - 2 == len(RHYTHMS)
