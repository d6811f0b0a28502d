"""The status page in a real browser: what building staff see, and what they must never see."""

from __future__ import annotations

import datetime
import json
import shutil
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from edge_app.demo import CLIP
from edge_app.domain import Frame, Observation, Signal, Vitals
from edge_app.pipeline import build_pipeline
from edge_app.settings import Settings, SourceSettings
from edge_app.sinks.web import StatusPage
from edge_app.sources import open_source

PATIENCE_S = 60
TOKEN = "correct-horse-battery-staple"  # noqa: S105 - of no real kiosk

HEADING = "return document.querySelector('#heading [data-text]').textContent"

LONG = "the camera rtsp://" + "x" * 80 + "/ has sent no picture for 17 s, trying again"


@dataclass
class Kiosk:
    """Tells its page something again and again, as the daemon does, until it is silenced."""

    page: StatusPage
    url: str
    said: tuple[Observation, Frame | None] | None = None
    vitals: Vitals = field(default_factory=lambda: Vitals(0.0, fps=15.0))
    silent: bool = False

    def say(self, signal, reason="why", frame=None, faces=()):
        self.said = Observation(0, 0.0, signal, reason, faces), frame
        self.tell()

    def tell(self):
        if not self.silent and self.said is not None:
            self.page.handle(*self.said)
            self.page.report(self.vitals)


@contextmanager
def running(settings, port, events=()):
    """A kiosk whose page listens at a port."""
    settings = replace(settings, web=replace(settings.web, enabled=True, port=port))
    page = StatusPage(settings, lambda: events)
    kiosk = Kiosk(page, f"http://127.0.0.1:{port}")
    ended = threading.Event()

    def tell():
        while not ended.wait(0.1):
            kiosk.tell()

    threads = [threading.Thread(target=page.serve), threading.Thread(target=tell)]
    for thread in threads:
        thread.start()
    try:
        while page.address is None:
            assert threads[0].is_alive()
            time.sleep(0.01)
        yield kiosk
    finally:
        ended.set()
        page.close()
        for thread in threads:
            thread.join()


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def settings():
    """The default ones; only silence is noticed sooner."""
    default = Settings()
    return replace(default, policy=replace(default.policy, stale_s=0.5))


@pytest.fixture
def kiosk(settings, port):
    with running(settings, port) as kiosk:
        yield kiosk


@pytest.fixture(scope="module")
def seen():
    """What the shipped models see at the end of the clip: a face with a mask, and its frame."""
    pipeline, newest = build_pipeline(Settings()), None
    with open_source(str(CLIP), SourceSettings()) as source:
        while (frame := source.read()) is not None:
            newest = pipeline.step(frame), frame
    assert newest is not None
    assert newest[0].signal is Signal.COMPLIANT
    return newest


@pytest.fixture(scope="module")
def chromium():
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(programs[1]))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium):
    """The browser, without cookies, logs and settings of the test before."""
    chromium.execute_cdp_cmd("Network.enable", {})
    chromium.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    chromium.execute_cdp_cmd("Network.clearBrowserCookies", {})
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    chromium.get("about:blank")
    for kind in ("performance", "browser"):
        chromium.get_log(kind)
    return chromium


def until(browser, ready):
    return WebDriverWait(browser, PATIENCE_S, poll_frequency=0.1).until(lambda _: ready())


def until_heading(browser, heading):
    until(browser, lambda: browser.execute_script(HEADING) == heading)


def lamps(browser):
    """How bright the lamps are: red, amber, green, 0 to 1."""
    return browser.execute_script(
        "return ['red', 'amber', 'green'].map(lamp =>"
        " Number(getComputedStyle(document.querySelector('.lamp-' + lamp)).opacity))"
    )


def still(browser):
    """Ask for less motion: the lamps then show what they light, without blinking."""
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def resize(browser, width, height=800):
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def test_the_page_follows_the_light(browser, kiosk, seen) -> None:
    still(browser)
    kiosk.say(Signal.IDLE, "nobody in view")
    browser.get(kiosk.url)
    assert browser.execute_script(HEADING) == "Ready"
    observation, frame = seen
    kiosk.say(Signal.NO_MASK, "1 person without", frame, observation.faces)
    until_heading(browser, "No mask")
    assert browser.title == "No mask – Mask kiosk"
    assert lamps(browser) == [1, 0, 0]
    picture = "return document.getElementById('picture')"
    until(browser, lambda: browser.execute_script(f"{picture}.naturalWidth") == 640)
    before = browser.execute_script(f"{picture}.src")
    until(browser, lambda: browser.execute_script(f"{picture}.src") != before)
    kiosk.said = seen
    until_heading(browser, "Masks worn properly")
    assert lamps(browser) == [0, 0, 1]
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_signal_is_announced_when_it_changes_and_only_then(browser, kiosk) -> None:
    kiosk.say(Signal.IDLE, "nobody in view")
    browser.get(kiosk.url)
    browser.execute_script(
        "window.said = []; new MutationObserver(() =>"
        " said.push(document.getElementById('announcement').textContent))"
        ".observe(document.getElementById('announcement'), {childList: true})"
    )
    for count in range(3):
        kiosk.say(Signal.NO_MASK, f"{count} people")
        until(browser, lambda n=count: f"{n} people" in browser.page_source)
    assert browser.execute_script("return said") == ["No mask. 0 people."]


