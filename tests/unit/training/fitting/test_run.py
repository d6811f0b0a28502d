"""Run folders: whole at any instant, refused when something changed, continued where they stopped.

A model of three layers stands in for the real ones: what is tested here does not depend
on what is trained. Its validation scores are given by the test.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow

from edge_app.domain import MaskState
from edge_app.errors import DivergedError, OutputError, RecipeError
from training.fitting.phases import train
from training.fitting.run import CURVES, Run, draw_curves
from training.fitting.tasks import Task
from training.recipe import ModelSettings, Phase, Recipe, Sampling

INPUTS = {"recipe": "a", "data set": "b", "start weights": "c"}
RECIPE = Recipe(
    name="tiny",
    task="classify",
    seed=5,
    batch=4,
    steps_per_epoch=2,
    phases=(Phase(2, 0.01, frozen=True), Phase(2, 0.01)),
    model=ModelSettings(32, 32),
    labels=(MaskState.WITH_MASK, MaskState.WITHOUT_MASK),
    sampling=Sampling(0.4, 16.0, 0.6, {"street": 1.0}),
)

# Tracing every tiny model into a graph would take most of these tests' time.
pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")


@pytest.fixture(autouse=True, scope="module")
def eager() -> Iterator[None]:
    tensorflow.config.run_functions_eagerly(True)
    yield
    tensorflow.config.run_functions_eagerly(False)


class Batches:
    """Like the real ones: a batch depends on the epoch and its index alone."""

    def batch(self, epoch: int, index: int) -> tuple[Any, Any]:
        rng = np.random.default_rng([epoch, index])
        pictures = rng.normal(size=(RECIPE.batch, 6)).astype(np.float32)
        return pictures, np.eye(2, dtype=np.float32)[(pictures[:, 0] > 0).astype(int)]


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours handles it."""


def make_task(scores: Callable[[], float] | None = None) -> Task:
    """A task on a tiny model; without ``scores`` every epoch is better than the one before."""
    keras.utils.set_random_seed(RECIPE.seed)
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(8, activation="relu", name="base")(inputs)
    hidden = keras.layers.Dropout(0.3)(keras.layers.BatchNormalization()(hidden))
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(hidden))
    counter = iter(range(1000))

    def freeze(phase: Phase) -> None:
        model.get_layer("base").trainable = not phase.frozen

    return Task(
        model=model,
        batches=Batches(),  # type: ignore[arg-type]
        validate=lambda: {"score": float(scores() if scores else next(counter)), "recall": 0.5},
        deployable=keras.Model(model.input, model.output),
        set_phase=freeze,
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    )


def scripted(*values: float) -> Callable[[], float]:
    remaining = iter(values)
    return lambda: next(remaining)


def losses(run: Run) -> list[float]:
    return [row["loss"] for row in run.state.history]


def epochs(run: Run) -> list[tuple[int, int]]:
    """(epoch, phase) of every row of the history."""
    return [(int(row["epoch"]), int(row["phase"])) for row in run.state.history]


