"""Labels that teachers have a say in, and teachers that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edge_app.domain import MaskState
from edge_app.errors import RecipeError
from training.fitting.distillation import TaughtBatches, load_teacher
from training.recipe import ModelSettings, Phase, Recipe, Sampling

RECIPE = Recipe(
    name="student",
    task="classify",
    seed=5,
    batch=2,
    steps_per_epoch=1,
    phases=(Phase(1, 0.01),),
    model=ModelSettings(4, 4),
    labels=(MaskState.WITH_MASK, MaskState.WITHOUT_MASK),
    distillation=0.5,
    sampling=Sampling(0.4, 16.0, 0.6, {"street": 1.0}),
    path=Path("student.toml"),
)


def teacher(*logits: float, side: int = 4) -> keras.Model:
    """A classifier that always says the same."""
    inputs = keras.Input((side, side, 3))
    said = keras.layers.Dense(len(logits), kernel_initializer="zeros")
    model = keras.Model(inputs, said(keras.layers.GlobalAveragePooling2D()(inputs)))
    said.bias.assign(logits)
    return model


class Batches:
    def batch(self, epoch: int, index: int) -> Any:
        pictures = np.full((2, 4, 4, 3), epoch + index, np.float32)
        return pictures, np.eye(2, dtype=np.float32)


def test_a_label_is_partly_the_mean_of_what_the_teachers_say() -> None:
    sure, unsure = teacher(0.0, np.log(3.0)), teacher(0.0, 0.0)
    pictures, labels = TaughtBatches(Batches(), [sure, unsure], 0.4).batch(2, 1)
    np.testing.assert_array_equal(pictures, np.full((2, 4, 4, 3), 3, np.float32))
    said = np.array([(0.25 + 0.5) / 2, (0.75 + 0.5) / 2])
    np.testing.assert_allclose(labels, 0.6 * np.eye(2) + 0.4 * said, atol=1e-6)
    assert labels.dtype == np.float32


def test_a_teacher_comes_back_from_its_file(tmp_path: Path) -> None:
    teacher(1.0, 2.0).save(tmp_path / "model.keras")
    loaded = load_teacher(tmp_path / "model.keras", RECIPE)
    np.testing.assert_allclose(loaded.predict_on_batch(np.zeros((1, 4, 4, 3))), [[1.0, 2.0]])


@pytest.mark.parametrize(("logits", "side"), [((1.0, 2.0, 3.0), 4), ((1.0, 2.0), 8)])
def test_a_teacher_of_another_shape_is_refused(
    logits: tuple[float, ...], side: int, tmp_path: Path
) -> None:
    teacher(*logits, side=side).save(tmp_path / "model.keras")
    with pytest.raises(RecipeError, match=r"model\.keras: makes \d labels of pictures .*student"):
        load_teacher(tmp_path / "model.keras", RECIPE)


def test_a_teacher_that_is_no_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"not a model")
    with pytest.raises(RecipeError, match=r"model\.keras: cannot be read") as raised:
        load_teacher(tmp_path / "model.keras", RECIPE)
    assert len(str(raised.value).splitlines()) == 1
