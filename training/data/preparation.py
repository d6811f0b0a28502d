"""The work behind ``python -m training prepare``."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2

from edge_app.errors import DatasetError, UsageError
from training.data.boxes import read_boxes
from training.data.groups import Fingerprint, group_pictures
from training.data.manifest import build_manifest
from training.data.opening import Opener, open_all
from training.data.readers import Dataset, Kind, Problem, Severity, read_dataset
from training.data.splits import Split, assign_splits, read_splits
from training.data.store import Record, StoreWriter

log = logging.getLogger(__name__)

WORKERS = 2
"""Threads that decode pictures and run the models on them."""

SHOWN_NOTES = 5
"""Notes that are logged one by one; the manifest has all of them, errors are all logged."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to prepare; the fields are the command line's."""

    datasets: tuple[Path, ...]
    out: Path
    splits: Path | None = None
    boxes: Path | None = None
    detector: str | None = None
    landmarks: Path | None = None
    negatives: tuple[Path, ...] = ()
    strict: bool = False
    max_side: int = 640
    val_fraction: float = 0.1
    seed: int = 0
    random_split: bool = False


def prepare(options: Options) -> None:
    """Read, check, group, divide and store; see ``python -m training prepare --help``.

    Raises:
        UsageError: Two data sets have one name, the landmark model cannot be used, or both
            ``splits`` and ``random_split`` say which pictures are test.
        DatasetError: A data set or JSON file cannot be used, no picture is left, or
            ``strict`` found a problem.
        BundleNotFoundError, BundleError: The detector cannot be used.
        OutputError: The store cannot be written.
    """
    began = time.monotonic()
    cv2.setNumThreads(1)  # the threads of ours keep the cores busy
    if options.random_split and options.splits is not None:
        raise UsageError("--random-split draws the test pictures that --splits lists: give one")
    listed = frozenset[str]() if options.splits is None else read_splits(options.splits)
    boxes = None if options.boxes is None else read_boxes(options.boxes)
    opener = Opener(options.max_side, boxes, options.detector, options.landmarks)
    opener.load_models()  # a missing model fails now, not after the first data set
    datasets = _read_all(options)
    problems = [problem for dataset in datasets for problem in dataset.problems]
    problems += _absent(listed, "is listed as a test picture, but not there", datasets)
    problems += _absent(boxes or (), "has machine-made boxes, but is not there", datasets)
    records: list[Record] = []
    prints: list[Fingerprint] = []
    hashes: dict[str, dict[str, str]] = {dataset.name: {} for dataset in datasets}
    with StoreWriter(options.out) as writer, ThreadPoolExecutor(WORKERS) as pool:
        for dataset in datasets:
            for opened in open_all(dataset, opener, pool):
                hashes[dataset.name][opened.file] = opened.sha256
                problems += opened.problems
                if opened.content is not None:
                    offset = writer.add(opened.content.image)
                    records.append(replace(opened.content.record, offset=offset))
                    prints.append(opened.content.print)
        errors = _tell(problems)
        if options.strict and errors:
            raise DatasetError(f"--strict: {errors} problems, listed above; nothing was written")
        if not records:
            raise DatasetError("no usable picture in any of the data sets; nothing was written")
        records = _divide(records, prints, listed, options)
        inputs = [path for path in (options.splits, options.boxes, options.landmarks) if path]
        writer.finish(
            records,
            build_manifest(_plain(options), inputs, datasets, hashes, records, problems),
        )
    splits = Counter(record.split for record in records)
    log.info(
        "wrote %s: %d pictures (%s), %d faces, %.0f s in all",
        options.out,
        len(records),
        ", ".join(f"{splits[split]} {split}" for split in Split),
        sum(len(record.faces) for record in records),
        time.monotonic() - began,
    )


def _read_all(options: Options) -> list[Dataset]:
    datasets: list[Dataset] = []
    roots: list[tuple[Path, Kind | None]] = [(root, None) for root in options.datasets]
    roots += [(root, Kind.NEGATIVES) for root in options.negatives]
    for root, kind in roots:
        dataset = read_dataset(root, kind)
        if any(other.name == dataset.name for other in datasets):
            raise UsageError(f"{root}: a second data set named {dataset.name!r}; rename its folder")
        log.info("%s: %s, %d pictures", dataset.name, dataset.kind, len(dataset.samples))
        datasets.append(dataset)
    return datasets


def _absent(names: Iterable[str], reason: str, datasets: Sequence[Dataset]) -> list[Problem]:
    """Names that belong to one of the data sets but to none of its files."""
    held = {sample.file for dataset in datasets for sample in dataset.samples}
    held |= {problem.file for dataset in datasets for problem in dataset.problems}
    given = {dataset.name for dataset in datasets}
    return [
        Problem(name, reason)
        for name in sorted(names)
        if name.split("/", 1)[0] in given and name not in held
    ]


def _divide(
    records: Sequence[Record],
    prints: Sequence[Fingerprint],
    listed: frozenset[str],
    options: Options,
) -> list[Record]:
    """The records with their groups and splits."""
    began = time.monotonic()
    files = [record.file for record in records]
    groups = group_pictures(files, prints)
    log.info(
        "near-duplicates: %d pictures in %d groups, %.1f s",
        len(files),
        len(set(groups)),
        time.monotonic() - began,
    )
    drawn = files if options.random_split else groups
    splits = assign_splits(files, drawn, listed, options.val_fraction, options.seed)
    if options.random_split:
        sides = Counter(group for group, _ in set(zip(groups, splits, strict=True)))
        straddling = sum(count > 1 for count in sides.values())
        log.warning("--random-split: %d groups of near-duplicates straddle splits", straddling)
    excluded = splits.count(Split.EXCLUDED)
    if excluded:
        log.info("%d pictures excluded: near-duplicates of listed test pictures", excluded)
    return [
        replace(record, group=group, split=split)
        for record, group, split in zip(records, groups, splits, strict=True)
    ]


def _tell(problems: Sequence[Problem]) -> int:
    """Log every error and some of the notes; returns the number of errors."""
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    notes = [problem for problem in problems if problem.severity is Severity.NOTE]
    for problem in errors:
        log.warning("problem: %s", problem)
    for problem in notes[:SHOWN_NOTES]:
        log.info("note: %s", problem)
    if len(notes) > SHOWN_NOTES:
        log.info("note: and %d more like these, all in manifest.json", len(notes) - SHOWN_NOTES)
    return len(errors)


def _plain(options: Options) -> Mapping[str, Any]:
    """The options as JSON values."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    return {key: plain(value) for key, value in asdict(options).items()}
