"""What is installed is what was looked at: exact versions and hashes, from the choices in .in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKED = (
    "requirements-edge",
    "requirements-train",
    "deploy/requirements-network",
    "deploy/requirements-device",
    "deploy/requirements-tflite-runtime",
    "deploy/update/requirements",
    "tests/requirements",
    "tests/requirements-check",
    "tests/requirements-optional",
    "docs/requirements",
)

FOLDERS = (".", "deploy", "deploy/update", "docs", "tests")

FROM_APT = ("deploy/requirements-device", "numpy")
"""Chosen, so that the rest suits it, but not in the list: Debian gives it."""

UNHASHED = "tests/requirements-torch.txt"
"""See its first lines."""

TOGETHER = (
    (
        "requirements-train",
        "tests/requirements",
        "tests/requirements-check",
        "tests/requirements-optional",
        "docs/requirements",
    ),
    ("deploy/requirements-device", "deploy/requirements-network"),
    ("deploy/requirements-tflite-runtime", "tests/requirements"),
)
"""Files that go into one environment."""

PIN = re.compile(r"([a-z0-9-]+)==(\S+)((?: \\\n {4}--hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


def pins(root: Path, name: str) -> dict[str, str]:
    """Name to version, of entries that are complete."""
    text = (root / f"{name}.txt").read_text(encoding="utf-8")
    return {found[1]: found[2] for found in PIN.finditer(text)}


def chosen(root: Path, name: str) -> list[Requirement]:
    lines = (root / f"{name}.in").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def test_every_file_is_known(root: Path) -> None:
    found = [
        str(path.relative_to(root))
        for folder in FOLDERS
        for path in (root / folder).glob("requirements*.txt")
    ]
    assert sorted(found) == sorted([*(f"{name}.txt" for name in LOCKED), UNHASHED])


@pytest.mark.parametrize("name", LOCKED)
def test_every_package_has_a_version_and_hashes_and_is_a_wheel(root: Path, name: str) -> None:
    text = (root / f"{name}.txt").read_text(encoding="utf-8")
    begins = re.findall(r"^[^\s#-].*", text, re.MULTILINE)
    assert begins
    assert len(pins(root, name)) == len(begins)
    options = re.findall(r"^-.*", text, re.MULTILINE)
    assert options == ["--only-binary :all:"], "no address of a package index"
    assert "://" not in text


@pytest.mark.parametrize("name", LOCKED)
def test_every_choice_is_exact_and_was_resolved(root: Path, name: str) -> None:
    found = pins(root, name)
    for requirement in chosen(root, name):
        version = found.get(canonicalize_name(requirement.name))
        if (name, requirement.name) == FROM_APT:
            assert version is None
            continue
        assert version is not None, f"{requirement}: run make lock"
        assert str(requirement.specifier) == f"=={version}"


@pytest.mark.parametrize("names", TOGETHER)
def test_files_that_are_installed_together_agree(root: Path, names: tuple[str, ...]) -> None:
    found: dict[str, str] = {}
    for name in names:
        for package, version in pins(root, name).items():
            assert found.setdefault(package, version) == version, f"{name}: {package}"
