"""Installs bundles in the test's own process, and sees what counts afterwards.

Self-tests run in this process, which is quicker; tests/unit/edge_app/test_trial.py has the child.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from edge_app.errors import KioskError
from edge_app.store.install import install
from edge_app.store.overview import show
from edge_app.trial import compare_with_export
from edge_app.vision.bundle import load_bundle
from tests.model_bundles import DETECTOR, Models


def put_in(models: Models, bundle: Path) -> str:
    out = io.StringIO()
    assert install(bundle, models.store, models.keys, out, compare_with_export) == 0
    return out.getvalue()


def in_use(name: str = DETECTOR) -> str:
    task = "detect" if name == DETECTOR else "classify"
    return load_bundle(name, task).card.version


def refused(models: Models, bundle: Path, kind: type[KioskError], words: str) -> None:
    """A refusal leaves the model in use, and no trace."""
    before, files = in_use(), sorted(models.store.rglob("*"))
    with pytest.raises(kind, match=words) as caught:
        install(bundle, models.store, models.keys, io.StringIO(), compare_with_export)
    assert "\n" not in str(caught.value)
    assert in_use() == before
    assert sorted(models.store.rglob("*")) == files
    assert show(models.store, io.StringIO()) == 0
