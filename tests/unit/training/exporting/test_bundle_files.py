"""A bundle is the old one or the new one, whatever happens while it is written."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_app.errors import BundleError, OutputError
from edge_app.vision.bundle import card_path, load_bundle
from training.exporting.bundle_files import settle, write_bundle

KILLED_EVERYWHERE = """
import json, os, signal, sys
from pathlib import Path
from edge_app.errors import KioskError
from edge_app.vision.bundle import load_bundle
from training.exporting.bundle_files import settle, write_bundle

base, old, new, content = Path(sys.argv[1]), *json.loads(sys.stdin.read())
content = bytes.fromhex(content)
TOUCHES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}
left, out = 0, base

def kill(event, arguments):
    # The hook is called before the event happens, for everything that touches the disk.
    global left
    if event in TOUCHES and str(out) in str(arguments[0]):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)

def state():
    try:
        return load_bundle(out / "b.tflite", "classify").card.temperature
    except KioskError:
        return None

seen = []
for instant in range(1, 100):
    out = base / str(instant)
    write_bundle(old, content, out)
    child = os.fork()
    if child == 0:
        left = instant
        write_bundle(new, content + b"x", out)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    at_once = state()
    settle(out, "b")
    seen.append([code, at_once, state(), sorted(os.listdir(out))])
    if code == 0:
        break
print(json.dumps(seen))
"""
"""Writes an old bundle, then a new one in a child that is killed at one instant after another."""


@pytest.fixture
def content(root: Path) -> bytes:
    return (root / "tests/data/tiny_classifier.tflite").read_bytes()


@pytest.fixture
def card(root: Path) -> dict:
    card = json.loads((root / "tests/data/tiny_classifier.json").read_text())
    return {**card, "name": "b", "temperature": 1.0}


def newer(card: dict, content: bytes) -> dict:
    return {**card, "temperature": 2.0, "sha256": hashlib.sha256(content + b"x").hexdigest()}


def test_a_kill_at_any_instant_leaves_the_old_bundle_or_the_new(
    root: Path, tmp_path: Path, card: dict, content: bytes
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_EVERYWHERE, str(tmp_path)],
        input=json.dumps([card, newer(card, content), content.hex()]),
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout)
    assert len(seen) > 8, "so many instants are there"
    assert [code for code, *_ in seen] == [-9] * (len(seen) - 1) + [0]
    for _, at_once, settled, names in seen:
        assert settled in (1.0, 2.0)
        assert at_once in (1.0, 2.0, None), "what the device accepts is whole"
        assert names == ["b.json", "b.tflite"]
    order = [settled for _, _, settled, _ in seen]
    assert order == sorted(order)
    assert {1.0, 2.0} == set(order)
    # One name after the other: only between the two renames does the device refuse the pair.
    assert [at_once for _, at_once, *_ in seen].count(None) == 1


def test_a_bundle_that_the_device_refuses_changes_nothing(
    tmp_path: Path, card: dict, content: bytes
) -> None:
    write_bundle(card, content, tmp_path)
    with pytest.raises(BundleError, match="sha256"):
        write_bundle({**card, "temperature": 2.0}, content + b"x", tmp_path)
    assert load_bundle(tmp_path / "b.tflite", "classify").card.temperature == 1.0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.json", "b.tflite"]


def test_settle_leaves_the_folders_of_other_bundles_alone(
    tmp_path: Path, card: dict, content: bytes
) -> None:
    mine, others = tmp_path / ".partial-b-abcd1234", tmp_path / ".partial-b-2-abcd1234"
    for folder in (mine, others):
        folder.mkdir()
    settle(tmp_path, "b")
    assert not mine.exists()
    assert others.is_dir()
    settle(tmp_path / "nowhere", "b")
    assert not (tmp_path / "nowhere").exists()


def test_a_place_that_cannot_be_written_is_one_line(
    tmp_path: Path, card: dict, content: bytes
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"file/b\.tflite: cannot be written: ") as caught:
        write_bundle(card, content, tmp_path / "file")
    assert "\n" not in str(caught.value)


@pytest.fixture
def small_disk(tmp_path: Path):
    """A disk of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_old_bundle(
    root: Path, small_disk: Path, card: dict, content: bytes
) -> None:
    write_bundle(card, content, small_disk)
    shipped = root / "edge_app/models/mask_classifier.tflite"
    large = {**json.loads(card_path(shipped).read_text()), "name": "b"}
    with pytest.raises(OutputError, match="No space left on device"):
        write_bundle(large, shipped.read_bytes(), small_disk)
    assert load_bundle(small_disk / "b.tflite", "classify").card.temperature == 1.0
    assert sorted(p.name for p in small_disk.iterdir()) == ["b.json", "b.tflite"]


def test_a_bundle_is_written_where_a_kill_left_another_half_in_place(
    tiny: Path, tmp_path: Path
) -> None:
    card = json.loads((tiny / "tiny_classifier.json").read_text())
    content = (tiny / "tiny_classifier.tflite").read_bytes()
    name = card["name"]
    ready = tmp_path / f".ready-{name}"
    ready.mkdir()
    (ready / f"{name}.json").write_text(json.dumps(card | {"temperature": 2.0}))
    model = write_bundle(card | {"temperature": 3.0}, content, tmp_path)
    assert load_bundle(model, "classify").card.temperature == 3.0
    assert not ready.exists()
