"""Steps run once, again when something changed, and never on half a result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_app.errors import BundleError, DatasetError
from training.steps import Step, file_hash, folder_hash, is_done, run_steps


class Bench:
    """Commands that write their last word's file; ``fail`` is one that fails."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.stamps = folder, folder / "stamps"
        self.ran: list[str] = []

    def step(self, name: str, **more) -> Step:
        path = self.folder / f"{name}.txt"
        return Step(name, ("write", str(path)), (path,), **more)

    def execute(self, command: list[str]) -> int:
        self.ran.append(Path(command[-1]).stem)
        if command[0] == "fail":
            return 3
        Path(command[-1]).write_text("whole")
        return 0

    def run(self, *steps: Step) -> list[str]:
        self.ran = []
        self.code = run_steps(steps, self.stamps, self.execute)
        return self.ran


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_step_runs_once(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = bench.step("a"), bench.step("b")
    assert bench.run(a, b) == ["a", "b"]
    assert bench.run(a, b) == []
    assert bench.code == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["a: there already", "b: there already"]


def test_a_damaged_or_missing_result_is_made_again(bench: Bench) -> None:
    a, b = bench.step("a"), bench.step("b")
    bench.run(a, b)
    (bench.folder / "a.txt").write_text("wh")
    assert bench.run(a, b) == ["a"]
    (bench.folder / "b.txt").unlink()
    assert bench.run(a, b) == ["b"]


def test_another_input_or_command_runs_the_step_again(bench: Bench) -> None:
    bench.run(bench.step("a", inputs={"data": "1"}))
    assert bench.run(bench.step("a", inputs={"data": "1"})) == []
    assert bench.run(bench.step("a", inputs={"data": "2"})) == ["a"]
    a = bench.step("a", inputs={"data": "2"})
    assert is_done(a, bench.stamps)
    assert not is_done(Step(a.name, ("other",), a.outputs, a.inputs), bench.stamps)


def test_a_result_that_cannot_be_used_is_made_again(bench: Bench) -> None:
    def broken() -> None:
        raise BundleError("model and card disagree")

    bench.run(bench.step("a"))
    assert bench.run(bench.step("a", check=broken)) == ["a"]


@pytest.mark.parametrize("content", [b"", b'{"key": "ab', b"\xff\x00", b"[]", b"{}", b'{"key": 1}'])
def test_a_damaged_stamp_is_none_and_is_named(
    bench: Bench, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    step = bench.step("a")
    bench.run(step)
    stamp = bench.stamps / "a.json"
    whole = stamp.read_bytes()
    stamp.write_bytes(content)
    assert bench.run(step) == ["a"]
    assert stamp.read_bytes() == whole
    assert f"{stamp} is damaged" in capsys.readouterr().out


def test_the_first_failure_ends_it_with_its_exit_code(bench: Bench) -> None:
    bad = Step("bad", ("fail", "bad.txt"), ())
    assert bench.run(bench.step("a"), bad, bench.step("b")) == ["a", "bad"]
    assert bench.code == 3
    assert bench.run(bench.step("a"), bad) == ["bad"], "a failure is not remembered as done"


def test_a_step_is_made_only_when_the_one_before_it_is_done(bench: Bench) -> None:
    def steps():
        yield bench.step("a")
        content = (bench.folder / "a.txt").read_text()
        yield bench.step("b", inputs={"a": content})

    assert bench.run(*[]) == []
    assert run_steps(steps(), bench.stamps, bench.execute) == 0
    assert bench.ran == ["a", "b"]


def test_a_killed_step_is_not_done(bench: Bench, root: Path) -> None:
    """The process dies when the file is there, but before the step has ended."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from training.steps import Step, run_steps\n"
        "folder = Path(sys.argv[1])\n"
        "def execute(command):\n"
        "    Path(command[-1]).write_text('wh')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "path = folder / 'a.txt'\n"
        "run_steps([Step('a', ('write', str(path)), (path,))], folder / 'stamps', execute)\n"
    )
    died = subprocess.run([sys.executable, "-c", program, str(bench.folder)], cwd=root)
    assert died.returncode == -signal.SIGKILL
    assert (bench.folder / "a.txt").read_text() == "wh"
    assert bench.run(bench.step("a")) == ["a"]
    assert (bench.folder / "a.txt").read_text() == "whole"


def test_a_folder_is_known_by_names_sizes_and_times(tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "with_mask").mkdir(parents=True)
    picture = root / "with_mask" / "a.png"
    picture.write_bytes(b"12")
    first = folder_hash(root)
    assert folder_hash(root) == first
    os.utime(picture, ns=(1, 1))
    touched = folder_hash(root)
    picture.rename(picture.with_name("b.png"))
    os.utime(picture.with_name("b.png"), ns=(1, 1))
    assert len({first, touched, folder_hash(root)}) == 3


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere: no such data set folder"):
        folder_hash(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="nowhere: cannot be read: No such file"):
        file_hash(tmp_path / "nowhere")
