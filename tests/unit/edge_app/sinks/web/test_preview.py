"""The live picture: small, annotated, and one for all."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_app.domain import Box, Face, Image
from edge_app.sinks.web import preview as module
from edge_app.sinks.web.board import Seen
from edge_app.sinks.web.preview import MIN_INTERVAL_S, Preview
from edge_app.vision.annotate import RED


def decode(jpeg: bytes | None) -> Image:
    assert jpeg is not None
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


@pytest.fixture
def seen(says):
    def make(*faces: Face, **frame: int) -> Seen:
        return Seen(says.observed(faces=faces), says.frame(**frame), 0.0, 0.0)

    return make


def test_a_large_frame_becomes_small_and_its_boxes_with_it(seen, says) -> None:
    face = says.face()
    large = Face(Box(400, 300, 800, 700), face.score, face.verdict)
    image = decode(Preview().jpeg(seen(large, width=1280, height=960), 0.0))
    assert image.shape == (480, 640, 3)
    for x, y in [(200, 250), (399, 250), (300, 150), (300, 349)]:
        # JPEG stores colour in half the pixels: the line is red, not pure.
        edge = image[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).astype(int)
        assert (np.abs(edge - RED).sum(axis=1) < 200).any(), (x, y, edge)
    assert np.abs(image[250, 300].astype(int) - 90).max() < 12, "the face itself stays visible"


def test_a_small_frame_keeps_its_size(seen) -> None:
    assert decode(Preview().jpeg(seen(width=64, height=48), 0.0)).shape == (48, 64, 3)


def test_a_very_wide_frame_still_has_a_row(seen) -> None:
    assert decode(Preview().jpeg(seen(width=4000, height=1), 0.0)).shape == (1, 640, 3)


def test_all_who_ask_within_a_moment_share_one_encoding(seen, monkeypatch) -> None:
    encoded = []
    encode = module._encode
    monkeypatch.setattr(module, "_encode", lambda *args: encoded.append(1) or encode(*args))
    preview = Preview()
    for number in range(100):
        preview.jpeg(seen(value=number), number / 100)
    assert len(encoded) == 1 / MIN_INTERVAL_S


def test_the_same_frame_is_not_encoded_again(seen) -> None:
    preview, same = Preview(), seen()
    assert preview.jpeg(same, 0.0) is preview.jpeg(same, 100.0)


def test_without_a_frame_there_is_no_picture_not_even_an_old_one(seen, says) -> None:
    preview = Preview()
    old = preview.jpeg(seen(value=200), 0.0)
    assert preview.jpeg(Seen(says.observed(), None, 0.0, 0.0), 0.01) is None
    new = preview.jpeg(seen(value=10), 0.02)
    assert new != old
    assert decode(new).mean() < 20
