"""Installed models: none, unless a test makes some."""

from __future__ import annotations

import pytest

from edge_app.store.layout import VARIABLE


@pytest.fixture(autouse=True)
def no_installed_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine may itself be a kiosk."""
    monkeypatch.setenv(VARIABLE, "")
