"""Signatures of the program minisign (https://jedisct1.github.io/minisign/), verified.

A signature file has four lines: an untrusted comment; the signature (algorithm, key id,
Ed25519 signature); a trusted comment; a second signature, over the first one and the trusted
comment. ``ED`` signs the BLAKE2b-512 hash of a file, the older ``Ed`` the file itself.

Only verifying: keys are made and files signed with minisign, on a workstation.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path

from edge_app.errors import MissingPackageError, SignatureError

UNTRUSTED = "untrusted comment:"
TRUSTED = "trusted comment: "
HASHED, PLAIN = b"ED", b"Ed"

KEY_BYTES, ID_BYTES, SIGNATURE_BYTES = 32, 8, 64

MAX_BYTES = 16384
"""Longer than any signature that minisign writes."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are verified with; ``id`` as minisign prints it."""

    id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """What a ``.minisig`` file holds."""

    key_id: str
    is_hashed: bool
    content: bytes
    comment: str
    global_content: bytes


def read_key(text: bytes, where: Path) -> PublicKey:
    """The key in a ``.pub`` file.

    Raises:
        SignatureError: It is none.
    """
    lines = _lines(text, where, "public key")
    coded = [line for line in lines if line.strip() and not line.startswith(UNTRUSTED)]
    if len(coded) != 1:
        raise SignatureError(f"{where}: no minisign public key: it must hold one")
    raw = _decoded(coded[0], 2 + ID_BYTES + KEY_BYTES, where, "public key")
    if raw[:2] != PLAIN:
        raise SignatureError(f"{where}: no Ed25519 key of minisign's; make one: minisign -G")
    return PublicKey(_id(raw[2 : 2 + ID_BYTES]), raw[2 + ID_BYTES :])


def read_signature(text: bytes, where: Path) -> Signature:
    """The signature in a ``.minisig`` file.

    Raises:
        SignatureError: It is none.
    """
    lines = _lines(text, where, "signature")
    if (
        len(lines) != 4
        or not lines[0].startswith(UNTRUSTED)
        or not lines[2].startswith(TRUSTED.rstrip())
    ):
        raise SignatureError(f"{where}: no minisign signature; sign again: minisign -S")
    raw = _decoded(lines[1], 2 + ID_BYTES + SIGNATURE_BYTES, where, "signature")
    if raw[:2] not in (HASHED, PLAIN):
        raise SignatureError(f"{where}: signed in a way that is not known here; use minisign -S")
    return Signature(
        _id(raw[2 : 2 + ID_BYTES]),
        raw[:2] == HASHED,
        raw[2 + ID_BYTES :],
        lines[2][len(TRUSTED) :],
        _decoded(lines[3], SIGNATURE_BYTES, where, "signature of the trusted comment"),
    )


def verify(content: bytes, signature: Signature, key: PublicKey, where: Path) -> None:
    """Make sure that a key signed this content and this trusted comment.

    Raises:
        SignatureError: It did not.
        MissingPackageError: The package that knows Ed25519 is not installed.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise MissingPackageError(
            "a signature's check needs the package cryptography: "
            "sudo apt install python3-cryptography (or pip install cryptography)"
        ) from None
    if signature.key_id != key.id:  # no signature covers it
        raise SignatureError(f"{where}: signed by key {signature.key_id}, not by {key.id}")
    signed = hashlib.blake2b(content).digest() if signature.is_hashed else content
    try:
        public = Ed25519PublicKey.from_public_bytes(key.content)
        public.verify(signature.content, signed)
        public.verify(signature.global_content, signature.content + signature.comment.encode())
    except (InvalidSignature, ValueError):
        raise SignatureError(
            f"{where}: key {key.id} did not sign this card as it is: "
            "it was changed, or damaged on its way; fetch the bundle again"
        ) from None


def _id(raw: bytes) -> str:
    """As minisign prints it: without leading zeros."""
    return f"{int.from_bytes(raw, 'little'):X}"


def _lines(text: bytes, where: Path, what: str) -> list[str]:
    if len(text) > MAX_BYTES:
        raise SignatureError(f"{where}: longer than {MAX_BYTES} bytes; this is no {what}")
    try:
        lines = text.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise SignatureError(f"{where}: no minisign {what}: not UTF-8 text") from None
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _decoded(line: str, size: int, where: Path, what: str) -> bytes:
    try:
        raw = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != size:
        raise SignatureError(f"{where}: no minisign {what}: not {size} bytes of base64")
    return raw
