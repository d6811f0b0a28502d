"""Reports: one JSON for programs, the same figures as Markdown tables for people.

:mod:`training.evaluation.page` makes the page with pictures.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from edge_app.recording import write_atomically
from edge_app.vision.interpreter import runtime_name
from training.metrics.classification import LABELS
from training.metrics.end_to_end import OUTCOMES

SHOWN_PROBLEMS = 20
"""Problems listed in the Markdown; the JSON has all of them."""

CLASSIFIER_HEAD = ["faces", "number", "balanced accuracy", "accuracy", "uncertain"]
CLASSIFIER_HEAD += [f"recall {label}" for label in LABELS]

Table = tuple[Sequence[str], Sequence[Sequence[object]]]
"""Head and rows."""


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


def write_report(
    folder: Path, name: str, report: Mapping[str, Any], markdown: str, page: str | None = None
) -> list[Path]:
    """Write ``name.json``, ``name.md`` and, where there is one, the page ``name.html``.

    Each is written at once or not at all.

    Raises:
        OutputError: The folder or a file cannot be written.
    """
    files = {
        folder / f"{name}.json": json.dumps(report, indent=2) + "\n",
        folder / f"{name}.md": markdown,
    }
    if page is not None:
        files[folder / f"{name}.html"] = page
    for path, text in files.items():
        write_atomically(path, text.encode())
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
    head = CLASSIFIER_HEAD
    parts = []
    for engine, pools in figures.items():
        rows = [[*classifier_row(n, p), error_percent(p)] for n, p in pools.items()]
        parts.append(f"### {engine}\n\n" + table([*head, "calibration error"], rows))
        for name, pool in pools.items():
            sizes = [classifier_row(size, some) for size, some in pool["by_size"].items()]
            parts.append(f"{engine}, {name}, by short side:\n\n" + table(head, sizes))
            by_class = table(*by_class_table(pool))
            parts.append(f"{engine}, {name}, by class:\n\n" + by_class)
    return "\n".join(parts)


def by_class_table(pool: Mapping[str, Any]) -> Table:
    """Figures of each class of one set of faces, and what its faces were taken for."""
    head = ["truth", "number", "recall", "precision", "F1", "ROC AUC", "average precision"]
    head += [f"said {label}" for label in LABELS]
    rows: list[Sequence[object]] = []
    for (label, c), counts in zip(pool["classes"].items(), pool["confusion"], strict=True):
        curves = pool["one_vs_rest"].get(str(label), {})
        figures = [c["recall"], c["precision"], c["f1"]]
        figures += [curves.get("roc_auc"), curves.get("average_precision")]
        rows.append((label, c["support"], *(percent(value) for value in figures), *counts))
    return head, rows


def detector_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Table of :func:`training.evaluation.detect.detector_figures`."""
    return table(*detector_rows(figures))


def detector_rows(figures: Mapping[str, Mapping[str, Any]]) -> Table:
    """The same as head and rows."""
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
    return head, rows


def negatives_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Table of :func:`training.evaluation.detect.negative_figures`."""
    return table(*negatives_rows(figures))


def negatives_rows(figures: Mapping[str, Mapping[str, Any]]) -> Table:
    """The same as head and rows."""
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
    return head, rows


def end_to_end_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Tables of :func:`training.evaluation.detect.end_to_end`."""
    parts = []
    for name, pools in figures.items():
        parts.append(f"### {name}\n\n" + table(*end_to_end_rows(pools)))
        for pool, f in pools.items():
            parts.append(f"{name}, {pool}, what became of each face:\n\n" + table(*outcome_rows(f)))
    return "\n".join(parts)


def end_to_end_rows(pools: Mapping[str, Any]) -> Table:
    """One row for each set of pictures that a detector and a classifier judged together."""
    head = ["data set", "faces", "found", "found and right", "balanced", "wrong", "uncertain"]
    head += ["false alarms", *(f"right {label}" for label in LABELS)]
    rows = [
        (
            pool, f["faces"], percent(f["found"] / f["faces"]),
            percent(f["right"] / f["faces"]), percent(f["balanced_right_rate"]),
            f["wrong"], f["uncertain"], f["false_alarms"],
            *(percent(c["right_rate"], c["right_interval"]) for c in f["classes"].values()),
        )
        for pool, f in pools.items()
    ]  # fmt: skip
    return head, rows


def outcome_rows(f: Mapping[str, Any]) -> Table:
    """What became of the faces of each class."""
    head = ["truth", *(f"said {o}" if o in set(LABELS) else o for o in OUTCOMES)]
    return head, [(label, *row) for label, row in zip(LABELS, f["outcomes"], strict=True)]


def time_text(milliseconds: Mapping[str, Mapping[str, float]]) -> str:
    """How long a face takes, by engine; one line."""
    parts = [
        f"{engine} {t['median_ms']:.2f} ms (95th percentile {t['p95_ms']:.2f})"
        for engine, t in milliseconds.items()
    ]
    return f"Time from crop to verdict, median: {', '.join(parts)}.\n"


def problems_text(problems: Sequence[Mapping[str, str]]) -> str:
    """A list of what was wrong with the data."""
    if not problems:
        return "No problems with the data.\n"
    lines = [f"- {p['severity']}: {p['file']}: {p['reason']}" for p in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"- and {len(problems) - SHOWN_PROBLEMS} more, in the JSON report")
    return "\n".join(lines) + "\n"


def classifier_row(name: str, f: Mapping[str, Any]) -> list[object]:
    """A row of headline figures under :data:`CLASSIFIER_HEAD`."""
    recalls = [percent(c["recall"], c["recall_interval"]) for c in f["classes"].values()]
    return [
        name,
        f["samples"],
        percent(f["balanced_accuracy"], f["balanced_accuracy_interval"]),
        percent(f["accuracy"], f["accuracy_interval"]),
        f["uncertain"],
        *recalls,
    ]


def error_percent(pool: Mapping[str, Any]) -> str:
    """The expected calibration error of a set of faces, in percent."""
    return percent(pool["calibration"]["expected_error"])


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux: the name that Python knows
    return platform.processor() or "unknown processor"
