"""Kiosks to push to: each a root file system of its own, reached through a real sshd.

The root is this machine's, copy on write (overlayfs), in namespaces of its own for mounts and
processes; systemctl in it is a stand-in (:mod:`tests.fleet.systemctl`). Nothing outside is
changed, and everything is gone when :meth:`Root.stop` comes back.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.mqtt.conftest import found, free_port, until

ROOT = Path(__file__).resolve().parents[2]

SETUP = """
set -eu
mount -t tmpfs -o size=2G tmpfs "$FOLDER"
mkdir "$FOLDER/new" "$FOLDER/work" "$FOLDER/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$FOLDER/new,workdir=$FOLDER/work" "$FOLDER/root"
root=$FOLDER/root
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/sshd" "$root/run/lock" "$root/run/systemd/system"
for path in $SEEN; do
  mkdir -p "$root$path"
  [ -e "$root$path/." ] && mount --bind "$path" "$root$path"
done
rm -rf "$root"/opt/mask-kiosk* "$root"/etc/mask-kiosk "$root"/var/lib/mask-kiosk*
rm -f "$root/usr/bin/systemctl"
install -m 755 "$SYSTEMCTL" "$root/usr/bin/systemctl"
install -d -m 700 "$root/root/.ssh"
echo "$KEY" >"$root/root/.ssh/authorized_keys"
chmod 600 "$root/root/.ssh/authorized_keys"
install -m 600 "$HOST_KEY" "$root/etc/ssh/host"
cat >"$root/etc/ssh/kiosk" <<END
ListenAddress 127.0.0.1:$PORT
HostKey /etc/ssh/host
PidFile none
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
Subsystem sftp internal-sftp
END
exec chroot "$root" /usr/sbin/sshd -D -e -f /etc/ssh/kiosk
"""


def require_roots() -> None:
    """Skip where such roots cannot be made."""
    for program in ("sshd", "ssh", "ssh-keygen", "unshare", "chroot"):
        found(program)
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount and to chroot")
    overlay = (
        "mount -t tmpfs t /mnt && cd /mnt && mkdir a b c && mount -t overlay o -o "
        "lowerdir=/,upperdir=a,workdir=b c"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", overlay], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mounting an overlay is not permitted here: {done.stderr.strip()}")


class Root:
    """One kiosk.

    Args:
        name: In the inventory.
        folder: Of its own, for its disk; ``keys`` beside it has the keys, see :func:`make_keys`.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.port = free_port()
        self._folder = folder
        self._keys = folder.parent / "keys"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._folder.mkdir()
        here = Path("/").stat().st_dev
        needed = (ROOT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve())
        seen = [str(path) for path in needed if path.stat().st_dev != here]
        environment = {
            **os.environ,
            "FOLDER": str(self._folder),
            "SEEN": " ".join(seen),
            "SYSTEMCTL": str(ROOT / "tests/fleet/systemctl.py"),
            "KEY": (self._keys / "user.pub").read_text().strip(),
            "HOST_KEY": str(self._keys / "host"),
            "PORT": str(self.port),
        }
        with (self._folder.parent / f"{self.name}.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SETUP],
                env=environment,
                stdout=log,
                stderr=log,
            )
        until(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        log = self._folder.parent / f"{self.name}.log"
        assert self._process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except ConnectionRefusedError:
            return False
        return True

    def run(self, command: str, check: bool = True) -> str:
        """Run a shell command on it; its output."""
        done = subprocess.run(
            ["ssh", *self.ssh_options, "-p", str(self.port), "root@127.0.0.1", command],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{self.name}: {command}: {done.stderr}"
        return done.stdout

    @property
    def ssh_options(self) -> list[str]:
        """Our throw-away key, and only the host key that we made."""
        return [
            *("-F", "none", "-i", str(self._keys / "user"), "-o", "IdentitiesOnly=yes"),
            *("-o", f"UserKnownHostsFile={self._keys / 'known_hosts'}", "-o", "BatchMode=yes"),
        ]

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()  # with --kill-child everything in it ends
            self._process.wait()
            self._process = None


def make_keys(folder: Path, ports: list[int]) -> None:
    """A user's key, and one host key that ssh knows at all ports."""
    folder.mkdir()
    for name in ("user", "host"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)],
            check=True,
        )
    public = (folder / "host.pub").read_text().rsplit(" ", 1)[0]
    known = "".join(f"[127.0.0.1]:{port} {public}\n" for port in ports)
    (folder / "known_hosts").write_text(known)
