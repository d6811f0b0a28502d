"""How the arm64 rig judges what it saw."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = {
    "machine": "x86_64",
    "runtime": "r 1",
    "kernels": {"m": "XNNPACK for 2 of 2 operators"},
    "outputs": {"m:detect/000": "aa", "m:detect/001": "bb"},
}


@pytest.fixture(scope="module")
def checks(root: Path) -> Any:
    """The rig is a folder of scripts that import each other."""
    folder = str(root / "deploy" / "rig")
    sys.path.insert(0, folder)
    before = set(sys.modules)
    try:
        yield importlib.import_module("arm64_checks")
    finally:
        sys.path.remove(folder)
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(folder):
                del sys.modules[name]


def frames(*signals: str) -> list[dict[str, Any]]:
    return [{"index": at, "signal": signal} for at, signal in enumerate(signals)]


def test_the_same_outputs_are_no_difference(checks: ModuleType) -> None:
    assert checks.differences(HERE, {**HERE, "machine": "aarch64"}) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"machine": "x86_64"}, "ran on x86_64, not on aarch64"),
        ({"runtime": "r 2"}, "runtime: r 2 instead of r 1"),
        ({"kernels": {}}, "kernels: {} instead of"),
        ({"outputs": {}}, "0 outputs instead of 2"),
        (
            {"outputs": {"m:detect/000": "aa", "m:detect/001": "xx"}},
            "1 of 2 outputs differ, first m:detect/001",
        ),
    ],
)
def test_every_difference_is_told(
    checks: ModuleType, change: dict[str, Any], expected: str
) -> None:
    (line,) = checks.differences(HERE, {**HERE, "machine": "aarch64", **change})
    assert line.startswith(expected)


def test_the_same_timeline_differs_nowhere(checks: ModuleType) -> None:
    assert checks.other_signals(frames("IDLE", "NO_MASK"), frames("IDLE", "NO_MASK")) == ""


def test_a_change_that_comes_a_frame_later_is_found(checks: ModuleType) -> None:
    here, there = frames("IDLE", "NO_MASK", "NO_MASK"), frames("IDLE", "IDLE", "NO_MASK")
    assert checks.other_signals(here, there) == "frame 1: IDLE instead of NO_MASK"


def test_a_clip_that_ends_early_is_found(checks: ModuleType) -> None:
    assert checks.other_signals(frames("IDLE", "IDLE"), frames("IDLE")) == "1 frames instead of 2"


def test_the_changes_of_a_timeline(checks: ModuleType) -> None:
    text = checks.changes(frames("IDLE", "IDLE", "NO_MASK", "IDLE"))
    assert text == "IDLE from frame 0, NO_MASK from frame 2, IDLE from frame 3"


def test_a_wheel_that_does_not_exist_is_a_finding_and_no_network_is_not(
    checks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = sys.modules["arm64_system"]
    for said, error in (
        ("ERROR: No matching distribution found for x==1", system.UnfitError),
        ("WARNING: Retrying (Retry(total=0, ...)) after ...", system.BuildError),
    ):

        def fail(command: Any, log: Path, said: str = said) -> None:
            log.write_text(said, encoding="utf-8")
            raise system.BuildError("pip failed")

        monkeypatch.setattr(system, "run", fail)
        with pytest.raises(error):
            system._pip(system.SYSTEMS[0], ["download"], [tmp_path / "r.txt"], tmp_path / "log")
