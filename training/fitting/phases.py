"""Trains a recipe's phases one after the other, from wherever a run stands."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from training.fitting.epochs import EpochRecorder, ScalarLog
from training.fitting.run import Progress, Run, RunState
from training.fitting.tasks import Task
from training.fitting.team import Team
from training.fitting.together import FollowState, JoinEpoch, ShareState, Slice, begin_alike
from training.recipe import Phase, Recipe

log = logging.getLogger(__name__)

CLIP_NORM = 10.0
"""A variable's gradient is scaled down to this norm: one bad batch does not end a run."""

LEAST_RATE = 0.01
"""A learning rate falls to this fraction of its peak and no further."""

PLATEAU_EPOCHS, PLATEAU_FACTOR = 2, 0.3
"""After so many epochs without a better figure the learning rate is multiplied by the factor."""


def train(task: Task, run: Run, recipe: Recipe, team: Team | None = None) -> None:
    """Train all phases from where the run stands to their end.

    Args:
        task: What is trained.
        run: Where it stands and is recorded.
        recipe: The phases.
        team: The workers that train it together, of which this is the first; None alone.

    Raises:
        RecipeError: The loss is not finite.
        WorkerLostError: Another worker is gone.
    """
    scalars = ScalarLog.of(run)
    while run.state.phase < len(recipe.phases):
        phase = recipe.phases[run.state.phase]
        if not run.phase_is_over(phase.epochs, recipe.patience):
            log.info("phase %d of %d: %s", run.state.phase + 1, len(recipe.phases), phase)
            callbacks: list[Any] = [EpochRecorder(run, task, recipe, scalars)]
            if team is not None:
                team.share(dataclasses.asdict(run.state))
                callbacks.append(ShareState(team, run))
            _train_phase(task, run, recipe, callbacks, team)
        run.end_phase()
    if team is not None:
        team.share(dataclasses.asdict(run.state))


def follow(task: Task, recipe: Recipe, team: Team) -> None:
    """What the other workers do while the first one trains and records.

    Args:
        task: The same as the first worker's.
        recipe: The same as the first worker's.
        team: All workers; this is not the first.

    Raises:
        RecipeError: The loss is not finite.
        WorkerLostError: Another worker is gone.
    """
    progress = Progress(RunState(**team.share(None)))
    while progress.state.phase < len(recipe.phases):
        epochs = recipe.phases[progress.state.phase].epochs
        callbacks = [FollowState(team, progress, epochs, recipe.patience)]
        _train_phase(task, progress, recipe, callbacks, team)
        progress.state = RunState(**team.share(None))


def _train_phase(
    task: Task, progress: Progress, recipe: Recipe, callbacks: list[Any], team: Team | None
) -> None:
    """Train the present phase from where it stands to its end."""
    phase = recipe.phases[progress.state.phase]
    task.set_phase(phase)
    adamw = optimizer(phase, recipe)
    task.model.compile(optimizer=adamw, loss=task.loss)
    adamw.build(task.model.trainable_variables)
    if isinstance(progress, Run):  # the other workers are given it
        progress.restore(task.model, task.deployable)
    batches: Any = task.batches
    if team is not None:
        begin_alike(task.model, team)
        batches = Slice(batches, team)
        callbacks = [JoinEpoch(team), *callbacks]
    if recipe.schedule == "plateau":
        callbacks = [PlateauRate(progress, recipe), *callbacks]
    task.model.fit(
        stream(batches, progress.state.epoch, recipe.steps_per_epoch),
        steps_per_epoch=recipe.steps_per_epoch,
        initial_epoch=progress.trained(),
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

    def __init__(self, progress: Progress, recipe: Recipe) -> None:
        super().__init__()
        self._progress, self._recipe = progress, recipe

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        state, recipe = self._progress.state, self._recipe
        figures = [row[recipe.metric] for row in state.history if row["phase"] == state.phase]
        peak = recipe.phases[state.phase].learning_rate
        self.model.optimizer.learning_rate = plateau_rate(peak, figures)
