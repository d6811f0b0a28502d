"""What is logged of a training, and what happens where it cannot be."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_app.errors import OutputError
from training.fitting.epochs import EpochRecorder, ScalarLog, duration
from training.fitting.run import Run
from training.recipe_file import load_recipe

ROW = {"epoch": 1, "loss": 0.5}


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The system refuses what is beyond, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_figures_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    scalars = ScalarLog(logs, [ROW])
    [file] = logs.iterdir()
    with no_file_larger_than(file.stat().st_size), pytest.raises(OutputError) as caught:
        scalars.add({**ROW, "epoch": 2})
    assert str(caught.value) == f"{logs}: cannot be written: File too large"


def test_the_first_step_does_not_count_for_the_time_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes a minute, because it also builds the graph; each of the other 39 takes a second."""
    recipe = load_recipe("door")
    recorder = EpochRecorder(Run(tmp_path, {}), None, recipe, None)
    recorder.set_params({"steps": 40})
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    recorder.on_epoch_begin(0)
    with caplog.at_level("INFO"):
        for batch, seconds in enumerate([60.0, *[1.0] * 39]):
            clock[0] += seconds
            recorder.on_train_batch_end(batch, {"loss": 1.0})
    second, third = [record.getMessage() for record in caplog.records]
    assert "step 2/40" in second
    assert "38 s left in this epoch" in second
    assert "8 s left in this epoch" in third
    others = sum(phase.epochs for phase in recipe.phases) - 1
    assert second.endswith(f"{duration(38 + others * 40)} in all")


def test_a_file_in_the_way_of_the_logs_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "logs").write_bytes(b"")
    with pytest.raises(OutputError, match=r"logs: cannot be written: File exists$"):
        ScalarLog(tmp_path / "logs", [])
