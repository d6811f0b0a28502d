"""Divides what is not test into folds, for cross-validation.

Scikit-learn's StratifiedGroupKFold: every fold holds about the same share of each label, and
near-duplicates lie in one fold (https://scikit-learn.org/stable/modules/cross_validation.html).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from typing import Any

import numpy as np

from edge_app.errors import DatasetError, UsageError
from training.data.faces import usable_faces
from training.data.splits import Split
from training.data.store import Record, Store
from training.recipe import Recipe

LEAST_FOLDS = 3
"""One is held out, one chooses the best epoch, one at least is learnt from."""

_DIVIDED = (Split.TRAIN, Split.VAL)


class FoldStore(Store):
    """A store's pictures with the splits of one fold.

    Its hash is another one for each fold, so that a run folder belongs to one fold.
    """

    def __init__(self, base: Store, records: list[Record], fold: str) -> None:
        super().__init__(base.path, records, _recounted(base, records, fold))
        self._fold, self._base_sha256 = fold, base.sha256

    @property
    def sha256(self) -> str:
        return hashlib.sha256(f"{self._base_sha256} {self._fold}".encode()).hexdigest()


def assign_folds(store: Store, recipe: Recipe, folds: int) -> dict[str, int]:
    """The fold of every picture that a classifier recipe may learn from or validate on.

    Test pictures get none, nor do other data sets and pictures without a usable face.

    Args:
        store: Its ``train`` and ``val`` pictures are divided.
        recipe: A classifier's; says which data sets and labels, and the seed of the division.
        folds: Number of folds, at least :data:`LEAST_FOLDS`.

    Returns:
        Record file -> fold from 0.

    Raises:
        UsageError: Too few folds.
        DatasetError: A label has fewer groups than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if folds < LEAST_FOLDS:
        raise UsageError(f"--folds {folds}: at least {LEAST_FOLDS} are needed")
    assert recipe.sampling is not None
    sampling = recipe.sampling
    usable = usable_faces(store, recipe.datasets, recipe.labels, sampling.min_face, sampling.limits)
    faces = [(s.record, str(s.label)) for s in usable if s.record.split in _DIVIDED]
    groups: dict[str, set[str]] = {str(label): set() for label in recipe.labels}
    for record, label in faces:
        groups[label].add(record.group)
    if few := [f"{label} ({len(found)})" for label, found in groups.items() if len(found) < folds]:
        raise DatasetError(
            f"{store.path}: fewer independent pictures than folds ({folds}) of: "
            f"{', '.join(few)}; prepare more, or give a smaller --folds"
        )
    divider = StratifiedGroupKFold(folds, shuffle=True, random_state=recipe.seed)
    parts = divider.split(
        np.zeros(len(faces)), [label for _, label in faces], [record.group for record, _ in faces]
    )
    return {faces[i][0].file: fold for fold, (_, held_out) in enumerate(parts) for i in held_out}


def fold_store(store: Store, assigned: dict[str, int], folds: int, fold: int) -> FoldStore:
    """The view of a store in which one fold is held out.

    The fold's pictures become ``test``; those of the next fold ``val``, which chooses the best
    epoch, so that the held-out ones had no say in anything; the others ``train``. Every
    other picture, the store's own test pictures above all, becomes ``excluded``, but for
    pictures without faces, which stay what they are.

    Args:
        store: The prepared data.
        assigned: From :func:`assign_folds`.
        folds: Number of folds.
        fold: Which one to hold out, from 0.
    """
    places = {fold: Split.TEST, (fold + 1) % folds: Split.VAL}

    def placed(record: Record) -> Record:
        if record.file in assigned:
            split = places.get(assigned[record.file], Split.TRAIN)
        else:
            split = Split.EXCLUDED if record.faces else record.split
        return dataclasses.replace(record, split=split)

    digest = hashlib.sha256(repr(sorted(assigned.items())).encode()).hexdigest()
    return FoldStore(store, [placed(r) for r in store.records], f"fold {fold} of {folds}: {digest}")


def _recounted(base: Store, records: list[Record], fold: str) -> dict[str, Any]:
    """The manifest with the counts of the fold's splits."""
    datasets = {name: dict(about) for name, about in base.manifest["datasets"].items()}
    for name, about in datasets.items():
        mine = [record for record in records if record.dataset == name]
        about["stored"] = {str(s): sum(record.split is s for record in mine) for s in Split}
        about["faces"] = {
            str(split): dict(
                Counter(
                    str(face.label or "unlabelled")
                    for record in mine
                    if record.split is split
                    for face in record.faces
                    if not face.difficult
                )
            )
            for split in Split
        }
    return {**base.manifest, "datasets": datasets, "fold": fold}
