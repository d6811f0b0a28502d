"""Reports: one JSON for programs, the same figures as Markdown tables for people."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from edge_app.errors import OutputError
from edge_app.vision.interpreter import runtime_name
from training.metrics.classification import LABELS
from training.metrics.end_to_end import OUTCOMES

SHOWN_PROBLEMS = 20
"""Problems listed in the Markdown; the JSON has all of them."""


def environment() -> dict[str, str]:
    """Machine, system and versions that figures depend on."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} CPUs, {platform.machine()}",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "runtime": runtime_name(),
        "opencv": cv2.__version__,
        "numpy": importlib.metadata.version("numpy"),
    }


def write_report(folder: Path, name: str, report: Mapping[str, Any], markdown: str) -> list[Path]:
    """Write ``name.json`` and ``name.md``, each at once or not at all.

    Raises:
        OutputError: The folder or a file cannot be written.
    """
    files = {
        folder / f"{name}.json": json.dumps(report, indent=2) + "\n",
        folder / f"{name}.md": markdown,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            temporary = path.with_name(f".{path.name}.partial")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{folder}: cannot write the report: {error.strerror}") from None
    return list(files)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [" | ".join(head), " | ".join([":--"] + ["--:"] * (len(head) - 1))]
    lines += [" | ".join(str(cell) for cell in row) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def percent(value: float | None, interval: Mapping[str, float] | None = None) -> str:
    """``93.1 (91.0-94.8)``; a dash where the figure is not defined."""
    if value is None:
        return "-"
    if interval is None:
        return f"{100 * value:.1f}"
    return f"{100 * value:.1f} ({100 * interval['low']:.1f}-{100 * interval['high']:.1f})"


def classifier_tables(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Tables of :func:`training.evaluation.classify.figures`."""
    head = ["faces", "number", "balanced accuracy", "accuracy", "uncertain"]
    head += [f"recall {label}" for label in LABELS]
    parts = []
    for engine, pools in figures.items():
        parts.append(f"### {engine}\n\n" + table(head, [_row(n, p) for n, p in pools.items()]))
        for name, pool in pools.items():
            sizes = [_row(size, some) for size, some in pool["by_size"].items()]
            parts.append(f"{engine}, {name}, by short side:\n\n" + table(head, sizes))
            rows = [
                (
                    label,
                    c["support"],
                    *(
                        f"{100 * c[k]:.1f}" if c[k] is not None else "-"
                        for k in ("recall", "precision", "f1")
                    ),
                    *counts,
                )
                for (label, c), counts in zip(
                    pool["classes"].items(), pool["confusion"], strict=True
                )
            ]
            columns = ["truth", "number", "recall", "precision", "F1"]
            columns += [f"said {label}" for label in LABELS]
            parts.append(f"{engine}, {name}, by class:\n\n" + table(columns, rows))
    return "\n".join(parts)


def detector_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Table of :func:`training.evaluation.detect.detector_figures`."""
    head = ["detector, data set, short side from", "faces", "AP", "recall", "precision"]
    head += ["false alarms", "at score"]
    rows: list[Sequence[object]] = []
    for name, pools in figures.items():
        for pool, sizes in pools.items():
            for size, f in sizes.items():
                label = f"{name}, {pool}, {size}"
                if not f["faces"]:
                    rows.append((label, 0, "-", "-", "-", "-", "-"))
                    continue
                ap = percent(f["average_precision"], f["average_precision_interval"])
                recall = percent(f["recall"], f["recall_interval"])
                rows.append(
                    (label, f["faces"], ap, recall, percent(f["precision"]), f["false_alarms"],
                     f"{f['threshold']:g}")
                )  # fmt: skip
    return table(head, rows)


def negatives_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Table of :func:`training.evaluation.detect.negative_figures`."""
    head = ["detector, pictures without people", "pictures", "false alarms"]
    head += ["per 100 pictures", "% of pictures with one", "at score"]
    rows = [
        (
            f"{name}, {folder}", f["pictures"], f["alarms"], f"{f['per_hundred']:.2f}",
            percent(f["alarmed_pictures"] / f["pictures"], f["alarmed_interval"]),
            f"{f['threshold']:g}",
        )
        for name, folders in figures.items()
        for folder, f in folders.items()
    ]  # fmt: skip
    return table(head, rows)


def end_to_end_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Tables of :func:`training.evaluation.detect.end_to_end`."""
    head = ["data set", "faces", "found", "found and right", "balanced", "wrong", "uncertain"]
    head += ["false alarms", *(f"right {label}" for label in LABELS)]
    parts = []
    for name, pools in figures.items():
        rows = [
            (
                pool, f["faces"], percent(f["found"] / f["faces"]),
                percent(f["right"] / f["faces"]), percent(f["balanced_right_rate"]),
                f["wrong"], f["uncertain"], f["false_alarms"],
                *(percent(c["right_rate"], c["right_interval"]) for c in f["classes"].values()),
            )
            for pool, f in pools.items()
        ]  # fmt: skip
        parts.append(f"### {name}\n\n" + table(head, rows))
        for pool, f in pools.items():
            columns = ["truth", *(f"said {o}" if o in set(LABELS) else o for o in OUTCOMES)]
            outcomes = [(label, *row) for label, row in zip(LABELS, f["outcomes"], strict=True)]
            parts.append(
                f"{name}, {pool}, what became of each face:\n\n" + table(columns, outcomes)
            )
    return "\n".join(parts)


def problems_text(problems: Sequence[Mapping[str, str]]) -> str:
    """A list of what was wrong with the data."""
    if not problems:
        return "No problems with the data.\n"
    lines = [f"- {p['severity']}: {p['file']}: {p['reason']}" for p in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"- and {len(problems) - SHOWN_PROBLEMS} more, in the JSON report")
    return "\n".join(lines) + "\n"


def _row(name: str, f: Mapping[str, Any]) -> list[object]:
    recalls = [percent(c["recall"], c["recall_interval"]) for c in f["classes"].values()]
    return [
        name,
        f["samples"],
        percent(f["balanced_accuracy"], f["balanced_accuracy_interval"]),
        percent(f["accuracy"], f["accuracy_interval"]),
        f["uncertain"],
        *recalls,
    ]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux: the name that Python knows
    return platform.processor() or "unknown processor"
