"""What users get wrong, through the real command line: one clear line, the right exit code,
and nothing lost.

Everything runs in this process; the networks are the smallest that there are.
"""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import subprocess
import threading
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the training half's packages are not installed")

from training.cli import main
from training.data.store import open_store

RECIPE = """
name = "tiny"
task = "classify"
labels = ["with_mask", "without_mask"]
seed = 3
batch = 4
steps_per_epoch = 1
[model]
width = 32
height = 32
backbone = "mlp"
[[phases]]
epochs = 1
learning_rate = 1e-3
frozen = true
[sampling]
margin = 0.4
min_face = 16.0
class_power = 0.6
dataset_weights = { portraits = 1.0 }
[thresholds]
confidence_floor = 0.4
"""

MOBILENET = RECIPE.replace('"mlp"', '"mobilenet_v2"').replace("= 32", "= 96")
"""The one with ImageNet weights, in the smallest size that Keras has them for: it warns of others,
and here warnings are errors."""

FULL_DISK_BYTES = 256 * 1024
"""Less than a store of twelve pictures, and less than any network's weights."""


def picture(seed, side=96):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def portraits(root, labels=("with_mask", "without_mask"), count=12):
    """Class folders named ``portraits`` in ``root``."""
    for i in range(count):
        save(root / "portraits" / labels[i % len(labels)] / f"{i}.png", picture(i))
    return root / "portraits"


@dataclass
class Said:
    """What a command said."""

    code: int
    errors: list[str]
    log: str


