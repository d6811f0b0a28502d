"""YOLO data sets: ``images/``, ``labels/`` and the class names in data.yaml or classes.txt."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml

from edge_app.errors import DatasetError
from training.data.samples import (
    Annotation,
    Problem,
    Sample,
    all_lost,
    label_of,
    name_of,
    pictures_below,
    unknown_label,
)


def read_yolo(root: Path, name: str, problems: list[Problem]) -> list[Sample]:
    """Read a YOLO data set: ``images/a/b.jpg`` belongs to ``labels/a/b.txt``.

    Raises:
        DatasetError: The class names are missing or malformed.
    """
    classes = _class_names(root)
    samples = []
    used: dict[Path, Path] = {}
    for picture in pictures_below(root / "images"):
        inside = picture.relative_to(root / "images")
        source = root / "labels" / inside.with_suffix(".txt")
        file = name_of(name, root, picture)
        if source in used:
            reason = f"shares its label file with {used[source].name}; skipped"
            problems.append(Problem(file, reason))
            continue
        used[source] = picture
        if not source.is_file():
            reason = f"no label file {source.relative_to(root).as_posix()}; skipped "
            problems.append(Problem(file, reason + "(an empty file says: no faces)"))
            continue
        before = len(problems)
        annotations = tuple(_lines(source, name_of(name, root, source), classes, problems))
        if not annotations and len(problems) > before:
            problems.append(all_lost(file))
            continue
        samples.append(Sample(name, file, picture, annotations, source))
    for source in sorted((root / "labels").rglob("*.txt")):
        if source not in used and source.name != "classes.txt":
            reason = "no picture of that name in images/"
            problems.append(Problem(name_of(name, root, source), reason))
    return samples


def _lines(
    source: Path, file: str, classes: dict[int, str], problems: list[Problem]
) -> Iterable[Annotation]:
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(file, f"not readable as text: {error}"))
        return
    for number, line in enumerate(lines, start=1):
        where = f"line {number}"
        fields = line.split()
        if not fields:
            continue
        try:
            index = int(fields[0])
            cx, cy, width, height = (float(field) for field in fields[1:])
        except ValueError:
            reason = f"{where}: {line.strip()!r} is not 'class cx cy width height'"
            problems.append(Problem(file, reason))
            continue
        text = classes.get(index, f"class {index}")
        label = label_of(text)
        if label is None:
            problems.append(Problem(file, f"{where}: {unknown_label(text)}"))
            continue
        box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
        yield Annotation(label, box, True, False, where)


def _class_names(root: Path) -> dict[int, str]:
    """Class number -> name, from data.yaml's ``names`` or from classes.txt."""
    for file in ("data.yaml", "data.yml"):
        path = root / file
        if not path.is_file():
            continue
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise DatasetError(f"{path}: not valid YAML: {reason}") from None
        names = content.get("names") if isinstance(content, dict) else None
        if isinstance(names, list):
            return {i: str(text) for i, text in enumerate(names)}
        if isinstance(names, dict) and all(type(key) is int for key in names):
            return {key: str(text) for key, text in names.items()}
        raise DatasetError(f"{path}: needs 'names', a list or a map of number to label")
    for path in (root / "classes.txt", root / "labels" / "classes.txt"):
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            return {i: text.strip() for i, text in enumerate(lines) if text.strip()}
    raise DatasetError(f"{root}: a YOLO data set needs data.yaml or classes.txt for its labels")
