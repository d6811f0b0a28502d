"""Puts the figures of an evaluation into the bundle's card, where they travel with the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_app.recording import write_atomically
from edge_app.vision.bundle import card_path


def record_metrics(model: Path, report: Mapping[str, Any], engine: str) -> Path:
    """Replace the ``metrics`` of a card by the INT8 figures of a report.

    Args:
        model: The ``.tflite`` file that was evaluated.
        report: The content of the evaluation's JSON.
        engine: Which engine's figures are the model's own.

    Returns:
        The card.

    Raises:
        OutputError: The card cannot be written.
    """
    path = card_path(model)
    card = json.loads(path.read_text(encoding="utf-8"))
    card["metrics"] = {"split": report["split"], **_compact(report, engine)}
    write_atomically(path, (json.dumps(card, indent=2) + "\n").encode())
    return path


def _compact(report: Mapping[str, Any], engine: str) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for name, pool in report.get("classification", {}).get(engine, {}).items():
        metrics.setdefault("classification", {})[name] = {
            "samples": pool["samples"],
            "accuracy": _rounded(pool["accuracy"]),
            "balanced_accuracy": _rounded(pool["balanced_accuracy"]),
            "balanced_accuracy_interval": _rounded(pool["balanced_accuracy_interval"]),
            "recall": {label: _rounded(c["recall"]) for label, c in pool["classes"].items()},
        }
    for name, sizes in report.get("detection", {}).get(engine, {}).items():
        metrics.setdefault("detection", {})[name] = {
            size: {
                "faces": f["faces"],
                "average_precision": _rounded(f["average_precision"]),
                "average_precision_interval": _rounded(f["average_precision_interval"]),
                "recall": _rounded(f["recall"]),
            }
            for size, f in sizes.items()
            if f["faces"]
        }
    for name, alarms in report.get("false_alarms", {}).get(engine, {}).items():
        metrics.setdefault("false_alarms", {})[name] = {
            "pictures": alarms["pictures"],
            "per_hundred": _rounded(alarms["per_hundred"]),
        }
    return metrics


def _rounded(value: Any) -> Any:
    """Four digits are more than any of these data sets can tell."""
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value
