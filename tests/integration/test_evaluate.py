"""``evaluate`` from data set on disk to report, with models whose answers can be foreseen.

The tiny detector sees an 80-pixel face (in a 320x240 picture) around every bright spot of
20 pixels that lies on its grid; the tiny classifier takes green for a correct mask, red for
none and blue for an incorrect one.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.domain import MaskState

pytest.importorskip("sklearn", reason="the training half's packages are not installed")

from training.cli import main
from training.data.store import open_store
from training.evaluation.pictures import Picker

WITH, WITHOUT, INCORRECT = MaskState
CHANNEL = {WITHOUT: 0, WITH: 1, INCORRECT: 2}
SPOT, FACE = 20, 80
LEFT, RIGHT = (3, 5), (11, 5)
"""Places on the detector's grid of 20-pixel cells."""


def box_at(place):
    x, y = (SPOT * (cell + 0.5) - FACE / 2 for cell in place)
    return int(x), int(y), int(x) + FACE, int(y) + FACE


def draw(faces):
    """A picture with faces at places; what a face looks like is its state."""
    image = np.zeros((240, 320, 3), np.uint8)
    for place, state in faces:
        x0, y0, x1, y1 = box_at(place)
        image[y0:y1, x0:x1, CHANNEL[state]] = 50
        middle = FACE // 2 - SPOT // 2
        spot = image[y0 + middle : y1 - middle, x0 + middle : x1 - middle]
        spot[..., CHANNEL[state]] = 255
    return image


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def write_voc(root, pictures):
    """pictures: name -> (seen faces, stated faces as (box, state, difficult))."""
    for name, (seen, stated) in pictures.items():
        save(root / "images" / f"{name}.png", draw(seen))
        objects = "".join(
            f"<object><name>{state}</name><difficult>{int(difficult)}</difficult><bndbox>"
            f"<xmin>{b[0]}</xmin><ymin>{b[1]}</ymin><xmax>{b[2]}</xmax><ymax>{b[3]}</ymax>"
            "</bndbox></object>"
            for b, state, difficult in stated
        )
        xml = (
            f"<annotation><filename>{name}.png</filename><size><width>320</width>"
            f"<height>240</height><depth>3</depth></size>{objects}</annotation>"
        )
        path = root / "annotations" / f"{name}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(xml)


@pytest.fixture
def voc(tmp_path):
    """Six faces that count: four seen and right, one seen and wrong, one not to be seen."""
    root = tmp_path / "street"
    both = [(LEFT, WITH), (RIGHT, WITHOUT)]
    write_voc(
        root,
        {
            "right": (both, [(box_at(p), s, False) for p, s in both]),
            "wrong": ([(LEFT, WITH)], [(box_at(LEFT), INCORRECT, False)]),
            "mixed": (
                [(LEFT, INCORRECT), (RIGHT, WITH)],
                [
                    (box_at(LEFT), INCORRECT, False),
                    (box_at(RIGHT), WITHOUT, True),
                    ((150, 10, 160, 22), WITH, False),
                ],
            ),
            "unseen": (
                [(LEFT, WITHOUT)],
                [(box_at(LEFT), WITHOUT, False), ((200, 100, 260, 170), WITH, False)],
            ),
        },
    )
    return root


@pytest.fixture
def models(root):
    return root / "tests" / "data"


def evaluate(tmp_path, model, *arguments):
    """Run the command; the JSON report."""
    out = tmp_path / "report"
    assert main(["evaluate", str(model), *map(str, arguments), "--out", str(out)]) == 0
    return json.loads((out / f"{Path(model).stem}.json").read_text())


def test_a_classifier_on_hand_made_boxes(tmp_path, voc, models, capsys):
    report = evaluate(tmp_path, models / "tiny_classifier.tflite", "--data", voc)
    figures = report["classification"]["INT8"]["street"]
    # The face that is black is called something, whatever it is: it has no right answer here.
    assert figures["samples"] == 6
    assert figures["classes"]["without_mask"]["recall"] == 1.0
    assert figures["classes"]["incorrect_mask"]["recall"] == 0.5
    assert figures["confusion"][2][0] == 1, "the wrong one: green, but said to be incorrect"
    assert figures["uncertain"] == 1
    assert report["data"]["street"]["left_out"] == {"difficult": 1, "under 24 px": 1}
    assert {size: f["samples"] for size, f in figures["by_size"].items()} == {
        "32-64 px": 1,
        "64 px and more": 5,
    }
    printed = capsys.readouterr().out
    assert "| street | 6 |" in printed
    assert "1 faces left out (difficult)" in printed


