"""The table of ``compare``: Markdown, CSV, JSON, and accuracy against cost as a picture."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_app.errors import KioskError
from edge_app.recording import write_atomically
from training.evaluation.report import environment, percent, table
from training.experiments.scoring import SCORED_MIN_FACE

Row = dict[str, Any]


def write(
    out: Path,
    rows: Sequence[Row],
    times: Mapping[str, Mapping[str, float]],
    failed: Mapping[str, KioskError],
    split: str,
) -> tuple[str, list[Path]]:
    """Write all four files; returns the Markdown and the files.

    Args:
        out: Folder.
        rows: From :func:`training.compare.make_row`.
        times: Milliseconds by row, ``float_ms`` and ``int8_ms``.
        failed: Error by recipe name.
        split: What INT8 was judged on.

    Raises:
        OutputError: A file cannot be written.
    """
    rows = [{**row, **times[row["name"]]} for row in rows]
    report = {
        "environment": {**environment(), "threads": "1"},
        "split": split,
        "rows": rows,
        "failed": {name: str(error) for name, error in failed.items()},
    }
    text = markdown(rows, failed, split)
    contents = {
        out / "compare.md": text.encode(),
        out / "compare.csv": flat_csv(rows, failed).encode(),
        out / "compare.json": (json.dumps(report, indent=1) + "\n").encode(),
    }
    if rows:
        contents[out / "compare.png"] = picture(rows, split)
    for path, content in contents.items():
        write_atomically(path, content)
    return text, list(contents)


def markdown(rows: Sequence[Row], failed: Mapping[str, KioskError], split: str) -> str:
    """The tables for people; failed recipes have a line at the end."""
    about = environment()
    costs = [
        (
            row["name"], row["input"], row["start_weights"], f"{row['parameters'] / 1e6:.2f}",
            f"{row['multiply_adds'] / 1e6:.1f}", f"{row['train_seconds']:.0f}",
            f"{row['float_bytes'] / 1e6:.2f}", f"{row['int8_bytes'] / 1e6:.2f}",
            f"{row['float_ms']:.2f}", f"{row['int8_ms']:.2f}",
        )
        for row in rows
    ]  # fmt: skip
    accuracies = [
        (
            row["name"],
            *(_pair(row["float"][name]) for name in ("train", "val", "test")),
            percent(row["float"]["test"]["macro_f1"]),
            percent(row["int8"]["accuracy"]),
            percent(row["int8"]["balanced_accuracy"], row["int8"]["balanced_accuracy_interval"]),
            percent(row["int8"]["macro_f1"]),
            f"{100 * row['int8_drop']:.1f}",
            row["int8"]["faces"],
            sum(row["left_out"].values()),
        )
        for row in rows
    ]
    datasets = sorted({name for row in rows for name in row["int8_by_dataset"]})
    apart = [
        (
            row["name"],
            *(
                percent(row["int8_by_dataset"].get(name, {}).get("balanced_accuracy"))
                for name in datasets
            ),
        )
        for row in rows
    ]
    parts = [
        "# Recipes compared\n",
        f"{about['machine']}; {about['system']}; Python {about['python']}, {about['runtime']}; "
        "1 thread, all files in turn. Millions of parameters and multiply-adds, seconds of "
        "training, MB, median milliseconds per inference:\n",
        table(
            ["model", "input", "start weights", "parameters", "multiply-adds", "training",
             "float MB", "INT8 MB", "float ms", "INT8 ms"],
            costs,
        ),
        "Accuracy / balanced accuracy in percent. Float in Keras; INT8 in the device's "
        f"interpreter, on the {split} faces, with the 95 % interval; drop = float - INT8, "
        f"balanced. Faces of at least {SCORED_MIN_FACE:g} px, those with a label that the model "
        "does not know left out:\n",
        table(
            ["model", "train", "validation", "test", "test macro F1", "INT8 accuracy",
             "INT8 balanced", "INT8 macro F1", "drop", "faces", "left out"],
            accuracies,
        ),
        f"Balanced accuracy of the INT8 file on the {split} faces of each data set:\n",
        table(["model", *datasets], apart),
    ]  # fmt: skip
    if failed:
        parts.append("Not compared:\n")
        parts.append("".join(f"- {name}: {error}\n" for name, error in failed.items()))
    return "\n".join(parts)


def flat_csv(rows: Sequence[Row], failed: Mapping[str, KioskError]) -> str:
    """One line per recipe, every figure in a column of its own; ``error`` says what failed."""
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row)) or ["name"]
    text = io.StringIO()
    lines = csv.DictWriter(text, [*columns, "error"], lineterminator="\n")
    lines.writeheader()
    lines.writerows(flat)
    lines.writerows({"name": name, "error": str(error)} for name, error in failed.items())
    return text.getvalue()


def picture(rows: Sequence[Row], split: str) -> bytes:
    """Balanced accuracy of INT8 against multiply-adds, with its interval, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.add_subplot()
    for row in rows:
        cost, figures = row["multiply_adds"] / 1e6, row["int8"]
        value, interval = figures["balanced_accuracy"], figures["balanced_accuracy_interval"]
        # The bootstrap's ends need not enclose the figure itself.
        reach = [[max(0.0, value - interval["low"])], [max(0.0, interval["high"] - value)]]
        axis.errorbar(cost, value, yerr=reach, fmt="o", capsize=3)
        axis.annotate(row["name"], (cost, value), xytext=(6, 4), textcoords="offset points")
    axis.set_xscale("log")
    axis.set_xlabel("million multiply-adds per face")
    axis.set_ylabel(f"balanced accuracy, INT8, {split} faces")
    axis.grid(alpha=0.3, which="both")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    return content.getvalue()


def _pair(figures: Mapping[str, float]) -> str:
    return f"{percent(figures['accuracy'])} / {percent(figures['balanced_accuracy'])}"


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested figures as columns, ``float_test_accuracy`` for instance."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name == "inputs":
            continue
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}_")
        else:
            flat[prefix + name] = " ".join(value) if isinstance(value, list) else value
    return flat
