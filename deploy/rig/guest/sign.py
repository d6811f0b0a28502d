"""Be the owner of a fleet: make a key, trust it, sign the cards of bundles: sign.py KEYS CARD...

The formats are those of minisign. Runs on the device's own Python, which has cryptography.
"""

import base64
import hashlib
import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

COMMENT = "the rig's"


def line(raw: bytes) -> str:
    """Bytes as a line of text."""
    return base64.b64encode(raw).decode() + "\n"


key, number = Ed25519PrivateKey.generate(), os.urandom(8)
keys = Path(sys.argv[1])
keys.mkdir(exist_ok=True)
public = b"Ed" + number + key.public_key().public_bytes_raw()
(keys / "rig.pub").write_text("untrusted comment: key of the rig\n" + line(public))
for card in map(Path, sys.argv[2:]):
    signature = key.sign(hashlib.blake2b(card.read_bytes()).digest())
    card.with_name(card.name + ".minisig").write_text(
        "untrusted comment: signature of the rig\n"
        + line(b"ED" + number + signature)
        + f"trusted comment: {COMMENT}\n"
        + line(key.sign(signature + COMMENT.encode()))
    )
