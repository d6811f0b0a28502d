"""Parts of install.sh by themselves, with stand-ins for what they ask of the system."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PARTS = """
set -euo pipefail
export LC_ALL=C
TREE=$1
for part in common refuse system release service uninstall; do . "$TREE/deploy/install/$part.sh"; done
"""


def run(root: Path, script: str) -> tuple[int, list[str]]:
    """Exit code and lines of a script that knows all parts."""
    done = subprocess.run(
        ["bash", "-c", PARTS + script, "parts", root],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("status", ["installed", "config-files", "half-configured", "unpacked"])
def test_whatever_is_left_of_the_debian_package_is_refused(root: Path, status: str) -> None:
    code, lines = run(root, f"dpkg-query() {{ printf {status}; }}\nrequire_no_package")
    assert code == 2
    assert lines[-1].startswith("install.sh: the Debian package mask-kiosk ")


@pytest.mark.parametrize("answer", ["return 1", "printf not-installed"])
def test_without_the_debian_package_it_goes_on(root: Path, answer: str) -> None:
    assert run(root, f"dpkg-query() {{ {answer}; }}\nrequire_no_package") == (0, [])
