"""One training run on disk: progress, best weights, and where to go on after a kill.

A run folder holds ``state.json`` (what is done, the history, which weights belong to it),
``resume-N.npz`` (model and optimizer after epoch N, the last whole one) and
``best-N.npz`` (the model after its best epoch N). Weights are written under a name of
their own and the state that names them is replaced last, so a kill at any instant leaves
the previous epoch whole.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import keras

from edge_app.errors import OutputError, RecipeError
from edge_app.recording import why, why_no_folder, write_atomically
from training.fitting.checkpoint import load_checkpoint, save_checkpoint

CURVES = "curves.png"


@dataclass(slots=True)
class RunState:
    """What is known of a run.

    Attributes:
        inputs: Hashes of what decides the run: recipe, data and start weights; the name of the
            backend where it is not TensorFlow.
        phase: The recipe's phase that is being trained, counted from 0; their number when
            all are over.
        epoch: Epochs trained so far in all phases: the length of the history.
        best_score: Best value of the recipe's metric so far; higher is better.
        best_epoch: When that was, counted from 1; 0 before the first epoch.
        seconds: Time spent in epochs.
        weights: File to go on from, None before the first epoch and after the end.
        best_weights: File of the best epoch, None before the first.
        done: Whether all phases are over and the results are written.
        history: One row of figures per epoch, with ``epoch`` from 1 and ``phase`` from 0, the
            training loss, everything that validation gives, and the ``seconds`` it took.
    """

    inputs: dict[str, str]
    phase: int = 0
    epoch: int = 0
    best_score: float = -math.inf
    best_epoch: int = 0
    seconds: float = 0.0
    weights: str | None = None
    best_weights: str | None = None
    done: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


class Progress:
    """How far a run is, without its folder.

    Attributes:
        state: What is known of the run.
    """

    def __init__(self, state: RunState) -> None:
        self.state = state

    def trained(self) -> int:
        """Epochs of the present phase that are done."""
        return sum(row["phase"] == self.state.phase for row in self.state.history)

    def phase_is_over(self, epochs: int, patience: int) -> bool:
        """Whether the present phase has had its epochs, or ``patience`` without a better score.

        Only the phase's own epochs try its patience: an earlier phase may have ended with
        some that were no better.
        """
        trained = self.trained()
        return trained >= epochs or min(trained, self._stale()) >= patience

    def _stale(self) -> int:
        return self.state.epoch - self.state.best_epoch


class Run(Progress):
    """A run folder, new or to be continued.

    Args:
        folder: Made if it does not exist.
        inputs: Name -> hash of everything that decides the run, in plain words.

    Raises:
        RecipeError: The folder holds a run from other inputs, or one that is damaged.
        OutputError: The folder cannot be made.
    """

    def __init__(self, folder: Path, inputs: Mapping[str, str]) -> None:
        super().__init__(RunState(inputs=dict(inputs)))
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made: {why_no_folder(folder, error)}") from None
        if self._state_file.is_file():
            self.state = self._read_state(inputs)

    def restore_best(self, deployable: keras.Model) -> None:
        """Give the model to deploy the weights of the best epoch, which must be over."""
        assert self.state.best_weights is not None
        load_checkpoint(self.folder / self.state.best_weights, deployable)

    def restore(self, model: keras.Model, deployable: keras.Model) -> None:
        """Give a compiled model, built anew or just trained, what the present phase goes on from.

        Within a phase that is the last epoch, with its optimizer; at the start of a later
        phase the best epoch so far.
        """
        state = self.state
        if state.weights is not None and self.trained() > 0:
            load_checkpoint(self.folder / state.weights, model)
        elif state.epoch > 0:
            self.restore_best(deployable)

    def end_epoch(
        self, model: keras.Model, deployable: keras.Model, row: dict[str, float], score: float
    ) -> None:
        """Record an epoch: history, best weights so far, weights to go on from.

        Args:
            model: What is trained, with its optimizer.
            deployable: Its best weights are kept: it has no optimizer state.
            row: The epoch's figures.
            score: The one among them that chooses the best epoch.
        """
        state = self.state
        state.epoch += 1
        state.history.append({"epoch": state.epoch, "phase": state.phase, **row})
        if score > state.best_score:
            state.best_score, state.best_epoch = score, state.epoch
            state.best_weights = f"best-{state.epoch}.npz"
            save_checkpoint(self.folder / state.best_weights, deployable)
        state.weights = f"resume-{state.epoch}.npz"
        save_checkpoint(self.folder / state.weights, model)
        self._save_state()

    def end_phase(self) -> None:
        """Go on to the next phase."""
        self.state.phase += 1
        self._save_state()

    def finish(self) -> None:
        """Mark the run as done; what it could be resumed from is removed."""
        self.state.done, self.state.weights = True, None
        self._save_state()

    @property
    def _state_file(self) -> Path:
        return self.folder / "state.json"

    def _read_state(self, inputs: Mapping[str, str]) -> RunState:
        instead = "give --run another folder, or remove this one"
        try:
            state = RunState(**json.loads(self._state_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise RecipeError(
                f"{self._state_file}: not the state of a run ({error}); {instead}"
            ) from None
        names = dict.fromkeys([*inputs, *state.inputs])
        if changed := [name for name in names if inputs.get(name) != state.inputs.get(name)]:
            raise RecipeError(
                f"{self.folder} holds a run with another {' and another '.join(changed)}: {instead}"
            )
        for name in (state.weights, state.best_weights):
            if name is not None and not (self.folder / name).is_file():
                raise RecipeError(f"{self.folder / name}: is missing; {instead}")
        return state

    def _save_state(self) -> None:
        """Replace ``state.json``; weights it does not name, whole or not, are removed."""
        content = json.dumps(dataclasses.asdict(self.state), indent=1)
        write_atomically(self._state_file, content.encode())
        for file in self.folder.glob("*.npz*"):
            if file.name not in (self.state.weights, self.state.best_weights):
                file.unlink()


def draw_curves(run: Run) -> None:
    """Plot every figure of the history over the epochs to :data:`CURVES`.

    Raises:
        OutputError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    history = run.state.history
    names = [k for k in history[-1] if k not in ("epoch", "phase", "seconds")]
    columns = 3
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(12, 3 * rows), layout="tight")
    for place, name in enumerate(names):
        axis = figure.add_subplot(rows, columns, place + 1)
        axis.plot([row["epoch"] for row in history], [row.get(name, math.nan) for row in history])
        axis.set_title(name)
        axis.grid(alpha=0.3)
    path = run.folder / CURVES
    temporary = path.with_name(f"partial-{CURVES}")
    try:
        figure.savefig(temporary, dpi=80)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {why(error)}") from None
