"""Bundles to install, keys that sign them, and a store to install them into."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_app.store.layout import VARIABLE
from edge_app.vision import bundle
from edge_app.vision.bundle import load_bundle
from edge_app.vision.selftest import make, packed

DETECTOR, CLASSIFIER = "tiny_detector", "tiny_classifier"


class Signer:
    """A key as ``minisign -G`` makes it, that signs as ``minisign -S`` does."""

    def __init__(self) -> None:
        ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
        self.key_id = os.urandom(8)
        self._key = ed25519.Ed25519PrivateKey.generate()

    @property
    def id(self) -> str:
        return f"{int.from_bytes(self.key_id, 'little'):X}"

    def public(self) -> str:
        raw = b"Ed" + self.key_id + self._key.public_key().public_bytes_raw()
        coded = base64.b64encode(raw).decode()
        return f"untrusted comment: minisign public key {self.id}\n{coded}\n"

    def sign(self, content: bytes, comment: str = "for tests", *, hashed: bool = True) -> str:
        signed = hashlib.blake2b(content).digest() if hashed else content
        signature = self._key.sign(signed)
        both = self._key.sign(signature + comment.encode())
        raw = (b"ED" if hashed else b"Ed") + self.key_id + signature
        return (
            f"untrusted comment: signature from a test\n{base64.b64encode(raw).decode()}\n"
            f"trusted comment: {comment}\n{base64.b64encode(both).decode()}\n"
        )

    def trust(self, folder: Path) -> Path:
        """Install the public key."""
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        path = folder / f"{self.id}.pub"
        path.write_text(self.public())
        path.chmod(0o644)
        return path


@dataclass
class Models:
    """A kiosk's models: the shipped ones are the tiny ones, the store is empty.

    Attributes:
        store: The folder of installed models; does not exist yet.
        keys: Holds the public key of ``signer``.
        shipped: What stands for the application's own folder of models.
        made: Folders of bundles, by what was made.
    """

    tmp_path: Path
    source: Path
    signer: Signer
    store: Path
    keys: Path
    shipped: Path
    made: int = 0
    versions: dict[Path, str] = field(default_factory=dict)

    def bundle(
        self,
        name: str = DETECTOR,
        change: Mapping[str, Any] | None = None,
        source: Path | None = None,
    ) -> Path:
        """A whole, signed bundle in a folder of its own; ``change`` makes another version."""
        self.made += 1
        folder = self.tmp_path / f"bundle-{self.made}"
        folder.mkdir()
        model = (source or self.source) / f"{name}.tflite"
        card = json.loads(model.with_suffix(".json").read_text()) | dict(change or {})
        card.pop("selftest", None)
        shutil.copy(model, folder)
        self._card(folder, name, card)
        test = self_test(folder / f"{name}.tflite", card["task"])
        (folder / f"{name}.selftest.npz").write_bytes(test)
        card["selftest"] = {"sha256": hashlib.sha256(test).hexdigest()}
        self._card(folder, name, card)
        self.sign(folder)
        return folder

    def sign(self, folder: Path, signer: Signer | None = None) -> None:
        [card] = folder.glob("*.json")
        text = (signer or self.signer).sign(card.read_bytes())
        card.with_suffix(".json.minisig").write_text(text)
        self.versions[folder] = hashlib.sha256(card.read_bytes()).hexdigest()

    def version(self, folder: Path) -> str:
        return self.versions[folder]

    @staticmethod
    def _card(folder: Path, name: str, card: Mapping[str, Any]) -> None:
        (folder / f"{name}.json").write_text(json.dumps(card, indent=2))


def self_test(model: Path, task: str) -> bytes:
    """A self-test on noise and greys."""
    opened = load_bundle(model, task)
    size = (opened.card.input_height, opened.card.input_width, 3)
    noise = np.random.default_rng(1).integers(0, 256, size).astype(np.uint8)
    return packed(make(opened, [np.full(size, 90, np.uint8), noise]))


@pytest.fixture(autouse=True)
def no_installed_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine may itself be a kiosk."""
    monkeypatch.setenv(VARIABLE, "")


@pytest.fixture
def models(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, no_installed_models: None
) -> Models:
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    for name in (DETECTOR, CLASSIFIER):
        for suffix in (".tflite", ".json"):
            shutil.copy(tiny / f"{name}{suffix}", shipped)
    monkeypatch.setattr(bundle, "MODELS_DIR", shipped)
    store, keys, signer = tmp_path / "store", tmp_path / "keys", Signer()
    monkeypatch.setenv(VARIABLE, str(store))
    signer.trust(keys)
    return Models(tmp_path, tiny, signer, store, keys, shipped)
