"""The ``check`` command: is everything that the kiosk needs there, and does it work?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import cv2
import numpy as np

from edge_app import pi_health
from edge_app.check_sinks import Status, check_sinks
from edge_app.domain import Image
from edge_app.errors import KioskError, SettingsError
from edge_app.network_permission import ADVICE, network_user, require_network, service_may
from edge_app.rhythm import OFF, LampState
from edge_app.settings import Settings
from edge_app.sinks.indicator import Indicator, open_indicator
from edge_app.sources import open_source
from edge_app.store.check import check_store
from edge_app.store.keys import FOLDER
from edge_app.store.layout import SHORT, store_folder
from edge_app.trial import try_model
from edge_app.vision.bundle import Bundle, load_bundle
from edge_app.vision.classifier import Classifier
from edge_app.vision.detector import BundleDetector
from edge_app.vision.interpreter import runtime_name
from edge_app.vision.kernels import kernels
from edge_app.vision.yunet import INPUT_HEIGHT, INPUT_WIDTH, YuNet, is_yunet, model_hash

LAMP_SECONDS = 0.7
"""How long each lamp is lit: long enough to look up, short enough to wait for four."""

HOT_CELSIUS = 80.0
"""A Raspberry Pi slows down from here on (Raspberry Pi documentation, "Frequency management")."""

BUILT_IN_ONLY = ("tflite-runtime",)
"""Runtimes whose published wheels run INT8 models without XNNPACK (2.14.0, measured)."""

NOT_A_PI = "not a Raspberry Pi"

Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found, and what to do about it."""

    name: str
    status: Status
    detail: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.status:<7}  {self.name:<17}  {self.detail}{advice}"


def run_check(settings: Settings, out: TextIO) -> int:
    """Run all checks, one line each.

    Returns:
        0 if none failed, else 1.
    """
    failed = 0
    for result in checks(settings):
        print(result, file=out, flush=True)
        failed += result.status == "FAIL"
    print(f"{failed} failed" if failed else "all well", file=out)
    return 1 if failed else 0


def checks(settings: Settings) -> Iterator[Result]:
    """All checks in order; each is done when its result is asked for."""
    yield check_runtime()
    detect, classify = settings.detector, settings.classifier
    if is_yunet(detect.bundle):
        yield check_yunet(Path(detect.bundle))
    else:
        yield from check_model("detector", "detect", detect.bundle, detect.threads)
    yield from check_model("classifier", "classify", classify.bundle, classify.threads)
    for name, status, detail in check_store(store_folder(), FOLDER):
        yield Result(name, status, detail)
    yield check_source(settings)
    yield check_pins(settings)
    yield check_network(settings)
    for name, status, detail in check_sinks(settings):
        yield Result(name, status, detail)
    yield from check_pi()


def check_runtime() -> Result:
    """Whether there is a TFLite runtime, and which."""
    try:
        return Result("runtime", "ok", runtime_name())
    except KioskError as error:
        return Result("runtime", "FAIL", str(error))


def check_model(role: str, task: str, name: str, threads: int) -> Iterator[Result]:
    """Whether a bundle is whole and runs, and on which kernels."""
    label = f"{role} bundle"
    try:
        try_model(task, name)
        bundle = load_bundle(name, task, threads)
        _run_once(bundle)
    except KioskError as error:
        yield Result(label, "FAIL", str(error))
        return
    card = bundle.card
    size = f"{card.input_width}x{card.input_height}"
    detail = f"{card.name} {size}, sha256 {card.sha256[:12]}... as on its card"
    yield Result(label, "ok", f"{detail}, version {card.version[:SHORT]}")
    yield check_kernels(f"{role} kernels", bundle)


def check_yunet(model: Path) -> Result:
    """Whether OpenCV runs YuNet."""
    try:
        try_model("detect", str(model))
        YuNet(model)
    except KioskError as error:
        return Result("detector bundle", "FAIL", str(error))
    digest = model_hash(model)
    detail = (
        f"YuNet {INPUT_WIDTH}x{INPUT_HEIGHT}, sha256 {digest[:12]}..., OpenCV {cv2.__version__}"
    )
    return Result("detector bundle", "ok", detail)


def check_kernels(label: str, bundle: Bundle) -> Result:
    """Whether XNNPACK runs the model; without it INT8 models are several times slower."""
    found = kernels(bundle.interpreter)
    detail = f"{found}, {bundle.interpreter.runtime}"
    if found.xnnpack:
        return Result(label, "ok", detail)
    if bundle.interpreter.runtime in BUILT_IN_ONLY:
        return Result(label, "ok", detail, "slower: ai-edge-litert would use XNNPACK")
    return Result(label, "FAIL", detail, "install ai-edge-litert again")