def test_a_classifier_end_to_end(tmp_path, voc, models):
    report = evaluate(
        tmp_path, models / "tiny_classifier.tflite", "--data", voc,
        "--detector", models / "tiny_detector.tflite",
    )  # fmt: skip
    figures = report["end_to_end"]["figures"]["INT8"]["street"]
    assert (figures["faces"], figures["found"], figures["right"]) == (6, 5, 4)
    assert (figures["wrong"], figures["uncertain"], figures["false_alarms"]) == (1, 0, 0)
    assert figures["classes"]["with_mask"]["found"] == 1
    assert figures["classes"]["with_mask"]["faces"] == 2


def test_a_detector_on_boxes_and_on_rooms(tmp_path, voc, models):
    rooms = tmp_path / "rooms"
    for i in range(3):
        save(rooms / f"{i}.png", draw([]))
    save(rooms / "lamp.png", draw([(LEFT, WITH), (RIGHT, WITH)]))
    report = evaluate(
        tmp_path, models / "tiny_detector.tflite", "--data", voc, "--negatives", rooms
    )
    figures = report["detection"]["INT8"]["street"]["16 px"]
    assert (figures["faces"], figures["recall"], figures["false_alarms"]) == (6, 5 / 6, 0)
    assert figures["average_precision"] == pytest.approx(5 / 6)
    alarms = report["false_alarms"]["INT8"]["rooms"]
    assert (alarms["pictures"], alarms["alarms"], alarms["per_hundred"]) == (4, 2, 50.0)


def test_sizes_are_measured_in_the_letterboxed_picture(tmp_path, models):
    # Twice the size of what detectors are given: 40 px become 20, which 24 px excludes.
    root = tmp_path / "large"
    save(root / "images" / "a.png", np.zeros((480, 640, 3), np.uint8))
    (root / "labels").mkdir()
    (root / "labels" / "a.txt").write_text(f"0 0.5 0.5 {40 / 640} {40 / 480}\n")
    (root / "classes.txt").write_text("with_mask\nwithout_mask\nincorrect_mask\n")
    report = evaluate(tmp_path, models / "tiny_detector.tflite", "--data", root)
    sizes = report["detection"]["INT8"]["large"]
    assert (sizes["16 px"]["faces"], sizes["24 px"]["faces"]) == (1, 0)


def test_class_folders_by_boxes_and_as_a_whole(tmp_path, models):
    root = tmp_path / "folders"
    save(root / "with_mask" / "boxed.png", draw([(LEFT, WITH), (RIGHT, WITHOUT)]))
    save(root / "without_mask" / "whole.png", np.full((60, 60, 3), (200, 0, 0), np.uint8))
    boxes = tmp_path / "boxes.json"
    x, y, _, _ = box_at(LEFT)
    boxes.write_text(json.dumps({"folders/with_mask/boxed.png": [[x, y, FACE, FACE, 0.9]]}))
    report = evaluate(tmp_path, models / "tiny_classifier.tflite", "--data", root, "--boxes", boxes)
    figures = report["classification"]["INT8"]["folders"]
    assert figures["accuracy"] == 1.0
    assert report["data"]["folders"]["boxes_by_origin"] == {"teacher": 1, "whole": 1}
    assert "1 pictures without a face box were judged as a whole" in report["problems"][0]["reason"]


def test_class_folders_by_a_detector(tmp_path, models):
    root = tmp_path / "folders"
    save(root / "with_mask" / "a.png", draw([(LEFT, WITH)]))
    report = evaluate(
        tmp_path, models / "tiny_classifier.tflite", "--data", root,
        "--detector", models / "tiny_detector.tflite",
    )  # fmt: skip
    assert sum(report["data"]["folders"]["boxes_by_origin"].values()) == 1
    assert "end_to_end" not in report, "class folders have no boxes to find"


def test_a_picture_in_which_the_detector_finds_nobody_is_reported(tmp_path, models):
    root = tmp_path / "folders"
    save(root / "with_mask" / "dark.png", np.zeros((120, 160, 3), np.uint8))
    report = evaluate(
        tmp_path, models / "tiny_classifier.tflite", "--data", root,
        "--detector", models / "tiny_detector.tflite",
    )  # fmt: skip
    assert report["data"]["folders"]["boxes_by_origin"] == {"whole": 1}
    [problem] = report["problems"]
    assert problem["reason"] == (
        "1 pictures in which the detector found no face were judged as a whole"
    )


