"""Scores a trained classifier on the faces of a prepared store, float or INT8."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_app.domain import MaskState
from edge_app.errors import DatasetError
from edge_app.vision.interpreter import load_interpreter
from training.data.faces import Sample, labelled_faces, plain_crop
from training.data.store import Store
from training.metrics import classifier_figures

SCORED_MIN_FACE = 24.0
"""Faces with a shorter side (pixels of the stored picture) are not scored, as in evaluation."""

BATCH = 32
"""Crops that go through a Keras model at once."""

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Crops uint8 (N, size, size, 3) -> logits float32 (N, labels)."""


def scored_faces(
    store: Store,
    split: str,
    datasets: Sequence[str],
    labels: Sequence[MaskState],
    most: int | None = None,
    limits: Mapping[str, int] | None = None,
) -> tuple[list[Sample], dict[str, int]]:
    """The faces of a split to score on.

    Args:
        store: The prepared data.
        split: ``train``, ``val`` or ``test``.
        datasets: Which data sets.
        labels: What the model knows.
        most: At most so many faces, drawn at random, the same in every call; None for all.
        limits: See :attr:`training.recipe.Sampling.limits`.

    Returns:
        The faces, and how many were left out by label, because the model does not know it.

    Raises:
        DatasetError: There is none.
    """
    found = labelled_faces(store, split, datasets, tuple(MaskState), SCORED_MIN_FACE, limits)
    left_out = Counter(str(s.label) for s in found if s.label not in labels)
    kept = [s for s in found if s.label in labels]
    if not kept:
        raise DatasetError(
            f"{store.path}: no face of the {split} split is labelled {', '.join(labels)}"
        )
    if most is not None and len(kept) > most:
        picks = np.random.default_rng(0).choice(len(kept), most, replace=False)
        kept = [kept[i] for i in sorted(picks)]
    return kept, dict(sorted(left_out.items()))


def logits_of(
    predict: Predict, store: Store, faces: Sequence[Sample], margin: float, size: int
) -> NDArray[np.float32]:
    """What a model says of every face, (faces, labels); crops are made as the device does."""
    said = []
    for start in range(0, len(faces), BATCH):
        some = faces[start : start + BATCH]
        said.append(predict(np.stack([plain_crop(store, s, margin, size) for s in some])))
    return np.concatenate(said)


def keras_predict(model: Any) -> Predict:
    """A float Keras model with input in -1..1."""

    def predict(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(model.predict_on_batch(crops.astype(np.float32) / 127.5 - 1))

    return predict


def tflite_predict(content: bytes) -> Predict:
    """An INT8 ``.tflite`` with uint8 input, in the interpreter that the device uses."""
    interpreter = load_interpreter(content)

    def predict(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate([interpreter.run_real(crop[None])[0] for crop in crops])

    return predict


def verdicts(logits: NDArray[np.float32], labels: Sequence[MaskState]) -> list[MaskState]:
    """The most probable label of every face."""
    return [labels[i] for i in np.argmax(logits, axis=1)]


def figures(
    faces: Sequence[Sample], logits: NDArray[np.float32], labels: Sequence[MaskState]
) -> dict[str, Any]:
    """Accuracy, balanced accuracy, macro F1 and the recall of each class, ready for JSON.

    Intervals are those of :func:`training.metrics.classifier_figures`, resampled by group
    of near-duplicates. Macro F1 is the mean over the classes that occur.
    """
    truths = [s.label for s in faces]
    found = classifier_figures(truths, verdicts(logits, labels), [s.record.group for s in faces])
    occurring = {label: c for label, c in found.classes.items() if c.support}
    interval = found.balanced_accuracy_interval
    return {
        "faces": found.samples,
        "accuracy": found.accuracy,
        "balanced_accuracy": found.balanced_accuracy,
        "balanced_accuracy_interval": {"low": interval.low, "high": interval.high},
        "macro_f1": float(np.mean([c.f1 for c in occurring.values() if c.f1 is not None])),
        **{f"recall_{label}": c.recall for label, c in occurring.items()},
    }
