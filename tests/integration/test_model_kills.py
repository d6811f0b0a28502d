"""``models install`` and ``rollback`` killed, and cut off from power, at each of their steps.

A step is a call of the operating system: open, write (also half of one), fsync, rename ... After
each one the kiosk's own code must find the old or the new model, whole; ``models list`` and what
the unit runs before a start must work; and the next command must do its job.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.store.boot import before_start
from edge_app.store.changes import change
from edge_app.store.install import install
from edge_app.store.overview import show
from edge_app.trial import compare_with_export
from edge_app.vision.bundle import load_bundle
from tests.disks import Card
from tests.model_bundles import DETECTOR, Models

MOST_STEPS = 300
"""More would be an endless test."""


class Killer:
    """See :mod:`tests.model_killer`."""

    def __init__(self, root: Path, models: Models, store: Path) -> None:
        command = [sys.executable, "-m", "tests.model_killer", store, models.keys, models.shipped]
        self.process = subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def order(self, command: str, what: Path | str, way: str, number: int) -> list[str]:
        self.process.stdin.write(f"{command}\t{what}\t{way}\t{number}\n")
        answer = self.process.stdout.readline().split()
        if answer[0] != "stopped":
            self.over()
        return answer

    def over(self) -> None:
        assert self.process.stdout.readline() == "over\n"

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(60) == 0


@pytest.fixture
def killer(root: Path, models: Models) -> Iterator[Killer]:
    it = Killer(root, models, models.store)
    yield it
    it.close()


@pytest.fixture(autouse=True)
def no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_app.store.service.look", lambda: None)


def put_in(models: Models, bundle: Path) -> None:
    install(bundle, models.store, models.keys, io.StringIO(), compare_with_export)
    change(models.store, DETECTOR, lambda record: record.confirmed())


def in_use(models: Models) -> str:
    """What the kiosk would run, after everything else that looks at the store worked."""
    out = io.StringIO()
    assert show(models.store, out) == 0, out.getvalue()
    version = load_bundle(DETECTOR, "detect").card.version
    assert before_start(models.store) == 0
    assert load_bundle(DETECTOR, "detect").card.version == version
    return version


def copy_of(store: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    if store.exists():
        shutil.copytree(store, place)


@pytest.mark.parametrize("way", ["before", "torn", "after"])
@pytest.mark.parametrize("begin", ["shipped", "installed"])
def test_an_installation_killed_at_each_step_leaves_the_old_or_the_new_model(
    models: Models, killer: Killer, way: str, begin: str, tmp_path: Path
) -> None:
    new = models.bundle(change={"made_by": "new"})
    if begin == "installed":
        put_in(models, models.bundle(change={"made_by": "old"}))
    old = load_bundle(DETECTOR, "detect").card.version
    copy_of(models.store, tmp_path / "before")
    seen, calls = [], set()
    for number in range(1, MOST_STEPS):
        copy_of(tmp_path / "before", models.store)
        done, *call = killer.order("install", new, way, number)
        seen.append(in_use(models))
        if done == "finished":
            break
        calls.update(call)
        if number % 7 == 0:  # whatever the kill left, the next command works
            put_in(models, new)
            assert in_use(models) == models.version(new)
    assert done == "finished"
    assert calls >= {"open", "write", "fsync", "mkdir", "rename", "replace"}
    switched = seen.index(models.version(new))
    assert set(seen[:switched]) == {old}, "once switched, it stays"
    assert set(seen[switched:]) == {models.version(new)}
    assert 20 < switched <= len(seen) - 1, "most of the work comes before the switch"


def test_the_version_that_counts_stays_whole_when_it_is_installed_again_and_killed(
    models: Models, killer: Killer, tmp_path: Path
) -> None:
    """A newcomer who is not sure that the first time worked; the kiosk may already use it."""
    bundle = models.bundle()
    install(bundle, models.store, models.keys, io.StringIO(), compare_with_export)
    copy_of(models.store, tmp_path / "before")
    for number in range(1, MOST_STEPS):
        copy_of(tmp_path / "before", models.store)
        done, *_ = killer.order("install", bundle, "before", number)
        assert in_use(models) == models.version(bundle)
        if done == "finished":
            break
    assert done == "finished"
    assert number > 20


@pytest.mark.parametrize("way", ["before", "torn", "after"])
def test_a_rollback_killed_at_each_step_leaves_one_of_the_two(
    models: Models, killer: Killer, way: str, tmp_path: Path
) -> None:
    bundles = [models.bundle(change={"made_by": str(i)}) for i in range(2)]
    for bundle in bundles:
        put_in(models, bundle)
    copy_of(models.store, tmp_path / "before")
    seen = []
    for number in range(1, MOST_STEPS):
        copy_of(tmp_path / "before", models.store)
        done, *_ = killer.order("rollback", DETECTOR, way, number)
        seen.append(in_use(models))
        if done == "finished":
            break
    old, new = map(models.version, bundles)
    switched = seen.index(old)
    assert done == "finished"
    assert set(seen[:switched]) == {new}
    assert set(seen[switched:]) == {old}


def test_a_kill_during_the_self_test_leaves_the_old_model(models: Models, root: Path) -> None:
    """The child that runs the model lives on for a moment; nothing waits for it."""
    bundle = models.bundle()
    code = (
        "import sys, pathlib, signal, os\n"
        "from edge_app import trial\n"
        "from edge_app.vision import bundle\n"
        "from edge_app.store import install\n"
        "paths = list(map(pathlib.Path, sys.argv[1:]))\n"
        "bundle.MODELS_DIR = paths.pop()\n"
        "def killed(*a, **k):\n"
        "    run(*a, **k)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "run = trial.subprocess.run\n"
        "trial.subprocess.run = killed\n"
        "install.install(*paths, sys.stdout)\n"
    )
    before = load_bundle(DETECTOR, "detect").card.version
    done = subprocess.run(
        [sys.executable, "-c", code, bundle, models.store, models.keys, models.shipped], cwd=root
    )
    assert done.returncode == -signal.SIGKILL
    assert in_use(models) == before
    put_in(models, bundle)
    assert in_use(models) == models.version(bundle)


def test_a_power_cut_at_each_step_leaves_the_old_or_the_new_model(
    models: Models, card: Card, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk as it is at that moment, without what only the memory knows: nothing is synced."""
    models.store = card.folder / "store"
    monkeypatch.setenv("MASK_KIOSK_MODELS", str(models.store))
    put_in(models, models.bundle(change={"made_by": "old"}))
    old, new = load_bundle(DETECTOR, "detect").card.version, models.bundle()
    after = Card(tmp_path / "after.img", tmp_path / "after")
    after.folder.mkdir()
    copy_of(models.store, tmp_path / "before")
    killer, seen = Killer(root, models, models.store), []
    for number in range(1, MOST_STEPS):
        copy_of(tmp_path / "before", models.store)
        os.sync()
        done, *call = killer.order("install", new, "stop", number)
        shutil.copy(card.image, after.image)
        if done == "stopped":
            os.kill(int(call[1]), signal.SIGKILL)
            killer.over()
        subprocess.run(["fsck.ext4", "-p", after.image], capture_output=True)
        after.mount()
        try:
            monkeypatch.setenv("MASK_KIOSK_MODELS", str(after.folder / "store"))
            models.store = after.folder / "store"
            seen.append(in_use(models))
        finally:
            after.unmount()
        models.store = card.folder / "store"
        monkeypatch.setenv("MASK_KIOSK_MODELS", str(models.store))
        if done == "finished":
            break
    killer.close()
    assert done == "finished"
    assert set(seen) == {old, models.version(new)}
    assert seen[-1] == models.version(new), "what was said to be done is done"
