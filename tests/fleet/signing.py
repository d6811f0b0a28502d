"""A key that signs model bundles as minisign does, for tests."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

COMMENT = "made by a test"


class Signer:
    """One key pair."""

    def __init__(self, key_id: bytes = b"testtest") -> None:
        self._key = Ed25519PrivateKey.generate()
        self._id = key_id

    @property
    def public(self) -> str:
        """The ``.pub`` file."""
        raw = b"Ed" + self._id + self._key.public_key().public_bytes_raw()
        return f"untrusted comment: a test's key\n{base64.b64encode(raw).decode()}\n"

    def sign(self, path: Path) -> None:
        """Write ``PATH.minisig``."""
        signature = self._key.sign(hashlib.blake2b(path.read_bytes()).digest())
        trusted = self._key.sign(signature + COMMENT.encode())
        coded = base64.b64encode(b"ED" + self._id + signature).decode()
        path.with_name(f"{path.name}.minisig").write_text(
            f"untrusted comment: signature\n{coded}\n"
            f"trusted comment: {COMMENT}\n{base64.b64encode(trusted).decode()}\n"
        )

    def bundle(self, shipped: Path, folder: Path, name: str, note: str) -> Path:
        """A shipped model as another version of itself, signed; its ``.tflite``.

        Args:
            shipped: The folder of shipped models.
            folder: Where the bundle is written.
            name: The model.
            note: What makes its card, and so its version, another one.
        """
        folder.mkdir()
        for suffix in (".tflite", ".selftest.npz"):
            shutil.copy(shipped / f"{name}{suffix}", folder)
        card = json.loads((shipped / f"{name}.json").read_text(encoding="utf-8"))
        card["description"] = f"{card.get('description', '')} {note}".strip()
        path = folder / f"{name}.json"
        path.write_text(json.dumps(card), encoding="utf-8")
        self.sign(path)
        return folder / f"{name}.tflite"


def version(bundle: Path) -> str:
    """The first digits of a bundle's version, as people read it."""
    return hashlib.sha256(bundle.with_suffix(".json").read_bytes()).hexdigest()[:12]