def test_a_silent_kiosk_is_out_of_order(browser, kiosk, seen) -> None:
    still(browser)
    kiosk.said = seen
    kiosk.tell()
    browser.get(kiosk.url)
    until_heading(browser, "Masks worn properly")
    kiosk.silent = True
    until_heading(browser, "Out of order")
    assert lamps(browser) == [1, 1, 0]
    assert not browser.find_element(By.ID, "picture").is_displayed()
    kiosk.silent = False
    until_heading(browser, "Masks worn properly")


def test_a_page_that_lost_its_kiosk_says_so_and_recovers(browser, settings, port, seen) -> None:
    still(browser)
    with running(settings, port) as kiosk:
        kiosk.said = seen
        browser.get(kiosk.url)
        until_heading(browser, "Masks worn properly")
    until_heading(browser, "No connection to the kiosk")
    assert lamps(browser) == [0, 0, 0]
    assert browser.title == "No connection to the kiosk – Mask kiosk"
    assert not browser.find_element(By.ID, "picture").is_displayed()
    with running(settings, port) as kiosk:
        kiosk.say(Signal.INCORRECT)
        until_heading(browser, "Mask not worn properly")


def test_a_page_whose_script_died_covers_what_was_true_once(browser, kiosk) -> None:
    kiosk.say(Signal.COMPLIANT)
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/app.js"]})
    browser.get(kiosk.url)
    cover = browser.find_element(By.CSS_SELECTOR, ".expired")
    assert not cover.is_displayed()
    until(browser, cover.is_displayed)
    assert "This page has stopped" in cover.text
    panel = browser.find_element(By.ID, "light").rect
    inside = panel["width"] - 4, panel["height"] - 4  # less its border
    assert (cover.rect["width"], cover.rect["height"]) == pytest.approx(inside, abs=1)


def test_a_living_script_keeps_the_cover_away(browser, kiosk) -> None:
    kiosk.say(Signal.COMPLIANT)
    browser.get(kiosk.url)
    light = browser.find_element(By.ID, "light")
    for beat in ("b", "a", "b"):
        until(browser, lambda b=beat: light.get_attribute("data-beat") == b)
        # The countdown began anew, by the browser's own account of its animations.
        names = browser.execute_script(
            "return document.getAnimations().map(a => a.animationName)"
            ".filter(name => name.startsWith('expire'))"
        )
        assert names == [f"expire-{beat}"]


def test_without_any_script_the_page_loads_itself_again(browser, kiosk) -> None:
    kiosk.say(Signal.IDLE)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(kiosk.url)
    assert browser.title == "Ready – Mask kiosk"
    kiosk.say(Signal.NO_MASK)
    until(browser, lambda: browser.title == "No mask – Mask kiosk")


def test_the_lamps_blink_unless_less_motion_is_wanted(browser, kiosk) -> None:
    kiosk.say(Signal.NO_MASK)
    browser.get(kiosk.url)
    blinking = (
        "return document.getAnimations().filter(a => a.animationName === 'no_mask-red').length"
    )
    assert browser.execute_script(blinking) == 1
    still(browser)
    until(browser, lambda: browser.execute_script(blinking) == 0)
    assert lamps(browser) == [1, 0, 0]


