"""Read class-folder, Pascal VOC and YOLO data sets, and folders of pictures without faces.

A reader turns a folder into samples (picture files with what is said about them) and
problems. Pictures are not opened here: boxes are checked against the real size of the
picture by :func:`settle`, once somebody has decoded it. Whatever cannot be used is
reported as a :class:`Problem` with its file and the reason; nothing is silently dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_app.domain import MaskState
from edge_app.errors import DatasetError
from training.data.samples import (
    Annotation,
    Dataset,
    Kind,
    LabelledBox,
    Problem,
    Sample,
    Severity,
    is_picture,
    label_of,
    name_of,
    pictures_below,
    settle,
    unknown_label,
)
from training.data.voc import read_voc
from training.data.yolo import read_yolo

__all__ = [
    "Annotation",
    "Dataset",
    "Kind",
    "LabelledBox",
    "Problem",
    "Sample",
    "Severity",
    "detect_kind",
    "read_dataset",
    "settle",
]


def detect_kind(root: Path) -> Kind:
    """Tell from the layout what a folder holds.

    ``images/`` beside ``annotations/`` is Pascal VOC, ``images/`` beside ``labels/`` is
    YOLO, sub-folders with pictures are class folders, pictures in the folder itself are
    negatives (no faces).

    Raises:
        DatasetError: The folder does not exist or fits none of these.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such data set folder")
    if (root / "images").is_dir():
        if (root / "annotations").is_dir():
            return Kind.VOC
        if (root / "labels").is_dir():
            return Kind.YOLO
        raise DatasetError(f"{root}: has images/ but neither annotations/ (VOC) nor labels/ (YOLO)")
    if any(pictures_below(folder) for folder in root.iterdir() if folder.is_dir()):
        return Kind.CLASS_FOLDERS
    if any(is_picture(path) for path in root.iterdir()):
        return Kind.NEGATIVES
    raise DatasetError(
        f"{root}: not a data set: expected {'/, '.join(MaskState)}/ with pictures, "
        "images/ with annotations/ (VOC) or labels/ (YOLO), or pictures without faces"
    )


def read_dataset(root: Path, kind: Kind | None = None) -> Dataset:
    """Read a data set's layout and annotations.

    Args:
        root: Its folder; the folder's name becomes the data set's name.
        kind: The layout; None to tell it from the folder.

    Raises:
        DatasetError: The folder is missing, has no known layout, holds no picture, or
            (YOLO) its class names cannot be read.
    """
    kind = detect_kind(root) if kind is None else kind
    if not root.is_dir():
        raise DatasetError(f"{root}: no such data set folder")
    name = root.resolve().name
    problems: list[Problem] = []
    samples = _READERS[kind](root, name, problems)
    if not samples:
        raise DatasetError(
            f"{root}: no usable picture in this {kind} data set"
            + (f"; first problem: {problems[0]}" if problems else "")
        )
    samples.sort(key=lambda sample: sample.file)
    return Dataset(name, root, kind, tuple(samples), tuple(problems))


def _read_class_folders(root: Path, name: str, problems: list[Problem]) -> list[Sample]:
    samples = []
    for path in sorted(root.iterdir()):
        if path.is_file():
            if is_picture(path):
                problems.append(Problem(f"{name}/{path.name}", "lies in no label's folder"))
            continue
        pictures = pictures_below(path)
        label = label_of(path.name)
        if label is not None and not pictures:
            problems.append(Problem(f"{name}/{path.name}", "holds no pictures"))
        for picture in pictures:
            file = name_of(name, root, picture)
            if label is None:
                problems.append(Problem(file, unknown_label(path.name)))
            else:
                samples.append(Sample(name, file, picture, (Annotation(label),)))
    return samples


def _read_negatives(root: Path, name: str, problems: list[Problem]) -> list[Sample]:
    del problems  # nothing can be wrong before the pictures are opened
    return [Sample(name, name_of(name, root, picture), picture) for picture in pictures_below(root)]


_READERS: dict[Kind, Callable[[Path, str, list[Problem]], list[Sample]]] = {
    Kind.CLASS_FOLDERS: _read_class_folders,
    Kind.VOC: read_voc,
    Kind.YOLO: read_yolo,
    Kind.NEGATIVES: _read_negatives,
}
