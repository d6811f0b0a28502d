"""Against the real minisign where it is installed, and against every way to tamper."""

from __future__ import annotations

import builtins
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_app.errors import MissingPackageError, SignatureError
from edge_app.store.minisign import PublicKey, Signature, read_key, read_signature, verify
from tests.model_bundles import Signer

CARD = b'{"name": "face_detector"}\n'
WHERE = Path("face_detector.json.minisig")


def check(content: bytes, signature: bytes, key: bytes) -> Signature:
    found = read_signature(signature, WHERE)
    verify(content, found, read_key(key, Path("a.pub")), WHERE)
    return found


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.fixture
def minisign(tmp_path: Path) -> Path:
    """A folder with a key pair that the real program made."""
    if shutil.which("minisign") is None:
        pytest.skip("needs the program minisign (package minisign)")
    keys = ["-p", str(tmp_path / "a.pub"), "-s", str(tmp_path / "a.key")]
    subprocess.run(["minisign", "-G", "-W", *keys], check=True, capture_output=True)
    (tmp_path / "card.json").write_bytes(CARD)
    return tmp_path


@pytest.mark.parametrize("option", [["-H"], ["-l"], []])
def test_what_minisign_signs_is_verified_here(minisign: Path, option: list[str]) -> None:
    card = minisign / "card.json"
    comment = "face_detector, for the door at the back: prüfen"
    command = ["minisign", "-S", *option, "-s", minisign / "a.key", "-m", card, "-t", comment]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and option:
        pytest.skip(f"this minisign has no {option[0]}: {done.stderr.splitlines()[:1]}")
    signature = card.with_suffix(".json.minisig").read_bytes()
    public = (minisign / "a.pub").read_bytes()
    found = check(CARD, signature, public)
    assert found.comment == comment
    assert found.key_id in public.decode()
    if option == ["-H"]:
        assert found.is_hashed
    with pytest.raises(SignatureError, match="did not sign this card as it is"):
        check(CARD + b" ", signature, public)
    with pytest.raises(SignatureError, match="did not sign"):
        check(CARD, signature.replace(b"back", b"Back"), public)


def test_minisign_verifies_what_the_tests_sign(minisign: Path, signer: Signer) -> None:
    (minisign / "b.pub").write_text(signer.public())
    for hashed in (True, False):
        signature = minisign / "card.json.minisig"
        signature.write_text(signer.sign(CARD, hashed=hashed))
        command = ["minisign", "-V", "-p", minisign / "b.pub", "-m", minisign / "card.json"]
        subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("hashed", [True, False])
def test_both_algorithms(signer: Signer, hashed: bool) -> None:
    found = check(CARD, signer.sign(CARD, hashed=hashed).encode(), signer.public().encode())
    assert (found.key_id, found.is_hashed, found.comment) == (signer.id, hashed, "for tests")


def test_one_algorithm_does_not_pass_for_the_other(signer: Signer) -> None:
    """A hash that was signed plainly must not vouch for the file that has this hash."""
    found = read_signature(signer.sign(CARD, hashed=True).encode(), WHERE)
    key = read_key(signer.public().encode(), WHERE)
    other = Signature(found.key_id, False, found.content, found.comment, found.global_content)
    with pytest.raises(SignatureError, match="did not sign"):
        verify(CARD, other, key, WHERE)


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_changed_byte_passes(signer: Signer, seed: int) -> None:
    """Of card, signature file (but for its untrusted comment) and key, any byte to any other."""
    rng = random.Random(seed)
    signature, key = signer.sign(CARD).encode(), signer.public().encode()
    parts = {"card": CARD, "signature": signature, "key": key}
    which = rng.choice(list(parts))
    begin = 0 if which == "card" else parts[which].index(b"\n") + 1
    at = rng.randrange(begin, len(parts[which]))
    changed = bytearray(parts[which])
    changed[at] = rng.choice([b for b in range(256) if b != changed[at]])
    parts[which] = bytes(changed)
    try:
        found = check(parts["card"], parts["signature"], parts["key"])
    except SignatureError:
        return
    # Base64 has spare bits and line ends have two forms: the same signature, written otherwise.
    assert which != "card"
    assert found == read_signature(signature, WHERE)
    assert read_key(parts["key"], WHERE).content == read_key(key, WHERE).content


@given(st.binary(max_size=400))
def test_rubbish_is_refused_in_one_line(content: bytes) -> None:
    for read in (read_key, read_signature):
        with pytest.raises(SignatureError) as caught:
            read(content, WHERE)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        ("", "no minisign signature"),
        ("untrusted comment: x\nAAAA\ntrusted comment: x\nAAAA\n", "not 74 bytes of base64"),
        ("x" * 20_000, "longer than 16384 bytes"),
        ("-----BEGIN PGP SIGNATURE-----\n\n\n\n", "no minisign signature"),
    ],
)
def test_what_is_no_signature_is_named(signature: str, words: str) -> None:
    with pytest.raises(SignatureError, match=words):
        read_signature(signature.encode(), WHERE)


def test_another_kind_of_signature_or_key_is_named(signer: Signer) -> None:
    lines = signer.sign(CARD).splitlines()
    lines[1] = "XX" + lines[1][2:]
    with pytest.raises(SignatureError, match="in a way that is not known here"):
        read_signature("\n".join(lines).encode(), WHERE)
    with pytest.raises(SignatureError, match="no Ed25519 key"):
        read_key(signer.public().replace("\nRW", "\nXX").encode(), WHERE)
    with pytest.raises(SignatureError, match="it must hold one"):
        read_key((signer.public() * 2).encode(), WHERE)


def test_a_key_may_stand_alone_without_its_comment(signer: Signer) -> None:
    bare = signer.public().splitlines()[1].encode()
    assert read_key(bare, WHERE) == read_key(signer.public().encode(), WHERE)


def test_a_key_that_is_no_point_of_the_curve_verifies_nothing(signer: Signer) -> None:
    found = read_signature(signer.sign(CARD).encode(), WHERE)
    with pytest.raises(SignatureError, match="did not sign"):
        verify(CARD, found, PublicKey(signer.id, b"\xff" * 32), WHERE)


def test_without_the_package_the_message_says_how_it_comes(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: object) -> object:
        if name.startswith("cryptography"):
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    found = read_signature(signer.sign(CARD).encode(), WHERE)
    key = read_key(signer.public().encode(), WHERE)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingPackageError, match="sudo apt install python3-cryptography"):
        verify(CARD, found, key, WHERE)
