"""Every list of requirements installs where it says it does, from ready-made wheels alone.

uv resolves each list for computers that are not this one, with the hashes; that reads descriptions
of packages and downloads nothing else. pip fetches the short list that goes to kiosks.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UV = shutil.which("uv", path=Path(sys.executable).parent)

TARGETS = [
    (python, processor) for python in ("3.11", "3.13") for processor in ("aarch64", "x86_64")
]
"""Both Debians of a Raspberry Pi, and a desk."""

DEBIAN_NUMPY = {"3.11": "1.24.2", "3.13": "2.2.4"}
"""numpy of "bookworm" and "trixie", which deploy/requirements-device.txt leaves out."""

NO_REGISTRY = ("Failed to fetch", "error sending request", "dns error", "NewConnectionError")


def ask(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run uv or pip; skips the test when no registry answers."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and any(text in done.stderr for text in NO_REGISTRY):
        pytest.skip(f"no registry of packages answers: {done.stderr.strip().splitlines()[-1]}")
    return done


def resolve(
    folder: Path, target: tuple[str, str], *lists: Path
) -> subprocess.CompletedProcess[str]:
    """What uv would install in an empty folder of another computer, with glibc 2.36 (bookworm)."""
    if UV is None:
        pytest.skip("needs uv (tests/requirements-check.txt)")
    python, processor = target
    command = [UV, "pip", "install", "--dry-run", "--target", folder, "--only-binary", ":all:"]
    command += ["--python-version", python, "--python-platform", f"{processor}-manylinux_2_36"]
    for one in lists:
        command += ["-r", one]
    return ask(*command)


@pytest.mark.parametrize("target", TARGETS, ids="-".join)
@pytest.mark.parametrize("name", ["requirements-edge.txt", "requirements-train.txt"])
def test_wheels_for_every_computer(
    root: Path, tmp_path: Path, name: str, target: tuple[str, str]
) -> None:
    done = resolve(tmp_path, target, root / name)
    assert done.returncode == 0, done.stderr
    assert " + ai-edge-litert==" in done.stderr


@pytest.mark.parametrize("target", TARGETS, ids="-".join)
def test_the_kiosk_s_list_suits_the_numpy_of_its_debian(
    root: Path, tmp_path: Path, target: tuple[str, str]
) -> None:
    numpy = tmp_path / "numpy.txt"
    numpy.write_text(f"numpy=={DEBIAN_NUMPY[target[0]]}\n", encoding="utf-8")
    listed = root / "deploy/requirements-device.txt"
    assert "\nnumpy==" not in listed.read_text(encoding="utf-8")
    done = resolve(tmp_path / "empty", target, listed, numpy)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("processor", ["aarch64", "x86_64"])
def test_tflite_runtime_is_there_for_python_3_11_with_numpy_1(
    root: Path, tmp_path: Path, processor: str
) -> None:
    listed = root / "deploy/requirements-tflite-runtime.txt"
    done = resolve(tmp_path, ("3.11", processor), listed)
    assert done.returncode == 0, done.stderr
    assert " + numpy==1." in done.stderr


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_pip_takes_the_kiosk_s_list_for_a_pi(root: Path, tmp_path: Path, python: str) -> None:
    """pip also looks at which Pythons a package refuses, which uv does not for newer ones."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--target", str(tmp_path)]
    command += ["--implementation", "cp", "--python-version", python]
    for tag in ("manylinux2014", "manylinux_2_27", "manylinux_2_28"):
        command += ["--platform", f"{tag}_aarch64"]
    done = ask(*command, "-r", root / "deploy/requirements-device.txt")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("pin", ["lgpio==0.2.2.0", "tflite-runtime==2.14.0"])
def test_a_package_without_a_wheel_does_not_pass(root: Path, tmp_path: Path, pin: str) -> None:
    """Neither has one for Python 3.13: apt gives the one, ai-edge-litert stands for the other."""
    listed = tmp_path / "without.txt"
    listed.write_text(f"{pin}\n", encoding="utf-8")
    done = resolve(tmp_path, ("3.13", "aarch64"), listed)
    assert done.returncode != 0
    assert pin.partition("=")[0] in done.stderr