def test_the_splits_file_decides_and_what_it_names_in_vain_is_reported(tmp_path, voc, models):
    splits = tmp_path / "splits.json"
    splits.write_text(json.dumps({"test": ["street/images/right.png", "street/images/gone.png"]}))
    report = evaluate(tmp_path, models / "tiny_classifier.tflite", "--data", voc, "--split", "test")
    assert report["split"] == "test"
    assert report["data"]["street"]["pictures"] == 1
    assert report["classification"]["INT8"]["street"]["samples"] == 2
    assert [p["file"] for p in report["problems"]] == ["street/images/gone.png"]


def test_a_model_of_a_random_split_is_tested_on_what_it_did_not_see(tmp_path, models):
    """Near-duplicates and all, as it was divided; a splits file does not change that."""
    root = tmp_path / "folders"
    for i in range(30):
        coarse = np.random.default_rng(i).integers(0, 256, (5, 5, 3)).astype(np.uint8)
        image = cv2.resize(coarse, (60, 60), interpolation=cv2.INTER_CUBIC)
        save(root / "with_mask" / f"{i}.png", image)
        save(root / "with_mask" / f"{i}_mirrored.png", image[:, ::-1])
    store = tmp_path / "store"
    assert main(["prepare", str(root), "--random-split", "--out", str(store)]) == 0
    unseen = {r.file for r in open_store(store).records if r.split == "test"}
    bundle = tmp_path / "tiny_classifier.tflite"
    bundle.write_bytes((models / bundle.name).read_bytes())
    card = json.loads((models / bundle.name).with_suffix(".json").read_text())
    card["training"] = {"data": {"folders": {}}, "prepare_arguments": {"random_split": True}}
    bundle.with_suffix(".json").write_text(json.dumps(card))
    (tmp_path / "splits.json").write_text(json.dumps({"test": ["folders/with_mask/0.png"]}))
    report = evaluate(tmp_path, bundle, "--data", root, "--split", "test")
    assert report["data"]["folders"]["pictures"] == len(unseen) > 1
    chosen = Picker(frozenset({"folders/with_mask/0.png"}), 0, frozenset({"folders"})).choose(root)
    assert {sample.file for sample in chosen.samples} == unseen


def test_problems_in_the_data_are_reported_once_and_the_rest_is_scored(tmp_path, voc, models):
    (voc / "images" / "right.png").write_bytes(b"\x89PNG broken")
    report = evaluate(
        tmp_path, models / "tiny_classifier.tflite", "--data", voc,
        "--detector", models / "tiny_detector.tflite",
    )  # fmt: skip
    assert [p["file"] for p in report["problems"]] == ["street/images/right.png"]
    assert report["classification"]["INT8"]["street"]["samples"] == 4
    assert report["end_to_end"]["figures"]["INT8"]["street"]["pictures"] == 3


def test_a_report_is_reproducible(tmp_path, voc, models):
    model = models / "tiny_classifier.tflite"
    first, second = (evaluate(tmp_path, model, "--data", voc) for _ in range(2))
    for report in (first, second):
        assert report.pop("milliseconds")["INT8"]["median_ms"] > 0
    assert first == second


def test_small_faces_are_judged_by_size_only(tmp_path, models):
    # 20 px is under the 24 that count, 12 px under the 16 that are judged at all.
    root = tmp_path / "small"
    image = np.zeros((60, 200, 3), np.uint8)
    boxes = {WITH: (10, 10, 40, 40), WITHOUT: (60, 10, 80, 30), INCORRECT: (110, 10, 122, 22)}
    stated = []
    for state, (x0, y0, x1, y1) in boxes.items():
        image[y0:y1, x0:x1, CHANNEL[state]] = 250
        stated.append(((x0, y0, x1, y1), state, False))
    write_voc(root, {"a": ([], [])})
    save(root / "images" / "a.png", image)
    objects = "".join(
        f"<object><name>{s}</name><bndbox><xmin>{b[0]}</xmin><ymin>{b[1]}</ymin>"
        f"<xmax>{b[2]}</xmax><ymax>{b[3]}</ymax></bndbox></object>"
        for b, s, _ in stated
    )
    (root / "annotations" / "a.xml").write_text(
        f"<annotation><filename>a.png</filename>{objects}</annotation>"
    )
    report = evaluate(tmp_path, models / "tiny_classifier.tflite", "--data", root)
    figures = report["classification"]["INT8"]["small"]
    assert figures["samples"] == 1
    assert {size: f["samples"] for size, f in figures["by_size"].items()} == {
        "16-24 px": 1,
        "24-32 px": 1,
    }
    assert report["data"]["small"]["left_out"] == {"under 24 px": 2}
    assert report["data"]["small"]["boxes_by_origin"] == {"hand": 1}


