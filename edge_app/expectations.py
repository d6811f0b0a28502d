"""Compares what the light showed with what it should have shown.

The format of ``expected.json`` is described in ``docs/replay.md``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge_app.domain import Signal
from edge_app.errors import ExpectationsError
from edge_app.timeline import Span, describe

Kind = Literal["throughout", "reached"]
KINDS: tuple[Kind, ...] = ("throughout", "reached")

NOTE = "what"
"""Top-level key that holds a remark for people and is ignored."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One wish: ``signal`` holds over all of ``start``..``end``, or is reached within it."""

    kind: Kind
    start: float
    end: float
    signal: Signal

    def __str__(self) -> str:
        return f"{self.start:.2f} - {self.end:.2f} s {self.kind} {self.signal}"


@dataclass(frozen=True, slots=True)
class Failure:
    """One wish that was not met: what was wanted, and what was shown instead."""

    wanted: str
    shown: tuple[Span, ...]
    remark: str = ""

    def lines(self) -> list[str]:
        """The failure as a diff: the wish after ``-``, what was shown after ``+``."""
        remark = f"  ({self.remark})" if self.remark else ""
        shown = [f"  + shown  {describe(span).strip()}" for span in self.shown]
        return [f"  - wanted {self.wanted}{remark}", *shown]


def load_expectations(path: Path) -> dict[str, tuple[Expectation, ...]]:
    """Read ``expected.json``: clip file name -> what its light must show.

    Raises:
        ExpectationsError: The file is missing, not JSON, or not in the documented format.
    """
    try:
        raw = json.loads(path.read_bytes(), object_pairs_hook=_no_doubles)
    except OSError as error:
        raise ExpectationsError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ExpectationsError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(raw, dict):
        raise ExpectationsError(f"{path}: must be an object: clip name -> list of expectations")
    return {clip: _clip(items, f"{path}: {clip}") for clip, items in raw.items() if clip != NOTE}


def check(wishes: Iterable[Expectation], spans: Sequence[Span]) -> list[Failure]:
    """Every wish that a clip's timeline does not meet, and every ``FAULT`` in it.

    A ``throughout`` that the clip is too short for has not been met.
    """
    failures = [
        Failure(f"no {Signal.FAULT} at any time", (span,))
        for span in spans
        if span.signal is Signal.FAULT
    ]
    end_of_clip = spans[-1].end if spans else 0.0
    for wish in wishes:
        within = tuple(span for span in spans if span.touches(wish.start, wish.end))
        right = [span for span in within if span.signal is wish.signal]
        if wish.kind == "reached":
            if not right:
                failures.append(Failure(str(wish), within, _too_short(wish, end_of_clip)))
            continue
        wrong = tuple(span for span in within if span.signal is not wish.signal)
        remark = _too_short(wish, end_of_clip)
        if wrong or remark or not within:
            failures.append(Failure(str(wish), wrong, remark))
    return failures


def _too_short(wish: Expectation, end_of_clip: float) -> str:
    return f"the clip ends at {end_of_clip:.2f} s" if end_of_clip < wish.end else ""


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key!r} stands there twice")
        found[key] = value
    return found


def _clip(items: Any, where: str) -> tuple[Expectation, ...]:
    if not isinstance(items, list):
        raise ExpectationsError(f"{where}: must be a list of expectations, not {items!r:.60}")
    return tuple(_item(item, f"{where}, item {at}") for at, item in enumerate(items, 1))


def _item(item: Any, where: str) -> Expectation:
    kinds = [kind for kind in KINDS if isinstance(item, Mapping) and kind in item]
    if len(kinds) != 1 or set(item) != {kinds[0], "signal"}:
        raise ExpectationsError(
            f'{where}: must hold "signal" and one of "throughout" or "reached", '
            f"and nothing else; found {item!r:.80}"
        )
    span, signal = item[kinds[0]], item["signal"]
    if not _is_span(span):
        raise ExpectationsError(
            f"{where}: {kinds[0]} = {span!r:.60} must be [start, end] in seconds, 0 <= start <= end"
        )
    wanted = [s for s in Signal if s.value == signal and s is not Signal.FAULT]
    if not wanted:
        allowed = ", ".join(s for s in Signal if s is not Signal.FAULT)
        raise ExpectationsError(f"{where}: signal = {signal!r:.60} must be one of: {allowed}")
    return Expectation(kinds[0], float(span[0]), float(span[1]), wanted[0])


def _is_span(span: Any) -> bool:
    return (
        isinstance(span, list)
        and len(span) == 2
        and all(type(v) in (int, float) for v in span)
        and 0 <= span[0] <= span[1] < math.inf
    )
