"""Makes the pictures of the status page in docs/images, in a real headless Chromium.

python -m docs.make_screenshots [FOLDER]

Needs chromium, chromedriver and selenium: ``make screenshots``. What the page shows is real: the
bundled clip went through the shipped models. Events, temperature and rates are made up.
"""

from __future__ import annotations

import datetime
import io
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from docs.pictures import replace_if_changed
from edge_app.demo import CLIP
from edge_app.domain import Frame, Observation, Signal, Vitals
from edge_app.pipeline import build_pipeline
from edge_app.settings import Settings, replace_settings
from edge_app.sinks.web import StatusPage
from edge_app.sources import open_source

FOLDER = Path(__file__).resolve().parent / "images"

SIZES = {"phone": (360, 800, 1.5), "desktop": (1280, 860, 1.0)}
"""Width and height in CSS pixels, and how many of the screen's pixels one of them has."""

MOMENTS = {"no-mask": 2.5, "compliant": 8.0}
"""Seconds of the clip at which it shows what the picture is named after."""

COLOURS = 200
"""The pictures get a palette of so many colours: a third of the size, and little to see of it."""

EVENTS = (  # seconds ago, seconds long, what
    (70, 9, Signal.COMPLIANT, 1),
    (81, 11, Signal.NO_MASK, 1),
    (640, 25, Signal.COMPLIANT, 2),
    (1520, 6, Signal.INCORRECT, 1),
    (1535, 8, Signal.COMPLIANT, 1),
    (4210, 14, Signal.COMPLIANT, 3),
    (5025, 19, Signal.COMPLIANT, 1),
    (7440, 4, Signal.NO_MASK, 2),
    (9105, 31, Signal.COMPLIANT, 2),
)


@dataclass(frozen=True)
class Moment:
    """What the page is given: as the daemon does."""

    observation: Observation
    frame: Frame | None
    vitals: Vitals


def clip_moments(settings: Settings) -> dict[str, Moment]:
    """The clip's moments, judged by the shipped models, and a fault."""
    found: dict[str, Moment] = {}
    vitals = Vitals(0.0, 15.0, 51_240, 3, {"p50": 21.0, "p99": 38.0, "max": 55.0}, 52.0, ())
    pipeline = build_pipeline(settings)
    with open_source(str(CLIP), settings.source) as source:
        while (frame := source.read()) is not None:
            observation = pipeline.step(frame)
            for name, at in MOMENTS.items():
                if name not in found and frame.time >= at:
                    found[name] = Moment(observation, frame, vitals)
    why = "camera /dev/video0 has sent no picture for 3 s"
    fault = Observation(0, 0.0, Signal.FAULT, why)
    found["fault"] = Moment(
        fault, None, replace(vitals, fps=0.0, troubles={"camera": why + ", trying again"})
    )
    return found


def recent_events() -> list[SimpleNamespace]:
    now = datetime.datetime.now(datetime.UTC)
    return [
        SimpleNamespace(
            begin=now - datetime.timedelta(seconds=ago),
            duration_s=float(long),
            state="ended",
            kind="signal",
            name=signal.value,
            people=people,
        )
        for ago, long, signal, people in EVENTS
    ]


@contextmanager
def serving(page: StatusPage, moments: dict[str, Moment], shown: list[str]) -> Iterator[str]:
    """Serve the page at the address given, telling it again and again what ``shown[0]`` names."""
    stop = threading.Event()

    def tell() -> None:
        while not stop.wait(0.1):
            moment = moments[shown[0]]
            page.handle(moment.observation, moment.frame)
            page.report(moment.vitals)

    threads = [threading.Thread(target=work, daemon=True) for work in (page.serve, tell)]
    for thread in threads:
        thread.start()
    try:
        while (address := page.address) is None:
            time.sleep(0.01)
        yield "http://{}:{}/".format(*address)
    finally:
        stop.set()
        page.close()
        for thread in threads:
            thread.join()


def open_browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "hide-scrollbars"):
        options.add_argument(f"--{argument}")
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def take(browser: webdriver.Chrome, url: str, size: str, scheme: str, file: Path) -> None:
    """One screenshot of the whole page; a file that shows the same stays as it is."""
    width, height, ratio = SIZES[size]
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        # A still picture cannot blink: with less motion the page shows the lamps lit.
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(url)
    time.sleep(2.5)  # two polls, two pictures
    whole = browser.execute_script("return document.documentElement.scrollHeight")
    metrics["height"] = whole
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    time.sleep(0.5)
    with Image.open(io.BytesIO(browser.get_screenshot_as_png())) as picture:
        if replace_if_changed(file, picture, COLOURS):
            print(file)


def main(folder: Path) -> None:
    settings = replace_settings(Settings(), {"web.enabled": True, "web.port": 8099})
    moments = clip_moments(settings)
    page = StatusPage(settings, recent_events)
    shown = ["no-mask"]
    browser = open_browser()
    try:
        with serving(page, moments, shown) as url:
            for name in moments:
                shown[0] = name
                time.sleep(0.5)
                for size in SIZES:
                    take(browser, url, size, "light", folder / f"status-{name}-{size}.png")
            shown[0] = "compliant"
            take(browser, url, "desktop", "dark", folder / "status-compliant-dark.png")
    finally:
        browser.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
