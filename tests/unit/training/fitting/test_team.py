"""A team's places, its slices, and what two workers of one tell each other."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_app.domain import MaskState
from edge_app.errors import UsageError
from training.fitting.team import Place, Team, place_of
from training.fitting.together import Slice
from training.recipe import ModelSettings, Phase, Recipe, Sampling

RECIPE = Recipe(
    name="tiny",
    task="classify",
    seed=5,
    batch=12,
    steps_per_epoch=2,
    phases=(Phase(2, 0.01),),
    model=ModelSettings(32, 32),
    labels=(MaskState.WITH_MASK, MaskState.WITHOUT_MASK),
    sampling=Sampling(0.4, 16.0, 0.6, {"street": 1.0}),
    path=Path("somewhere/tiny.toml"),
)

MEET = "host.example:29500"

TIME_LIMIT = 400
"""Seconds after which a subprocess has hung."""


def test_a_place_is_a_number_a_count_and_where_to_meet() -> None:
    assert place_of(None, None, RECIPE) is None
    assert place_of("2/3", MEET, RECIPE) == Place(2, 3, "host.example", 29500)


@pytest.mark.parametrize(
    ("worker", "meet", "said"),
    [
        ("1/2", None, "belong together"),
        (None, MEET, "belong together"),
        ("0/2", MEET, "NUMBER/COUNT"),
        ("3/2", MEET, "NUMBER/COUNT"),
        ("1", MEET, "NUMBER/COUNT"),
        ("a/b", MEET, "NUMBER/COUNT"),
        ("1/2", "host", "HOST:PORT"),
        ("1/2", "host:0", "HOST:PORT"),
        ("1/2", ":29500", "HOST:PORT"),
        ("1/2", "host:70000", "HOST:PORT"),
        ("1/5", MEET, "5 workers cannot share the batch of 12"),
    ],
)
def test_a_place_that_makes_no_sense_is_refused(
    worker: str | None, meet: str | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        place_of(worker, meet, RECIPE)


def test_a_detector_is_refused() -> None:
    with pytest.raises(UsageError, match="trains a detector"):
        place_of("1/2", MEET, dataclasses.replace(RECIPE, task="detect"))


def test_another_backend_is_refused_before_anything_is_waited_for() -> None:
    with pytest.raises(UsageError, match="KERAS_BACKEND=torch"):
        Team.join(Place(1, 2, "127.0.0.1", 29500))


def test_the_slices_of_all_workers_are_the_batch() -> None:
    class Batches:
        def batch(self, epoch: int, index: int) -> tuple[Any, Any]:
            rng = np.random.default_rng([epoch, index])
            return rng.normal(size=(12, 3)), rng.normal(size=12)

    slices = [Slice(Batches(), Team(Place(n, 3, "", 1))).batch(4, 1) for n in (1, 2, 3)]
    assert [len(rows) for rows, _ in slices] == [4, 4, 4]
    for joined, whole in zip(
        map(np.concatenate, zip(*slices, strict=True)), Batches().batch(4, 1), strict=True
    ):
        np.testing.assert_array_equal(joined, whole)


WORKER = """
import json, sys
sys.modules["tensorflow"] = None  # as if it were not installed: Keras would load it for nothing
import keras
import numpy as np
from edge_app.errors import RecipeError
from training.fitting.together import random_variables
from training.fitting.team import Place, Team
from training.fitting.together import JoinEpoch, begin_alike

number, port = int(sys.argv[1]), int(sys.argv[2])
team = Team.join(Place(number, 2, "127.0.0.1", port))
keras.utils.set_random_seed(number)  # unlike the other's, so that sharing is seen
model = keras.Sequential([
    keras.Input((3,)), keras.layers.Dense(2), keras.layers.BatchNormalization(name="norm"),
    keras.layers.Dropout(0.5),
])
model.compile(keras.optimizers.AdamW(0.1, clipnorm=1.0))
model.optimizer.build(model.trainable_variables)
said = {}
begin_alike(model, team)
said["kernel"] = model.layers[0].get_weights()[0].tolist()
said["noise"] = [keras.ops.convert_to_numpy(v.value).tolist() for v in random_variables(model)]
norm = model.get_layer("norm")
norm.moving_mean.assign([float(number), 10.0 * number])
recorder, logs = JoinEpoch(team), {"loss": float(number)}
recorder.set_model(model)
recorder.on_epoch_end(0, logs)
said["loss"], said["moving_mean"] = logs["loss"], norm.get_weights()[2].tolist()
gradients = [keras.ops.ones(v.shape) * {1: 1.0, 2: -3.0}[number] for v in model.trainable_variables]
model.optimizer.apply(gradients, model.trainable_variables)
said["after"] = model.layers[0].get_weights()[0].tolist()
said["shared"] = team.share({"best": float("-inf")} if team.is_first else None)
team.require_same({"recipe": "a", "data set": "b"})
try:
    team.require_same({"recipe": "a", "data set": str(number)})
except RecipeError as error:
    said["error"] = str(error)
team.leave()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(root: Path) -> list[dict[str, Any]]:
    """What each of two workers saw."""
    pytest.importorskip("torch", reason="the PyTorch backend is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(number), str(port)],
            cwd=root,
            env={**os.environ, "KERAS_BACKEND": "torch"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2)
    ]
    try:
        found = [worker.communicate(timeout=TIME_LIMIT) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    for worker, (_, errors) in zip(workers, found, strict=True):
        assert worker.returncode == 0, errors
    return [json.loads(out.splitlines()[-1]) for out, _ in found]


def test_workers_begin_with_the_first_one_s_weights(said: list[dict[str, Any]]) -> None:
    assert said[0]["kernel"] == said[1]["kernel"]


def test_workers_drop_different_units(said: list[dict[str, Any]]) -> None:
    (first,), (second,) = said[0]["noise"], said[1]["noise"]
    assert second[0] - first[0] == 1 << 24
    assert second[1:] == first[1:]


def test_the_end_of_an_epoch_averages_loss_and_batch_statistics(
    said: list[dict[str, Any]],
) -> None:
    for worker in said:
        assert worker["loss"] == 1.5
        assert worker["moving_mean"] == [1.5, 15.0]


def test_the_same_step_is_taken_everywhere(said: list[dict[str, Any]]) -> None:
    """Along the mean of the gradients 1 and -3: upwards, against the first worker's own."""
    assert said[0]["after"] == said[1]["after"]
    assert np.all(np.array(said[0]["after"]) > np.array(said[0]["kernel"]))


def test_what_the_first_worker_gives_arrives(said: list[dict[str, Any]]) -> None:
    assert said[0]["shared"] == said[1]["shared"] == {"best": -np.inf}


def test_workers_that_were_given_different_things_all_stop(said: list[dict[str, Any]]) -> None:
    assert "another worker was not given the same" in said[0]["error"]
    assert said[1]["error"].startswith("worker 2/2: has another data set than worker 1")
