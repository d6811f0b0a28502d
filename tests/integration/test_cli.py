"""The command line as its user meets it: a process with output, exit code and signals."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import pytest

DEMO = "edge_app/assets/demo.mp4"
EXPECTED = "edge_app/assets/demo.expected.json"

FOREIGN = ("tensorflow", "keras", "training", "matplotlib", "sklearn", "PIL", "scipy")

PATIENCE_S = 120
"""Far more than any of these processes takes; a hang shall not block the whole run."""


@pytest.fixture
def tiny_toml(root: Path, tmp_path: Path) -> Path:
    """Settings with the tiny models: quick, and there without any training."""
    path = tmp_path / "kiosk.toml"
    models = root / "tests" / "data"
    path.write_text(
        f'[detector]\nbundle = "{models / "tiny_detector.tflite"}"\n'
        f'[classifier]\nbundle = "{models / "tiny_classifier.tflite"}"\n'
    )
    path.chmod(0o600)
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "edge_app", *map(str, arguments)]


def run(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=root, capture_output=True, text=True, timeout=PATIENCE_S
    )


def our_lines(stderr: str) -> list[str]:
    """What the program itself said; the runtime announces XNNPACK there too."""
    return [line for line in stderr.splitlines() if not line.startswith("INFO: ")]


def test_help_names_the_commands_and_imports_nothing_heavy(root: Path) -> None:
    script = (
        "import sys; from edge_app import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'cv2', 'numpy', 'gpiozero', 'ai_edge_litert', 'tflite_runtime'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("run", "demo", "replay", "check", "bench"):
        assert f"    {name} " in done.stdout


def test_no_command_imports_tensorflow_or_the_training_half(
    root: Path, tiny_toml: Path, tmp_path: Path
) -> None:
    script = f"""
import sys
import edge_app.daemon
from edge_app.cli import main
common = ["--settings", {str(tiny_toml)!r}]
assert main(["replay", {DEMO!r}, *common]) == 0
assert main(["demo", "--fast", "--annotate", {str(tmp_path / "demo.mp4")!r}, *common]) == 0
assert main(["check", "--source", {DEMO!r}, "--mock-pins", *common]) == 0
assert main(["bench", "--frames", "3", *common]) == 0
foreign = [m for m in sys.modules if m.partition(".")[0] in {FOREIGN!r}]
assert not foreign, foreign
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr


def test_the_bundled_clip_shows_what_it_should_with_the_bundled_models(
    root: Path, tmp_path: Path
) -> None:
    report, drawn = tmp_path / "out.json", tmp_path / "out.mp4"
    done = run(root, "replay", DEMO, "--expect", EXPECTED, "--report", report, "--annotate", drawn)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 clips as expected" in done.stdout
    found = json.loads(report.read_text())
    assert set(found) == {"source", "bundles", "frames"}
    assert found["source"] == DEMO
    video = cv2.VideoCapture(str(drawn))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == len(found["frames"])
    video.release()
    for at, frame in enumerate(found["frames"]):
        assert set(frame) == {"index", "time", "signal", "faces"}
        assert frame["index"] == at
        for face in frame["faces"]:
            assert set(face) == {"box", "score", "state", "probabilities"}


def test_a_failed_expectation_is_exit_code_1_with_a_diff(
    root: Path, tiny_toml: Path, tmp_path: Path
) -> None:
    wanted = tmp_path / "expected.json"
    wanted.write_text('{"demo.mp4": [{"throughout": [0, 99], "signal": "INCORRECT"}]}')
    done = run(root, "replay", DEMO, "--expect", wanted, "--settings", tiny_toml)
    assert done.returncode == 1
    assert "  - wanted 0.00 - 99.00 s throughout INCORRECT" in done.stdout
    assert "  + shown  0.00 - " in done.stdout
    assert our_lines(done.stderr) == []


def test_an_error_is_one_line_on_stderr_and_exit_code_2(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    done = run(root, "replay", tmp_path / "empty.mp4")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = our_lines(done.stderr)
    assert line.startswith("mask-kiosk: error: ")
    assert "empty.mp4" in line


def test_a_reader_that_goes_away_is_no_traceback(root: Path, tiny_toml: Path) -> None:
    process = subprocess.Popen(
        command("replay", DEMO, "--settings", tiny_toml),
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        stderr = process.stderr.read()
    assert process.wait(PATIENCE_S) == 1
    assert our_lines(stderr) == []


def test_ctrl_c_ends_the_demo_cleanly_and_leaves_no_half_video(
    root: Path, tiny_toml: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out" / "demo.mp4"
    process = subprocess.Popen(
        command("demo", "--settings", tiny_toml, "--annotate", target),
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in a shell's background inherit that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        assert process.stdout is not None
        while " s  " not in process.stdout.readline():  # the first frame has been shown
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert our_lines(stderr)[-1] == "mask-kiosk: stopped"
    assert "Traceback" not in stderr
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_on_a_terminal_the_demo_draws_the_light(
    root: Path, tiny_toml: Path, tmp_path: Path, no_color: str, coloured: bool
) -> None:
    ours, theirs = pty.openpty()
    shown: list[bytes] = []
    process = subprocess.Popen(
        command("demo", "--fast", "--settings", tiny_toml, "--annotate", tmp_path / "o.mp4"),
        cwd=root,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": no_color, "COLUMNS": "100"},
    )
    os.close(theirs)

    def read() -> None:
        try:
            while chunk := os.read(ours, 65536):
                shown.append(chunk)
        except OSError:  # how Linux says that the other end was closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    with process:
        _, stderr = process.communicate(timeout=PATIENCE_S)
    reader.join(PATIENCE_S)
    os.close(ours)
    text = b"".join(shown).decode()
    assert process.returncode == 0, stderr
    assert "\x1b[?25l" in text
    assert "people in view: " in text
    assert "ms per stage:   detect " in text
    assert "█" in text
    assert "annotated video: " in text
    assert ("\x1b[1;3" in text) == coloured
    # Drawn over in place: many more pictures than lines of the timeline.
    assert text.count("\x1b[6A\r") > 50
