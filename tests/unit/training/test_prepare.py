"""``python -m training prepare`` from the command line to the store, on small data sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_app.domain import Box, Image, MaskState
from edge_app.vision.bundle import MODELS_DIR
from edge_app.vision.geometry import iou
from training.cli import main
from training.data.splits import Split
from training.data.store import Record, Store, open_store

Run = Callable[..., int]


def photo(seed: int, width: int = 120, height: int = 90) -> Image:
    """A smooth random picture, unlike that of any other seed."""
    blobs = np.random.default_rng(seed).integers(0, 256, (7, 7, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(blobs, (width, height), interpolation=cv2.INTER_CUBIC))


def save(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[:, :, ::-1])


def voc(path: Path, *objects: tuple[str, tuple[float, ...]]) -> None:
    items = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for label, (x0, y0, x1, y1) in objects
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotation>{items}</annotation>")


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Class folders: four pictures, one of them nearly a copy of another."""
    root = tmp_path / "faces"
    save(root / "with_mask" / "a.png", photo(1))
    save(root / "with_mask" / "b.png", photo(2, 200, 100))
    save(root / "without_mask" / "c.png", photo(3))
    save(root / "without_mask" / "copy_of_a.jpg", photo(1)[:, ::-1])
    return root


@pytest.fixture
def crowd(tmp_path: Path) -> Path:
    """Pascal VOC: one picture with two faces, one of which sticks out by a pixel."""
    root = tmp_path / "crowd"
    save(root / "images" / "x.png", photo(4))
    voc(
        root / "annotations" / "x.xml",
        ("with_mask", (10.5, 20, 40, 60)),
        ("incorrect_mask", (90, 50, 121, 80)),
    )
    return root


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(*arguments: object) -> int:
        return main(["prepare", "--out", str(tmp_path / "out"), *map(str, arguments)])

    return call


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[[], Store]:
    return lambda: open_store(tmp_path / "out")


def by_file(store: Store) -> dict[str, Record]:
    return {record.file: record for record in store.records}


def reasons(store: Store) -> dict[str, str]:
    return {item["file"]: item["reason"] for item in store.manifest["problems"]}


def test_hand_made_boxes(crowd: Path, run: Run, prepared: Callable[[], Store]) -> None:
    assert run(crowd) == 0
    store = prepared()
    (record,) = store.records
    assert (record.dataset, record.file) == ("crowd", "crowd/images/x.png")
    assert (record.width, record.height, record.scale) == (120, 90, 1.0)
    np.testing.assert_array_equal(store.image(record), photo(4))
    assert [(f.box, f.label, f.origin) for f in record.faces] == [
        (Box(10.5, 20, 40, 60), MaskState.WITH_MASK, "hand"),
        (Box(90, 50, 120, 80), MaskState.INCORRECT_MASK, "hand"),
    ]
    (note,) = store.manifest["problems"]
    assert note == {
        "file": "crowd/images/x.png",
        "reason": "object 2: sticks out by 1.0 px, clipped",
        "severity": "note",
    }


