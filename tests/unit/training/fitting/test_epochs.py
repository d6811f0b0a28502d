"""What is logged of a training, and what happens where it cannot be."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_app.errors import OutputError
from training.fitting.epochs import ScalarLog

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


def test_a_file_in_the_way_of_the_logs_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "logs").write_bytes(b"")
    with pytest.raises(OutputError, match=r"logs: cannot be written: File exists$"):
        ScalarLog(tmp_path / "logs", [])
