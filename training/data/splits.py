"""Who may see which picture: train, val, test, or nobody.

A picture's split depends only on its group's name, the seed and the list of test
pictures, so it stays the same when data sets are prepared in another order.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from edge_app.errors import DatasetError

TEST_FRACTION = 0.2
"""Share of the groups that become test where no list fixes the test pictures."""


class Split(enum.StrEnum):
    """``EXCLUDED``: a near-duplicate of a listed test picture; used for nothing."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"
    EXCLUDED = "excluded"


def read_splits(path: Path) -> frozenset[str]:
    """The test pictures listed in a ``splits.json``, as ``dataset/path/inside.jpg``.

    Raises:
        DatasetError: The file is missing, not JSON, or has no list of names in ``test``.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DatasetError(f"{path}: not valid JSON: {error}") from None
    test = content.get("test") if isinstance(content, dict) else None
    if not isinstance(test, list) or not all(isinstance(name, str) for name in test):
        raise DatasetError(f"{path}: key 'test' must be a list of picture names")
    return frozenset(test)


def assign_splits(
    files: Sequence[str],
    groups: Sequence[str],
    listed: frozenset[str],
    val_fraction: float,
    seed: int,
) -> list[Split]:
    """Divide pictures so that no group straddles two splits.

    Args:
        files: Picture names, ``dataset/...``.
        groups: Each picture's group; its own name, for a split that ignores near-duplicates.
        listed: Fixed test pictures. A data set that has any gets no further ones; of one
            that has none, :data:`TEST_FRACTION` of the groups become test.
        val_fraction: Share of the remaining groups that validate, 0..1.
        seed: Another seed gives another division (of what is not listed).

    Returns:
        Each picture's split.
    """
    fixed_datasets = {name.split("/", 1)[0] for name in listed}
    test_groups = {group for file, group in zip(files, groups, strict=True) if file in listed}
    fixed_groups = {
        group
        for file, group in zip(files, groups, strict=True)
        if file.split("/", 1)[0] in fixed_datasets
    }

    def split(file: str, group: str) -> Split:
        if file in listed:
            return Split.TEST
        if group in test_groups:
            return Split.EXCLUDED
        place = _place(group, seed)
        if group not in fixed_groups:
            if place < TEST_FRACTION:
                return Split.TEST
            place = (place - TEST_FRACTION) / (1 - TEST_FRACTION)
        return Split.VAL if place < val_fraction else Split.TRAIN

    return [split(file, group) for file, group in zip(files, groups, strict=True)]


def _place(group: str, seed: int) -> float:
    """A fixed pseudo-random number in 0..1 for a group."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