def test_curves_calibration_and_mistakes(tmp_path, voc, models, capsys):
    report = evaluate(tmp_path, models / "tiny_classifier.tflite", "--data", voc)
    figures = report["classification"]["INT8"]["street"]
    assert figures["one_vs_rest"]["without_mask"]["roc_auc"] == 1.0
    assert figures["one_vs_rest"]["with_mask"]["positives"] == 2
    assert sum(b["samples"] for b in figures["calibration"]["bins"]) == 6
    assert 0 < figures["calibration"]["expected_error"] < 1
    worst = report["worst_mistakes"]["INT8"]
    assert (worst[0]["file"], worst[0]["truth"], worst[0]["said"]) == (
        "street/images/wrong.png", "incorrect_mask", "with_mask",
    )  # fmt: skip
    assert [m["confidence"] for m in worst] == sorted(
        (m["confidence"] for m in worst), reverse=True
    )
    printed = capsys.readouterr().out
    assert "| calibration error |" in printed
    assert "Time from crop to verdict, median: INT8 " in printed


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_the_float_model_sees_the_same_pixels(tmp_path, voc, models):
    keras = pytest.importorskip("keras")
    image = keras.Input((16, 16, 3))
    mean = keras.layers.GlobalAveragePooling2D()(image)
    layer = keras.layers.Dense(3)
    model = keras.Model(image, layer(mean))
    # The tiny classifier's weights, for pixels in -1..1 instead of 0..255.
    weights = np.array([[-1, 2, -1], [2, -1, -1], [-1, -1, 2]], np.float32) * 1.5
    layer.set_weights([weights, weights.sum(axis=0)])
    file = tmp_path / "model.keras"
    model.save(file)
    report = evaluate(tmp_path, models / "tiny_classifier.tflite", "--data", voc, "--float", file)
    both = report["classification"]
    assert both["float"]["street"]["classes"]["without_mask"]["recall"] == 1.0
    assert both["float"]["street"]["confusion"][1:] == both["INT8"]["street"]["confusion"][1:]
    assert report["engines"]["float"].startswith("tensorflow ")


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_a_float_model_of_another_shape_is_refused(tmp_path, voc, models, capsys):
    keras = pytest.importorskip("keras")
    image = keras.Input((8, 8, 3))
    file = tmp_path / "model.keras"
    keras.Model(image, keras.layers.Flatten()(image)).save(file)
    arguments = ["evaluate", str(models / "tiny_classifier.tflite"), "--data", str(voc)]
    assert main([*arguments, "--float", str(file)]) == 2
    assert "input is (8, 8, 3), the card of tiny_classifier says (16, 16, 3)" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("tiny_classifier", [], "give --data DIR"),
        (
            "tiny_classifier",
            ["--data", "VOC", "--negatives", "VOC"],
            "--negatives is for detectors",
        ),
        ("tiny_detector", ["--data", "VOC", "--boxes", "x.json"], "--boxes is for classifiers"),
        ("tiny_detector", ["--data", "VOC", "VOC"], "two data sets are named 'street'"),
        ("tiny_classifier", ["--data", "VOC", "--split", "test"], "no splits.json beside"),
        ("tiny_classifier", ["--data", "VOC", "--min-face", "200"], "no labelled face of at least"),
        ("tiny_classifier", ["--data", "nowhere"], "nowhere: no such data set folder"),
        ("missing", ["--data", "VOC"], "no model bundle at"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    tmp_path, voc, models, capsys, model, arguments, message
):
    given = [str(voc) if word == "VOC" else word for word in arguments]
    assert main(["evaluate", str(models / model), *given, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    line = [row for row in error.splitlines() if row.startswith("mask-kiosk: error:")]
    assert len(line) == 1
    assert message in line[0]
    assert not (tmp_path / "out").exists()


def test_a_detector_needs_boxes(tmp_path, models, capsys):
    root = tmp_path / "folders"
    save(root / "with_mask" / "a.png", draw([(LEFT, WITH)]))
    assert main(["evaluate", str(models / "tiny_detector"), "--data", str(root)]) == 2
    assert "without boxes to score a detector on" in capsys.readouterr().err
