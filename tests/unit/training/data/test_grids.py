"""Areas, lines and bent cloth lie where their points say."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.cloth import SWATCH_HEIGHT, SWATCH_WIDTH
from training.data.grids import bend, fill, lowered, soften, stroke

SHAPE = (60, 80)


def rectangle(x0, y0, x1, y1, rows=5, columns=7):
    """A flat grid of points over a rectangle."""
    xs, ys = np.meshgrid(np.linspace(x0, x1, columns), np.linspace(y0, y1, rows))
    return np.stack([xs, ys], axis=-1)


def test_a_surface_covers_its_area_and_nothing_else() -> None:
    cover = fill(rectangle(20, 10, 60, 40), SHAPE)
    assert cover.dtype == np.float32
    assert cover.shape == SHAPE
    assert (cover[12:38, 22:58] == 1).all()
    assert cover[:9].max() == cover[42:].max() == cover[:, :19].max() == cover[:, 62:].max() == 0
    assert cover.sum() == pytest.approx(40 * 30, rel=0.06)


def test_a_line_is_as_wide_as_asked() -> None:
    line = np.array([[5.0, 30.0], [75.0, 30.0]])
    drawn = stroke([line], 6, SHAPE)
    assert drawn[:, 40].sum() == pytest.approx(6, abs=1)
    assert stroke([line], 0.1, SHAPE)[:, 40].sum() >= 0.5, "never too thin to be seen"
    assert stroke([], 6, SHAPE).max() == 0


def test_lowered_and_softened() -> None:
    spot = np.zeros(SHAPE, np.float32)
    spot[20, 30] = 1
    down = lowered(spot, 7)
    assert down[27, 30] == down.sum() == 1
    soft = soften(spot, 2.0)
    assert soft.sum() == pytest.approx(1, abs=1e-3)
    assert 0 < soft[20, 34] < soft[20, 32] < soft[20, 30] < 0.1


def test_cloth_keeps_its_corners_where_the_surface_has_them() -> None:
    """The swatch's red rises to the right, its green downwards."""
    swatch = np.zeros((SWATCH_HEIGHT, SWATCH_WIDTH, 3), np.float32)
    swatch[..., 0] = np.linspace(0, 1, SWATCH_WIDTH)
    swatch[..., 1] = np.linspace(0, 1, SWATCH_HEIGHT)[:, None]
    bent = bend(swatch, rectangle(20, 10, 60, 40), SHAPE)
    assert bent.shape == (*SHAPE, 3)
    for x, y in ((22, 12), (40, 25), (58, 38), (58, 12)):
        expected = ((x - 20) / 40, (y - 10) / 30)
        np.testing.assert_allclose(bent[y, x, :2], expected, atol=0.05)
