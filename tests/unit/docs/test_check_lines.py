"""Every line of ``check`` is explained to whoever installs a kiosk."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_app import check
from edge_app.recording import write_picture
from edge_app.settings import Settings, replace_settings


@pytest.fixture
def names(
    tiny_settings: Settings, tmp_path: Path, paint, monkeypatch: pytest.MonkeyPatch
) -> set[str]:
    """What the lines begin with."""
    write_picture(tmp_path / "a.png", paint({}))
    monkeypatch.setattr(check, "LAMP_SECONDS", 0.0)
    settings = replace_settings(tiny_settings, {"source.uri": str(tmp_path / "a.png")})
    return {result.name for result in check.checks(settings)}


def test_the_table_of_the_first_check_has_every_line(root: Path, names: set[str]) -> None:
    page = (root / "docs" / "install.md").read_text(encoding="utf-8")
    section = page.split("\n## First check\n")[1].split("\n## ")[0]
    firsts = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    assert {name for first in firsts for name in re.findall("`(.+?)`", first)} == names


def test_troubleshooting_has_a_section_for_every_line(root: Path, names: set[str]) -> None:
    page = (root / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (.+)$", page.split("\n## check says FAIL\n")[1], re.MULTILINE)
    assert names <= {name for heading in headings for name in heading.split(", ")}
