"""Detector canvases: boxes follow the pixels, and targets land on the right cells."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_app.domain import Box, MaskState
from edge_app.errors import DatasetError
from edge_app.vision.detector import cell_grid
from training.data.canvases import VISIBLE, CanvasBatches, detector_pictures
from training.data.splits import Split
from training.data.store import FaceRecord
from training.models.detector import STRIDES, TARGET_COLUMNS
from training.recipe import ModelSettings, Phase, Placement, Recipe

WIDTH, HEIGHT = 160, 96
RECIPE = Recipe(
    name="tiny",
    task="detect",
    seed=7,
    batch=4,
    steps_per_epoch=2,
    phases=(Phase(1, 1e-3),),
    model=ModelSettings(WIDTH, HEIGHT),
    placement=Placement({"street": 1.0}, negatives=0.0, backdrop=0.0, rotation=0.0),
    thresholds={"score": 0.5, "nms_iou": 0.4},
)


def face(x0, y0, x1, y1, **more):
    return FaceRecord(Box(x0, y0, x1, y1), MaskState.WITH_MASK, **more)


def green_picture(box, size=(120, 90)):
    """A dark picture with one bright green rectangle."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    x0, y0, x1, y1 = box
    image[y0:y1, x0:x1, 1] = 255
    return image


@pytest.fixture
def placed(still):
    """``placed(**changes)``: the recipe with another placement and an undisturbed camera."""

    def change(**changes):
        assert RECIPE.placement is not None
        placement = dataclasses.replace(RECIPE.placement, **changes)
        return dataclasses.replace(RECIPE, placement=placement, camera=still)

    return change


@pytest.fixture
def one_face(make_store):
    box = (40, 25, 80, 75)
    return make_store([("street", Split.TRAIN, green_picture(box), (face(*box),))])


@pytest.fixture
def with_rooms(make_store, photo):
    box = (40, 25, 80, 75)
    return make_store(
        [
            ("street", Split.TRAIN, green_picture(box), (face(*box),)),
            ("rooms", Split.TRAIN, photo(1), ()),
            ("rooms", Split.TRAIN, photo(2), ()),
        ]
    )


def green(canvas):
    return (canvas[..., 1] > 127) & (canvas[..., 0] < 100)


def test_pictures_need_a_box_that_somebody_drew(make_store, photo) -> None:
    train = Split.TRAIN
    store = make_store(
        [
            ("street", train, photo(1), (face(1, 1, 9, 9),)),
            ("street", train, photo(2), (face(1, 1, 9, 9, origin="teacher", score=0.9),)),
            ("street", train, photo(3), (face(0, 0, 90, 90, origin="whole"),)),
            ("street", train, photo(4), ()),
            ("street", Split.VAL, photo(5), (face(1, 1, 9, 9),)),
            ("other", train, photo(6), (face(1, 1, 9, 9),)),
        ]
    )
    files = [record.file for record in detector_pictures(store, "train", ["street"])]
    assert files == ["street/0.png", "street/1.png"]
    with pytest.raises(DatasetError, match="no picture of street in the test split has a boxed"):
        detector_pictures(store, "test", ["street"])


@pytest.mark.parametrize("turn", [0.0, 12.0])
def test_the_box_lies_where_the_face_was_drawn(one_face, turn, placed) -> None:
    """Over many draws, mirrored ones among them: the green pixels fill the box."""
    batches = CanvasBatches(one_face, placed(rotation=turn, face_px=(20.0, 60.0)))
    compared = 0
    for seed in range(60):
        canvas, boxes, _ = batches.draw(np.random.default_rng(seed))
        assert canvas.shape == (HEIGHT, WIDTH, 3)
        if len(boxes) == 0:
            continue
        compared += 1
        x0, y0, x1, y1 = boxes[0]
        ys, xs = np.nonzero(green(canvas))
        # Turned by a few degrees, a rectangle's corners stick out of the upright box.
        slack = 2 if turn == 0 else 2 + 0.25 * max(x1 - x0, y1 - y0)
        for edge, found in ((x0, xs.min()), (y0, ys.min()), (x1, xs.max() + 1), (y1, ys.max() + 1)):
            assert abs(edge - found) <= slack
    assert compared > 30


def test_both_mirror_images_occur(make_store, placed) -> None:
    """The left half of the face is green, the right half red."""
    image = green_picture((40, 25, 80, 75))
    image[25:75, 60:80] = (255, 0, 0)
    store = make_store([("street", Split.TRAIN, image, (face(40, 25, 80, 75),))])
    batches = CanvasBatches(store, placed(face_px=(30.0, 30.0)))
    left = []
    for seed in range(30):
        canvas, boxes, _ = batches.draw(np.random.default_rng(seed))
        reds = np.nonzero((canvas[..., 0] > 127) & (canvas[..., 1] < 100))[1]
        greens = np.nonzero(green(canvas))[1]
        if len(boxes) and len(reds) and len(greens):
            left.append(greens.mean() < reds.mean())
    assert True in left
    assert False in left


