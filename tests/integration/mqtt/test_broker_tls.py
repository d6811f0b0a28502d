"""An encrypted connection: only to a broker that proves its name."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_app.domain import Signal


@pytest.fixture
def authority(openssl: str, tmp_path: Path) -> Callable[[str], Path]:
    """Makes an authority that may vouch for brokers; returns its certificate."""

    def made(name: str) -> Path:
        # Python 3.13 and newer insist on the key usage.
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        make_certificate(openssl, tmp_path / name, name, *usage)
        return tmp_path / f"{name}.crt"

    return made


def make_certificate(openssl: str, stem: Path, name: str, *more: str) -> None:
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{stem}.key"]
    subprocess.run([*command, "-out", f"{stem}.crt", *more], check=True, capture_output=True)


def start_with_tls(openssl: str, broker: Any, vouches: Path, names: str) -> None:
    """Start the broker with a certificate for certain names, vouched for by an authority."""
    server = broker.folder / "server"
    make_certificate(
        openssl,
        server,
        "broker",
        *("-CA", str(vouches), "-CAkey", str(vouches.with_suffix(".key"))),
        *("-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"),
    )
    broker.configure(f"certfile {server}.crt", f"keyfile {server}.key")
    broker.start()


def test_a_broker_that_the_authority_vouches_for_is_told(
    openssl: str,
    broker: Any,
    authority: Callable[[str], Path],
    make_sink: Callable[..., Any],
) -> None:
    ours = authority("ours")
    start_with_tls(openssl, broker, ours, "IP:127.0.0.1")
    sink = make_sink(tls=True, ca_file=str(ours))
    sink.see(Signal.COMPLIANT)
    sink.until(lambda: sink.connected and sink.idle)
    assert sink.trouble is None


@pytest.mark.parametrize(
    ("vouches", "names", "why"),
    [
        ("strangers", "IP:127.0.0.1", "its certificate is not accepted ("),
        ("ours", "DNS:elsewhere.example", "IP address mismatch"),
    ],
)
def test_a_broker_that_cannot_prove_its_name_is_told_nothing(
    vouches: str,
    names: str,
    why: str,
    openssl: str,
    broker: Any,
    authority: Callable[[str], Path],
    make_sink: Callable[..., Any],
) -> None:
    authorities = {name: authority(name) for name in ("ours", "strangers")}
    start_with_tls(openssl, broker, authorities[vouches], names)
    sink = make_sink(tls=True, ca_file=str(authorities["ours"]))
    sink.see(Signal.COMPLIANT)
    sink.until(lambda: sink.trouble)
    assert why in sink.trouble
    assert "check mqtt.ca_file" in sink.trouble
    assert "New client connected" not in (broker.folder / "mosquitto.log").read_text()


def test_an_unknown_authority_is_refused_without_a_ca_file_too(
    openssl: str, broker: Any, authority: Callable[[str], Path], make_sink: Callable[..., Any]
) -> None:
    start_with_tls(openssl, broker, authority("ours"), "IP:127.0.0.1")
    sink = make_sink(tls=True)
    sink.until(lambda: sink.trouble)
    assert "its certificate is not accepted (" in sink.trouble


def test_encryption_on_one_side_only_is_named(
    openssl: str, broker: Any, authority: Callable[[str], Path], make_sink: Callable[..., Any]
) -> None:
    broker.start()
    encrypted = make_sink(tls=True)
    encrypted.until(lambda: encrypted.trouble)
    assert encrypted.trouble.endswith("check mqtt.port and mqtt.tls")
    broker.kill()
    start_with_tls(openssl, broker, authority("ours"), "IP:127.0.0.1")
    plain = make_sink()
    plain.until(lambda: plain.trouble)
    assert plain.trouble.endswith("check mqtt.port and mqtt.tls")
