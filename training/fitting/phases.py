"""Trains a recipe's phases one after the other, from wherever a run stands."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from training.fitting.epochs import EpochRecorder, ScalarLog
from training.fitting.run import Run
from training.fitting.tasks import Task
from training.recipe import Phase, Recipe

log = logging.getLogger(__name__)

CLIP_NORM = 10.0
"""A variable's gradient is scaled down to this norm: one bad batch does not end a run."""

LEAST_RATE = 0.01
"""A learning rate falls to this fraction of its peak and no further."""

PLATEAU_EPOCHS, PLATEAU_FACTOR = 2, 0.3
"""After so many epochs without a better figure the learning rate is multiplied by the factor."""


def train(task: Task, run: Run, recipe: Recipe) -> None:
    """Train all phases from where the run stands to their end."""
    scalars = ScalarLog.of(run)
    while run.state.phase < len(recipe.phases):
        if not run.phase_is_over(recipe.phases[run.state.phase].epochs, recipe.patience):
            _train_phase(task, run, recipe, scalars)
        run.end_phase()


def _train_phase(task: Task, run: Run, recipe: Recipe, scalars: ScalarLog | None) -> None:
    """Train the present phase from where it stands to its end."""
    phase = recipe.phases[run.state.phase]
    task.set_phase(phase)
    adamw = optimizer(phase, recipe)
    task.model.compile(optimizer=adamw, loss=task.loss)
    adamw.build(task.model.trainable_variables)
    run.restore(task.model, task.deployable)
    log.info("phase %d of %d: %s", run.state.phase + 1, len(recipe.phases), phase)
    callbacks = [EpochRecorder(run, task, recipe, scalars)]
    if recipe.schedule == "plateau":
        callbacks.insert(0, PlateauRate(run, recipe))
    task.model.fit(
        stream(task.batches, run.state.epoch, recipe.steps_per_epoch),
        steps_per_epoch=recipe.steps_per_epoch,
        initial_epoch=run.trained(),
        epochs=phase.epochs,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )


def stream(batches: Any, first_epoch: int, steps: int) -> Iterator[Any]:
    """All batches from an epoch on.

    A generator, because Keras' PyDataset waits for its workers at the end of every epoch:
    measured, half a minute each time on two cores.
    """
    for epoch in itertools.count(first_epoch):
        for index in range(steps):
            yield batches.batch(epoch, index)


def optimizer(phase: Phase, recipe: Recipe) -> keras.optimizers.Optimizer:
    """AdamW with the recipe's learning rate: a cosine with warm-up, or one set per epoch."""
    rate: Any = phase.learning_rate
    if recipe.schedule == "cosine":
        steps = phase.epochs * recipe.steps_per_epoch
        warmup = round(phase.warmup_epochs * recipe.steps_per_epoch)
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=phase.learning_rate / 100 if warmup else phase.learning_rate,
            decay_steps=max(1, steps - warmup),
            alpha=LEAST_RATE,
            warmup_target=phase.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, clipnorm=CLIP_NORM)


def plateau_rate(peak: float, figures: Sequence[float]) -> float:
    """The learning rate of a phase's next epoch, when it falls on each plateau.

    Args:
        peak: Of the phase's first epoch.
        figures: The metric after each epoch of the phase so far; higher is better.

    Returns:
        ``peak`` times :data:`PLATEAU_FACTOR` for every :data:`PLATEAU_EPOCHS` epochs in a row
        without a better figure, at least :data:`LEAST_RATE` of it.
    """
    rate, best, stale = peak, -float("inf"), 0
    for figure in figures:
        stale = 0 if figure > best else stale + 1
        best = max(best, figure)
        if stale == PLATEAU_EPOCHS:
            rate, stale = max(rate * PLATEAU_FACTOR, peak * LEAST_RATE), 0
    return rate


class PlateauRate(keras.callbacks.Callback):
    """Sets each epoch's learning rate by :func:`plateau_rate`.

    Keras' ReduceLROnPlateau counts in memory and starts over after a kill; this one reads the
    run's history, so a run that goes on is the one that was killed.
    """

    def __init__(self, run: Run, recipe: Recipe) -> None:
        super().__init__()
        self._run, self._recipe = run, recipe

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        state, recipe = self._run.state, self._recipe
        figures = [row[recipe.metric] for row in state.history if row["phase"] == state.phase]
        peak = recipe.phases[state.phase].learning_rate
        self.model.optimizer.learning_rate = plateau_rate(peak, figures)