@pytest.fixture
def command(capsys, caplog):
    """Runs a command; a traceback fails the test by itself."""

    def run(*arguments):
        caplog.clear()
        capsys.readouterr()
        with caplog.at_level("INFO"):
            code = main([str(argument) for argument in arguments])
        lines = capsys.readouterr().err.splitlines()
        errors = [line for line in lines if line.startswith("mask-kiosk:")]
        return Said(code, [e.removeprefix("mask-kiosk: error: ") for e in errors], caplog.text)

    return run


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A good store of two labels."""
    root = tmp_path_factory.mktemp("good")
    assert prepare_good(root) == 0
    return root / "store"


def prepare_good(root):
    return main(
        ["prepare", str(portraits(root)), "--val-fraction", "0.4", "--out", str(root / "store")]
    )


@pytest.fixture
def fit(command, store, tmp_path):
    """Runs ``fit`` on the good store unless told otherwise."""

    def run(recipe=RECIPE, *, data=None, weights="none", folder=None):
        file = tmp_path / "tiny.toml"
        file.write_text(recipe)
        return command(
            "fit", file, "--data", data or store, "--weights", weights,
            "--run", folder or tmp_path / "run",
        )  # fmt: skip

    return run


def test_an_empty_class_folder_is_named(command, tmp_path) -> None:
    root = portraits(tmp_path)
    (root / "incorrect_mask").mkdir()
    out = ("--out", tmp_path / "store")
    said = command("prepare", root, *out, "--strict")
    assert (said.code, len(said.errors)) == (2, 1)
    assert "portraits/incorrect_mask: holds no pictures" in said.log
    assert not (tmp_path / "store").exists()
    assert command("prepare", root, *out).code == 0
    assert len(open_store(tmp_path / "store").records) == 12


def test_nothing_but_empty_class_folders_is_one_line(command, tmp_path) -> None:
    for label in ("with_mask", "without_mask"):
        (tmp_path / "portraits" / label).mkdir(parents=True)
    said = command("prepare", tmp_path / "portraits", "--out", tmp_path / "store")
    assert said.code == 2
    [line] = said.errors
    assert "not a data set: expected with_mask/, without_mask/, incorrect_mask/" in line
    assert {path.name for path in tmp_path.iterdir()} == {"portraits"}


def test_a_store_of_one_class_cannot_teach_two(command, fit, tmp_path) -> None:
    root = portraits(tmp_path, ("with_mask",))
    data = tmp_path / "store"
    assert command("prepare", root, "--val-fraction", "0.4", "--out", data).code == 0
    said = fit(data=data)
    assert said.code == 2
    [line] = said.errors
    assert "no training face is labelled without_mask; prepare some, or take it out" in line


def test_a_recipe_of_one_class_is_refused(fit) -> None:
    said = fit(RECIPE.replace(', "without_mask"]', "]"))
    assert said.code == 2
    [line] = said.errors
    assert "labels must name at least two, each once, of: with_mask, " in line


@pytest.mark.parametrize("content", [b"", b"not a picture", "half"])
def test_a_corrupt_image_is_named_and_costs_only_itself(command, tmp_path, content) -> None:
    root = portraits(tmp_path)
    file = root / "with_mask" / "0.png"
    file.write_bytes(file.read_bytes()[:2000] if content == "half" else content)
    out = ("--out", tmp_path / "store")
    said = command("prepare", root, *out, "--strict")
    assert (said.code, len(said.errors)) == (2, 1)
    assert not (tmp_path / "store").exists()
    said = command("prepare", root, *out)
    assert said.code == 0
    [named] = [line for line in said.log.splitlines() if "problem: " in line]
    assert "portraits/with_mask/0.png: " in named
    assert named.endswith("skipped")
    assert len(open_store(tmp_path / "store").records) == 11


def test_weights_of_another_size_are_one_line(fit, tmp_path) -> None:
    import keras

    file = tmp_path / "wide.weights.h5"
    keras.applications.MobileNetV2((96, 96, 3), 0.5, False, None).save_weights(file)
    said = fit(MOBILENET, weights=file)
    assert said.code == 2
    [line] = said.errors
    assert line.startswith(
        f"start weights {file}: cannot be used for MobileNetV2 0.35 without top: "
    )
    assert not (tmp_path / "run" / "model.keras").exists()


def test_a_label_that_nobody_knows_is_named(command, fit, tmp_path) -> None:
    said = fit(RECIPE.replace('"without_mask"', '"bare"'))
    assert said.code == 2
    [line] = said.errors
    assert "labels[1] = 'bare' must be one of: with_mask, without_mask, incorrect_mask" in line
    root = portraits(tmp_path, ("with_mask", "bare"))
    said = command("prepare", root, "--out", tmp_path / "store")
    assert said.code == 0
    problems = [line for line in said.log.splitlines() if "problem: " in line]
    assert len(problems) == 6
    assert all("unknown label 'bare' (known: with_mask, " in line for line in problems)


def test_a_label_that_the_recipe_leaves_out_is_not_trained_on(command, fit, tmp_path) -> None:
    root = portraits(tmp_path, ("with_mask", "incorrect_mask"), count=30)
    data = tmp_path / "store"
    assert command("prepare", root, "--val-fraction", "0.4", "--out", data).code == 0
    said = fit(data=data)
    assert said.code == 2
    [line] = said.errors
    assert "no training face is labelled without_mask" in line


def test_swapped_corners_are_named_and_cost_only_that_box(command, tmp_path) -> None:
    root = tmp_path / "street"
    save(root / "images" / "0.png", picture(0))
    boxes = [(10, 10, 40, 40), (80, 70, 50, 40)]
    objects = "".join(
        f"<object><name>with_mask</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
        f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for a, b, c, d in boxes
    )
    (root / "annotations").mkdir()
    (root / "annotations" / "0.xml").write_text(f"<annotation>{objects}</annotation>")
    said = command("prepare", root, "--out", tmp_path / "store")
    assert said.code == 0
    [named] = [line for line in said.log.splitlines() if "problem: " in line]
    assert named.endswith(
        "street/images/0.png: object 2: box [80, 70, 50, 40] has swapped corners; box skipped"
    )
    [record] = open_store(tmp_path / "store").records
    assert [face.box.as_tuple() for face in record.faces] == [(10, 10, 40, 40)]


@pytest.fixture
def full_disk(tmp_path):
    """A file system of a few hundred kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = f"size={FULL_DISK_BYTES}"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_stops_prepare_and_leaves_the_old_store(command, full_disk, tmp_path) -> None:
    small = portraits(tmp_path / "small", count=4)
    out = ("--out", full_disk / "store")
    assert command("prepare", small, *out).code == 0
    before = open_store(full_disk / "store").sha256
    said = command("prepare", portraits(tmp_path / "large", count=24), *out)
    assert said.code == 2
    assert said.errors == [f"{full_disk / 'store'}: cannot be written: No space left on device"]
    assert open_store(full_disk / "store").sha256 == before
    assert [path.name for path in full_disk.iterdir()] == ["store"]


