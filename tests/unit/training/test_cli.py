from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_app.errors import DatasetError
from training import prepare
from training.cli import COMMANDS, main


def test_help_names_every_command_and_imports_nothing_heavy(root: Path) -> None:
    program = (
        "import sys\n"
        "from training.cli import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "print(sorted({'cv2', 'keras', 'numpy', 'tensorflow'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    for command in COMMANDS:
        assert command in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [[], ["paint"], ["prepare"], ["prepare", "x"]])
def test_bad_usage_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_the_module_runs_as_a_program(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "training", "prepare", "nowhere", "--out", "build/never"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "mask-kiosk: error: nowhere: no such data set folder\n"
    assert not (root / "build" / "never").exists()


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DatasetError("a: b"), 2, "mask-kiosk: error: a: b\n"),
        (ModuleNotFoundError("x", name="tensorflow.python"), 2, "requirements-train.txt\n"),
        (KeyboardInterrupt(), 130, "mask-kiosk: interrupted\n"),
    ],
)
def test_failures_become_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    line: str,
) -> None:
    def fail(args: object) -> int:
        raise error

    monkeypatch.setattr(prepare, "run", fail)
    assert main(["prepare", "x", "--out", "y"]) == code
    written = capsys.readouterr().err
    assert written.endswith(line)
    assert written.count("\n") == 1


def test_a_missing_module_of_our_own_is_a_bug_and_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(args: object) -> int:
        raise ModuleNotFoundError("x", name="training.nowhere")

    monkeypatch.setattr(prepare, "run", fail)
    with pytest.raises(ModuleNotFoundError):
        main(["prepare", "x", "--out", "y"])