def weight_files(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.npz*")}


def killing_after(run: Run, name: str, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill in place of the given call (counted from 0) of one of the run's methods."""
    real, seen = getattr(run, name), iter(range(1000))

    def maybe(*args: Any) -> None:
        if next(seen) == calls:
            raise Killed
        real(*args)

    monkeypatch.setattr(run, name, maybe)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing interrupted."""
    run = Run(tmp_path_factory.mktemp("whole"), INPUTS)
    train(make_task(), run, RECIPE)
    return run


def test_a_run_goes_through_its_phases(whole: Run) -> None:
    assert epochs(whole) == [(1, 0), (2, 0), (3, 1), (4, 1)]
    assert whole.state.phase == 2
    assert weight_files(whole.folder) == {"best-4.npz", "resume-4.npz"}
    assert json.loads((whole.folder / "state.json").read_text()) == dataclasses.asdict(whole.state)


def test_curves_are_drawn(whole: Run) -> None:
    draw_curves(whole)
    assert (whole.folder / CURVES).read_bytes().startswith(b"\x89PNG")
    assert not list(whole.folder.glob("partial*"))


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_kill_between_weights_and_state_costs_one_epoch_and_changes_nothing(
    epoch: int, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost but the epoch: the losses are, bit by bit, those of an unkilled run.

    So batches, weights, batch statistics, AdamW's moments and step count, the schedule and
    the dropout masks all go on as if nothing had been. A real network's convolutions may add
    up in another order from run to run: there the figures agree but for rounding.
    """
    run = Run(tmp_path, INPUTS)
    end_of_phases_before = epoch // 2
    killing_after(run, "_save_state", epoch + end_of_phases_before, monkeypatch)
    with pytest.raises(Killed):
        train(make_task(), run, RECIPE)
    again = Run(tmp_path, INPUTS)
    assert again.state.epoch == epoch
    train(make_task(scripted(*range(epoch, 4))), again, RECIPE)
    assert epochs(again) == epochs(whole)
    assert losses(again) == losses(whole)
    assert weight_files(tmp_path) == {"best-4.npz", "resume-4.npz"}


def test_a_kill_between_two_phases_goes_on_with_the_second(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path, INPUTS)
    killing_after(run, "end_phase", 0, monkeypatch)
    with pytest.raises(Killed):
        train(make_task(), run, RECIPE)
    again = Run(tmp_path, INPUTS)
    assert (again.state.epoch, again.state.phase) == (2, 0)
    train(make_task(scripted(2, 3)), again, RECIPE)
    assert epochs(again) == epochs(whole)
    assert losses(again) == losses(whole)


def test_a_kill_leaves_the_best_weights_of_the_epoch_that_the_state_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, run = make_task(), Run(tmp_path, INPUTS)
    killing_after(run, "_save_state", 1, monkeypatch)
    with pytest.raises(Killed):
        train(task, run, RECIPE)
    again = Run(tmp_path, INPUTS)
    assert again.state.best_weights == "best-1.npz"
    second = [np.asarray(w) for w in task.deployable.get_weights()]
    again.restore_best(task.deployable)
    assert any(
        not np.array_equal(a, b) for a, b in zip(task.deployable.get_weights(), second, strict=True)
    )


def test_what_a_kill_left_half_written_is_removed_later(tmp_path: Path) -> None:
    (tmp_path / ".resume-1.npz.partial-12").write_bytes(b"half")
    train(make_task(), Run(tmp_path, INPUTS), RECIPE)
    assert weight_files(tmp_path) == {"best-4.npz", "resume-4.npz"}


def test_an_early_end_of_one_phase_does_not_end_the_next(tmp_path: Path) -> None:
    """The first phase ends two epochs after its best; the second has a patience of its own."""
    recipe = dataclasses.replace(RECIPE, patience=2, phases=(Phase(9, 0.01), Phase(4, 0.01)))
    run = Run(tmp_path, INPUTS)
    train(make_task(scripted(0.5, 0.4, 0.3, 0.2, 0.6, 0.7, 0.8)), run, recipe)
    assert epochs(run) == [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (6, 1), (7, 1)]
    assert run.state.best_epoch == 7
    assert run.state.epoch == 7


def test_a_phase_that_never_gets_better_ends_after_its_patience(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, patience=2, phases=(Phase(3, 0.01), Phase(9, 0.01)))
    run = Run(tmp_path, INPUTS)
    task = make_task(scripted(0.5, 0.6, 0.7, 0.1, 0.2))
    train(task, run, recipe)
    assert epochs(run) == [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1)]
    assert run.state.best_weights == "best-3.npz"


def test_a_kill_right_after_an_early_end_does_not_go_on_with_that_phase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = dataclasses.replace(RECIPE, patience=2, phases=(Phase(9, 0.01), Phase(1, 0.01)))
    run = Run(tmp_path, INPUTS)
    killing_after(run, "end_phase", 0, monkeypatch)
    with pytest.raises(Killed):
        train(make_task(scripted(0.5, 0.4, 0.3)), run, recipe)
    again = Run(tmp_path, INPUTS)
    train(make_task(scripted(0.6)), again, recipe)
    assert epochs(again) == [(1, 0), (2, 0), (3, 0), (4, 1)]


def test_the_second_phase_starts_from_the_best_weights_of_the_first(tmp_path: Path) -> None:
    recipe = dataclasses.replace(
        RECIPE, patience=9, phases=(Phase(3, 0.05, frozen=True), Phase(1, 1e-9))
    )
    task, run = make_task(scripted(0.9, 0.2, 0.1, 0.3)), Run(tmp_path, INPUTS)
    train(task, run, recipe)
    learnt = task.deployable.trainable_variables  # unlike batch statistics, as good as still now
    ended = [weight.numpy().copy() for weight in learnt]
    run.restore_best(task.deployable)
    assert run.state.best_epoch == 1
    for now, best in zip(ended, learnt, strict=True):
        np.testing.assert_allclose(now, best.numpy(), atol=1e-6)


def test_a_diverging_run_says_so_and_keeps_its_last_epoch(tmp_path: Path) -> None:
    class Broken(Batches):
        def batch(self, epoch: int, index: int) -> tuple[Any, Any]:
            pictures, labels = super().batch(epoch, index)
            return pictures * (np.nan if epoch == 1 else 1), labels

    task = dataclasses.replace(make_task(), batches=Broken())  # type: ignore[arg-type]
    with pytest.raises(DivergedError, match=r"the loss is nan in epoch 2: lower phases\[0\]"):
        train(task, Run(tmp_path, INPUTS), RECIPE)
    assert Run(tmp_path, INPUTS).state.epoch == 1


@pytest.mark.parametrize("name", INPUTS)
def test_a_run_of_something_else_is_refused(name: str, whole: Run) -> None:
    with pytest.raises(RecipeError, match=f"holds a run with another {name}: give --run"):
        Run(whole.folder, {**INPUTS, name: "x"})


def test_a_run_on_another_backend_is_refused_either_way(whole: Run, tmp_path: Path) -> None:
    torch, refused = {**INPUTS, "backend": "torch"}, "holds a run with another backend: give --run"
    with pytest.raises(RecipeError, match=refused):
        Run(whole.folder, torch)
    Run(tmp_path, torch).finish()
    assert Run(tmp_path, torch).state.done
    with pytest.raises(RecipeError, match=refused):
        Run(tmp_path, INPUTS)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"inputs": {}, "colour": 1}', "{}"])
def test_a_damaged_state_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(RecipeError, match=r"state\.json: not the state of a run") as raised:
        Run(tmp_path, INPUTS)
    assert len(str(raised.value).splitlines()) == 1


def test_missing_weights_are_one_line(tmp_path: Path) -> None:
    run = Run(tmp_path, INPUTS)
    train(make_task(), run, RECIPE)
    (tmp_path / "resume-4.npz").unlink()
    with pytest.raises(RecipeError, match=r"resume-4\.npz: is missing"):
        Run(tmp_path, INPUTS)


def test_a_finished_run_keeps_no_weights_to_go_on_from(tmp_path: Path) -> None:
    run = Run(tmp_path, INPUTS)
    train(make_task(), run, RECIPE)
    run.finish()
    assert weight_files(tmp_path) == {"best-4.npz"}
    assert Run(tmp_path, INPUTS).state.done


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(OutputError, match="run: cannot be made"):
        Run(tmp_path / "run", INPUTS)
