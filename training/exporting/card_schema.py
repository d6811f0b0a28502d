"""What a card must hold: ``card_schema.json`` documents every key, and is checked here.

The device keeps its own, smaller checks (:func:`edge_app.vision.bundle.read_card`); this is
what the workstation asks of a card before it hands it out.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_app.errors import MissingPackageError

SCHEMA = Path(__file__).with_name("card_schema.json")
"""JSON Schema, draft 2020-12."""


def violations(card: Mapping[str, Any]) -> list[str]:
    """What a card has wrong, one line each, e.g. ``input.width: 8 is less than the minimum``.

    Raises:
        MissingPackageError: The package that reads schemas is not installed.
    """
    errors = sorted(_validator().iter_errors(card), key=lambda error: list(map(str, error.path)))
    return [
        f"{'.'.join(map(str, error.path)) or 'card'}: {_short(error.message)}" for error in errors
    ]


def _short(message: str) -> str:
    """The package quotes the whole value first; its end says what is wrong with it."""
    line = " ".join(message.split())
    return (
        line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
    )


_LONGEST = 160


@functools.cache
def _validator() -> Any:
    try:
        import jsonschema
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"a card's check needs the package {error.name}: pip install jsonschema"
        ) from None
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)
