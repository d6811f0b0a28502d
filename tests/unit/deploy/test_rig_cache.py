"""The rigs' cache: what is built once, what again, and what a failed build leaves."""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def cache(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    spec = importlib.util.spec_from_file_location("rig_cache", root / "deploy" / "rig" / "cache.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Maker:
    """Makes a result and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, work: Path, log: Path) -> None:
        self.times += 1
        (work / "result").write_text(f"number {self.times}", encoding="utf-8")


def test_the_same_inputs_are_built_once(cache: ModuleType) -> None:
    make = Maker()
    first = cache.Part("thing", "result", ("a", "b"), make).built()
    second = cache.Part("thing", "result", ("a", "b"), make).built()
    assert first == second
    assert second.read_text(encoding="utf-8") == "number 1"


def test_other_inputs_are_another_part(cache: ModuleType) -> None:
    make = Maker()
    first = cache.Part("thing", "result", ("a", "b"), make).built()
    second = cache.Part("thing", "result", ("ab", ""), make).built()
    assert first != second
    assert make.times == 2


def test_a_failed_build_leaves_no_part_and_is_tried_again(cache: ModuleType) -> None:
    def fail(work: Path, log: Path) -> None:
        (work / "result").write_text("half", encoding="utf-8")
        cache.run(["sh", "-c", "echo no such mirror; exit 3"], log)

    part = cache.Part("thing", "result", ("a",), fail)
    with pytest.raises(cache.BuildError, match="sh failed with 3: .*no such mirror"):
        part.built()
    assert not part.path.exists()
    assert cache.Part("thing", "result", ("a",), Maker()).built().exists()


def test_a_build_without_its_result_is_an_error(cache: ModuleType) -> None:
    with pytest.raises(cache.BuildError, match="there is no result"):
        cache.Part("thing", "result", ("a",), lambda work, log: None).built()


def test_a_part_that_nobody_used_for_long_goes_with_the_next_of_its_name(cache: ModuleType) -> None:
    old, other = (cache.Part(name, "result", ("old",), Maker()).built() for name in ("a", "b"))
    recent = cache.Part("a", "result", ("recent",), Maker()).built()
    long_ago = time.time() - 86_400 * (cache.KEPT_DAYS + 1)
    for path in (old, other):
        os.utime(path.parent, (long_ago, long_ago))
    cache.Part("a", "result", ("new",), Maker()).built()
    assert [path.exists() for path in (old, other, recent)] == [False, True, True]
