"""``models list``: what is shipped, installed, active, and whether it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from edge_app.errors import KioskError
from edge_app.store.going_back import damage
from edge_app.store.layout import SHORT, names, read_record
from edge_app.store.record import NAME, Record
from edge_app.vision import bundle
from edge_app.vision.bundle import read_card

HEAD = ("NAME", "VERSION", "STATE", "INSTALLED", "KEY", "CONFIRMED")


@dataclass(frozen=True, slots=True)
class Row:
    """One version of a model; ``trouble`` says why it cannot be used."""

    name: str
    version: str
    state: str
    installed: str = "-"
    key: str = "-"
    confirmed: str = "-"
    trouble: str | None = None


def rows(store: Path | None) -> Iterator[Row]:
    """Every version, by name, the active one first; the shipped one last."""
    shipped = {path.stem: path for path in bundle.MODELS_DIR.glob("*.tflite")}
    for name in sorted({*shipped, *(names(store) if store is not None else ())}):
        record, broken = Record(name), None
        if store is not None and NAME.fullmatch(name):
            try:
                record = read_record(store, name)
            except KioskError as error:
                broken = str(error)
        if broken is not None:
            yield Row(name, "?", "unknown", trouble=broken)
        for i, entry in enumerate(record.history):
            assert store is not None  # noqa: S101 - it has a history # nosec B101
            state = "active" if i == 0 else "previous" if i == 1 else "earlier"
            yield Row(
                name,
                entry.version,
                state,
                entry.installed,
                entry.key,
                "yes" if entry.confirmed else "no",
                damage(store, name, entry.version),
            )
        if name in shipped:
            counts = record.active is None and broken is None
            state = "shipped, active" if counts else "shipped"
            try:
                yield Row(name, read_card(shipped[name]).version, state)
            except KioskError as error:
                yield Row(name, "?", state, trouble=str(error))


def undone(store: Path | None) -> Iterator[str]:
    """A line for every model whose last update was rolled back by itself."""
    for name in names(store) if store is not None else ():
        assert store is not None  # noqa: S101 - the line above # nosec B101
        try:
            last = read_record(store, name).undone
        except KioskError:
            continue
        if last is not None:
            yield f"{name} {last.version[:SHORT]} was rolled back on {last.when}: {last.why}"


def show(store: Path | None, out: TextIO) -> int:
    """Print the table.

    Returns:
        0; 1 if a version is damaged.
    """
    found = list(rows(store))
    table = [HEAD, *((r.name, r.version[:SHORT], *_rest(r)) for r in found)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEAD))]
    for line in table:
        print("  ".join(f"{v:<{w}}" for v, w in zip(line, widths, strict=True)).rstrip(), file=out)
    for line_ in undone(store):
        print(line_, file=out)
    troubles = [row.trouble for row in found if row.trouble is not None]
    for trouble in troubles:
        print(trouble, file=out)
    return 1 if troubles else 0


def _rest(row: Row) -> tuple[str, str, str, str]:
    state = row.state if row.trouble is None else f"{row.state}, damaged"
    return state, row.installed, row.key, row.confirmed
