"""Checkpoints give back every variable, and are refused when damaged or of another network."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from edge_app.errors import RecipeError
from training.fitting.checkpoint import load_checkpoint, save_checkpoint


def network(units: int = 3) -> keras.Model:
    inputs = keras.Input((4,))
    hidden = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(inputs))
    return keras.Model(inputs, keras.layers.Dense(units)(hidden))


def trained(units: int = 3) -> keras.Model:
    model = network(units)
    model.compile(keras.optimizers.AdamW(0.1), "mse", run_eagerly=True)
    rng = np.random.default_rng(units)
    model.fit(rng.normal(size=(8, 4)), rng.normal(size=(8, units)), verbose=0)
    return model


def values(model: keras.Model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(v) for v in model.variables + model.optimizer.variables]


def test_weights_statistics_random_state_and_optimizer_come_back(tmp_path: Path) -> None:
    before = trained()
    save_checkpoint(tmp_path / "a.npz", before)
    after = network()
    after.compile(keras.optimizers.AdamW(0.1), "mse", run_eagerly=True)
    after.optimizer.build(after.trainable_variables)
    load_checkpoint(tmp_path / "a.npz", after)
    assert len(values(after)) == len(values(before)) > len(before.weights)
    for mine, theirs in zip(values(after), values(before), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_model_without_optimizer_is_saved_alone(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.npz", network())
    with np.load(tmp_path / "a.npz") as saved:
        assert len(saved.files) == len(network().variables)


@pytest.mark.parametrize("content", [b"", b"half a file", None])
def test_a_damaged_or_missing_file_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "a.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RecipeError, match=r"a\.npz: cannot be read as weights: "):
        load_checkpoint(file, network())


def test_a_cut_file_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    save_checkpoint(file, network())
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(RecipeError, match=r"a\.npz: cannot be read as weights: "):
        load_checkpoint(file, network())


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.npz", network(units=2))
    model = network(units=3)
    before = [v.numpy() for v in model.variables]
    with pytest.raises(RecipeError, match="holds the weights of another network"):
        load_checkpoint(tmp_path / "a.npz", model)
    for mine, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(mine, variable.numpy())
