from __future__ import annotations

from pathlib import Path

import pytest

from edge_app.domain import MaskState
from edge_app.errors import DatasetError
from training.data.readers import Dataset, Kind, detect_kind, read_dataset

VOC = "<annotation><filename>{file}</filename>{size}{objects}</annotation>"
OBJECT = (
    "<object><name>{label}</name><difficult>{difficult}</difficult><bndbox><xmin>{box[0]}</xmin>"
    "<ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
)


def voc_object(
    label: str = "with_mask", difficult: object = 0, box: object = (1, 2, 30, 40)
) -> str:
    return OBJECT.format(label=label, difficult=difficult, box=box)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def touch(*paths: Path) -> None:
    """Stand-ins for pictures: readers do not open them."""
    for path in paths:
        write(path, "")


def reasons(dataset: Dataset) -> dict[str, str]:
    return {problem.file: problem.reason for problem in dataset.problems}


# --- class folders and negatives -------------------------------------------------------------


def test_class_folders(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    touch(root / "with_mask" / "b.jpg", root / "with_mask" / "more" / "a.PNG")
    touch(root / "incorrect_mask" / "c.jpeg", root / "with_mask" / "notes.txt")
    dataset = read_dataset(root)
    assert dataset.kind is Kind.CLASS_FOLDERS
    assert dataset.name == "faces"
    assert [(s.file, s.annotations[0].label) for s in dataset.samples] == [
        ("faces/incorrect_mask/c.jpeg", MaskState.INCORRECT_MASK),
        ("faces/with_mask/b.jpg", MaskState.WITH_MASK),
        ("faces/with_mask/more/a.PNG", MaskState.WITH_MASK),
    ]
    assert all(s.annotations[0].box is None for s in dataset.samples)
    assert dataset.problems == ()


def test_class_folders_report_unknown_labels_and_stray_pictures(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    touch(root / "with_mask" / "a.jpg", root / "Mask" / "b.jpg", root / "c.jpg")
    dataset = read_dataset(root)
    assert [s.file for s in dataset.samples] == ["faces/with_mask/a.jpg"]
    found = reasons(dataset)
    assert found["faces/c.jpg"] == "lies in no label's folder"
    assert "unknown label 'Mask'" in found["faces/Mask/b.jpg"]
    assert "with_mask, without_mask, incorrect_mask" in found["faces/Mask/b.jpg"]


def test_a_flat_folder_is_negatives(tmp_path: Path) -> None:
    touch(tmp_path / "rooms" / "a.jpg", tmp_path / "rooms" / "b.jpg")
    dataset = read_dataset(tmp_path / "rooms")
    assert dataset.kind is Kind.NEGATIVES
    assert [(s.file, s.annotations) for s in dataset.samples] == [
        ("rooms/a.jpg", ()),
        ("rooms/b.jpg", ()),
    ]


def test_negatives_by_request_include_sub_folders(tmp_path: Path) -> None:
    touch(tmp_path / "rooms" / "kitchen" / "a.jpg", tmp_path / "rooms" / "b.jpg")
    dataset = read_dataset(tmp_path / "rooms", Kind.NEGATIVES)
    assert [s.file for s in dataset.samples] == ["rooms/b.jpg", "rooms/kitchen/a.jpg"]


def test_the_name_is_the_folders_even_when_given_as_dot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "rooms" / "a.jpg")
    monkeypatch.chdir(tmp_path / "rooms")
    assert read_dataset(Path()).samples[0].file == "rooms/a.jpg"


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ([], "not a data set"),
        (["readme.txt"], "not a data set"),
        (["images/a.jpg"], "neither annotations/"),
        (["Mask/a.jpg"], "no usable picture.*unknown label 'Mask'"),
        (["images/a.jpg", "annotations/none.txt"], "no usable picture.*no annotation a.xml"),
    ],
)
def test_folders_that_are_no_data_set(tmp_path: Path, layout: list[str], message: str) -> None:
    touch(*(tmp_path / name for name in layout))
    with pytest.raises(DatasetError, match=message):
        read_dataset(tmp_path)


def test_a_missing_folder(tmp_path: Path) -> None:
    for attempt in (detect_kind, read_dataset):
        with pytest.raises(DatasetError, match="no such data set folder"):
            attempt(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="no such data set folder"):
        read_dataset(tmp_path / "nowhere", Kind.NEGATIVES)


# --- Pascal VOC --------------------------------------------------------------------------------


def voc(root: Path, stem: str, objects: str, size: str = "", file: str | None = None) -> None:
    name = file or f"{stem}.jpg"
    write(root / "annotations" / f"{stem}.xml", VOC.format(file=name, size=size, objects=objects))


