"""Pascal VOC data sets: ``images/`` and one XML file per picture in ``annotations/``."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree  # expat limits expansion # nosec B405
from collections.abc import Iterable
from pathlib import Path

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


def read_voc(root: Path, name: str, problems: list[Problem]) -> list[Sample]:
    """Read a VOC data set; an annotation belongs to the picture of the same stem.

    Corners are taken as written: pixels, right and bottom exclusive.
    """
    pictures: dict[str, Path] = {}
    for path in pictures_below(root / "images"):
        if path.stem in pictures:
            reason = f"shares its annotation with {pictures[path.stem].name}; skipped"
            problems.append(Problem(name_of(name, root, path), reason))
        else:
            pictures[path.stem] = path
    samples = []
    used: set[str] = set()
    for source in sorted((root / "annotations").rglob("*.xml")):
        file = name_of(name, root, source)
        try:
            tree = ElementTree.parse(source).getroot()  # noqa: S314 - expat limits expansion # nosec B314
        except (ElementTree.ParseError, OSError, ValueError) as error:
            problems.append(Problem(file, f"not readable as XML: {error}; picture skipped"))
            used.add(source.stem)
            continue
        stem = source.stem
        if stem not in pictures:
            stem = Path((tree.findtext("filename") or "").strip()).stem
        if stem not in pictures:
            problems.append(Problem(file, f"no picture {source.stem}.* in images/"))
            continue
        if stem in used:
            problems.append(Problem(file, f"a second annotation of {pictures[stem].name}; skipped"))
            continue
        used.add(stem)
        picture = pictures[stem]
        picture_name = name_of(name, root, picture)
        annotations = tuple(_objects(tree, file, problems))
        if not annotations and tree.find(".//object") is not None:
            problems.append(all_lost(picture_name))
            continue
        samples.append(Sample(name, picture_name, picture, annotations, source, _size(tree)))
    for stem in sorted(pictures.keys() - used):
        reason = f"no annotation {stem}.xml; skipped"
        problems.append(Problem(name_of(name, root, pictures[stem]), reason))
    return samples


def _objects(tree: ElementTree.Element, file: str, problems: list[Problem]) -> Iterable[Annotation]:
    for number, item in enumerate(tree.iter("object"), start=1):
        where = f"object {number}"
        text = (item.findtext("name") or "").strip()
        label = label_of(text)
        if label is None:
            problems.append(Problem(file, f"{where}: {unknown_label(text)}"))
            continue
        corners = [item.findtext(f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")]
        try:
            x0, y0, x1, y1 = (float(corner or "") for corner in corners)
        except ValueError:
            problems.append(Problem(file, f"{where}: bndbox {corners} is not four numbers"))
            continue
        difficult = (item.findtext("difficult") or "0").strip()
        if difficult not in {"0", "1"}:
            problems.append(Problem(file, f"{where}: difficult = {difficult!r} must be 0 or 1"))
            continue
        yield Annotation(label, (x0, y0, x1, y1), False, difficult == "1", where)


def _size(tree: ElementTree.Element) -> tuple[int, int] | None:
    """Stated width and height; None when absent or zero, as some tools write it."""
    try:
        width = int(float(tree.findtext("size/width") or 0))
        height = int(float(tree.findtext("size/height") or 0))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None
