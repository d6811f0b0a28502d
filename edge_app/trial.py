"""Tries a model in a process of its own before the kiosk opens it.

A runtime written in C++ may crash on a model that is well-formed but makes no sense: no
exception, the process is gone. A card does not help, because whoever made the model made the
card too. So a model that did not ship with the application first runs once in a child process;
when that one dies or hangs, the user reads which model it was, and the kiosk lives on.

It takes about as long as a start of Python with OpenCV: a second per model.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess  # this Python and a path, no shell # nosec B404
import sys
from pathlib import Path

from edge_app.errors import BundleError, KioskError, SelfTestError
from edge_app.pipeline import Pipeline, build_pipeline
from edge_app.settings import Settings
from edge_app.vision.bundle import MODELS_DIR, find_bundle
from edge_app.vision.interpreter import runtime_name
from edge_app.vision.yunet import is_yunet

TIMEOUT_S = 30.0
"""For a start of Python and four pictures on the slowest board, with room to spare."""

MEMORY_BYTES = 1 << 30
"""What the child may allocate. With the shipped models it takes a quarter of this, most of it
for threads' stacks and never touched."""

OOM_SCORE = "1000"
"""Short of memory, the kernel ends the process with the highest such number: the child, before
the kiosk."""

REFUSED = 3
"""The child's exit code when the model was refused in the regular way: its output says why.
No exit code of Python's own."""

FAILED = 4
"""The same when a self-test's results differ."""

GREYS = (0, 128, 255)
"""Brightness of the pictures that are tried, beside one of noise."""

REMEDY = "install the bundle again, or another one"


def build_tried_pipeline(settings: Settings) -> Pipeline:
    """:func:`edge_app.pipeline.build_pipeline`, with both models tried first.

    Raises:
        KioskError: See :func:`try_model` and :func:`edge_app.pipeline.build_pipeline`.
    """
    try_model("detect", settings.detector.bundle)
    try_model("classify", settings.classifier.bundle)
    return build_pipeline(settings)


def try_model(task: str, name: str) -> None:
    """Run a model once in a child process, unless it ships with the application.

    Args:
        task: ``detect`` or ``classify``.
        name: As in the settings: a shipped bundle's name, a ``.tflite`` or an ``.onnx`` file.

    A YuNet file that does not exist is left to whoever opens it.

    Raises:
        BundleNotFoundError: There is no such bundle.
        BundleError: It is refused, or the runtime crashes or hangs on it.
        InterpreterMissingError: No TFLite runtime is installed.
    """
    path = Path(name) if is_yunet(name) else find_bundle(name)
    if path.resolve().parent == MODELS_DIR or not path.exists():
        return
    if not is_yunet(name):
        runtime_name()
    _in_child("run", task, path)


def try_selftest(task: str, model: Path) -> str:
    """Compare, in a child process, what a bundle says with what it said at export.

    Args:
        task: ``detect`` or ``classify``.
        model: The ``.tflite``, beside its card and its self-test.

    Returns:
        How close the results are, for people.

    Raises:
        SelfTestError: The model says something else.
        BundleError: It is refused, or the runtime crashes or hangs on it.
        InterpreterMissingError: No TFLite runtime is installed.
    """
    runtime = runtime_name()
    return f"{_in_child('selftest', task, model)}, {runtime}"


def _in_child(job: str, task: str, path: Path) -> str:
    """Run :func:`main` in a process of its own; what it printed."""
    command = [sys.executable, "-m", __name__, job, task, str(path)]
    # systemd's socket is the kiosk's alone.
    environment = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}
    try:
        child = subprocess.run(  # this Python and a path, no shell # nosec B603
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BundleError(f"{path}: the model hangs in the runtime; {REMEDY}") from None
    if child.returncode == 0:
        return child.stdout
    if child.returncode == REFUSED:
        raise BundleError(" ".join(child.stdout.split()))
    if child.returncode == FAILED:
        raise SelfTestError(" ".join(child.stdout.split()))
    if child.returncode < 0:
        raise BundleError(
            f"{path}: the model crashes the runtime ({_signal_name(-child.returncode)}); {REMEDY}"
        )
    last = (child.stderr.strip().splitlines() or ["it said nothing"])[-1]
    raise BundleError(f"{path}: the trial run failed: {last[:300]}; {REMEDY}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def run_once(task: str, name: str) -> None:
    """Open a model in this process and run it on pictures of every kind.

    Raises:
        KioskError: It is refused.
    """
    import numpy as np

    from edge_app.pipeline import open_detector
    from edge_app.settings import DetectorSettings
    from edge_app.vision.bundle import load_bundle
    from edge_app.vision.classifier import Classifier

    def pictures(width: int, height: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
        shape = (height, width, 3)
        noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        return [*(np.full(shape, grey, np.uint8) for grey in GREYS), noise]

    if task == "detect":
        detector = open_detector(DetectorSettings(bundle=name))
        for picture in pictures(640, 480):
            detector.detect(picture)
    else:
        classifier = Classifier(load_bundle(name, task))
        card = classifier.bundle.card
        for picture in pictures(card.input_width, card.input_height):
            classifier.judge(picture)


def compare_with_export(task: str, model: Path) -> str:
    """Run a bundle's self-test in this process; how close the results are.

    Raises:
        SelfTestError: The model says something else.
        KioskError: It is refused.
    """
    from edge_app.vision.bundle import load_bundle
    from edge_app.vision.selftest import compare, selftest_path, unpacked

    path = selftest_path(model)
    test = unpacked(path.read_bytes(), path)
    worst = compare(load_bundle(model, task), test)
    return f"{len(test.pictures)} pictures, outputs differ by at most {worst} of 255"


def main(job: str, task: str, name: str) -> int:
    """What the child does: ``run`` (:func:`run_once`) or ``selftest``.

    Returns:
        0, or :data:`REFUSED` or :data:`FAILED` with the reason printed.
    """
    Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash here is expected
    signal.alarm(int(TIMEOUT_S))  # if the parent is gone
    try:
        if job == "selftest":
            sys.stdout.write(compare_with_export(task, Path(name)))
        else:
            run_once(task, name)
    except SelfTestError as error:
        sys.stdout.write(str(error))
        return FAILED
    except KioskError as error:
        sys.stdout.write(str(error))
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3]))