def test_targets_lie_on_cells_in_the_face_and_hold_its_box(one_face, placed) -> None:
    recipe = placed(face_px=(30.0, 60.0))
    _, targets = CanvasBatches(one_face, recipe).batch(0, 0)
    cells = cell_grid(WIDTH, HEIGHT, STRIDES)
    assert targets.shape == (RECIPE.batch, len(cells), TARGET_COLUMNS)
    assert targets[..., 0].sum() > 0
    for target in targets:
        for x, y, stride, box in ((*cells[i], target[i, 2:]) for i in np.flatnonzero(target[:, 0])):
            assert box[0] - stride <= x <= box[2] + stride
            assert box[1] - stride <= y <= box[3] + stride
            assert box[0] < box[2]
            assert box[1] < box[3]


def test_pictures_and_targets_belong_together(one_face, placed) -> None:
    """The cells that are to find a face, drawn on the picture, lie on green."""
    pictures, targets = CanvasBatches(one_face, placed(face_px=(40.0, 60.0))).batch(1, 0)
    assert pictures.dtype == targets.dtype == np.float32
    assert pictures.min() >= -1
    assert pictures.max() <= 1
    for picture, target in zip(pictures, targets, strict=True):
        for box in np.unique(target[target[:, 0] > 0, 2:], axis=0):
            x, y = int((box[0] + box[2]) / 2), int((box[1] + box[3]) / 2)
            assert picture[y, x, 1] > 0.5 > picture[y, x, 0]


def test_faces_that_are_too_small_too_unsure_or_cut_off_teach_nothing(make_store, placed) -> None:
    sure, unsure = (40, 25, 80, 75), (10, 10, 30, 35)
    image = green_picture(sure, (400, 300))
    faces = (face(*sure), face(*unsure, origin="teacher", score=0.3), face(100, 30, 104, 34))
    store = make_store([("street", Split.TRAIN, image, faces)])
    batches = CanvasBatches(store, placed(face_px=(40.0, 44.0), min_face=9.0))
    taught = ignored_ones = 0
    for seed in range(80):
        _, boxes, ignored = batches.draw(np.random.default_rng(seed))
        for box in np.concatenate([boxes, ignored]):
            assert 0 <= box[0] < box[2] <= WIDTH
            assert 0 <= box[1] < box[3] <= HEIGHT
        assert len(boxes) <= 1  # the sure face alone
        assert all(min(box[2] - box[0], box[3] - box[1]) >= 9 for box in boxes)
        taught += len(boxes)
        ignored_ones += len(ignored)
    assert taught > 10
    assert ignored_ones > 10


def test_a_face_cut_by_the_edge_is_ignored_from_half_on(one_face, placed) -> None:
    """What is taught shows at least half of the face: at this zoom a box of 32 by 40 pixels."""
    batches = CanvasBatches(one_face, placed(face_px=(35.78, 35.78), min_face=1.0))
    full = 32 * 40
    shares = {"taught": [], "ignored": []}
    for seed in range(150):
        _, boxes, ignored = batches.draw(np.random.default_rng(seed))
        for name, found in (("taught", boxes), ("ignored", ignored)):
            shares[name] += [float(np.prod(box[2:] - box[:2])) / full for box in found]
    # The picture is also stretched by up to a tenth, so that a share is known within a tenth.
    assert min(shares["taught"]) >= VISIBLE * 0.88
    assert max(shares["ignored"]) <= VISIBLE * 1.12


def test_a_batch_depends_on_seed_epoch_and_index_alone(with_rooms, placed) -> None:
    recipe = placed(negatives=0.3, backdrop=0.5)
    batches = CanvasBatches(with_rooms, recipe)
    pictures, targets = batches.batch(3, 1)
    batches.batch(0, 0)
    again, targets_again = CanvasBatches(with_rooms, recipe).batch(3, 1)
    np.testing.assert_array_equal(pictures, again)
    np.testing.assert_array_equal(targets, targets_again)
    reseeded = CanvasBatches(with_rooms, dataclasses.replace(recipe, seed=8))
    for other in (batches.batch(3, 0), batches.batch(4, 1), reseeded.batch(3, 1)):
        assert not np.array_equal(pictures, other[0])


def test_negatives_have_no_face_and_no_green(with_rooms, placed) -> None:
    batches = CanvasBatches(with_rooms, placed(negatives=1.0))
    for seed in range(10):
        canvas, boxes, ignored = batches.draw(np.random.default_rng(seed))
        assert canvas.shape == (HEIGHT, WIDTH, 3)
        assert len(boxes) == len(ignored) == 0
    _, targets = batches.batch(0, 0)
    assert not targets.any()


def test_negatives_without_rooms_are_one_line(one_face, placed) -> None:
    with pytest.raises(DatasetError, match="prepare with --negatives DIR"):
        CanvasBatches(one_face, placed(negatives=0.1))