def event(signal):
    begin = datetime.datetime(2026, 9, 30, 23, 59, tzinfo=datetime.UTC)
    return SimpleNamespace(
        begin=begin, duration_s=7260.0, state="ended", kind="signal", name=signal, people=20
    )


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_no_width_needs_sideways_scrolling(browser, settings, port, seen, width) -> None:
    resize(browser, width)
    try:
        with running(settings, port, [event(signal) for signal in Signal]) as kiosk:
            kiosk.vitals = Vitals(
                0.0, 15.0, latency_ms={"p50": 1234.5, "p99": 12345.6}, temperature_c=81.2,
                throttled=("under-voltage now", "soft temperature limit since boot"),
                troubles={"camera": LONG},
            )  # fmt: skip
            for signal in Signal:
                kiosk.say(signal, LONG, seen[1], seen[0].faces)
                time.sleep(0.3)  # what the page shows is shared for a moment
                browser.get(kiosk.url)
                assert browser.execute_script("return window.innerWidth") == width
                wide = "return document.documentElement.scrollWidth - window.innerWidth"
                assert browser.execute_script(wide) <= 0
                beside = browser.execute_script(
                    "return [...document.querySelectorAll('main *')].filter(e =>"
                    " e.getBoundingClientRect().right > window.innerWidth"
                    " && !e.closest('svg, .visually-hidden')).map(e => e.outerHTML)"
                )
                assert beside == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture
def locked(settings, port, tmp_path):
    """A kiosk that asks for a token."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    web = replace(settings.web, token_file=str(file))
    with running(replace(settings, web=web), port) as kiosk:
        kiosk.say(Signal.COMPLIANT)
        yield kiosk


def type_token(browser, token):
    """Type into the form as it opens: the field must have the focus by itself."""
    focus = "return document.activeElement.id"
    until(browser, lambda: browser.execute_script(focus) == "token")
    browser.switch_to.active_element.send_keys(token + Keys.ENTER)


def sign_in(browser, kiosk):
    browser.get(kiosk.url)
    type_token(browser, TOKEN)
    until(browser, lambda: browser.current_url == f"{kiosk.url}/")
    until_heading(browser, "Masks worn properly")


def test_signing_in_and_out_with_the_keyboard_alone(browser, locked) -> None:
    browser.get(locked.url)
    assert browser.current_url == f"{locked.url}/login"
    type_token(browser, "wrong")
    said = "return document.getElementById('wrong').innerText"
    until(browser, lambda: browser.execute_script(said).startswith("This is not the token."))
    sign_in(browser, locked)
    assert browser.execute_script("return document.cookie") == "", "out of any script's reach"
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    button = browser.switch_to.active_element
    assert button.text == "Sign out"
    assert button.value_of_css_property("outline-style") == "solid"
    assert button.value_of_css_property("outline-width") == "3px"
    button.send_keys(Keys.ENTER)
    until(browser, lambda: browser.current_url == f"{locked.url}/login")


def test_an_open_page_whose_session_ended_asks_to_sign_in(browser, locked) -> None:
    sign_in(browser, locked)
    browser.delete_all_cookies()
    until(browser, lambda: browser.current_url == f"{locked.url}/login")


def test_a_screen_reader_finds_its_way(browser, locked, seen) -> None:
    sign_in(browser, locked)
    locked.said = seen
    locked.vitals = Vitals(0.0, troubles={"journal": "full"})
    until(browser, lambda: browser.find_element(By.ID, "troubles").is_displayed())
    until(browser, lambda: browser.find_element(By.ID, "picture").is_displayed())
    named = roles(browser)
    for landmark in ("banner", "main", "contentinfo"):
        assert landmark in [role for role, _ in named]
    assert [name for role, name in named if role == "region"] == [
        "Masks worn properly", "Needs attention", "Camera", "Last events", "Health",
    ]  # fmt: skip
    assert ("image", "What the camera sees now, with a box and a word for every face") in named
    assert ("button", "Sign out") in named
    headings = browser.find_elements(By.CSS_SELECTOR, "h1, h2, h3, h4, h5, h6")
    assert [heading.tag_name for heading in headings] == ["h1"] + ["h2"] * 5
    live = browser.find_element(By.ID, "announcement")
    assert (live.get_attribute("role"), live.get_attribute("aria-live")) == ("status", "polite")
    browser.get(f"{locked.url}/login")
    assert ("textbox", "Token") in roles(browser)


def roles(browser):
    """Role and name of everything that assistive technology is shown, in order."""
    tree = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    return [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node["ignored"]
    ]


def test_everything_comes_from_the_kiosk(browser, kiosk, seen) -> None:
    kiosk.said = seen
    kiosk.tell()
    browser.get(kiosk.url)
    picture = "return document.getElementById('picture').src"
    until(browser, lambda: "?" in browser.execute_script(picture))
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert all(url.startswith(kiosk.url + "/") for url in asked)
    paths = {url.removeprefix(kiosk.url).partition("?")[0] for url in asked}
    assert {"/", "/style.css", "/app.js", "/preview.jpg", "/api/status.json"} <= paths