def test_large_pictures_are_stored_smaller_with_their_boxes(
    crowd: Path, run: Run, prepared: Callable[[], Store]
) -> None:
    assert run(crowd, "--max-side", 60) == 0
    store = prepared()
    (record,) = store.records
    assert (record.width, record.height, record.scale) == (60, 45, 0.5)
    assert store.image(record).shape == (45, 60, 3)
    assert record.faces[0].box == Box(5.25, 10, 20, 30)
    expected = cv2.resize(photo(4), (60, 45), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(store.image(record), expected)


def test_teacher_boxes(
    faces: Path, run: Run, prepared: Callable[[], Store], tmp_path: Path
) -> None:
    boxes = {
        "faces/with_mask/a.png": [[0, 0, 10, 10, 0.9], [-5, 20, 60, 60, 0.8], [0, 0, 9, 9, 0.3]],
        "faces/with_mask/b.png": [],
        "faces/with_mask/gone.png": [[0, 0, 10, 10, 0.9]],
        "elsewhere/with_mask/z.png": [[0, 0, 10, 10, 0.9]],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    assert run(faces, "--boxes", tmp_path / "boxes.json") == 0
    store = prepared()
    found = by_file(store)
    assert [(f.box, f.label, f.score, f.origin) for f in found["faces/with_mask/a.png"].faces] == [
        (Box(-5, 20, 55, 80), MaskState.WITH_MASK, 0.8, "teacher"),
        (Box(0, 0, 10, 10), None, 0.9, "teacher"),
    ]
    for file, box in (("with_mask/b.png", (200, 100)), ("without_mask/c.png", (120, 90))):
        (face,) = found[f"faces/{file}"].faces
        assert (face.box, face.origin) == (Box(0, 0, *box), "whole")
    assert reasons(store) == {
        "faces/with_mask/gone.png": "has machine-made boxes, but is not there"
    }


def test_without_boxes_the_central_square_is_taken_and_that_is_said(
    faces: Path, run: Run, prepared: Callable[[], Store]
) -> None:
    assert run(faces, "--strict") == 0  # a note is no failure
    store = prepared()
    (face,) = by_file(store)["faces/with_mask/b.png"].faces
    assert (face.box, face.label, face.origin) == (
        Box(50, 0, 150, 100),
        MaskState.WITH_MASK,
        "whole",
    )
    assert len(store.manifest["problems"]) == 4
    assert "central square" in reasons(store)["faces/with_mask/b.png"]


def test_near_duplicates_of_test_pictures_are_excluded(
    faces: Path, crowd: Path, run: Run, prepared: Callable[[], Store], tmp_path: Path
) -> None:
    listed = ["faces/with_mask/a.png", "faces/with_mask/gone.png", "elsewhere/z.png"]
    (tmp_path / "splits.json").write_text(json.dumps({"test": listed}))
    splits = ("--splits", tmp_path / "splits.json", "--val-fraction", 0)
    assert run(faces, crowd, *splits) == 0
    store = prepared()
    found = by_file(store)
    assert found["faces/with_mask/a.png"].split is Split.TEST
    assert found["faces/without_mask/copy_of_a.jpg"].split is Split.EXCLUDED
    assert found["faces/without_mask/copy_of_a.jpg"].group == "faces/with_mask/a.png"
    assert found["faces/with_mask/b.png"].split is Split.TRAIN
    assert (
        reasons(store)["faces/with_mask/gone.png"] == "is listed as a test picture, but not there"
    )
    assert "elsewhere/z.png" not in reasons(store)
    counts = store.manifest["datasets"]["faces"]
    assert counts["stored"] == {"train": 2, "val": 0, "test": 1, "excluded": 1}
    assert counts["groups"] == 3
    assert counts["faces"]["excluded"] == {"without_mask": 1}


def test_a_random_split_ignores_near_duplicates_and_says_so(
    run: Run, prepared: Callable[[], Store], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for i in range(15):
        save(tmp_path / "faces" / "with_mask" / f"{i}.png", photo(200 + i))
        save(tmp_path / "faces" / "with_mask" / f"{i}_mirrored.png", photo(200 + i)[:, ::-1])
    grouped = tmp_path / "faces", "--val-fraction", 0.3
    assert run(*grouped) == 0
    assert straddling(prepared()) == 0
    assert run(*grouped, "--random-split") == 0
    found = straddling(prepared())
    assert found > 0
    assert f"{found} groups of near-duplicates straddle splits" in caplog.text


def straddling(store: Store) -> int:
    """Groups that lie in more than one split."""
    return sum(
        len({record.split for record in store.records if record.group == group}) > 1
        for group in {record.group for record in store.records}
    )


def test_negatives_have_no_faces_and_all_three_splits(
    run: Run, prepared: Callable[[], Store], tmp_path: Path, crowd: Path
) -> None:
    for i in range(60):
        save(tmp_path / "rooms" / "halls" / f"{i}.png", photo(100 + i, 40, 30))
    assert run(crowd, "--negatives", tmp_path / "rooms", "--val-fraction", 0.3) == 0
    rooms = [record for record in prepared().records if record.dataset == "rooms"]
    assert len(rooms) == 60
    assert all(record.faces == () for record in rooms)
    assert {record.split for record in rooms} == {Split.TRAIN, Split.VAL, Split.TEST}


def test_unusable_pictures_and_boxes_are_reported_and_skipped(
    faces: Path, crowd: Path, run: Run, prepared: Callable[[], Store]
) -> None:
    content = (faces / "with_mask" / "b.png").read_bytes()
    (faces / "with_mask" / "half.png").write_bytes(content[: len(content) // 2])
    (faces / "with_mask" / "text.jpg").write_text("not a picture")
    save(crowd / "images" / "y.png", photo(5))
    voc(crowd / "annotations" / "y.xml", ("with_mask", (200, 20, 240, 60)))
    assert run(faces, crowd) == 0
    store = prepared()
    assert len(store.records) == 5
    found = reasons(store)
    assert found["faces/with_mask/half.png"] == "the picture is truncated; skipped"
    assert "not a picture" in found["faces/with_mask/text.jpg"]
    assert found["crowd/images/y.png"] == "none of its faces is usable; picture skipped"
    outside = [item["reason"] for item in store.manifest["problems"] if "outside" in item["reason"]]
    assert outside == [
        "object 1: box [200, 20, 240, 60] lies outside the 120x90 picture; box skipped"
    ]


def test_strict_lists_the_problems_and_writes_nothing(
    faces: Path,
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (faces / "with_mask" / "text.jpg").write_text("not a picture")
    save(faces / "Mask" / "d.png", photo(6))
    assert run(faces, "--strict") == 2
    assert "--strict: 2 problems, listed above" in capsys.readouterr().err
    assert "faces/with_mask/text.jpg: not a picture" in caplog.text
    assert "faces/Mask/d.png: unknown label 'Mask'" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces"]


def test_the_manifest_names_inputs_licence_and_hashes(
    faces: Path, run: Run, prepared: Callable[[], Store], tmp_path: Path
) -> None:
    (faces / "LICENCE.txt").write_text("\nCC0 1.0 Universal\n\nlong text\n")
    (tmp_path / "boxes.json").write_text("{}")
    assert run(faces, "--boxes", tmp_path / "boxes.json") == 0
    first: Any = prepared().manifest
    assert first["datasets"]["faces"]["licence"] == "CC0 1.0 Universal (LICENCE.txt)"
    assert first["datasets"]["faces"]["pictures"] == 4
    assert first["arguments"]["datasets"] == [str(faces)]
    assert list(first["inputs"]) == [str(tmp_path / "boxes.json")]
    assert run(faces, "--boxes", tmp_path / "boxes.json") == 0
    assert prepared().manifest == first  # nothing in it depends on time or thread order
    save(faces / "with_mask" / "a.png", photo(7))
    assert run(faces, "--boxes", tmp_path / "boxes.json") == 0
    second: Any = prepared().manifest
    assert second["datasets"]["faces"]["sha256"] != first["datasets"]["faces"]["sha256"]
    assert second["files"]["pixels.bin"]["sha256"] != first["files"]["pixels.bin"]["sha256"]


def test_yolo_and_voc_of_the_same_pictures_agree(
    crowd: Path, run: Run, prepared: Callable[[], Store], tmp_path: Path
) -> None:
    root = tmp_path / "as_yolo"
    save(root / "images" / "x.png", photo(4))
    (root / "labels").mkdir()
    width, height = 120, 90
    lines = []
    for index, (x0, y0, x1, y1) in enumerate([(10.5, 20, 40, 60), (90, 50, 120, 80)]):
        centre = f"{(x0 + x1) / 2 / width:.6f} {(y0 + y1) / 2 / height:.6f}"
        lines.append(f"{index} {centre} {(x1 - x0) / width:.6f} {(y1 - y0) / height:.6f}")
    (root / "labels" / "x.txt").write_text("\n".join(lines))
    (root / "data.yaml").write_text("names: [with_mask, incorrect_mask]\n")
    assert run(crowd, root) == 0
    store = prepared()
    hand, yolo = by_file(store)["crowd/images/x.png"], by_file(store)["as_yolo/images/x.png"]
    assert hand.group == yolo.group
    assert hand.split == yolo.split
    assert [face.label for face in hand.faces] == [face.label for face in yolo.faces]
    for one, other in zip(hand.faces, yolo.faces, strict=True):
        assert one.box.as_tuple() == pytest.approx(other.box.as_tuple(), abs=0.01)


def test_landmarks_and_teacher_boxes_on_real_pictures(
    shared: Path, run: Run, prepared: Callable[[], Store], tmp_path: Path
) -> None:
    data = shared / "data"
    name = "binary/with_mask/0129.jpg"
    root = tmp_path / "binary" / "with_mask"
    root.mkdir(parents=True)
    (root / "0129.jpg").write_bytes((data / name).read_bytes())
    teacher = json.loads((data / "teacher_boxes.json").read_text())[name]
    (tmp_path / "boxes.json").write_text(json.dumps({name: teacher}))
    yunet = shared / "peers" / "yunet_2026may.onnx"
    options = ("--boxes", tmp_path / "boxes.json", "--landmarks", yunet, "--max-side", 200)
    assert run(root.parent, *options) == 0
    (record,) = prepared().records
    face = record.faces[0]
    x, y, width, height, score = teacher[0]
    assert face.score == score
    expected = [v * record.scale for v in (x, y, x + width, y + height)]
    assert face.box.as_tuple() == pytest.approx(expected, abs=0.01)
    assert face.landmarks is not None
    for px, py in face.landmarks:
        assert face.box.x0 < px < face.box.x1
        assert face.box.y0 < py < face.box.y1


def test_a_detector_finds_the_faces_that_nobody_drew(
    shared: Path, run: Run, prepared: Callable[[], Store], tmp_path: Path
) -> None:
    if not (MODELS_DIR / "face_detector.tflite").is_file():
        pytest.skip("needs the shipped bundle face_detector")
    name = "binary/with_mask/0129.jpg"
    root = tmp_path / "binary" / "with_mask"
    root.mkdir(parents=True)
    (root / "0129.jpg").write_bytes((shared / "data" / name).read_bytes())
    assert run(root.parent, "--detector", "face_detector") == 0
    (record,) = prepared().records
    face = record.faces[0]
    assert (face.label, face.origin) == (MaskState.WITH_MASK, "detector")
    x, y, width, height, _ = json.loads((shared / "data" / "teacher_boxes.json").read_text())[name][
        0
    ]
    teacher = np.array([[x, y, x + width, y + height]], np.float32)
    found = np.array([face.box.as_tuple()], np.float32) / np.float32(record.scale)
    assert iou(found, teacher)[0, 0] > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such data set folder"),
        (["faces", "--splits", "none.json"], "none.json: cannot be read"),
        (["faces", "--boxes", "none.json"], "none.json: cannot be read"),
        (["faces", "--landmarks", "none.onnx"], "none.onnx: no such file"),
        (["faces", "--detector", "none.tflite"], "no model bundle at none.tflite"),
        (["faces", "--splits", "s.json", "--random-split"], "that --splits lists: give one"),
        (["faces", "faces"], "a second data set named 'faces'"),
        (["faces", "--negatives", "nowhere"], "nowhere: no such data set folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", "--out", "out", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mask-kiosk: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "out").exists()


def test_no_usable_picture_at_all(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "faces" / "with_mask").mkdir(parents=True)
    (tmp_path / "faces" / "with_mask" / "a.jpg").write_text("not a picture")
    assert run(tmp_path / "faces") == 2
    assert "no usable picture" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max-side", "0"],
        ["--max-side", "many"],
        ["--val-fraction", "1"],
        ["--val-fraction", "nan"],
        ["--seed", "-1"],
    ],
)
def test_options_out_of_range(run: Run, faces: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(faces, *arguments)
    assert caught.value.code == 2
