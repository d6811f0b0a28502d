from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_app.domain import Box, Image
from edge_app.vision.geometry import (
    LETTERBOX_FILL,
    Boxes,
    iou,
    letterbox,
    nms,
    rectangles,
    resize,
    square_crop,
)

sides = st.integers(1, 300)
canvas_sides = st.integers(16, 256)
whole = st.integers(-20, 60)


@st.composite
def box_arrays(draw: st.DrawFn, low: int = 0, high: int = 12) -> Boxes:
    count = draw(st.integers(low, high))
    corners = draw(hnp.arrays(np.int64, (count, 2), elements=st.integers(0, 30)))
    sizes = draw(hnp.arrays(np.int64, (count, 2), elements=st.integers(0, 15)))
    return np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)


def noise(height: int, width: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


# Letterbox


@given(sides, sides, canvas_sides, canvas_sides)
def test_letterbox_keeps_the_shape_of_the_picture_and_centres_it(
    width: int, height: int, canvas_width: int, canvas_height: int
) -> None:
    canvas, mapping = letterbox(
        np.full((height, width, 3), 255, np.uint8), canvas_width, canvas_height
    )
    assert canvas.shape == (canvas_height, canvas_width, 3)
    assert canvas.dtype == np.uint8
    ys, xs = np.nonzero((canvas != LETTERBOX_FILL).all(axis=2))
    inner = (np.ptp(xs) + 1, np.ptp(ys) + 1)
    assert len(xs) == inner[0] * inner[1], "one solid rectangle"
    assert inner[0] == canvas_width or inner[1] == canvas_height
    assert abs(inner[0] - width * mapping.scale) <= 1
    assert abs(inner[1] - height * mapping.scale) <= 1
    assert (xs.min(), ys.min()) == (mapping.dx, mapping.dy)
    assert abs((canvas_width - 1 - xs.max()) - xs.min()) <= 1
    assert abs((canvas_height - 1 - ys.max()) - ys.min()) <= 1


@given(sides, sides, canvas_sides, canvas_sides, box_arrays())
def test_letterbox_mapping_round_trip(
    width: int, height: int, canvas_width: int, canvas_height: int, boxes: Boxes
) -> None:
    _, mapping = letterbox(np.zeros((height, width, 3), np.uint8), canvas_width, canvas_height)
    canvas = mapping.to_canvas(boxes)
    assert canvas.dtype == np.float32
    for sides, box in zip(rectangles(canvas), boxes, strict=True):
        back = mapping.to_source(*sides.tolist()).as_tuple()
        # Half a thousandth of a canvas pixel.
        np.testing.assert_allclose(back, box, atol=5e-4 / min(1.0, mapping.scale))


@given(st.integers(0, 5), st.integers(0, 5))
def test_what_lies_in_a_box_lies_in_the_mapped_box(column: int, row: int) -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[row * 20 : row * 20 + 20, column * 20 : column * 20 + 20] = 255
    canvas, mapping = letterbox(image, 320, 320)
    boxes = np.array([[column, row, column + 1, row + 1]], np.float32) * 20
    x0, y0, x1, y1 = (int(v) for v in mapping.to_canvas(boxes)[0])
    inside = canvas[y0:y1, x0:x1].mean()
    assert inside > 240
    assert (canvas > 200).all(axis=2).sum() <= (x1 - x0 + 2) * (y1 - y0 + 2)


def test_a_picture_that_fits_is_not_changed() -> None:
    image = noise(48, 64)
    canvas, mapping = letterbox(image, 64, 48)
    assert (canvas == image).all()
    assert (mapping.scale, mapping.dx, mapping.dy) == (1, 0, 0)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_only_rgb_pictures_are_taken(bad: Image) -> None:
    with pytest.raises(ValueError, match="RGB uint8"):
        letterbox(bad, 32, 32)
    with pytest.raises(ValueError, match="RGB uint8"):
        square_crop(bad, Box(0, 0, 2, 2), 0, 8)


# Square crop


def naive_square(image: Image, box: Box, margin: float) -> Image:
    """The square in source pixels, pixel by pixel."""
    height, width = image.shape[:2]
    side = max(1, round((1 + margin) * max(box.width, box.height)))
    left = round((box.x0 + box.x1) / 2 - side / 2)
    top = round((box.y0 + box.y1) / 2 - side / 2)
    out = np.empty((side, side, 3), np.uint8)
    for y in range(side):
        for x in range(side):
            at = min(max(top + y, 0), height - 1), min(max(left + x, 0), width - 1)
            out[y, x] = image[at]
    return out


@st.composite
def pictures_and_boxes(draw: st.DrawFn) -> tuple[Image, Box]:
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    x0, x1 = draw(st.integers(-20, width - 1)), draw(st.integers(1, width + 20))
    y0, y1 = draw(st.integers(-20, height - 1)), draw(st.integers(1, height + 20))
    part = draw(st.sampled_from([0.0, 0.25, 0.4]))
    if x1 <= x0:
        x1 = x0 + 1
    if y1 <= y0:
        y1 = y0 + 1
    box = Box(x0 + part, y0 + part, x1 + part, y1 + part)
    if box.x0 >= width or box.y0 >= height or box.x1 <= 0 or box.y1 <= 0:
        box = Box(0, 0, width, height)
    return noise(height, width), box


@given(pictures_and_boxes(), st.sampled_from([0.0, 0.25, 0.4, 1.0]))
def test_square_crop_is_the_naive_square(pair: tuple[Image, Box], margin: float) -> None:
    image, box = pair
    wanted = naive_square(image, box, margin)
    size = len(wanted)
    assert (square_crop(image, box, margin, size) == wanted).all()
    assert (square_crop(image, box, margin, 16) == resize(wanted, 16, 16)).all()


@given(whole, whole, st.integers(1, 40), st.floats(0, 3))
def test_crop_round_trip_the_face_stays_in_the_middle(
    x: int, y: int, size: int, margin: float
) -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    x, y = x + 80, y + 80
    image[y : y + size, x : x + size] = 255
    crop = square_crop(image, Box(x, y, x + size, y + size), margin, 64)
    ys, xs = np.nonzero(crop[..., 0] > 127)
    tolerance = 64 / size + 1
    assert abs((xs.min() + xs.max()) / 2 - 31.5) <= tolerance
    assert abs((ys.min() + ys.max()) / 2 - 31.5) <= tolerance
    assert abs((np.ptp(xs) + 1) - 64 / (1 + margin)) <= 2 * tolerance


@given(
    st.floats(-50, 60, allow_nan=False),
    st.floats(-50, 60, allow_nan=False),
    st.floats(0.01, 80),
    st.floats(0.01, 80),
)
@example(-0.6, 0.0, 1.0, 1.0)  # rounds to the pixel left of the picture
@example(19.6, 0.0, 1.0, 1.0)
def test_any_box_that_touches_the_picture_can_be_cropped(
    x0: float, y0: float, width: float, height: float
) -> None:
    box = Box(x0, y0, x0 + width, y0 + height)
    image = noise(10, 20)
    if box.area <= 0 or box.x1 <= 0 or box.y1 <= 0 or box.x0 >= 20 or box.y0 >= 10:
        with pytest.raises(ValueError, match="box"):
            square_crop(image, box, 0, 8)
    else:
        assert square_crop(image, box, 0, 8).shape == (8, 8, 3)


@pytest.mark.parametrize(
    "box",
    [Box(3, 3, 3, 9), Box(9, 9, 3, 3), Box(0, 0, float("nan"), 5), Box(0, 0, float("inf"), 5)],
)
def test_an_empty_or_endless_box_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="empty or not finite"):
        square_crop(noise(20, 20), box, 0.2, 8)


