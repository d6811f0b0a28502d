"""One training run on disk: progress, best weights, and where to go on after a kill.

A run folder holds ``state.json`` (what is done, the history, which weights belong to it),
``resume-N.weights.h5`` (model and optimizer after the last whole epoch),
``best.weights.h5`` and ``curves.png``. Weights are written first and the state that names
them is replaced last, so a kill at any instant leaves the previous epoch whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from edge_app.errors import RecipeError
from training.recipe import Recipe
from training.tasks import Task

log = logging.getLogger(__name__)

LOG_EVERY_S = 30.0
"""A line of progress at least this often."""


@dataclass(slots=True)
class RunState:
    """What is known of a run. ``score`` is the recipe's figure of merit: higher is better."""

    recipe_sha256: str
    phase: int = 0
    epoch: int = 0
    best_score: float = -math.inf
    best_epoch: int = 0
    seconds: float = 0.0
    weights: str | None = None
    done: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


class Run:
    """A run folder, new or to be continued.

    Raises:
        RecipeError: The folder holds a run of another recipe or other inputs.
    """

    def __init__(self, folder: Path, recipe: Recipe, inputs: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(recipe.path.read_bytes() + inputs.encode()).hexdigest()
        self.state = RunState(recipe_sha256=digest)
        if self._state_file.is_file():
            state = RunState(**json.loads(self._state_file.read_text(encoding="utf-8")))
            if state.recipe_sha256 != digest:
                raise RecipeError(
                    f"{folder} holds a run of another recipe, data or start weights: "
                    "give --run another folder, or remove this one"
                )
            self.state = state
            log.info("continuing after epoch %d of %s", state.epoch, folder)

    @property
    def best_weights(self) -> Path:
        return self.folder / "best.weights.h5"

    @property
    def resume_weights(self) -> Path | None:
        return self.folder / self.state.weights if self.state.weights else None

    @property
    def _state_file(self) -> Path:
        return self.folder / "state.json"

    def save_weights(self, model: keras.Model, file: Path) -> None:
        """Write weights under a temporary name, then put them in place."""
        temporary = file.with_name(f"partial-{file.name}")
        model.save_weights(temporary)
        os.replace(temporary, file)

    def save_state(self) -> None:
        """Replace ``state.json``; weights it no longer names are removed."""
        temporary = self._state_file.with_suffix(".partial")
        temporary.write_text(json.dumps(dataclasses.asdict(self.state), indent=1), encoding="utf-8")
        os.replace(temporary, self._state_file)
        for file in self.folder.glob("resume-*.weights.h5"):
            if file.name != self.state.weights:
                file.unlink()

    def end_epoch(
        self, model: keras.Model, deployable: keras.Model, row: dict[str, float], score: float
    ) -> None:
        """Record an epoch: history, best weights so far, weights to go on from.

        The best weights are those of the deployable model, which has no optimizer state.
        """
        state = self.state
        state.epoch += 1
        state.history.append({"epoch": state.epoch, "phase": state.phase, **row, "score": score})
        if score > state.best_score:
            state.best_score, state.best_epoch = score, state.epoch
            self.save_weights(deployable, self.best_weights)
        state.weights = f"resume-{state.epoch}.weights.h5"
        self.save_weights(model, self.folder / state.weights)
        self.save_state()


class EpochRecorder(keras.callbacks.Callback):
    """Ends each epoch of one phase: validates, records, and stops when nothing improves."""

    def __init__(
        self,
        run: Run,
        task: Task,
        patience: int,
        total_epochs: int,
    ) -> None:
        super().__init__()
        self._run, self._task, self._sequence = run, task, task.sequence
        self._patience, self._total = patience, total_epochs
        self._started = self._last_line = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._sequence.epoch = self._run.state.epoch
        self._started = self._last_line = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        now = time.monotonic()
        if now - self._last_line >= LOG_EVERY_S:
            self._last_line = now
            steps = len(self._sequence)
            left = (now - self._started) / (batch + 1) * (steps - batch - 1)
            log.info(
                "epoch %d/%d step %d/%d loss %.4f, %.0f s left in this epoch",
                self._run.state.epoch + 1, self._total, batch + 1, steps,
                (logs or {}).get("loss", math.nan), left,
            )  # fmt: skip

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        figures = self._task.validate()
        score = figures.pop("score")
        seconds = time.monotonic() - self._started
        state = self._run.state
        state.seconds += seconds
        row = {key: float(value) for key, value in {**(logs or {}), **figures}.items()}
        self._run.end_epoch(
            self.model, self._task.deployable, {**row, "seconds": seconds}, score
        )
        log.info(
            "epoch %d/%d in %.0f s: %s, score %.4f (best %.4f in epoch %d)",
            state.epoch, self._total, seconds,
            ", ".join(f"{key} {value:.4f}" for key, value in row.items()),
            score, state.best_score, state.best_epoch,
        )  # fmt: skip
        if state.epoch - state.best_epoch >= self._patience:
            log.info("no improvement in %d epochs: stopping early", self._patience)
            self.model.stop_training = True


def draw_curves(run: Run) -> Path:
    """Plot every figure of the history over the epochs to ``curves.png``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    history = run.state.history
    names = [k for k in history[-1] if k not in ("epoch", "phase", "seconds")]
    columns = 3
    rows = math.ceil(len(names) / columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(12, 3 * rows), squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        axis.plot([row["epoch"] for row in history], [row.get(name, math.nan) for row in history])
        axis.set_title(name)
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(names) :]:
        axis.axis("off")
    figure.tight_layout()
    path = run.folder / "curves.png"
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
    return path
