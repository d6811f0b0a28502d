"""The Debian package in a real Debian: installed, updated, removed, purged; and lintian on it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.debian_root import BUILD, Debian, locked, made_for_x86_64

JOURNAL = "var/lib/mask-kiosk/events.sqlite3"


@pytest.fixture(scope="module")
def package(root: Path) -> Path:
    """The package of this checkout for this computer."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb (package dpkg)")
    with locked("bundle"):
        made_for_x86_64(root / "deploy/package/make.sh")
        [deb] = (BUILD / "dist").glob("mask-kiosk_*_amd64.deb")
        return deb


def newer(package: Path, folder: Path) -> Path:
    """The same package as version 9, of other contents."""
    tree = folder / "tree"
    script = (
        'dpkg-deb -R "$1" "$2" && sed -i "s/^Version: .*/Version: 9/" "$2/DEBIAN/control"'
        ' && cd "$2/usr/lib/mask-kiosk"'
        " && sed -i 's/^version = .*/version = \"9\"/' pyproject.toml"
        " && find . -type f ! -name SHA256SUMS -printf '%P\\n' | sort | xargs sha256sum >sums"
        " && sed -i '/ sums$/d' sums && mv sums SHA256SUMS"
        ' && dpkg-deb --root-owner-group -Zgzip -z1 -b "$2" "$3"'
    )
    made = folder / "newer.deb"
    subprocess.run(
        ["bash", "-ec", script, "newer", package, tree, made], check=True, capture_output=True
    )
    return made


def owned(debian: Debian) -> set[str]:
    return {path for path in debian.files() if "mask-kiosk" in path and "dpkg" not in path}


def release(debian: Debian) -> str:
    code, lines = debian.run("readlink", "/opt/mask-kiosk")
    assert code == 0
    return lines[0]


def test_installed_updated_removed_and_purged(package: Path, tmp_path: Path) -> None:
    debian = Debian("trixie", tmp_path / "debian")
    before = debian.files()
    shutil.copy(package, debian.path / "up/kiosk.deb")
    shutil.copy(newer(package, tmp_path), debian.path / "up/newer.deb")

    code, lines = debian.run("dpkg", "-i", "/kiosk.deb")
    assert code == 0, lines
    assert "all well" in lines
    first = release(debian)
    code, lines = debian.run("systemctl", "is-enabled", "mask-kiosk")
    assert lines == ["enabled"]
    _, lines = debian.run("dpkg", "-S", "/usr/lib/systemd/system/mask-kiosk.service")
    assert lines == ["mask-kiosk: /usr/lib/systemd/system/mask-kiosk.service"]

    debian.put("etc/mask-kiosk/kiosk.toml", "# mine\n")
    code, lines = debian.run("dpkg", "-i", "/newer.deb")
    assert code == 0, lines
    assert "/9-" in release(debian)
    assert debian.run("test", "-e", first)[0] == 0, "the release before stays"
    assert debian.run("cat", "/etc/mask-kiosk/kiosk.toml")[1] == ["# mine"]

    debian.put(JOURNAL, "")
    assert debian.run("dpkg", "--remove", "mask-kiosk")[0] == 0
    left = owned(debian)
    assert not [path for path in left if path.startswith(("opt", "usr"))], left
    assert "etc/mask-kiosk/kiosk.toml" in left

    code, lines = debian.run("dpkg", "--purge", "mask-kiosk")
    assert code == 0, lines
    assert owned(debian) == {"var/lib/mask-kiosk", JOURNAL}
    gone = before.keys() - debian.files().keys()
    assert not [path for path in gone if not path.startswith("var/lib/")], gone
    _, users = debian.run("cat", "/etc/passwd", "/etc/group")
    assert not [line for line in users if line.startswith(("mask-kiosk:", "gpio:"))]


def test_the_package_takes_over_from_install_sh(package: Path, tmp_path: Path) -> None:
    """Its own copy of the unit would win over the package's, for ever."""
    debian = Debian("trixie", tmp_path / "debian")
    shutil.copy(package, debian.path / "up/kiosk.deb")
    code, lines = debian.run("dpkg-deb", "-x", "/kiosk.deb", "/unpacked")
    assert code == 0, lines
    code, lines = debian.run("/unpacked/usr/lib/mask-kiosk/deploy/install.sh", "--offline")
    assert code == 0, lines
    code, lines = debian.run("dpkg", "-i", "/kiosk.deb")
    assert code == 0, lines
    files = debian.files()
    assert "etc/sysusers.d" not in files, "the folder that install.sh had made"
    found = {path for path in files if path.endswith("/mask-kiosk.service")}
    units = {path for path in found if path.startswith(("usr/lib/systemd/", "etc/"))}
    assert units == {
        "usr/lib/systemd/system/mask-kiosk.service",
        "etc/systemd/system/multi-user.target.wants/mask-kiosk.service",
    }
    code, lines = debian.run("/unpacked/usr/lib/mask-kiosk/deploy/install.sh", "--offline")
    assert code == 2
    assert "the Debian package mask-kiosk is installed" in lines[-1]


def test_lintian_has_nothing_to_say(package: Path) -> None:
    if shutil.which("lintian") is None:
        pytest.skip("needs lintian")
    done = subprocess.run(
        ["lintian", "--fail-on", "error,warning", "--allow-root", package],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == ""


def test_every_override_says_why(root: Path) -> None:
    lines = (root / "deploy/package/lintian-overrides").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert [line for line in lines if line.startswith("mask-kiosk: ")]
