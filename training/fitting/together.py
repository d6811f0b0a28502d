"""What one worker of a team does otherwise than a process that trains alone.

Each worker computes its slice of exactly the batch that one process would have drawn, and the
mean of the gradients moves all of them alike. What differs from one process is rounding, the
dropout noise, and batch norm that is trained: it sees the slice. Its running statistics are
averaged over the workers at the end of each epoch, before the first worker validates.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from training.fitting.epochs import require_finite
from training.fitting.run import Progress, Run, RunState
from training.fitting.team import Team

NOISE_STRIDE = 1 << 24
"""Seeds of two workers' dropout lie so far apart: PyTorch's noise depends on seed plus step."""

SEEDS = 1 << 31
"""A seed is an int32 that is not negative."""


class Slice:
    """One worker's rows of every batch.

    Args:
        batches: Of the whole team: ``batch(epoch, index)`` gives arrays (batch, ...).
        team: Of which this process takes its share.
    """

    def __init__(self, batches: Any, team: Team) -> None:
        self._batches, self._place = batches, team.place

    def batch(self, epoch: int, index: int) -> tuple[Any, ...]:
        """The rows of one batch of an epoch, both counted from 0."""
        number, count = self._place.number, self._place.count
        arrays = self._batches.batch(epoch, index)
        size = len(arrays[0]) // count
        return tuple(array[(number - 1) * size : number * size] for array in arrays)


def begin_alike(model: keras.Model, team: Team) -> None:
    """Before a phase: the first worker's weights and optimizer everywhere, noise of one's own."""
    team.share_variables([*model.variables, *model.optimizer.variables])
    for variable in random_variables(model):
        seed = keras.ops.convert_to_numpy(variable.value)
        own = (int(seed[0]) + (team.place.number - 1) * NOISE_STRIDE) % SEEDS
        variable.assign(np.array([own, *seed[1:]], seed.dtype))
    team.average_gradients(model.optimizer)


class JoinEpoch(keras.callbacks.Callback):
    """Ends an epoch on every worker: the loss of the whole batches, the mean batch statistics.

    Stands before the callback that records the epoch, which finds the loss in ``logs``.
    """

    def __init__(self, team: Team) -> None:
        super().__init__()
        self._team = team

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        logs["loss"] = float(self._team.mean([np.array([float(logs["loss"])])])[0][0])
        self._team.average_variables(
            weight
            for weight in self.model.non_trainable_weights
            if keras.backend.is_float_dtype(weight.dtype)
        )


class ShareState(keras.callbacks.Callback):
    """Tells the other workers what the first one recorded; stands behind what records it."""

    def __init__(self, team: Team, run: Run) -> None:
        super().__init__()
        self._team, self._run = team, run

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._team.share(dataclasses.asdict(self._run.state))


class FollowState(keras.callbacks.Callback):
    """Takes over what the first worker recorded, and ends the phase when that one does."""

    def __init__(self, team: Team, progress: Progress, epochs: int, patience: int) -> None:
        super().__init__()
        self._team, self._progress = team, progress
        self._epochs, self._patience = epochs, patience

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        require_finite(float(logs["loss"]), self._progress.state)
        self._progress.state = RunState(**self._team.share(None))
        if self._progress.phase_is_over(self._epochs, self._patience):
            self.model.stop_training = True


def random_variables(model: keras.Model) -> list[Any]:
    """The counters of the random generators inside a model; ``weights`` leaves them out."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]
