"""docs/reliability.md promises that every row comes from a test."""

from __future__ import annotations

import re
from pathlib import Path


def test_every_test_that_the_page_names_exists(root: Path) -> None:
    page = (root / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 30
    written = "\n".join(
        path.read_text(encoding="utf-8") for path in (root / "tests").rglob("test_*.py")
    )
    missing = {name for name in named if f"def {name}" not in written}
    assert not missing


def test_every_row_names_where_its_test_is(root: Path) -> None:
    page = (root / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = [line for line in page.partition("## Measured")[0].splitlines() if line[:2] == "| "]
    heads = [row for row in rows if row.startswith("| Fault ")]
    bare = [row for row in rows if row not in heads and "test_" not in row and "tests/" not in row]
    assert len(rows) - len(heads) > 30
    assert not bare
