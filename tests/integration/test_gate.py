"""``gate`` with models whose answers can be foreseen: see tests/integration/test_evaluate.py.

The tiny classifier judges by colour; a card with other labels in its place makes a model that
is wrong on purpose. The tiny detector sees a face around every bright cell.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the training half's packages are not installed")

from training.cli import main

COLOUR = {"with_mask": 1, "without_mask": 0}
PICTURES = 12


def backdrop(rng: np.random.Generator, side: int, strength: int) -> np.ndarray:
    """Blobs, different enough that no two pictures are near-duplicates."""
    coarse = rng.integers(0, strength, (6, 6, 3)).astype(np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[:, :, ::-1])


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """Class folders: green with a mask, red without."""
    root = tmp_path_factory.mktemp("data") / "door"
    rng = np.random.default_rng(0)
    for label, channel in COLOUR.items():
        for i in range(PICTURES):
            image = backdrop(rng, 64, 80)
            image[:, :, channel] = np.maximum(image[:, :, channel], 200)
            save(root / label / f"{i}.png", image)
    return root


@pytest.fixture(scope="module")
def rooms(tmp_path_factory) -> Path:
    """Pictures without people, each with a bright lamp."""
    root = tmp_path_factory.mktemp("data") / "rooms"
    rng = np.random.default_rng(1)
    for i in range(PICTURES):
        image = backdrop(rng, 256, 100)
        x, y = (int(n) for n in rng.integers(40, 180, 2))
        image[y : y + 40, x : x + 40] = 255
        save(root / f"{i}.png", image)
    return root


def variant(root: Path, folder: Path, name: str, **changes) -> Path:
    """A tiny bundle under its own name in another folder, with changes to its card."""
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / f"{name}.tflite"
    shutil.copy(root / f"tests/data/{name}.tflite", model)
    card = json.loads((root / f"tests/data/{name}.json").read_text())
    model.with_suffix(".json").write_text(json.dumps({**card, **changes}))
    return model


def gate(out: Path, new: Path, old: Path, *arguments) -> tuple[int, dict]:
    words = ["gate", new, "--against", old, *arguments, "--out", out]
    code = main([str(word) for word in words])
    return code, json.loads((out / f"{new.stem}.json").read_text())


def test_a_bundle_passes_against_itself(tmp_path, root, folders, capsys) -> None:
    model = root / "tests/data/tiny_classifier.tflite"
    code, report = gate(tmp_path, model, model, "--data", folders)
    assert code == 0
    assert report["refused"] == []
    assert [(c["new"], c["old"], c["verdict"]) for c in report["comparisons"]] == [
        (1.0, 1.0, "passes"),
        (1.0, 1.0, "passes"),
    ]
    said = capsys.readouterr().out
    assert (
        "| door, recall with_mask | 12 | 12 | 100.0 | 100.0 | +0.0 (+0.0..+0.0) | passes |" in said
    )
    assert said.splitlines()[-1] == "passed: may ship"


def test_a_worse_class_is_refused_however_good_the_others_are(
    tmp_path, root, folders, capsys
) -> None:
    """Red and blue change places: no bare face is recognised any more."""
    old = root / "tests/data/tiny_classifier.tflite"
    labels = ["with_mask", "incorrect_mask", "without_mask"]
    new = variant(root, tmp_path / "new", "tiny_classifier", labels=labels)
    code, report = gate(tmp_path / "out", new, old, "--data", folders)
    assert code == 1
    assert report["refused"] == ["worse on door, recall without_mask"]
    verdicts = {c["what"]: c["verdict"] for c in report["comparisons"]}
    assert verdicts == {
        "door, recall with_mask": "passes",
        "door, recall without_mask": "worse",
    }
    said = capsys.readouterr().out
    assert "refused: worse on door, recall without_mask" in said
    assert "| 0.0 | -100.0 (-100.0..-100.0) | **worse** |" in said
    assert "# tiny_classifier: refused" in (tmp_path / "out/tiny_classifier.md").read_text()
    assert gate(tmp_path / "better", old, new, "--data", folders)[0] == 0


def test_too_few_pictures_are_refused(tmp_path, root, folders, capsys) -> None:
    few = tmp_path / "few"
    for label in COLOUR:
        for i in range(2):
            (few / label).mkdir(parents=True, exist_ok=True)
            shutil.copy(folders / label / f"{i}.png", few / label)
    model = root / "tests/data/tiny_classifier.tflite"
    code, report = gate(tmp_path / "out", model, model, "--data", few)
    assert code == 1
    assert {c["verdict"] for c in report["comparisons"]} == {"too few"}
    assert "refused: too few independent pictures" in capsys.readouterr().out


def test_a_detector_that_alarms_more_is_refused(tmp_path, root, rooms) -> None:
    calm = {"score": 1.0, "nms_iou": 0.2}
    eager = variant(root, tmp_path / "eager", "tiny_detector")
    deaf = variant(root, tmp_path / "deaf", "tiny_detector", thresholds=calm)
    code, report = gate(tmp_path / "out", eager, deaf, "--negatives", rooms)
    assert code == 1
    assert report["refused"] == ["worse on rooms, pictures with a false alarm"]
    assert report["comparisons"][0]["new"] == 1.0
    assert gate(tmp_path / "out2", deaf, eager, "--negatives", rooms)[0] == 0


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> Path:
    """A face in every picture, where the tiny detector sees one; see test_evaluate.py."""
    root = tmp_path_factory.mktemp("data") / "street"
    rng = np.random.default_rng(2)
    for i in range(PICTURES):
        image = backdrop(rng, 240, 60)
        image = np.pad(image, ((0, 0), (40, 40), (0, 0)))
        image[100:120, 60:80] = 255
        save(root / "images" / f"{i}.png", image)
        label = root / "labels" / f"{i}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text(f"0 {70 / 320} {110 / 240} {80 / 320} {80 / 240}\n")
    (root / "classes.txt").write_text("with_mask\n")
    return root


def test_a_detector_whose_threshold_misses_faces_is_refused(tmp_path, root, street, rooms) -> None:
    """The same network: its average precision stays, and it alarms less."""
    old = root / "tests/data/tiny_detector.tflite"
    deaf = {"score": 1.0, "nms_iou": 0.2}
    new = variant(root, tmp_path / "new", "tiny_detector", thresholds=deaf)
    data = ("--data", street, "--negatives", rooms)
    code, report = gate(tmp_path / "out", new, old, *data)
    assert code == 1
    sizes = (16, 24, 32)
    assert report["refused"] == [f"worse on street, recall from {px} px" for px in sizes]
    compared = {c["what"]: (c["old"], c["new"], c["verdict"]) for c in report["comparisons"]}
    assert compared["street, recall from 16 px"] == (1.0, 0.0, "worse")
    before, after, verdict = compared["street, average precision from 16 px"]
    assert (before == after, verdict) == (True, "passes")
    assert compared["rooms, pictures with a false alarm"] == (1.0, 0.0, "passes")
    assert gate(tmp_path / "same", old, old, *data)[0] == 0


@pytest.mark.parametrize(
    ("new", "arguments", "message"),
    [
        ("tiny_classifier", [], "give --data DIR"),
        ("tiny_classifier", ["--data", "D", "--negatives", "D"], "--negatives is for detectors"),
        ("tiny_classifier", ["--data", "D", "D"], "two data sets are named 'door'"),
        ("tiny_classifier", ["--data", "nowhere"], "nowhere: no such data set folder"),
        ("tiny_detector", ["--data", "D", "--detector", "x"], "--detector is for classifiers"),
        ("tiny_detector", ["--data", "D"], "without boxes to score a detector on"),
        ("missing", ["--data", "D"], "no model bundle at"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path, root, folders, capsys, new, arguments, message
) -> None:
    words = [str(folders) if word == "D" else word for word in arguments]
    models = root / "tests/data"
    model = str(models / f"{new}.tflite")
    out = tmp_path / "out"
    assert main(["gate", model, "--against", model, *words, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    lines = [row for row in error.splitlines() if row.startswith("mask-kiosk: error:")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not out.exists()


def test_a_classifier_is_not_compared_with_a_detector(root, folders, capsys) -> None:
    models = root / "tests/data"
    words = [str(models / f"tiny_{task}.tflite") for task in ("classifier", "detector")]
    assert main(["gate", words[0], "--against", words[1], "--data", str(folders)]) == 2
    assert "is a 'detect' bundle, but a 'classify' one is needed" in capsys.readouterr().err
