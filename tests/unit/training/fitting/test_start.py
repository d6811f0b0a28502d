"""What a run starts from; and of ``fit`` what needs no training: schedule, batches, data sets."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from edge_app.domain import MaskState
from edge_app.errors import DatasetError, RecipeError
from training.data.store import StoreWriter, open_store
from training.fit import _continue_from, _require_datasets, _require_models
from training.fitting.phases import optimizer, stream
from training.fitting.start import FLOAT_MODEL, ORIGIN_KEYS, SUMMARY, start_weights
from training.recipe import ModelSettings, Phase, Recipe, Sampling
from training.recipe_file import RECIPES, as_argument

RECIPE = Recipe(
    name="tiny",
    task="classify",
    seed=5,
    batch=4,
    steps_per_epoch=10,
    phases=(Phase(2, 0.01),),
    model=ModelSettings(32, 32),
    labels=tuple(MaskState),
    sampling=Sampling(0.4, 16.0, 0.6, {"street": 1.0, "yard": 1.0}),
    path=Path("somewhere/tiny.toml"),
)


def small_model(width: int) -> keras.Model:
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(width)])


def finished_run(folder: Path, summary: Any) -> Path:
    """A run folder with a model and a summary, as ``fit`` leaves it; returns the model."""
    folder.mkdir()
    small_model(2).save(folder / FLOAT_MODEL)
    (folder / SUMMARY).write_text(json.dumps(summary))
    return folder / FLOAT_MODEL


SUMMARY_OF_A_RUN = {key: f"its {key}" for key in (*ORIGIN_KEYS, "history")}


def test_words_and_files_are_told_apart(tmp_path: Path) -> None:
    assert start_weights("none").keras is None
    assert start_weights("imagenet").keras == "imagenet"
    file = tmp_path / "base.weights.h5"
    file.write_bytes(b"abc")
    start = start_weights(str(file))
    assert (start.name, start.keras) == ("base.weights.h5", str(file))
    assert start.sha256 is not None
    assert start.sha256.startswith("ba7816bf")  # sha256 of "abc"
    assert not start.is_model


@pytest.mark.parametrize(("name", "said"), [("x.h5", "no such file"), ("", "cannot be read")])
def test_weights_that_cannot_be_read_are_one_line(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=said):
        start_weights(str(tmp_path / name))


def test_a_model_to_go_on_from_brings_what_it_was_made_from(tmp_path: Path) -> None:
    start = start_weights(str(finished_run(tmp_path / "earlier", SUMMARY_OF_A_RUN)))
    assert start.is_model
    assert start.name == "earlier/model.keras"
    assert start.made_by is not None
    assert start.made_by["data"] == "its data"  # else the card would hide it
    assert "history" not in start.made_by
    assert start.plain()["made_by"] == start.made_by


@pytest.mark.parametrize("summary", [{}, [], {"data": {}}])
def test_a_model_of_unknown_origin_is_refused(summary: Any, tmp_path: Path) -> None:
    model = finished_run(tmp_path / "earlier", summary)
    with pytest.raises(RecipeError, match="does not tell how it was made"):
        start_weights(str(model))
    (tmp_path / "earlier" / SUMMARY).unlink()
    with pytest.raises(RecipeError, match="does not tell how it was made"):
        start_weights(str(model))


def test_teachers_are_models_of_earlier_runs_and_the_card_names_them(tmp_path: Path) -> None:
    models = [str(finished_run(tmp_path / name, SUMMARY_OF_A_RUN)) for name in "ab"]
    start = start_weights("none", models)
    assert start.keras is None
    assert [t.plain()["made_by"]["data"] for t in start.teachers] == ["its data", "its data"]
    taught = SUMMARY_OF_A_RUN | {"teachers": [t.plain() for t in start.teachers]}
    third = start_weights(str(finished_run(tmp_path / "c", taught)))
    assert third.made_by is not None
    assert third.made_by["teachers"] == taught["teachers"]


def test_a_teacher_must_be_a_model_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "base.weights.h5").write_bytes(b"abc")
    with pytest.raises(RecipeError, match=r"--teachers .*base\.weights\.h5: give the model\.keras"):
        start_weights("none", [str(tmp_path / "base.weights.h5")])
    with pytest.raises(RecipeError, match=r"--teachers .*gone: no such file$"):
        start_weights("none", [str(tmp_path / "gone")])


def test_teachers_and_distillation_go_together(tmp_path: Path) -> None:
    start = start_weights("none")
    taught = start_weights("none", [str(finished_run(tmp_path / "a", SUMMARY_OF_A_RUN))])
    learning = dataclasses.replace(RECIPE, distillation=0.5)
    _require_models(start, RECIPE)
    with pytest.raises(RecipeError, match="does not say that its labels are those of"):
        _require_models(taught, learning)
    named = SUMMARY_OF_A_RUN | {"labels": list(RECIPE.labels)}
    taught = start_weights("none", [str(finished_run(tmp_path / "b", named))])
    _require_models(taught, learning)
    turned = dataclasses.replace(learning, labels=RECIPE.labels[::-1])
    with pytest.raises(RecipeError, match="in the same order"):
        _require_models(taught, turned)
    with pytest.raises(RecipeError, match="distillation = 0.5 needs teachers"):
        _require_models(start, learning)
    with pytest.raises(RecipeError, match="without distillation"):
        _require_models(taught, RECIPE)


def test_going_on_takes_over_the_weights_or_says_that_they_do_not_fit(tmp_path: Path) -> None:
    path = finished_run(tmp_path / "earlier", SUMMARY_OF_A_RUN)
    start, model = start_weights(str(path)), small_model(2)
    _continue_from(start, model)
    saved = keras.models.load_model(path, compile=False)
    for mine, theirs in zip(model.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(RecipeError, match="does not fit the recipe") as raised:
        _continue_from(start, small_model(3))
    assert len(str(raised.value).splitlines()) == 1


def test_the_learning_rate_rises_then_falls_to_a_hundredth() -> None:
    rate = optimizer(Phase(4, 0.01, warmup_epochs=1.0), RECIPE)._learning_rate
    values = [float(rate(step)) for step in range(41)]
    assert values[0] == pytest.approx(0.0001)
    assert values[10] == max(values) == pytest.approx(0.01)
    assert values[:11] == sorted(values[:11])
    assert values[10:] == sorted(values[10:], reverse=True)
    assert values[40] == pytest.approx(0.0001)
    flat_start = optimizer(Phase(4, 0.01), RECIPE)._learning_rate
    assert float(flat_start(0)) == pytest.approx(0.01)


def test_batches_come_in_order_from_the_first_epoch_on() -> None:
    named = SimpleNamespace(batch=lambda epoch, index: (epoch, index))
    batches = stream(named, 3, 2)
    assert [next(batches) for _ in range(5)] == [(3, 0), (3, 1), (4, 0), (4, 1), (5, 0)]


def test_a_data_set_that_was_not_prepared_is_named(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store") as writer:
        writer.add(np.zeros((1, 1, 3), np.uint8))  # an empty file cannot be mapped
        writer.finish([], {"datasets": {"street": {}, "rooms": {}}})
    with pytest.raises(DatasetError, match=r"no data set yard, which .*it has: street, rooms"):
        _require_datasets(open_store(tmp_path / "store"), RECIPE)


def test_a_recipe_is_named_so_that_the_command_finds_it() -> None:
    assert as_argument(RECIPE) == "tiny.toml"
    shipped = SimpleNamespace(path=RECIPES / "face_detector.toml")
    assert as_argument(shipped) == "face_detector"  # type: ignore[arg-type]