def test_a_full_disk_stops_fit_which_goes_on_when_there_is_room(fit, full_disk, tmp_path) -> None:
    said = fit(folder=full_disk / "run")
    assert said.code == 2
    [line] = said.errors
    assert line.startswith(f"{full_disk / 'run'}")
    assert "cannot be written" in line
    assert "No space left on device" in line
    room = ["mount", "-o", "remount,size=64M", str(full_disk)]
    subprocess.run(room, check=True)
    assert fit(folder=full_disk / "run").code == 0
    left = {path.name for path in (full_disk / "run").iterdir()}
    assert {"model.keras", "fit.json", "curves.png"} <= left
    assert not any(name.startswith((".", "partial-")) for name in left)


def test_an_output_that_cannot_be_written_is_one_line(command, fit, store, tmp_path) -> None:
    """Below a file no folder can be made, not even by root."""
    (tmp_path / "file").write_text("in the way")
    there = tmp_path / "file" / "below"
    said = command("prepare", portraits(tmp_path), "--out", there)
    assert said.code == 2
    assert said.errors == [f"{there}: cannot be written: {tmp_path / 'file'} is a file"]
    said = fit(folder=there)
    assert said.code == 2
    assert said.errors == [f"{there}: cannot be made: {tmp_path / 'file'} is a file"]
    assert (tmp_path / "file").read_text() == "in the way"


class CuttingHandler(http.server.BaseHTTPRequestHandler):
    """Promises a megabyte, sends a hundred kilobytes and hangs up."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(bytes(100_000))

    def log_message(self, *arguments):
        pass


@pytest.fixture
def cutting_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), CuttingHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def imagenet_from(monkeypatch, tmp_path):
    """Where Keras downloads from, and an empty folder to download to."""
    from keras.src.applications import mobilenet_v2
    from keras.src.backend import config

    home = tmp_path / "keras"
    monkeypatch.setattr(config, "_KERAS_DIR", str(home))

    def serve_from(url):
        monkeypatch.setattr(mobilenet_v2, "BASE_WEIGHT_PATH", url)
        return home

    return serve_from


def test_an_interrupted_download_is_one_line_and_leaves_no_half_file(
    fit, imagenet_from, cutting_server
) -> None:
    home = imagenet_from(cutting_server)
    said = fit(MOBILENET, weights="imagenet")
    assert said.code == 2
    [line] = said.errors
    assert line.startswith("start weights imagenet: cannot be used for MobileNetV2 0.35")
    assert "got only 100000 out of 1000000 bytes" in line
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_a_half_file_of_an_earlier_download_is_named(fit, imagenet_from, tmp_path) -> None:
    """Keras by itself leaves one when it is killed, and takes it for whole in every later run."""
    import keras

    home = imagenet_from("http://127.0.0.1:9/")
    whole = tmp_path / "whole.weights.h5"
    keras.applications.MobileNetV2((96, 96, 3), 0.35, False, None).save_weights(whole)
    half = home / "models" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5"
    half.parent.mkdir(parents=True)
    half.write_bytes(whole.read_bytes()[:100_000])
    said = fit(MOBILENET, weights="imagenet")
    assert said.code == 2
    [line] = said.errors
    assert line.startswith("start weights imagenet: cannot be used for MobileNetV2 0.35")
    assert line.endswith(f"; damaged, so remove it: {half}")
    assert half.stat().st_size == 100_000


def test_a_closed_network_is_one_line(fit, imagenet_from) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        imagenet_from(f"http://127.0.0.1:{probe.getsockname()[1]}/")
        said = fit(MOBILENET, weights="imagenet")
    assert said.code == 2
    [line] = said.errors
    assert "Connection refused" in line


def test_a_damaged_study_is_one_line_and_stays(command, store, tmp_path) -> None:
    pytest.importorskip("optuna", reason="tune's package is not installed")
    recipe, out = tmp_path / "tiny.toml", tmp_path / "tuned"
    recipe.write_text(RECIPE)
    out.mkdir()
    (out / "study.sqlite").write_bytes(b"SQLite format 3\0" + bytes(100))
    said = command("tune", recipe, "--data", store, "--weights", "none", "--out", out)
    assert said.code == 2
    [line] = said.errors
    assert line.startswith(f"{out / 'study.sqlite'}: not the file of a study, or damaged (")
    assert (out / "study.sqlite").read_bytes() == b"SQLite format 3\0" + bytes(100)


def test_a_damaged_store_is_one_line(fit, store, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    records = json.loads((copy / "records.json").read_text())
    (copy / "records.json").write_text(json.dumps(records[:-1]))
    said = fit(data=copy)
    assert said.code == 2
    [line] = said.errors
    assert "is not the file its manifest describes; run 'python -m training prepare' again" in line
