"""What a run starts from and learns from: backbone weights, or models of earlier runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_app.errors import RecipeError

FLOAT_MODEL, SUMMARY = "model.keras", "fit.json"
"""What a finished run leaves in its folder for ``export``."""

MODEL_SUFFIX = ".keras"
"""Start weights with this suffix are the model of an earlier run: training goes on from it."""

ORIGIN_KEYS = (
    "command", "recipe_sha256", "seed", "start_weights", "data", "store_sha256", "epochs",
)  # fmt: skip
"""What a summary repeats of the run that it went on from: a card names every set ever seen."""

OPTIONAL_ORIGIN_KEYS = ("labels", "teachers")
"""The same of what not every summary has."""


@dataclass(frozen=True, slots=True)
class StartWeights:
    """What ``--weights`` names.

    Attributes:
        name: File name, ``imagenet`` or ``none``; goes into the card.
        keras: What Keras is given: a path, ``imagenet`` or None.
        sha256: Hash of the file, None where there is no file.
        made_by: How a whole model was made, see :data:`ORIGIN_KEYS`; else None.
        teachers: What ``--teachers`` names, as start weights are named.
    """

    name: str
    keras: str | None
    sha256: str | None = None
    made_by: dict[str, Any] | None = None
    teachers: tuple[StartWeights, ...] = ()

    @property
    def is_model(self) -> bool:
        """Whether it is a whole trained model rather than a backbone's weights."""
        return self.made_by is not None

    def plain(self) -> dict[str, Any]:
        """As JSON values, for the summary and the card."""
        origin = {} if self.made_by is None else {"made_by": self.made_by}
        return {"name": self.name, "sha256": self.sha256, **origin}


def start_weights(weights: str, teachers: Sequence[str] = ()) -> StartWeights:
    """What ``--weights`` and ``--teachers`` say, hashed.

    Args:
        weights: ``imagenet``, ``none``, a no-top weights file, or an earlier run's model.
        teachers: Earlier runs' models.

    Raises:
        RecipeError: There is no such file, or a model without the summary of its run.
    """
    if teachers:
        taught_by = tuple(_from_file(teacher, "--teachers") for teacher in teachers)
        if strange := [t.keras for t in taught_by if not t.is_model]:
            raise RecipeError(f"--teachers {strange[0]}: give the model.keras of an earlier run")
        return replace(start_weights(weights), teachers=taught_by)
    if weights == "none":
        return StartWeights("none", None)
    if weights == "imagenet":
        return StartWeights("imagenet", "imagenet")
    return _from_file(weights, "--weights")


def _from_file(name: str, option: str) -> StartWeights:
    path = Path(name)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        others = "; or give 'imagenet' or 'none'" if option == "--weights" else ""
        raise RecipeError(f"{option} {name}: no such file{others}") from None
    except OSError as error:
        raise RecipeError(f"{option} {name}: cannot be read: {error.strerror}") from None
    if path.suffix == MODEL_SUFFIX:
        origin = _origin(path, option)
        return StartWeights(f"{path.parent.name}/{path.name}", str(path), digest, origin)
    return StartWeights(path.name, str(path), digest)


def _origin(model: Path, option: str) -> dict[str, Any]:
    """How the model that a run goes on from was made, from the summary beside it."""
    summary = model.with_name(SUMMARY)
    try:
        made = json.loads(summary.read_text(encoding="utf-8"))
        return {key: made[key] for key in ORIGIN_KEYS} | {
            key: made[key] for key in OPTIONAL_ORIGIN_KEYS if key in made
        }
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecipeError(
            f"{option} {model}: {summary} does not tell how it was made ({error!r}), so the card "
            "could not: give the model.keras in its run folder"
        ) from None
