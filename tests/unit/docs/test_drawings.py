"""The documentation's pictures and the table beside them say what the code does."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("drawsvg", reason="drawsvg is not installed: make docs")

from docs import make_drawings
from docs.draw.lamps import SECONDS, spans
from docs.draw.placing import CAMERAS, FACE_M, judged_px, table
from docs.draw.wiring import draw_wiring, header, used
from edge_app.domain import Signal
from edge_app.rhythm import RHYTHMS, TICK_S, lamps_at
from edge_app.settings import IndicatorSettings, Settings


def test_the_pictures_are_what_the_code_says_now(root: Path) -> None:
    for name, svg in make_drawings.drawings().items():
        file = root / "docs" / "images" / name
        assert file.read_text(encoding="utf-8") == svg, "run: python -m docs.make_drawings"
        ET.fromstring(svg)  # our own text # noqa: S314


def test_a_stale_picture_fails_the_check_and_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_drawings, "FOLDER", tmp_path)
    assert make_drawings.main([]) == 0
    assert make_drawings.main(["--check"]) == 0
    (tmp_path / "wiring.svg").write_text("old")
    assert make_drawings.main(["--check"]) == 1
    assert "wiring.svg" in capsys.readouterr().out
    assert (tmp_path / "wiring.svg").read_text() == "old"


def test_the_header_is_the_raspberry_pi_s() -> None:
    pins = header()
    assert len(pins) == 40
    assert [pins[number].name for number in (1, 2, 6, 9, 39)] == ["3V3", "5V", "GND", "GND", "GND"]


def test_the_wires_end_at_the_pins_of_the_settings(root: Path) -> None:
    settings = Settings().indicator
    wires = used(settings)
    page = (root / "docs" / "wiring.md").read_text(encoding="utf-8")
    for output in ("red", "amber", "green", "buzzer"):
        number = getattr(settings, output)
        assert wires[output].name == f"GPIO{number}"
        assert f"| `{output}` | {number} | {wires[output].number} |" in page
    assert f"| ground of the lamps | | | {wires['ground'].number} |" in page
    assert f"transistor | | | {wires['buzzer_ground'].number} |" in page
    assert f"| supply of the buzzer | | | {wires['supply'].number} (5 V) |" in page


def test_other_pins_give_another_picture() -> None:
    defaults = IndicatorSettings()
    assert draw_wiring(replace(defaults, buzzer=24)) != draw_wiring(defaults)
    with pytest.raises(ValueError, match="anew"):
        draw_wiring(replace(defaults, red=18))


@pytest.mark.parametrize("signal", Signal)
def test_a_strip_shows_the_lamps_as_the_indicator_sets_them(signal: Signal) -> None:
    for output in ("red", "amber", "green"):
        on = spans(RHYTHMS[signal], output)
        for tick in range(round(SECONDS / TICK_S)):
            middle = (tick + 0.5) * TICK_S
            drawn = any(begin <= middle < end for begin, end in on)
            assert drawn == getattr(lamps_at(signal, middle), output), (output, middle)


def test_the_buzzer_sounds_in_the_first_round_only() -> None:
    assert len(spans(RHYTHMS[Signal.NO_MASK], "buzzer")) == 2


def test_the_placing_table_is_in_the_page(root: Path) -> None:
    page = (root / "docs" / "install.md").read_text(encoding="utf-8")
    assert table() in page, "run: python -m docs.draw.placing"
    assert f"from {judged_px():g} pixels" in page


def test_the_distances_follow_from_the_angles() -> None:
    camera = CAMERAS[0]
    width, _ = camera.view_m(2.0)
    assert camera.face_px(2.0) == pytest.approx(640 * FACE_M / width)
    assert camera.face_px(camera.reach_m(24)) == pytest.approx(24)
    # By hand: half of 66 degrees, of which 4:3 of 1728 lines are 2304 of 4608 pixels, is 18.0.
    assert camera.angle == pytest.approx(36.0, abs=0.05)


def test_the_precision_that_the_page_names_is_the_measured_one(root: Path) -> None:
    pages = [(root / "docs" / name).read_text("utf-8") for name in ("benchmarks.md", "install.md")]
    assert (
        "| detector, kaggle853 at 320x240, from 16 px: average precision | 92.0 | 93.6 |"
        in pages[0]
    )
    assert "| detector, the same from 32 px | 97.0 | 98.2 |" in pages[0]
    assert "(93.6 %)" in pages[1]
    assert "average precision 98.2 %" in pages[1]
