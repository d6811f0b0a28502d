"""What ``check`` finds out about installed models, and the keys that may sign others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge_app.check_sinks import Status
from edge_app.errors import SignatureError
from edge_app.store.keys import trusted_keys
from edge_app.store.layout import SHORT
from edge_app.store.overview import rows, undone


def check_store(store: Path | None, keys: Path) -> Iterator[tuple[str, Status, str]]:
    """Name, status and details of both."""
    yield ("installed models", *_models(store))
    yield ("model keys", *_keys(keys))


def _models(store: Path | None) -> tuple[Status, str]:
    found = [row for row in rows(store) if not row.state.startswith("shipped")]
    if troubles := [row.trouble for row in found if row.trouble is not None]:
        return "FAIL", troubles[0]
    active = [
        f"{row.name} {row.version[:SHORT]} of {row.installed}"
        + ("" if row.confirmed == "yes" else " (not confirmed yet)")
        for row in found
        if row.state == "active"
    ]
    lines = [", ".join(active) or "none, the shipped ones count", *undone(store)]
    return "ok", "; ".join(lines)


def _keys(folder: Path) -> tuple[Status, str]:
    try:
        keys = sorted(trusted_keys(folder))
    except SignatureError as error:
        return "FAIL", str(error)
    if not keys:
        return "skipped", f"none in {folder}: new models are refused (docs/models.md)"
    return "ok", f"models signed by {', '.join(keys)} are let in"