def test_a_box_beside_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="outside the 20x10 picture"):
        square_crop(noise(10, 20), Box(20, 0, 25, 5), 0.2, 8)


# Resize


@given(sides, sides, st.integers(1, 64), st.integers(1, 64), st.integers(0, 255))
def test_resize_keeps_a_plain_colour(w: int, h: int, to_w: int, to_h: int, level: int) -> None:
    result = resize(np.full((h, w, 3), level, np.uint8), to_w, to_h)
    assert result.shape == (to_h, to_w, 3)
    assert (result == level).all()


def test_shrinking_averages_and_does_not_alias() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 254
    assert (resize(stripes, 16, 16) == 127).all()


@pytest.mark.parametrize("size", [(256, 192), (136, 102), (61, 46)])
def test_shrinking_gives_nearly_the_area_average(size: tuple[int, int]) -> None:
    coarse = np.random.default_rng(3).integers(0, 256, (12, 16, 3), np.uint8)
    image = np.asarray(cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC), np.uint8)
    exact = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    assert np.abs(resize(image, *size).astype(int) - exact).mean() < 1.5


# Intersection over union


@given(box_arrays(), box_arrays())
def test_iou_is_symmetric_and_bounded(a: Boxes, b: Boxes) -> None:
    result = iou(a, b)
    assert result.shape == (len(a), len(b))
    assert ((result >= 0) & (result <= 1)).all()
    assert (result == iou(b, a).T).all()


@given(box_arrays(low=1), box_arrays(low=1))
def test_iou_counts_common_pixels(a: Boxes, b: Boxes) -> None:
    def pixels(box: Boxes) -> set[tuple[int, int]]:
        x0, y0, x1, y1 = (int(v) for v in box)
        return {(x, y) for x in range(x0, x1) for y in range(y0, y1)}

    first, second = pixels(a[0]), pixels(b[0])
    union = len(first | second)
    wanted = len(first & second) / union if union else 0.0
    assert iou(a, b)[0, 0] == pytest.approx(wanted, abs=1e-6)


# Non-maximum suppression


def brute_force_nms(boxes: Boxes, scores: list[float], limit: float) -> list[int]:
    limit = float(np.float32(limit))  # the precision of the overlaps
    left = list(range(len(boxes)))
    keep = []
    while left:
        best = max(left, key=lambda i: (scores[i], -i))
        keep.append(best)
        left = [
            i for i in left if i != best and float(iou(boxes[[best]], boxes[[i]])[0, 0]) <= limit
        ]
    return keep


@given(box_arrays(high=20), st.data(), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_nms_is_the_brute_force_one(boxes: Boxes, data: st.DataObject, limit: float) -> None:
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
    scores = data.draw(
        st.lists(st.sampled_from([0.1, 0.25, 0.5, 0.75]), min_size=len(boxes), max_size=len(boxes))
    )
    keep = nms(rectangles(boxes).tolist(), scores, limit)
    assert keep == brute_force_nms(boxes, scores, limit)
