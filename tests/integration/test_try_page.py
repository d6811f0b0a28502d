"""``python -m training try`` in a real browser: headless Chromium against the real server.

The server runs in a folder of its own with an untrained float model in ``build/runs``: its heat
map explains nothing, but shows that heat maps reach the page.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.demo import CLIP
from edge_app.domain import Frame
from edge_app.replay import replay_pipeline
from edge_app.settings import load_settings
from edge_app.vision.annotate import annotate, describe
from edge_app.vision.bundle import find_bundle, read_card

pytest.importorskip("streamlit", reason="streamlit is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")
pytest.importorskip("tensorflow", reason="the training half's packages are not installed")
pytest.importorskip("skimage", reason="the training half's packages are not installed")

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from skimage import data as skimage_data

from training.cli import main

TIME_LIMIT = 300
"""Seconds after which something hangs; on a busy machine a page takes many."""

SEED = 1
"""Of the untrained model; with some others nothing in a picture speaks for a label."""

SHOWN_ERROR = 8.0
"""The page's pictures are JPEGs: grey levels that they may differ on average."""


@dataclass
class Page:
    """The running server."""

    url: str
    folder: Path


@pytest.fixture(scope="module")
def page(tmp_path_factory, root):
    """The server, started as a user starts it."""
    folder = tmp_path_factory.mktemp("site")
    save_float_model(folder / "build" / "runs" / "mask_classifier")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "training", "try", "--port", str(port)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(port, server, folder / "log")
        yield Page(f"http://127.0.0.1:{port}", folder)
    finally:
        server.terminate()
        server.wait(TIME_LIMIT)


def save_float_model(run):
    """An untrained model like the shipped classifier's, as a finished run leaves it."""
    import keras

    from training.models.classifier import build_classifier

    keras.utils.set_random_seed(SEED)
    card = read_card(find_bundle("mask_classifier"))
    run.mkdir(parents=True)
    build_classifier(card.input_width, 0.35, len(card.labels), 0.0, None).save(run / "model.keras")
    (run / "fit.json").write_text(json.dumps(card.raw["training"]))


def wait_for(port, server, log):
    deadline = time.monotonic() + TIME_LIMIT
    while True:
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return


@pytest.fixture(scope="module")
def chromium():
    """A headless browser that writes down every address it asks for."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.add_argument("--window-size=1400,1000")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(programs[1]))
    yield driver
    driver.quit()


@pytest.fixture
def drop(chromium, page):
    """Opens the page, drops a file on it, and waits until the page says something of it."""

    def drop_file(file):
        chromium.get(page.url)
        wait(chromium, "input[type=file]")[0].send_keys(str(file))

    return drop_file


def wait(browser, selector, count=1):
    """The elements of a selector, once there are so many."""

    def ready(driver):
        found = driver.find_elements(By.CSS_SELECTOR, selector)
        return found if len(found) >= count else None

    return WebDriverWait(browser, TIME_LIMIT).until(ready)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A real portrait: scikit-image's astronaut."""
    file = tmp_path_factory.mktemp("photos") / "eileen (1).png"
    assert cv2.imwrite(str(file), skimage_data.astronaut()[:, :, ::-1])
    return file


def test_a_photo_shows_boxes_verdicts_and_heat_map(drop, photo, chromium, tmp_path) -> None:
    image = skimage_data.astronaut()
    seen = replay_pipeline(load_settings(None)).judge_alone(Frame(image, 0.0, 0))
    assert len(seen.faces) == 1
    drop(photo)
    pictures = wait(chromium, "[data-testid=stImage] img", 3)
    WebDriverWait(chromium, TIME_LIMIT).until(
        lambda driver: "Heat map: Grad-CAM" in driver.find_element(By.TAG_NAME, "body").text
    )
    text = chromium.find_element(By.TAG_NAME, "body").text
    assert f"Face 1: {describe(seen.faces[0])}" in text
    for state, probability in seen.faces[0].verdict.probabilities.items():
        assert f"{state.value.replace('_', ' ')} {probability:.1%}" in text
    shown, crop, heat = [fetch(picture) for picture in pictures]
    assert shown.shape == image.shape
    assert np.abs(shown.astype(int) - annotate(image, seen)).mean() < SHOWN_ERROR
    assert crop.shape == heat.shape
    assert np.abs(crop.astype(int) - heat).max() > 3 * SHOWN_ERROR
    assert chromium.save_screenshot(str(tmp_path / "photo.png"))


def fetch(picture):
    """What an <img> shows, RGB."""
    with urllib.request.urlopen(picture.get_attribute("src")) as answer:  # noqa: S310 - from our page
        return cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def test_a_clip_plays_annotated_beside_its_timeline(drop, chromium) -> None:
    drop(CLIP)
    video = wait(chromium, "video")[0]
    WebDriverWait(chromium, TIME_LIMIT).until(
        lambda driver: driver.execute_script("return arguments[0].readyState", video) >= 2
    )
    length = chromium.execute_script("return arguments[0].duration", video)
    assert length == pytest.approx(9.8, abs=0.3)
    rows = wait(chromium, "[data-testid=stTable] tbody tr")
    signals = [row.text.split()[3] for row in rows]
    assert signals == ["IDLE", "NO_MASK", "INCORRECT", "COMPLIANT"]
    assert rows[1].text.endswith("1 person without a mask (of 1 in view)")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("notes.jpg", b"not a picture", "notes.jpg: not an image that can be read"),
        ("empty.png", b"", "empty.png: the file is empty (0 bytes)"),
        (
            "cut.mp4",
            CLIP.read_bytes()[: CLIP.stat().st_size // 2],
            "cut.mp4: no frame can be decoded: the file is cut off; copy or record it again",
        ),
    ],
)
def test_a_bad_upload_is_one_clear_line(drop, chromium, tmp_path, name, content, said) -> None:
    (tmp_path / name).write_bytes(content)
    drop(tmp_path / name)
    [alert] = wait(chromium, "[data-testid=stAlert]")
    assert alert.text.splitlines()[-1] == said
    assert not chromium.find_elements(By.CSS_SELECTOR, "[data-testid=stException]")


def test_page_and_pictures_come_from_this_machine_alone(drop, chromium, photo) -> None:
    chromium.get_log("performance")  # what earlier tests asked for
    drop(photo)
    wait(chromium, "[data-testid=stImage] img")
    events = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    asked = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert any(url.startswith("http://127.0.0.1:") for url in asked)
    elsewhere = [u for u in asked if not u.startswith(("http://127.0.0.1:", "data:", "blob:"))]
    assert elsewhere == []


def test_a_port_in_use_is_one_line(capsys) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["try", "--port", str(port)]) == 2
    assert f"cannot serve on 127.0.0.1 port {port}: " in capsys.readouterr().err


def test_a_missing_bundle_is_one_line(capsys) -> None:
    assert main(["try", "--classifier", "nowhere"]) == 2
    assert "no model bundle at nowhere.tflite" in capsys.readouterr().err