def check_source(settings: Settings) -> Result:
    """Whether the configured source opens and delivers a frame."""
    uri = settings.source.uri
    begin = time.monotonic()
    try:
        with open_source(uri, settings.source) as source:
            frame = source.read()
            seconds = time.monotonic() - begin
            name = source.name
    except KioskError as error:
        return Result("source", "FAIL", str(error))
    if frame is None:
        return Result("source", "FAIL", f"source {name}: gave no frame")
    height, width = frame.image.shape[:2]
    return Result("source", "ok", f"{name}: {width}x{height}, first frame after {seconds:.1f} s")


def check_pins(settings: Settings, sleep: Sleep = time.sleep) -> Result:
    """Light every lamp in turn, then the buzzer; somebody has to look and listen."""
    if settings.indicator.pins == "none":
        return Result("pins", "skipped", 'indicator.pins is "none"')
    try:
        with open_indicator(settings.indicator) as indicator:
            walked = walk(indicator, sleep)
    except KioskError as error:
        return Result("pins", "FAIL", str(error))
    if settings.indicator.pins == "mock":
        return Result("pins", "ok", f"pretend pins (mock), no lamp lit: {', '.join(walked)}")
    advice = "if one did not light, check its wiring"
    return Result("pins", "ok", f"switched on in turn: {', '.join(walked)}", advice)


def walk(indicator: Indicator, sleep: Sleep) -> list[str]:
    """Switch each output on alone for :data:`LAMP_SECONDS`; the names of those there are."""
    walked = []
    for name in LampState.__dataclass_fields__:
        set_to = indicator.set(LampState(**{name: True}))
        if getattr(set_to, name):
            walked.append(name)
            sleep(LAMP_SECONDS)
    indicator.set(OFF)
    return walked


def check_network(settings: Settings, ask: Callable[[], bool | None] = service_may) -> Result:
    """Whether settings that need the network get it, here and in the installed service."""
    key = network_user(settings)
    if key is None:
        return Result("network", "skipped", "nothing in the settings needs it")
    try:
        require_network(settings)
    except SettingsError as error:
        return Result("network", "FAIL", str(error))
    allowed = ask()
    if allowed is None:
        return Result("network", "ok", f"{key} may use it here; no service is installed")
    if not allowed:
        detail = f"{key} needs the network, which the service may not use"
        return Result("network", "FAIL", detail, f"run: {ADVICE}")
    return Result("network", "ok", f"{key} may use it, here and in the service")


def check_pi() -> Iterator[Result]:
    """Temperature and throttling of a Raspberry Pi."""
    model = pi_health.raspberry_pi_model()
    if model is None:
        yield Result("temperature", "skipped", NOT_A_PI)
        yield Result("throttling", "skipped", NOT_A_PI)
        return
    yield judge_temperature(model, pi_health.temperature())
    yield judge_throttling(pi_health.throttling())


def judge_temperature(model: str, celsius: float | None) -> Result:
    """The result for a processor temperature."""
    if celsius is None:
        return Result("temperature", "FAIL", f"{model}: cannot be read", "update the system")
    detail = f"{model}: {celsius:.1f} degrees C"
    if celsius >= HOT_CELSIUS:
        return Result("temperature", "FAIL", detail, "it slows down: give it air or a cooler")
    return Result("temperature", "ok", detail)


def judge_throttling(flags: list[str] | None) -> Result:
    """The result for what :func:`pi_health.throttling` found."""
    if flags is None:
        advice = "install vcgencmd (package raspi-utils), and add the user to the group video"
        return Result("throttling", "FAIL", "cannot be read", advice)
    if not flags:
        return Result("throttling", "ok", "none since boot")
    todo = []
    if any("voltage" in flag for flag in flags):
        todo.append("use the official power supply and a short cable")
    if any("voltage" not in flag for flag in flags):
        todo.append("give it air or a cooler")
    return Result("throttling", "FAIL", ", ".join(flags), "; ".join([*todo, "then restart"]))


def _run_once(bundle: Bundle) -> None:
    card = bundle.card
    picture: Image = np.full((card.input_height, card.input_width, 3), 128, np.uint8)
    if card.task == "detect":
        BundleDetector(bundle).detect(picture)
    else:
        Classifier(bundle).judge(picture)
