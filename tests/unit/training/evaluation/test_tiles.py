"""Contact sheets are as large as they must be and show every picture."""

from __future__ import annotations

import cv2
import numpy as np

from training.evaluation.tiles import Section, Tile, contact_sheet, encode_png

RED, BLUE = (255, 0, 0), (0, 0, 255)


def plain(colour, width=20, height=20):
    return np.full((height, width, 3), colour, np.uint8)


def pixels(sheet, colour):
    return int(np.all(sheet == colour, axis=2).sum())


def test_every_tile_is_there_in_full():
    red = [Tile(plain(RED)) for _ in range(5)]
    sheet = contact_sheet([Section("a", red), Section("b", [Tile(plain(BLUE))])], 3, 20, 20)
    assert pixels(sheet, RED) == 5 * 400
    assert pixels(sheet, BLUE) == 400
    reds, blues = (np.nonzero(np.all(sheet == c, axis=2))[0] for c in (RED, BLUE))
    assert reds.max() < blues.min(), "the second section lies below the first"


def test_pictures_of_any_shape_are_fitted_in():
    sheet = contact_sheet([Section("", [Tile(plain(RED, 40, 10))])], 1, 20, 20)
    assert pixels(sheet, RED) == 20 * 5


def test_words_and_frames_are_drawn_and_long_words_do_not_widen_the_sheet():
    bare = contact_sheet([Section("x", [Tile(plain(RED), ("",))])], 1, 40, 40)
    worded = contact_sheet([Section("x", [Tile(plain(RED), ("é" * 90,), BLUE)])], 1, 40, 40)
    assert worded.shape == bare.shape
    assert pixels(worded, BLUE) > 0
    below = slice(-20, None)
    assert worded[below].min() < bare[below].min()


def test_a_sheet_without_tiles_has_its_headings():
    sheet = contact_sheet([Section("none", [])], 2, 20, 20)
    assert sheet.min() < 128


def test_the_png_holds_the_same_pixels():
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3)).astype(np.uint8)
    decoded = cv2.imdecode(np.frombuffer(encode_png(image), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decoded[:, :, ::-1], image)
