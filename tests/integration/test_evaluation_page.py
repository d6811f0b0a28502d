"""The HTML report: one file that needs nothing else, read by a parser and by a real browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from edge_app.domain import MaskState

pytest.importorskip("sklearn", reason="the training half's packages are not installed")

from training.cli import main

CHANNEL = {MaskState.WITHOUT_MASK: 0, MaskState.WITH_MASK: 1, MaskState.INCORRECT_MASK: 2}
CHARTS = 4
MISTAKES = 2
TIME_LIMIT = 300

PHONE = 500
"""Pixels; the narrowest window that headless Chromium opens."""

PROBE = """
<script>
const errors = [];
window.addEventListener("error", event => errors.push(String(event.message)), true);
window.addEventListener("load", () => {
  const result = document.createElement("pre");
  result.id = "probe";
  result.textContent = JSON.stringify({
    images: [...document.images].map(image => image.complete ? image.naturalWidth : 0),
    text: document.body.innerText.length,
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    errors,
  });
  document.body.append(result);
});
</script>
"""


class Page(HTMLParser):
    """What a page holds: addresses, images, text, and whether every element is closed."""

    VOID = frozenset({"meta", "link", "img"})

    def __init__(self, text):
        super().__init__()
        self.addresses, self.images, self.words, self.ids, self._open = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self._open, "elements left open"

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.addresses += [values[key] for key in ("src", "href") if key in values]
        if tag == "img":
            self.images.append(values)
        if "id" in values:
            self.ids.append(values["id"])
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Eight faces in class folders, two of them under the wrong name; one name is nasty."""
    root = tmp_path_factory.mktemp("data") / "faces & <b>"
    rng = np.random.default_rng(0)
    for state in MaskState:
        for i in range(3):
            shown = MaskState.INCORRECT_MASK if i == 2 else state
            image = rng.integers(0, 40, (40, 40, 3)).astype(np.uint8)
            image[..., CHANNEL[shown]] += np.uint8(120 + 30 * i)
            path = root / state / f"{i} <i>&amp;.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), image[:, :, ::-1])
    return root


@pytest.fixture(scope="module")
def page(tmp_path_factory, root, data):
    out = tmp_path_factory.mktemp("report")
    bundle = root / "tests" / "data" / "tiny_classifier.tflite"
    assert main(["evaluate", str(bundle), "--data", str(data), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "tiny_classifier.html",
        "tiny_classifier.json",
        "tiny_classifier.md",
    ]
    return out / "tiny_classifier.html"


def test_the_page_is_whole_and_asks_for_nothing_outside_it(page):
    text = page.read_text(encoding="utf-8")
    parsed = Page(text)
    assert all(address.startswith(("data:", "#")) for address in parsed.addresses)
    assert "url(" not in text
    assert "<script" not in text
    kinds = [image["src"].split(";")[0] for image in parsed.images]
    assert kinds == ["data:image/svg+xml"] * CHARTS + ["data:image/jpeg"] * MISTAKES
    assert all(image["alt"] for image in parsed.images)
    targets = [a[1:] for a in parsed.addresses if a.startswith("#")]
    assert targets
    assert set(targets) <= set(parsed.ids)


def test_names_are_shown_as_they_are(page):
    words = " ".join(Page(page.read_text(encoding="utf-8")).words)
    assert "Faces: faces & <b>" in words
    assert "faces & <b>/with_mask/2 <i>&amp;.png" in words
    for heading in ("Confusion, INT8", "By class, INT8", "By size of the face, INT8"):
        assert heading in words


def test_a_detector_s_page_has_its_tables(tmp_path, root, data):
    scene = tmp_path / "rooms" / "a.png"
    scene.parent.mkdir()
    assert cv2.imwrite(str(scene), np.zeros((240, 320, 3), np.uint8))
    bundle = root / "tests" / "data" / "tiny_detector.tflite"
    arguments = ["--negatives", str(scene.parent), "--out", str(tmp_path / "out")]
    assert main(["evaluate", str(bundle), *arguments]) == 0
    parsed = Page((tmp_path / "out" / "tiny_detector.html").read_text(encoding="utf-8"))
    assert "False alarms" in parsed.words
    assert parsed.images == []


def test_a_real_browser_shows_every_picture_without_an_error(page, tmp_path):
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next((found for name in names if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium is installed")
    probed = tmp_path / "probed.html"
    text = page.read_text(encoding="utf-8")
    probed.write_text(text.replace("<body>", f"<body>{PROBE}"), encoding="utf-8")
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={PHONE},900",
            "--virtual-time-budget=5000", "--dump-dom", probed.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert ":CONSOLE" not in done.stderr, done.stderr
    dumped = Page(done.stdout.replace("<script>", "<pre>").replace("</script>", "</pre>"))
    result = json.loads(next(word for word in dumped.words if word.startswith('{"images"')))
    assert result["errors"] == []
    assert len(result["images"]) == CHARTS + MISTAKES
    assert min(result["images"]) > 0
    assert result["overflow"] <= 0, "wide tables scroll by themselves, the page does not"
