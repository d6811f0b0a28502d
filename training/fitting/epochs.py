"""What happens at each step and epoch of a training: progress, validation, record, logs."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import keras

from edge_app.errors import DivergedError, OutputError
from edge_app.recording import why
from training.fitting.run import Run, RunState
from training.fitting.tasks import Task
from training.recipe import Recipe

log = logging.getLogger(__name__)

LOG_EVERY_S = 30.0
"""A line of progress at least this often."""

LOGS = "logs"
"""Folder inside the run's that ``tensorboard --logdir`` is given."""


class EpochRecorder(keras.callbacks.Callback):
    """Ends each epoch of one phase: validates, records, and stops when nothing improves."""

    def __init__(self, run: Run, task: Task, recipe: Recipe, scalars: ScalarLog | None) -> None:
        super().__init__()
        self._run, self._task, self._recipe, self._scalars = run, task, recipe, scalars
        self._epochs = recipe.phases[run.state.phase].epochs
        self._total = sum(phase.epochs for phase in recipe.phases)
        self._started = self._last_line = self._first_step = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._started = self._last_line = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        now = time.monotonic()
        if batch == 0:  # this step also built the graph: the others are not as slow
            self._first_step = now
        elif now - self._last_line >= LOG_EVERY_S:
            self._last_line = now
            steps = self.params["steps"]
            whole = (now - self._first_step) / batch * steps
            here = whole * (1 - (batch + 1) / steps)
            rest = seconds_left(self._run.state, self._recipe, whole)
            log.info(
                "epoch %d/%d step %d/%d loss %.4f, %s left in this epoch, %s in all",
                self._run.state.epoch + 1, self._total, batch + 1, steps,
                (logs or {}).get("loss", math.nan),
                duration(here), duration(here + max(0.0, rest - whole)),
            )  # fmt: skip

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        state, metric = self._run.state, self._recipe.metric
        row = {key: float(value) for key, value in (logs or {}).items()}
        require_finite(row["loss"], state)
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row |= {key: float(value) for key, value in self._task.validate().items()}
        seconds = time.monotonic() - self._started
        state.seconds += seconds
        row["seconds"] = seconds
        self._run.end_epoch(self.model, self._task.deployable, row, row[metric])
        if self._scalars is not None:
            self._scalars.add(state.history[-1])
        log.info(
            "epoch %d/%d in %.0f s: %s (best %s %.4f in epoch %d), at most %s left",
            state.epoch, self._total, seconds,
            ", ".join(f"{key} {value:.4g}" for key, value in row.items() if key != "seconds"),
            metric, state.best_score, state.best_epoch,
            duration(seconds_left(state, self._recipe, seconds)),
        )  # fmt: skip
        if self._run.phase_is_over(self._epochs, self._recipe.patience):
            if self._run.trained() < self._epochs:
                log.info("no better %s in %d epochs: this phase ends early", metric,
                         self._recipe.patience)  # fmt: skip
            self.model.stop_training = True


def require_finite(loss: float, state: RunState) -> None:
    """Stop a training that came to nothing.

    Args:
        loss: Of the epoch that has just been trained.
        state: Where the run stood before it.

    Raises:
        DivergedError: The loss is infinite or not a number.
    """
    if not math.isfinite(loss):
        raise DivergedError(
            f"the loss is {loss} in epoch {state.epoch + 1}: "
            f"lower phases[{state.phase}].learning_rate"
        )


def seconds_left(state: RunState, recipe: Recipe, epoch_seconds: float) -> float:
    """Seconds for all epochs of a run that are not done, were no phase to end early.

    Args:
        state: Where the run stands.
        recipe: What it trains.
        epoch_seconds: One epoch takes so long where none of the present phase is done; a later
            phase, which may train more layers, is taken to be as fast.
    """
    done = [row["seconds"] for row in state.history if row["phase"] == state.phase]
    to_come = sum(phase.epochs for phase in recipe.phases[state.phase :]) - len(done)
    return to_come * (sum(done) / len(done) if done else epoch_seconds)


def duration(seconds: float) -> str:
    """Seconds for people: ``45 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def _reason(error: Exception) -> str:
    """Why event files cannot be written, in a few words out of a paragraph of TensorFlow's."""
    if isinstance(error, OSError):
        return why(error)
    return str(error).split("\n")[0].split("; ")[-1].strip() or type(error).__name__


class ScalarLog:
    """A run's history as TensorBoard scalars, one step per epoch.

    Args:
        folder: Earlier event files in it are replaced, so that an epoch that was trained twice
            because of a kill is there once.
        history: Rows of figures with ``epoch``, as :class:`training.fitting.run.RunState` has them.

    Raises:
        OutputError: The folder cannot be written.
    """

    def __init__(self, folder: Path, history: Sequence[dict[str, float]]) -> None:
        import tensorflow as tf

        self._folder = folder
        try:
            folder.mkdir(exist_ok=True)
            for old in folder.glob("events.out.tfevents.*"):
                old.unlink()
            self._writer: Any = tf.summary.create_file_writer(str(folder))
        except (OSError, tf.errors.OpError) as error:
            raise OutputError(f"{folder}: cannot be written: {_reason(error)}") from None
        for row in history:
            self.add(row)

    @classmethod
    def of(cls, run: Run) -> Self | None:
        """The log of a run, holding its history so far; None where the backend has no writer.

        TensorFlow writes the event files: a training on another backend does without them
        rather than load it.
        """
        if keras.backend.backend() != "tensorflow":
            log.info("no TensorBoard logs: they are written on the TensorFlow backend only")
            return None
        return cls(run.folder / LOGS, run.state.history)

    def add(self, row: dict[str, float]) -> None:
        """Log one epoch's figures.

        Raises:
            OutputError: They cannot be written, because the disk is full, say.
        """
        import tensorflow as tf

        # tf.summary.scalar would need the tensorboard package to write what this writes.
        values = [
            tf.compat.v1.Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name != "epoch"
        ]
        content = tf.compat.v1.Summary(value=values).SerializeToString()
        try:
            with self._writer.as_default():
                tf.summary.experimental.write_raw_pb(content, step=int(row["epoch"]))
            self._writer.flush()
        except tf.errors.OpError as error:
            raise OutputError(f"{self._folder}: cannot be written: {_reason(error)}") from None
