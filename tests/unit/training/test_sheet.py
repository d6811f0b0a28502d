"""The contact sheet shows the pictures that training would see."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from edge_app.domain import Box, MaskState
from edge_app.errors import DatasetError
from training.cli import main
from training.data.splits import Split
from training.data.store import FaceRecord, Record, StoreWriter, open_store
from training.recipe import ModelSettings, Phase, Placement, Recipe, Sampling
from training.sheet import COLUMNS, draw_sheet

WITH, WITHOUT, INCORRECT = MaskState
PHASES = (Phase(1, 1e-3),)
CLASSIFIER = Recipe(
    name="tiny",
    task="classify",
    seed=7,
    batch=4,
    steps_per_epoch=2,
    phases=PHASES,
    model=ModelSettings(64, 64),
    labels=(WITH, WITHOUT),
    sampling=Sampling(0.4, 16.0, 0.6, {"street": 1.0}),
    thresholds={"confidence_floor": 0.5},
)
DETECTOR = Recipe(
    name="tiny",
    task="detect",
    seed=7,
    batch=4,
    steps_per_epoch=2,
    phases=PHASES,
    model=ModelSettings(96, 64),
    placement=Placement({"street": 1.0}, negatives=0.0),
    thresholds={"score": 0.5, "nms_iou": 0.4},
)


@pytest.fixture
def store(tmp_path):
    """Two pictures with a face each, one of either label."""
    rng = np.random.default_rng(0)
    records = []
    with StoreWriter(tmp_path / "store") as writer:
        for label in (WITH, WITHOUT):
            image = cv2.resize(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8), (160, 120))
            face = FaceRecord(Box(40, 30, 90, 80), label)
            offset, file = writer.add(np.asarray(image, np.uint8)), f"street/{label}.png"
            records.append(
                Record("street", file, "", file, Split.TRAIN, 160, 120, 1.0, offset, (face,))
            )
        writer.finish(records, {"datasets": {"street": {}}})
    return open_store(tmp_path / "store")


def test_a_classifier_s_sheet_is_the_same_every_time_and_another_for_another_seed(store):
    sheet = draw_sheet(CLASSIFIER, store, 10)
    assert np.array_equal(sheet, draw_sheet(CLASSIFIER, store, 10))
    assert not np.array_equal(sheet, draw_sheet(dataclasses.replace(CLASSIFIER, seed=8), store, 10))
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] > COLUMNS["classify"] * 136, "small crops are enlarged"


def test_a_detector_s_sheet_has_boxes_of_both_colours(store):
    from edge_app.vision.annotate import GREEN

    sheet = draw_sheet(DETECTOR, store, 6)
    assert np.all(sheet == GREEN, axis=2).any()


def test_data_without_the_recipe_s_faces_are_refused(store):
    wanting = dataclasses.replace(CLASSIFIER, sampling=Sampling(0.4, 16.0, 0.6, {"elsewhere": 1.0}))
    with pytest.raises(DatasetError, match="no face of elsewhere"):
        draw_sheet(wanting, store, 4)


def test_a_sheet_shows_no_face_beyond_the_recipe_s_limits(store):
    """Training would refuse the same: nothing is left of one label."""
    limited = Sampling(0.4, 16.0, 0.6, {"street": 1.0}, limits={"street/without_mask": 0})
    with pytest.raises(DatasetError, match="no training face is labelled without_mask"):
        draw_sheet(dataclasses.replace(CLASSIFIER, sampling=limited), store, 4)


RECIPE = """
name = "tiny"
task = "classify"
labels = ["with_mask", "without_mask"]
seed = 3
batch = 8
steps_per_epoch = 2
[model]
width = 64
height = 64
[[phases]]
epochs = 2
learning_rate = 1e-3
[sampling]
margin = 0.4
min_face = 16.0
class_power = 0.6
dataset_weights = { street = 1.0 }
[thresholds]
confidence_floor = 0.4
"""


def test_the_command_writes_a_picture(tmp_path, store, capsys):
    recipe, out = tmp_path / "tiny.toml", tmp_path / "new" / "sheet.png"
    recipe.write_text(RECIPE)
    arguments = ["sheet", str(recipe), "--data", str(store.path), "--count", "3"]
    assert main([*arguments, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"3 training pictures of tiny: {out}\n"
    assert cv2.imread(str(out)) is not None
    assert [path.name for path in out.parent.iterdir()] == ["sheet.png"]


def test_what_cannot_be_drawn_is_one_line_and_exit_code_2(tmp_path, capsys):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    assert main(["sheet", str(recipe), "--out", str(tmp_path / "sheet.jpg")]) == 2
    assert "the sheet is a PNG picture" in capsys.readouterr().err
    assert main(["sheet", str(recipe), "--data", str(tmp_path / "none")]) == 2
    assert "no complete data set" in capsys.readouterr().err
    for count in ("0", "many", "1001"):
        with pytest.raises(SystemExit) as caught:
            main(["sheet", str(recipe), "--count", count])
        assert caught.value.code == 2