def test_voc_objects_difficult_float_corners_and_size(tmp_path: Path) -> None:
    root = tmp_path / "set"
    touch(root / "images" / "a.jpg")
    voc(
        root,
        "a",
        voc_object(box=(79.5, 105.0, 109.25, 142.0))
        + voc_object("incorrect_mask", difficult=1, box=(-1, 2, 3, 4)),
        "<size><width>512</width><height>366</height></size>",
    )
    dataset = read_dataset(root)
    assert dataset.kind is Kind.VOC
    (sample,) = dataset.samples
    assert sample.file == "set/images/a.jpg"
    assert sample.stated_size == (512, 366)
    assert sample.source == root / "annotations" / "a.xml"
    first, second = sample.annotations
    assert (first.label, first.box, first.difficult) == (
        MaskState.WITH_MASK,
        (79.5, 105.0, 109.25, 142.0),
        False,
    )
    assert (second.label, second.difficult) == (MaskState.INCORRECT_MASK, True)
    assert dataset.problems == ()


@pytest.mark.parametrize("size", ["", "<size><width>0</width><height>0</height></size>"])
def test_voc_without_a_size(tmp_path: Path, size: str) -> None:
    touch(tmp_path / "images" / "a.jpg")
    voc(tmp_path, "a", voc_object(), size)
    assert read_dataset(tmp_path).samples[0].stated_size is None


def test_voc_without_objects_is_a_picture_of_nobody(tmp_path: Path) -> None:
    touch(tmp_path / "images" / "a.jpg")
    voc(tmp_path, "a", "")
    dataset = read_dataset(tmp_path)
    assert dataset.samples[0].annotations == ()
    assert dataset.problems == ()


def test_voc_finds_the_picture_by_its_stated_name(tmp_path: Path) -> None:
    touch(tmp_path / "images" / "photo.png")
    voc(tmp_path, "0001", voc_object(), file="photo.png")
    assert [s.path.name for s in read_dataset(tmp_path).samples] == ["photo.png"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (voc_object("mask_weared"), "object 1: unknown label 'mask_weared'"),
        (voc_object(box=("a", 2, 3, 4)), "object 1: bndbox ['a', '2', '3', '4'] is not four"),
        ("<object><name>with_mask</name></object>", "object 1: bndbox [None, None, None, None]"),
        (voc_object(difficult="maybe"), "object 1: difficult = 'maybe' must be 0 or 1"),
    ],
)
def test_a_bad_voc_object_is_reported_and_skipped_alone(
    tmp_path: Path, bad: str, reason: str
) -> None:
    root = tmp_path / "set"
    touch(root / "images" / "a.jpg")
    voc(root, "a", bad + voc_object())
    dataset = read_dataset(root)
    assert len(dataset.samples[0].annotations) == 1
    assert [p.file for p in dataset.problems] == ["set/annotations/a.xml"]
    assert dataset.problems[0].reason.startswith(reason)


def test_a_picture_that_lost_all_its_faces_is_no_picture_of_nobody(tmp_path: Path) -> None:
    root = tmp_path / "set"
    touch(root / "images" / "a.jpg", root / "images" / "b.jpg")
    voc(root, "a", voc_object("mask_weared"))
    voc(root, "b", voc_object())
    dataset = read_dataset(root)
    assert [s.file for s in dataset.samples] == ["set/images/b.jpg"]
    assert "none of its faces is usable" in reasons(dataset)["set/images/a.jpg"]


def test_voc_files_that_do_not_match_are_reported(tmp_path: Path) -> None:
    root = tmp_path / "set"
    touch(*(root / "images" / name for name in ("a.jpg", "a.png", "b.jpg", "c.jpg", "sub/c.jpg")))
    voc(root, "a", voc_object())
    write(root / "annotations" / "b.xml", "<annotation><object>")
    voc(root, "ghost", voc_object())
    voc(root, "twin", voc_object(), file="a.jpg")
    dataset = read_dataset(root)
    assert [s.file for s in dataset.samples] == ["set/images/a.jpg"]
    found = reasons(dataset)
    assert found["set/images/a.png"] == "shares its annotation with a.jpg; skipped"
    assert found["set/images/sub/c.jpg"] == "shares its annotation with c.jpg; skipped"
    assert found["set/images/c.jpg"] == "no annotation c.xml; skipped"
    assert found["set/annotations/b.xml"].startswith("not readable as XML")
    assert found["set/annotations/ghost.xml"] == "no picture ghost.* in images/"
    assert found["set/annotations/twin.xml"] == "a second annotation of a.jpg; skipped"


# --- YOLO ---------------------------------------------------------------------------------------


def yolo(root: Path, labels: str, names: str = "names: [with_mask, without_mask]\n") -> None:
    touch(root / "images" / "a.jpg")
    write(root / "labels" / "a.txt", labels)
    write(root / "data.yaml", names)


@pytest.mark.parametrize(
    "names",
    [
        "names: [with_mask, without_mask]\n",
        "path: x\nnc: 2\nnames:\n  0: with_mask\n  1: without_mask\n",
        "train: images\nnames:\n- with_mask\n- 'without_mask'\n",
    ],
)
def test_yolo_names_and_boxes(tmp_path: Path, names: str) -> None:
    yolo(tmp_path, "1 0.5 0.5 0.25 0.5\n\n0 0.1 0.2 0.1 0.2\n", names)
    dataset = read_dataset(tmp_path)
    assert dataset.kind is Kind.YOLO
    first, second = dataset.samples[0].annotations
    assert (first.label, first.relative, first.box) == (
        MaskState.WITHOUT_MASK,
        True,
        (0.375, 0.25, 0.625, 0.75),
    )
    assert second.label is MaskState.WITH_MASK
    assert second.where == "line 3"


