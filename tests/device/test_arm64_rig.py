"""The shipped application on emulated processors of a Raspberry Pi, see docs/rig-arm64.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NOTHING_BUILT = 3
"""Exit code of the rig when it cannot be started here."""


def test_models_and_light_are_the_same_as_on_x86_64(root: Path) -> None:
    command = [sys.executable, root / "deploy" / "rig" / "arm64.py", "--no-build"]
    rig = subprocess.run(command, capture_output=True, text=True, check=False)
    if rig.returncode == NOTHING_BUILT:
        pytest.skip(rig.stderr.strip())
    assert rig.returncode == 0, rig.stdout + rig.stderr
