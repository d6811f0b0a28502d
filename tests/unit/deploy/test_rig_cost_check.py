"""When the check of the cost rig fails, and when it need not count."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def rig(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command with a record of its own and no counting QEMU in its cache."""
    folder = str(root / "deploy" / "rig")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = set(sys.modules)
    module = importlib.import_module("cost")
    known = json.loads(module.RECORD.read_text(encoding="utf-8"))
    known["runtime"] = module.pinned_runtime()
    for name, path in module.shipped().items():
        known["models"].setdefault(name, {"network": both(1000)})
        known["models"][name]["sha256"] = module.sha256(path)
    monkeypatch.setattr(module, "RECORD", tmp_path / "record.json")
    module.RECORD.write_text(json.dumps(known), encoding="utf-8")
    yield module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(folder):
            del sys.modules[name]


def both(count: int) -> dict[str, int]:
    return {"cortex-a72": count, "cortex-a76": count}


def counts(rig: ModuleType, monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Let the counting find the recorded figures times a factor, and the record hold old hashes."""
    record = json.loads(rig.RECORD.read_text(encoding="utf-8"))

    class Found:
        def __init__(self, folder: Path) -> None:
            pass

        def network(self, model: Path) -> dict[str, int]:
            known = record["models"][model.stem]["network"]
            return {core: round(count * factor) for core, count in known.items()}

    monkeypatch.setattr(rig, "Counting", Found)
    for model in record["models"].values():
        model["sha256"] = "0" * 64
    rig.RECORD.write_text(json.dumps(record), encoding="utf-8")


def test_files_that_were_counted_need_no_counting(
    rig: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rig.check() == 0
    out = capsys.readouterr().out
    assert "the recorded figures hold" in out
    assert "not counted again" in out


def test_other_files_that_cost_three_percent_more_fail(
    rig: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts(rig, monkeypatch, 1.03)
    assert rig.check() == 1
    out = capsys.readouterr().out
    assert "+3.0% beside the recorded" in out
    assert "if that is meant: make rig-cost" in out


def test_other_files_that_cost_one_percent_more_pass(
    rig: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts(rig, monkeypatch, 1.01)
    assert rig.check() == 0
    assert "make rig-cost brings the record up to date" in capsys.readouterr().out


def test_another_runtime_is_counted(
    rig: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts(rig, monkeypatch, 1.0)
    monkeypatch.setattr(rig, "pinned_runtime", lambda: "ai-edge-litert 9.9")
    assert rig.check() == 0
    assert "pinned is ai-edge-litert 9.9" in capsys.readouterr().out


def test_other_files_that_cannot_be_counted_fail(
    rig: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody knows what they cost: a machine without the counting QEMU is no way around it."""
    counts(rig, monkeypatch, 1.0)

    def unavailable(folder: Path) -> None:
        raise rig.BuildError("no network")

    monkeypatch.setattr(rig, "Counting", unavailable)
    assert rig.check() == 1
    assert "FAIL: what changed cannot be counted here: no network" in capsys.readouterr().out
