"""Whatever ``check`` can complain about has its entry in docs/troubleshooting.md."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.docs.messages import GAP, error_names, failing, parse, raised, returned

CHECKED = (
    "network_permission.py",
    "private_files.py",
    "settings.py",
    "settings_rules.py",
    "sinks/broker_client.py",
    "sinks/indicator.py",
    "sinks/journal_reader.py",
    "sinks/web/access.py",
    "sinks/web/server.py",
    "store/keys.py",
    "store/layout.py",
    "sources/__init__.py",
    "sources/base.py",
    "sources/camera.py",
    "sources/images.py",
    "sources/picamera.py",
    "sources/video.py",
    "trial.py",
    "vision/bundle.py",
    "vision/detector.py",
    "vision/interpreter.py",
    "vision/yunet.py",
)
"""Files of edge_app whose errors end in a line of ``check``, or stop it before its first line."""

NOT_CHECKED = (
    "daemon/capture.py",
    "daemon/service.py",
    "events.py",
    "expectations.py",
    "picture_watch.py",
    "recording.py",
    "replay_command.py",
    "sinks/journal.py",
    "sinks/journal_file.py",
    "sinks/journal_schema.py",
    "sinks/opening.py",
    "sinks/snapshots.py",
    "store/changes.py",
    "store/command.py",
    "store/going_back.py",
    "store/incoming.py",
    "store/install.py",
    "store/minisign.py",
    "store/service.py",
    "vision/selftest.py",
    "window.py",
)
"""Files that raise, but only in other commands than ``check``."""

LINES = ("check.py", "check_sinks.py")
"""Where the lines of ``check`` are made."""

ELSEWHERE = {
    "No matching distribution found for tflite_runtime",
    "No matching distribution found for ai-edge-litert",
    "_ARRAY_API not found",
    "numpy.core.multiarray failed to import",
    "error: externally-managed-environment",
    "Unable to locate package python3-picamera2",
    "THESE PACKAGES DO NOT MATCH THE HASHES",
    "Temporary failure in name resolution",
    "No space left on device",
    "Cannot determine SOC peripheral base address",
    "Pipeline handler in use",
    "xCreatePipe",
    "Watchdog timeout",
}
"""What other programs say: pip, apt, libraries, systemd."""

KNOWN = {
    "No matching distribution found for tflite_runtime",
    "_ARRAY_API not found",
    "Cannot determine SOC peripheral base address",
    "Pipeline handler in use",
    "xCreatePipe",
}
"""What people with a Raspberry Pi ran into, time and again."""

READ_KEY = ("no minisign public key", "no minisign …: not", "longer than", "no Ed25519 key")
"""Of what store/minisign.py raises: the part that reading a key can say. The rest is about
signatures, which ``check`` does not look at."""

INSTALLER = re.compile(r'(?:refuse|fail) "((?:\$\([^"]*?(?:"[^"]*"[^"]*?)?\)|[^"])*)"')
SHELL_VALUE = re.compile(r"\$\(\(.*?\)\)|\$\(.*?\)|\$\{.*?\}|\$\w+")

SYMPTOM = re.compile(r"`([^`]+)`")


def symptoms(root: Path) -> set[str]:
    """What stands in code letters in the first column of the page's "What you read" tables."""
    found: set[str] = set()
    reading = False
    for line in (root / "docs" / "troubleshooting.md").read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            reading = False
        elif line.startswith("| What you read "):
            reading = True
        elif reading:
            found.update(SYMPTOM.findall(line.split("|")[1]))
    return found


def messages(root: Path, files: tuple[str, ...]) -> set[str]:
    errors = error_names(root)
    found: set[str] = set()
    for name in files:
        found |= raised(parse(root / "edge_app" / name), errors)
    return found


def lines(root: Path) -> set[str]:
    found = returned(parse(root / "edge_app" / "sinks" / "broker_troubles.py"))
    for name in LINES:
        found |= failing(parse(root / "edge_app" / name))
    return found


def key_messages(root: Path) -> set[str]:
    said = messages(root, ("store/minisign.py",))
    return {message for message in said if any(part in message for part in READ_KEY)}


def installer(root: Path) -> set[str]:
    """What install.sh says when it refuses or fails."""
    files = [root / "deploy" / "install.sh", *(root / "deploy" / "install").glob("*.sh")]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    return {SHELL_VALUE.sub(GAP, said) for said in INSTALLER.findall(text)}


def says_something(message: str) -> bool:
    """Not only names and numbers that are filled in."""
    return re.search("[a-z]{4}", message.replace("source", "")) is not None


def test_every_failure_of_check_has_its_entry(root: Path) -> None:
    everything = messages(root, CHECKED) | lines(root) | key_messages(root)
    said = {message for message in everything if says_something(message)}
    assert len(said) > 100
    known = symptoms(root)
    assert not [m for m in sorted(said) if not any(symptom in m for symptom in known)]


def test_every_refusal_of_the_installer_has_its_entry(root: Path) -> None:
    said = installer(root)
    assert len(said) > 15
    known = symptoms(root)
    assert not [m for m in sorted(said) if not any(symptom in m for symptom in known)]


def test_every_entry_is_about_something_that_is_said(root: Path) -> None:
    said = messages(root, CHECKED + NOT_CHECKED) | lines(root) | installer(root) | ELSEWHERE
    assert not [s for s in sorted(symptoms(root)) if not any(s in message for message in said)]


def test_the_known_ones_are_there(root: Path) -> None:
    assert symptoms(root) >= KNOWN


def test_no_symptom_is_so_short_that_it_fits_everything(root: Path) -> None:
    assert not [s for s in symptoms(root) if len(s.replace(GAP, "").strip()) < 5]


def test_every_file_that_raises_is_sorted(root: Path) -> None:
    errors, folder = error_names(root), root / "edge_app"
    raising = {
        str(path.relative_to(folder))
        for path in folder.rglob("*.py")
        if any(says_something(message) for message in raised(parse(path), errors))
    }
    assert raising == {*CHECKED, *NOT_CHECKED}


def test_a_message_that_nobody_has_explained_would_be_found(root: Path) -> None:
    unexplained = "source …: the moon is in the way"
    assert not any(symptom in unexplained for symptom in symptoms(root))
