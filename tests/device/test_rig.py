"""The shipped service in the whole simulated device of deploy/rig, see docs/rig.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NOTHING_BUILT = 2
"""Exit code of the rig when it cannot be started here."""


def test_the_service_under_a_real_systemd(root: Path) -> None:
    command = [sys.executable, root / "deploy" / "rig" / "device.py", "--no-build"]
    rig = subprocess.run(command, capture_output=True, text=True, check=False)
    if rig.returncode == NOTHING_BUILT:
        pytest.skip(rig.stderr.strip())
    assert rig.returncode == 0, rig.stdout + rig.stderr
