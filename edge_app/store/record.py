"""What is known of the installed versions of one model: ``active/NAME.json``.

Pure: what each event (installed, confirmed, started, rolled back) makes of the record. Times
come in from outside.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

SCHEMA = 1
"""Version of this file's layout."""

KEPT = 3
"""Versions that are remembered, and whose files are kept: the active one and two before; of these,
one with which the kiosk was seen to work, if there was any."""

MAX_STARTS = 3
"""Starts of the kiosk that an unconfirmed version gets to show that it works."""

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
"""What an installed model may be called: it becomes part of paths."""

VERSION = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One installed version.

    Attributes:
        version: SHA-256 of its card.
        installed: When, UTC, ``2026-11-28T22:00:00Z``.
        key: Id of the key that signed it.
        comment: The signature's trusted comment.
        confirmed: Whether the kiosk was seen to work with it.
        starts: Of the kiosk, since it was last switched to, while not confirmed.
    """

    version: str
    installed: str
    key: str
    comment: str = ""
    confirmed: bool = False
    starts: int = 0


@dataclass(frozen=True, slots=True)
class Undone:
    """A version that was rolled back by itself, and why."""

    version: str
    when: str
    why: str


@dataclass(frozen=True, slots=True)
class Record:
    """The installed versions of a model, the active one first; none: the shipped one counts."""

    name: str
    history: tuple[Entry, ...] = ()
    undone: Undone | None = None

    @property
    def active(self) -> Entry | None:
        """The version that counts; None: the one that ships with the application."""
        return self.history[0] if self.history else None

    def installed(self, entry: Entry) -> Record:
        """After a version was put first."""
        others = [e for e in self.history if e.version != entry.version]
        before, forgotten = others[: KEPT - 1], others[KEPT - 1 :]
        worked = next((e for e in forgotten if e.confirmed), None)
        if worked is not None and not any(e.confirmed for e in before):
            before[-1] = worked
        return Record(self.name, (entry, *before))

    def confirmed(self) -> Record:
        """After the kiosk was seen to work with the active version."""
        return self._with_active(confirmed=True, starts=0)

    def started(self) -> Record:
        """After one more start with the active version."""
        assert self.active is not None  # noqa: S101 - of no use without # nosec B101
        return self._with_active(starts=self.active.starts + 1)

    def excused(self) -> Record:
        """After the kiosk worked, but with other models: those starts do not count."""
        return self._with_active(starts=0)

    def rolled_back(self, undone: Undone | None = None) -> Record:
        """After the active version gave way to the one before; ``undone``: by itself, and why."""
        before = self.history[1:]
        if before:  # its starts under another version's name tell nothing
            before = (replace(before[0], starts=0), *before[1:])
        return Record(self.name, before, undone)

    def _with_active(self, **changes: Any) -> Record:
        return replace(self, history=(replace(self.history[0], **changes), *self.history[1:]))


def written(record: Record) -> bytes:
    """The file's content."""
    return (json.dumps({"schema": SCHEMA, **asdict(record)}, indent=2) + "\n").encode()


def parsed(content: bytes, name: str) -> Record:
    """Read the file's content.

    Raises:
        ValueError: It is damaged, of another model or of a later application.
    """
    try:
        raw = json.loads(content.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        raise ValueError(f"no record of schema {SCHEMA}")
    if raw.get("name") != name:
        raise ValueError(f"is the record of {str(raw.get('name'))[:100]!r}")
    entries, undone = raw.get("history"), raw.get("undone")
    if not isinstance(entries, list) or len(entries) > KEPT:
        raise ValueError("history is no list of versions")
    history = tuple(_made(Entry, entry) for entry in entries)
    return Record(name, history, None if undone is None else _made(Undone, undone))


Kind = TypeVar("Kind", Entry, Undone)


def _made(kind: type[Kind], raw: object) -> Kind:
    """A dataclass from JSON, every value of the type of its field."""
    if not isinstance(raw, dict) or set(raw) != set(kind.__dataclass_fields__):
        raise ValueError(f"{kind.__name__.lower()} has other keys")
    for key, value in raw.items():
        if type(value).__name__ != kind.__dataclass_fields__[key].type:
            raise ValueError(f"{key} = {str(value)[:100]!r} has the wrong type")
    if not VERSION.fullmatch(raw["version"]):
        raise ValueError(f"version = {raw['version'][:100]!r} is no SHA-256")
    return kind(**raw)