@pytest.mark.parametrize("where", ["classes.txt", "labels/classes.txt"])
def test_yolo_names_from_classes_txt(tmp_path: Path, where: str) -> None:
    yolo(tmp_path, "1 0.5 0.5 0.25 0.5\n")
    (tmp_path / "data.yaml").unlink()
    write(tmp_path / where, "with_mask\nincorrect_mask\n")
    dataset = read_dataset(tmp_path)
    assert dataset.samples[0].annotations[0].label is MaskState.INCORRECT_MASK
    assert dataset.problems == ()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("names: 3\n", "needs 'names'"),
        ("nc: 3\n", "needs 'names'"),
        ("names: {a: with_mask}\n", "needs 'names'"),
        ("names: [with_mask\n", "not valid YAML"),
    ],
)
def test_yolo_with_unusable_names_is_one_clear_line(
    tmp_path: Path, names: str, message: str
) -> None:
    yolo(tmp_path, "0 0.5 0.5 0.25 0.5\n", names)
    with pytest.raises(DatasetError, match=message) as caught:
        read_dataset(tmp_path)
    assert "\n" not in str(caught.value)


def test_yolo_without_names(tmp_path: Path) -> None:
    yolo(tmp_path, "0 0.5 0.5 0.25 0.5\n")
    (tmp_path / "data.yaml").unlink()
    with pytest.raises(DatasetError, match=r"needs data\.yaml or classes\.txt"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.5 0.5 0.2", "line 1: '0 0.5 0.5 0.2' is not 'class cx cy width height'"),
        ("0 0.5 0.5 0.2 0.2 0.9", "is not 'class cx cy width height'"),
        ("zero 0.5 0.5 0.2 0.2", "is not 'class cx cy width height'"),
        ("2 0.5 0.5 0.2 0.2", "line 1: unknown label 'class 2'"),
        ("-1 0.5 0.5 0.2 0.2", "line 1: unknown label 'class -1'"),
    ],
)
def test_a_bad_yolo_line_is_reported_and_skipped_alone(
    tmp_path: Path, line: str, reason: str
) -> None:
    root = tmp_path / "set"
    yolo(root, f"{line}\n0 0.5 0.5 0.25 0.5\n")
    dataset = read_dataset(root)
    assert len(dataset.samples[0].annotations) == 1
    assert [p.file for p in dataset.problems] == ["set/labels/a.txt"]
    assert reason in dataset.problems[0].reason


def test_yolo_files_that_do_not_match_are_reported(tmp_path: Path) -> None:
    root = tmp_path / "set"
    yolo(root, "0 0.5 0.5 0.25 0.5\n")
    touch(root / "images" / "a.png", root / "images" / "b.jpg", root / "images" / "empty.jpg")
    touch(root / "images" / "train" / "a.jpg", root / "images" / "lost.jpg")
    write(root / "labels" / "train" / "a.txt", "1 0.5 0.5 0.1 0.1\n")
    write(root / "labels" / "empty.txt", "")
    write(root / "labels" / "lost.txt", "7 0.5 0.5 0.1 0.1\n")
    write(root / "labels" / "ghost.txt", "0 0.5 0.5 0.1 0.1\n")
    dataset = read_dataset(root)
    assert {s.file: len(s.annotations) for s in dataset.samples} == {
        "set/images/a.jpg": 1,
        "set/images/empty.jpg": 0,
        "set/images/train/a.jpg": 1,
    }
    found = reasons(dataset)
    assert found["set/images/a.png"] == "shares its label file with a.jpg; skipped"
    assert found["set/images/b.jpg"].startswith("no label file labels/b.txt; skipped")
    assert "none of its faces is usable" in found["set/images/lost.jpg"]
    assert found["set/labels/ghost.txt"] == "no picture of that name in images/"


# --- the real ones ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "pictures", "faces"),
    [
        ("binary", Kind.CLASS_FOLDERS, 4094, 4094),
        ("kaggle853", Kind.VOC, 853, 4072),
        ("ilc2021", Kind.VOC, 1592, 3935),
        ("overlay", Kind.CLASS_FOLDERS, 1054, 1054),
        ("rooms", Kind.NEGATIVES, 803, 0),
    ],
)
def test_real_data_sets(shared: Path, name: str, kind: Kind, pictures: int, faces: int) -> None:
    dataset = read_dataset(shared / "data" / name)
    assert dataset.kind is kind
    assert len(dataset.samples) == pictures
    assert sum(len(sample.annotations) for sample in dataset.samples) == faces
    assert dataset.problems == ()
