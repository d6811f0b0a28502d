"""What the arm64 rig claims: installed, the same numbers, the same light as on x86-64."""

from __future__ import annotations

import json
import os
import subprocess  # lists of arguments made here, no shell # nosec B404
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arm64_inputs import write_inputs
from arm64_system import (
    CHECKOUT,
    CORES,
    DEVICE,
    EDGE,
    SYSTEMS,
    Installation,
    System,
    UnfitError,
    environment,
    run_python,
)
from report import Report

INFER = Path(__file__).with_name("arm64_infer.py")
CLIP = CHECKOUT / "edge_app" / "assets" / "demo.mp4"

REPLAYED_ON = dict(zip((system.suite for system in SYSTEMS), CORES, strict=True))
"""The clip takes most of the rig's time: each Debian plays it once, and each processor."""


class Reference:
    """What this machine makes of the inputs and of the clip.

    Attributes:
        inputs: The models' inputs.
        found: See :mod:`arm64_infer`.
        frames: The replay's report, frame by frame.
    """

    def __init__(self, folder: Path) -> None:
        self.inputs = folder / "inputs.npz"
        write_inputs(self.inputs)
        self.found = self._run(folder, [str(INFER), str(self.inputs)], "found.json")
        report = ["-m", "edge_app", "replay", str(CLIP), "--report"]
        self.frames = self._run(folder, report, "replay.json")["frames"]

    def _run(self, folder: Path, words: Sequence[str], name: str) -> Any:
        output = folder / name
        subprocess.run(  # a list of arguments made here, no shell # nosec B603
            [sys.executable, *words, str(output)],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return json.loads(output.read_text(encoding="utf-8"))


def installed(system: System, installation: Installation, report: Report) -> bool:
    """Whether the Debian's own pip takes the requirements."""
    lists = " and ".join(installation.files)
    what = f"{system.suite}, Python {system.python}: installs {lists}"
    try:
        environment(system, installation).built()
    except UnfitError as error:
        report.add(what, False, None, error)
        return False
    report.add(what, True)
    return True


def look(system: System, reference: Reference, folder: Path, report: Report) -> None:
    """All claims about one Debian."""
    for installation in (DEVICE, EDGE):
        if installed(system, installation, report):
            for core in CORES:
                _same_numbers(system, installation, core, reference, folder, report)
            if installation is DEVICE:
                _same_light(system, REPLAYED_ON[system.suite], reference, folder, report)


def _same_numbers(
    system: System,
    installation: Installation,
    core: str,
    reference: Reference,
    folder: Path,
    report: Report,
) -> None:
    output = folder / f"{system.suite}-{installation.name}-{core}.json"
    words = [str(INFER), str(reference.inputs), str(output)]
    run = run_python(system, installation, core, words, folder / system.suite)
    what = f"{system.suite}, {installation.name}, {core}: models answer as on x86-64, bit for bit"
    if run.returncode:
        report.add(what, False, None, last_words(run.stderr))
        return
    found = json.loads(output.read_text(encoding="utf-8"))
    wrong = differences(reference.found, found)
    versions = f"{found['runtime']}, numpy {found['numpy']}, OpenCV {found['opencv']}"
    detail = f"{versions}: {'; '.join(wrong) or str(len(found['outputs'])) + ' inputs'}"
    report.add(what, not wrong, None, detail)


def _same_light(
    system: System, core: str, reference: Reference, folder: Path, report: Report
) -> None:
    output = folder / f"{system.suite}-replay.json"
    begin = time.monotonic()
    words = ["-m", "edge_app", "replay", str(CLIP), "--report", str(output)]
    run = run_python(system, DEVICE, core, words, folder / system.suite)
    what = f"{system.suite}, {core}: replay of {CLIP.name} gives the timeline of x86-64"
    if run.returncode:
        report.add(what, False, None, last_words(run.stderr))
        return
    frames = json.loads(output.read_text(encoding="utf-8"))["frames"]
    wrong = other_signals(reference.frames, frames)
    detail = f"{wrong}" if wrong else changes(frames)
    report.add(what, not wrong, time.monotonic() - begin, detail)


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """In what two results of :mod:`arm64_infer` differ that must not: a line each."""
    lines = []
    if there["machine"] != "aarch64":
        lines.append(f"ran on {there['machine']}, not on aarch64")
    for key in ("runtime", "kernels"):
        if here[key] != there[key]:
            lines.append(f"{key}: {there[key]} instead of {here[key]}")
    if here["outputs"].keys() != there["outputs"].keys():
        lines.append(f"{len(there['outputs'])} outputs instead of {len(here['outputs'])}")
    other = sorted(
        key
        for key, digest in here["outputs"].items()
        if there["outputs"].get(key, digest) != digest
    )
    if other:
        lines.append(f"{len(other)} of {len(here['outputs'])} outputs differ, first {other[0]}")
    return lines


def other_signals(here: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]]) -> str:
    """The first frame whose signal differs between two replays; empty: there is none."""
    if len(here) != len(there):
        return f"{len(there)} frames instead of {len(here)}"
    for one, other in zip(here, there, strict=True):
        if one["signal"] != other["signal"]:
            return f"frame {one['index']}: {other['signal']} instead of {one['signal']}"
    return ""


def changes(frames: Sequence[Mapping[str, Any]]) -> str:
    """Where the signal changes: ``IDLE from frame 0, NO_MASK from 19``."""
    begins = [
        f"{frame['signal']} from frame {frame['index']}"
        for before, frame in zip([{"signal": None}, *frames], frames, strict=False)
        if before["signal"] != frame["signal"]
    ]
    return ", ".join(begins)


def last_words(text: str) -> str:
    """The last line that says something."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no word"
