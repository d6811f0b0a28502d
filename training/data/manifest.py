"""What a prepared data set says of itself: origin, hashes, counts and problems."""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from training.data.samples import Dataset, Problem
from training.data.splits import Split
from training.data.store import Record

LICENCE_FILES = frozenset({"LICENSE", "LICENCE", "COPYING"})
"""Files in a data set's folder, with any ending, whose first line names its licence."""


def build_manifest(
    arguments: Mapping[str, Any],
    inputs: Iterable[Path],
    datasets: Iterable[Dataset],
    hashes: Mapping[str, Mapping[str, str]],
    records: Iterable[Record],
    problems: Iterable[Problem],
) -> dict[str, Any]:
    """Everything about a store but the sizes and hashes of its own files.

    Args:
        arguments: What ``prepare`` was asked for, as JSON values.
        inputs: Files beside the data sets that had a say; their hashes are recorded.
        datasets: What was read.
        hashes: For each data set the sha256 of every picture file, by picture name.
        records: What is stored.
        problems: All that was skipped or changed.
    """
    by_name: dict[str, list[Record]] = {}
    for record in records:
        by_name.setdefault(record.dataset, []).append(record)
    return {
        "arguments": dict(arguments),
        "versions": {
            "python": platform.python_version(),
            "opencv": cv2.__version__,
            "numpy": np.__version__,
        },
        "inputs": {str(path): _sha256(path) for path in inputs},
        "datasets": {
            dataset.name: {
                "kind": str(dataset.kind),
                "licence": _licence(dataset.root),
                "sha256": _dataset_hash(dataset, hashes[dataset.name]),
                "pictures": len(hashes[dataset.name]),
                **_counts(by_name.get(dataset.name, [])),
            }
            for dataset in datasets
        },
        "problems": [
            {"file": item.file, "reason": item.reason, "severity": str(item.severity)}
            for item in problems
        ],
    }


def _counts(records: list[Record]) -> dict[str, Any]:
    """Stored pictures and faces by split; faces by label and origin too."""
    faces: dict[str, Counter[str]] = {str(split): Counter() for split in Split}
    difficult: Counter[str] = Counter()
    origins: Counter[str] = Counter()
    for record in records:
        for face in record.faces:
            faces[record.split][str(face.label or "unlabelled")] += 1
            difficult[record.split] += face.difficult
            origins[face.origin] += 1
    stored = Counter(str(record.split) for record in records)
    return {
        "stored": {str(split): stored[split] for split in Split},
        "groups": len({record.group for record in records}),
        "faces": {split: dict(sorted(counter.items())) for split, counter in faces.items()},
        "difficult": {str(split): difficult[split] for split in Split},
        "boxes_by_origin": dict(sorted(origins.items())),
        "with_landmarks": sum(
            face.landmarks is not None for record in records for face in record.faces
        ),
    }


def _dataset_hash(dataset: Dataset, pictures: Mapping[str, str]) -> str:
    """sha256 over the lines ``name hash`` of all pictures and annotation files, sorted."""
    lines = [f"{file} {digest}" for file, digest in pictures.items()]
    for sample in dataset.samples:
        if sample.source is not None:
            name = sample.source.relative_to(dataset.root).as_posix()
            lines.append(f"{dataset.name}/{name} {_sha256(sample.source)}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _licence(root: Path) -> str:
    """The first line of a licence file in the data set's folder, else ``not stated``."""
    for path in sorted(root.iterdir()):
        if path.stem.upper() in LICENCE_FILES and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            line = next((line.strip() for line in text.splitlines() if line.strip()), "")
            if line:
                return f"{line} ({path.name})"
    return "not stated"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
