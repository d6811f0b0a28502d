"""Which screenshots are worth a change of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("PIL", reason="Pillow comes with the training half's requirements")

from PIL import Image, ImageDraw

from docs.pictures import replace_if_changed, shows_the_same


def page(clock: str = "", rows: int = 3) -> Image.Image:
    picture = Image.new("RGB", (400, 300), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((300, 5), clock, fill="black")
    for row in range(rows):
        pen.rectangle((20, 40 + row * 60, 380, 80 + row * 60), fill="navy")
    return picture


def test_another_time_of_day_is_the_same_picture() -> None:
    assert shows_the_same(page("10:15"), page("23:59"))


def test_another_row_or_size_is_not() -> None:
    assert not shows_the_same(page(rows=3), page(rows=4))
    assert not shows_the_same(page(), page().resize((401, 300)))


def test_a_file_is_written_only_when_it_shows_something_new(tmp_path: Path) -> None:
    file = tmp_path / "images" / "page.png"
    assert replace_if_changed(file, page("10:15"), 20)
    first = file.read_bytes()
    assert not replace_if_changed(file, page("23:59"), 20)
    assert file.read_bytes() == first
    assert replace_if_changed(file, page(rows=4), 20)
    assert file.read_bytes() != first
