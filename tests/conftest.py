"""Fixtures that every test may use, and the rules for what this machine cannot run."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from gpiozero.pins.mock import MockFactory

from tests.disks import card, disk
from tests.model_bundles import models, no_installed_models
from tests.services import clip, no_service, service, systemd
from tests.tiny_models import paint, tiny, tiny_settings

__all__ = [
    "card",
    "clip",
    "disk",
    "models",
    "no_installed_models",
    "no_service",
    "paint",
    "service",
    "systemd",
    "tiny",
    "tiny_settings",
]

ROOT = Path(__file__).resolve().parent.parent

SHARED = ROOT.parent / "shared"
"""Real data beside the checkout; not part of the repository."""

REQUIRE_SHARED = "MASK_KIOSK_REQUIRE_SHARED"
"""Set to 1, missing real data is a failure instead of a skip (CI does)."""

HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None
"""Without TensorFlow only the device half is tested (``make test-tflite-runtime``)."""


# Speed is measured in benchmarks, and a machine that is busy elsewhere is no failure.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


def pytest_report_header() -> list[str]:
    lines = []
    if not HAS_TENSORFLOW:
        lines.append("TensorFlow is not installed: the training half's tests are left out")
    if not SHARED.is_dir():
        lines.append("no ../shared: tests on its real data are skipped")
    return lines


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    if not HAS_TENSORFLOW and collection_path == ROOT / "tests" / "unit" / "training":
        return True
    return None


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def tiny_recipe(root: Path) -> str:
    """A classifier's recipe, which expects one data set, ``people``."""
    return (root / "tests" / "data" / "tiny_classifier.toml").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; without it the test skips, or fails where it is required."""
    if SHARED.is_dir():
        return SHARED
    if os.environ.get(REQUIRE_SHARED) == "1":
        pytest.fail(f"{REQUIRE_SHARED}=1, but there is no ../shared beside the repository")
    pytest.skip("needs the real data in ../shared")


@pytest.fixture
def mock_factory() -> Iterator[MockFactory]:
    """gpiozero's pretend pins; every pin records the states that it went through."""
    factory = MockFactory()
    yield factory
    factory.reset()
