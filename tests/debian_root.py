"""Small Debian systems in a folder, for tests of what is installed into one.

A *base* is built once (minutes, about 1 GB) and kept beside what the rigs build, outside the
checkout, so that every clone on a machine shares it (``~/.cache/mask-kiosk/roots``). Each test gets
a layer of its own above it, which is mounted anew for every command in a process and mount table of
its own: when the command ends, or is killed, nothing of it is left running or mounted.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"

PACKAGES = ("python3-venv", "python3-numpy", "python3-opencv", "python3-cryptography")
"""What install.sh asks of Debian: PACKAGES in deploy/install/system.sh."""

SYSTEM = ("systemd-sysv", "udev", "dbus", "python3")
"""What every Raspberry Pi OS has."""

LEAN = tuple(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale"))
"""Options of mmdebstrap: what no test looks at is left out."""

ENTER = """
upper=$1 base=$2 before=$3; shift 3
mkdir -p "$upper/up" "$upper/work" "$upper/root"
root=$upper/root
layers=lowerdir="$base",upperdir="$upper/up",workdir="$upper/work"
mount -t overlay -o "$layers" overlay "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount --bind /dev "$root/dev"
mkdir -p "$root/run/lock"
eval "$before"
exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
  DEBIAN_FRONTEND=noninteractive "$@"
"""

UNSEEN = ("proc", "sys", "dev", "run", "tmp", "root", "bundle", "var/cache", "var/log")
"""Folders that no list of files shows."""


def base(suite: str) -> Path:
    """A Debian with what the kiosk needs of it, built at the first call.

    Skips the test where it cannot be made.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root: a Debian system is made in a folder")
    missing = [name for name in ("mmdebstrap", "unshare") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)} (packages mmdebstrap, util-linux)")
    key = hashlib.sha256(" ".join((*LEAN, *SYSTEM, *PACKAGES)).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mask-kiosk/roots"
    folder = cache / f"{suite}-{key}"
    with locked("lock", cache):
        if not folder.is_dir():
            _make(suite, folder)
    return folder


def _make(suite: str, folder: Path) -> None:
    work = folder.with_suffix(".work")
    shutil.rmtree(work, ignore_errors=True)
    work.parent.mkdir(parents=True, exist_ok=True)
    include = f"--include={','.join((*SYSTEM, *PACKAGES))}"
    done = subprocess.run(
        ["unshare", "--mount", "mmdebstrap", "--variant=minbase", *LEAN, include, suite, work],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"Debian {suite} cannot be made here: {done.stderr.strip()[-300:]}")
    work.rename(folder)


@contextmanager
def locked(name: str, folder: Path = BUILD) -> Iterator[None]:
    """One test process at a time, of all that make the same thing in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}-lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def made_for_x86_64(script: Path) -> str:
    """What a maker of bundles or packages printed; the test skips where it cannot work."""
    if os.uname().machine != "x86_64":
        pytest.skip("bundle and package for tests are made for x86-64")
    made = subprocess.run(
        [script, "x86_64"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PIP": f"{sys.executable} -m pip"},
    )
    if "is there a network?" in made.stderr:
        pytest.skip(made.stderr.strip().splitlines()[-1])
    assert made.returncode == 0, made.stderr
    return made.stdout


class Debian:
    """One test's own Debian.

    Attributes:
        path: The layer; ``up`` in it holds what is different from the base.
    """

    def __init__(self, suite: str, path: Path) -> None:
        self.base = base(suite)
        self.path = path
        (path / "up").mkdir(parents=True)

    def start(self, *command: str, before: str = "") -> subprocess.Popen[str]:
        """Begin a command.

        Args:
            command: What runs in it, as root, without network.
            before: Shell lines that run outside, just before, with ``$root`` mounted.
        """
        alone = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        inside = ["bash", "-ec", ENTER, "enter", str(self.path), str(self.base), before]
        return subprocess.Popen(
            [*alone, *inside, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, before: str = "") -> tuple[int, list[str]]:
        """Run a command to its end; exit code and lines of output."""
        with self.start(*command, before=before) as process:
            said, _ = process.communicate()
        return process.returncode, said.splitlines()

    def cut(self, *command: str, when: Callable[[str], bool] | float) -> list[str]:
        """Run a command and kill all of it, as when the power goes.

        Args:
            command: What runs.
            when: After the first line for which this is true, or after so many seconds.

        Returns:
            The lines until then. One that ended by itself before was not cut.
        """
        said = []
        with self.start(*command) as process:
            assert process.stdout is not None
            if isinstance(when, float):
                time.sleep(when)
            else:
                for line in process.stdout:
                    said.append(line.rstrip("\n"))
                    if when(said[-1]):
                        break
            os.kill(process.pid, signal.SIGKILL)
            said += process.stdout.read().splitlines()
        return said

    def put(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file into it."""
        file = self.path / "up" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)

    def files(self) -> dict[str, str]:
        """All files, each with type, mode, owner and target."""
        prune = " -o ".join(f"-path ./{name}" for name in UNSEEN)
        script = (
            f"cd / && find . -xdev \\( {prune} \\) -prune -o -name __pycache__ -prune -o "
            "-printf '%P\\t%M %u:%g %l\\n'"
        )
        code, lines = self.run("sh", "-c", script)
        assert code == 0, lines
        return dict(line.split("\t", 1) for line in lines)
