"""install.sh in real Debian systems: run, run again, cut anywhere, updated, rolled back, removed.

No systemd runs in them, so that the service itself is not started: the rig (test_rig.py) does that.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.debian_root import BUILD, Debian, locked, made_for_x86_64

SUITES = ("bookworm", "trixie")
CUTS = int(os.environ.get("MASK_KIOSK_CUTS", "2"))
"""At random moments; more for whoever has the time."""

INSTALL = "/bundle/install.sh"
CLIP = "/opt/mask-kiosk/edge_app/assets/demo.mp4"
SETTINGS = f'[source]\nuri = "{CLIP}"\n[indicator]\npins = "mock"\n'

SYSTEMCTL = """#!/bin/sh
# Stands in for systemd: a release with BROKEN in it never becomes healthy, and none without camera.
echo "$*" >>/var/lib/calls
case "$*" in
  *ActiveState*)
    if ! [ -e /run/started ]; then echo inactive
    elif [ -e /var/lib/unplugged ]; then echo failed
    elif grep -q BROKEN /opt/mask-kiosk/edge_app/__init__.py; then echo failed
    else echo active; fi ;;
  *MainPID*) echo 42 ;;
  start*) touch /run/started ;;
  stop*) rm -f /run/started ;;
esac
"""
WITH_SYSTEMD = 'mkdir -p "$root/run/systemd/system"; touch "$root/run/started"'
"""A systemd that seems to run, and the kiosk in it."""


@pytest.fixture(scope="module")
def bundle(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The offline bundle of this checkout for this computer, unpacked by its own maker.

    A copy: the package's tests make it anew, at the same time.
    """
    with locked("bundle"):
        made_for_x86_64(root / "deploy/bundle/make.sh")
        [folder] = (BUILD / "bundle").glob("mask-kiosk-*-offline-x86_64")
        return Path(shutil.copytree(folder, tmp_path_factory.mktemp("bundle") / folder.name))


@pytest.fixture(params=SUITES)
def debian(request: pytest.FixtureRequest, tmp_path: Path, bundle: Path) -> Debian:
    """A Debian with the bundle in /bundle."""
    return with_bundle(Debian(request.param, tmp_path / "debian"), bundle)


@pytest.fixture
def trixie(tmp_path: Path, bundle: Path) -> Debian:
    return with_bundle(Debian("trixie", tmp_path / "debian"), bundle)


def with_bundle(debian: Debian, bundle: Path) -> Debian:
    shutil.copytree(bundle, debian.path / "up/bundle")
    return debian


def change(debian: Debian, text: str) -> None:
    """Make another version of the bundle, with a line more and sums that are right."""
    with (debian.path / "up/bundle/edge_app/__init__.py").open("a", encoding="utf-8") as file:
        file.write(f"# {text}\n")
    sums = (
        "cd /bundle && find . -type f ! -name SHA256SUMS -printf '%P\\n' | sort | xargs sha256sum"
    )
    code, lines = debian.run("sh", "-c", f"({sums}) >/SUMS && mv /SUMS /bundle/SHA256SUMS")
    assert code == 0, lines


def in_use(debian: Debian) -> str | None:
    """The release in use, which must be whole at any moment; None: there is none yet."""
    script = (
        "test -L /opt/mask-kiosk || exit 7; readlink /opt/mask-kiosk; cd /;"
        "test -e /opt/mask-kiosk/.whole || exit 8;"
        'PYTHONPATH=/opt/mask-kiosk /opt/mask-kiosk/.venv/bin/python -c "'
        'import ai_edge_litert, paho.mqtt, edge_app.daemon"'
    )
    code, lines = debian.run("sh", "-c", script)
    if code == 7:
        return None
    assert code == 0, lines
    return Path(lines[0]).name


def without_kiosk(files: dict[str, str]) -> dict[str, str]:
    """A list of files without what every change of users and packages touches."""
    touched = ("etc/.pwd.lock", "var/lib/systemd", "var/lib/dpkg", "var/lib/apt")
    return {
        path: about
        for path, about in files.items()
        if not path.startswith(touched) and not (path.startswith("etc/") and path.endswith("-"))
    }


def test_installed_twice_and_removed(debian: Debian) -> None:
    before = debian.files()
    code, first = debian.run(INSTALL)
    assert code == 0, first
    assert "all well" in first
    assert first[-1].startswith("done ")
    installed = debian.files()
    code, second = debian.run(INSTALL)
    assert code == 0, second
    assert debian.files() == installed
    assert not [line for line in second if line.startswith(("installed", "building"))], second
    assert in_use(debian)
    assert not [path for path in installed if "site-packages/numpy" in path]
    debian.put("var/lib/mask-kiosk/events.sqlite3", "")
    debian.put("var/lib/mask-kiosk/snapshots/somebody.jpg", "")
    code, lines = debian.run("/opt/mask-kiosk/deploy/install.sh", "--uninstall")
    assert code == 0, lines
    assert "the journal of events: /var/lib/mask-kiosk" in lines[-1]
    left = {"var/lib/mask-kiosk", "var/lib/mask-kiosk/events.sqlite3"}
    assert without_kiosk(debian.files()).keys() - without_kiosk(before).keys() == left
    assert without_kiosk(before).keys() <= without_kiosk(debian.files()).keys()
    _, users = debian.run("cat", "/etc/passwd", "/etc/group")
    assert not [line for line in users if line.startswith(("mask-kiosk:", "gpio:"))]


def told(lines: Iterable[str], label: str) -> set[str]:
    """What the installer said with a label."""
    return {line.removeprefix(label).strip() for line in lines if line.startswith(label)}


def test_cut_after_every_step_it_completes(trixie: Debian) -> None:
    """Each run is cut after the first step that no run before has reached.

    On a busy machine it may reach one more before it dies, and tell of it or not.
    """
    steps: list[str] = []
    runs: list[list[str]] = []
    while True:
        new = lambda line: line.startswith(("installed", "building")) and line not in steps  # noqa: E731
        runs.append(trixie.cut(INSTALL, when=new))
        found = [line for line in runs[-1] if new(line)]
        in_use(trixie)
        if not found:
            break
        steps.extend(found)
    # One that was done and not told is "already there" in a later run.
    there_at_first = told(runs[0], "already there")
    found_later = told((line for lines in runs for line in lines), "already there")
    not_told = found_later - there_at_first - told(steps, "installed")
    assert len(steps) + len(not_told) >= 10, (steps, not_told)
    assert in_use(trixie)


def test_cut_at_random_moments_it_completes(trixie: Debian, tmp_path: Path, bundle: Path) -> None:
    """Most of them fall into the building of the release, which takes longest."""
    dice = random.Random(5)
    for _ in range(CUTS):
        trixie.cut(INSTALL, when=dice.uniform(0.5, 12.0))
        in_use(trixie)
    code, lines = trixie.run(INSTALL)
    assert code == 0, lines
    uncut = with_bundle(Debian("trixie", tmp_path / "uncut"), bundle)
    assert uncut.run(INSTALL)[0] == 0
    assert trixie.files() == uncut.files()


IN_PIP = """
setsid /bundle/install.sh >/first &
until [ "$(find /tmp /opt -maxdepth 4 -name 'pip-*')" ]; do sleep 0.05; done
kill -KILL -$!
exec /bundle/install.sh
"""


def test_cut_while_pip_unpacks_nothing_is_left_in_tmp(trixie: Debian) -> None:
    code, lines = trixie.run("sh", "-c", IN_PIP)
    assert code == 0, lines
    _, left = trixie.run("sh", "-c", "find /tmp /opt/mask-kiosk/.tmp -mindepth 1 2>/dev/null")
    assert left == []


ONLY_THE_SCRIPT = """
/bundle/install.sh >/first & script=$!
until grep -q ^building /first; do sleep 0.1; done
sleep 0.5
kill -KILL $script
exec /bundle/install.sh
"""


def test_killed_alone_its_children_do_not_meet_the_next_run(trixie: Debian) -> None:
    """pip, or whatever it had started, lives on; the next run waits for it."""
    code, lines = trixie.run("sh", "-c", ONLY_THE_SCRIPT)
    assert code == 0, lines
    assert "all well" in lines
    assert in_use(trixie)


def test_an_update_takes_the_old_one_s_place_at_once(trixie: Debian) -> None:
    assert trixie.run(INSTALL)[0] == 0
    first = in_use(trixie)
    trixie.put("etc/mask-kiosk/kiosk.toml", SETTINGS)
    change(trixie, "second")
    dice = random.Random(6)
    for _ in range(2):
        trixie.cut(INSTALL, when=dice.uniform(0.5, 10.0))
        assert in_use(trixie)
    code, lines = trixie.run(INSTALL)
    assert code == 0, lines
    second = in_use(trixie)
    assert second != first
    assert releases(trixie) == {first, second}
    change(trixie, "third")
    assert trixie.run(INSTALL)[0] == 0
    assert releases(trixie) == {second, in_use(trixie)}
    _, settings = trixie.run("stat", "-c", "%a %U %G", "/etc/mask-kiosk/kiosk.toml")
    assert settings == ["640 root mask-kiosk"], "the owner's settings stay, closed to others"


def releases(debian: Debian) -> set[str]:
    _, lines = debian.run("sh", "-c", "cd /opt/mask-kiosk-releases && ls -d *-py*")
    return set(lines)


def test_one_that_has_worked_stays_when_something_else_breaks(trixie: Debian) -> None:
    """The camera is unplugged, and the owner runs install.sh again: no reason for an older one."""
    trixie.put("etc/mask-kiosk/kiosk.toml", SETTINGS)
    assert trixie.run(INSTALL)[0] == 0
    trixie.put("usr/bin/systemctl", SYSTEMCTL, 0o755)
    change(trixie, "second")
    code, lines = trixie.run(INSTALL, before=WITH_SYSTEMD)
    assert code == 0, lines
    second = in_use(trixie)
    trixie.put("var/lib/unplugged", "")
    code, lines = trixie.run(INSTALL, before=WITH_SYSTEMD)
    assert code == 1, lines
    assert "this release has been" in lines[-1]
    assert in_use(trixie) == second


def test_a_release_that_is_not_healthy_goes_back(trixie: Debian) -> None:
    """With a stand-in for systemctl, which says what systemd would."""
    trixie.put("etc/mask-kiosk/kiosk.toml", SETTINGS)
    assert trixie.run(INSTALL)[0] == 0
    trixie.put("usr/bin/systemctl", SYSTEMCTL, 0o755)
    good = in_use(trixie)
    code, lines = trixie.run(INSTALL, before=WITH_SYSTEMD)
    assert code == 0, lines
    assert "mask-kiosk.service, active and healthy" in "\n".join(lines)
    change(trixie, "BROKEN")
    code, lines = trixie.run(INSTALL, before=WITH_SYSTEMD)
    assert code == 1, lines
    assert f"rolled back to /opt/mask-kiosk-releases/{good}" in lines[-1]
    assert in_use(trixie) == good
    change(trixie, "BROKEN in its check\nraise SystemExit(9)\n")
    code, lines = trixie.run(INSTALL, before=WITH_SYSTEMD)
    assert code == 1, lines
    assert "failed its check" in lines[-1]
    assert in_use(trixie) == good
    _, calls = trixie.run("tail", "-n", "1", "/var/lib/calls")
    assert calls == ["start --no-block mask-kiosk.service"], "the old one runs again"


DAMAGES = (
    "echo >>/opt/mask-kiosk/edge_app/models/mask_classifier.tflite",
    "rm -r /opt/mask-kiosk/.venv/lib/python3*/site-packages/paho",
    "cd /opt/mask-kiosk/.venv/lib/python3.13/site-packages && echo 'raise ImportError' >numpy.py",
)


def test_a_damaged_installation_is_repaired(trixie: Debian) -> None:
    """By running it again, as docs/troubleshooting.md says: a file changed, one lost, one added."""
    trixie.put("etc/mask-kiosk/kiosk.toml", SETTINGS)
    assert trixie.run(INSTALL)[0] == 0
    names = [in_use(trixie)]
    for damage in DAMAGES:
        assert trixie.run("sh", "-c", damage)[0] == 0
        trixie.cut(INSTALL, when=lambda line: line.startswith("building"))
        _, lines = trixie.run("readlink", "/opt/mask-kiosk")
        assert lines == [f"/opt/mask-kiosk-releases/{names[-1]}"], "it stays until then"
        code, lines = trixie.run(INSTALL)
        assert code == 0, lines
        names.append(in_use(trixie))
        assert releases(trixie) == {names[-1]}, "the damaged one is not what an update goes back to"
    assert names[::2] == [names[0]] * 2
    assert names[1::2] == [f"{names[0]}-again"] * 2
    code, lines = trixie.run(INSTALL)
    assert code == 0, lines
    assert not [line for line in lines if line.startswith("building")]


REFUSED = {
    "32-bit": (
        'printf "#!/bin/sh\\necho armhf\\n" >"$root/usr/bin/dpkg"; chmod 755 "$root/usr/bin/dpkg"',
        "needs a 64-bit system, this one is armhf",
    ),
    "old Python": (
        'rm "$root/usr/bin/python3"; printf "#!/bin/sh\\ncase \\$2 in *exit*) exit 1;; esac;'
        ' echo 3.9\\n" >"$root/usr/bin/python3"; chmod 755 "$root/usr/bin/python3"',
        "needs Python 3.11 or newer, this system has 3.9",
    ),
    "memory": (
        'echo "MemTotal: 300000 kB" >"$root/meminfo";'
        ' mount --bind "$root/meminfo" "$root/proc/meminfo"',
        "needs 400 MB of memory, this computer has 307 MB",
    ),
    "disk": (
        'mkdir -p "$root/opt"; mount -t tmpfs -o size=100m tmpfs "$root/opt"',
        "needs 500 MB free in /opt, there are 100 MB",
    ),
    "a checkout in its place": (
        'mkdir -p "$root/opt/mask-kiosk"',
        "/opt/mask-kiosk was not made by this installer",
    ),
    "damaged bundle": (
        'printf x >>"$root/bundle/edge_app/pipeline.py"',
        "the bundle is damaged (edge_app/pipeline.py: FAILED)",
    ),
    "one bundle over another": (
        'echo >"$root/bundle/edge_app/old.py"',
        "the bundle has files of another one (edge_app/old.py)",
    ),
    "another computer's bundle": (
        'echo arm64 >"$root/bundle/wheels/ARCHITECTURE"; cd "$root/bundle";'
        " grep -v ARCHITECTURE SHA256SUMS >sums; mv sums SHA256SUMS; cd /",
        "this bundle is for arm64, this computer is amd64",
    ),
    "a Python without wheels": (
        'sed -i /3.13/d "$root/bundle/wheels/PYTHONS"; cd "$root/bundle";'
        " grep -v PYTHONS SHA256SUMS >sums; mv sums SHA256SUMS; cd /",
        "this bundle is for Python 3.11, this system has 3.13",
    ),
    "Debian packages": (
        'chroot "$root" dpkg --remove --force-depends python3-opencv >/dev/null 2>&1',
        "without network these must be there already: sudo apt install python3-opencv",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_work_is_refused_with_one_line(trixie: Debian, why: str) -> None:
    before, told = REFUSED[why]
    code, lines = trixie.run(INSTALL, before=before)
    assert code == 2, lines
    [line] = lines
    assert line.startswith(f"install.sh: {told}")
    assert not (trixie.path / "up/etc/mask-kiosk").exists(), "nothing was changed"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ((INSTALL, "--fast"), "unknown option: --fast"),
        (("setpriv", "--reuid=1000", "--clear-groups", INSTALL), "needs root"),
        (("rm", "-r", "/bundle/wheels"), ""),
    ],
)
def test_wrong_usage_is_one_line(trixie: Debian, command: tuple[str, ...], told: str) -> None:
    code, lines = trixie.run(*command)
    if not told:
        code, lines = trixie.run("/bundle/deploy/install.sh", "--offline")
        told = "--offline needs the offline bundle"
    assert code == 2, lines
    [line] = lines
    assert told in line


def test_the_same_checkout_gives_the_same_bundle(bundle: Path, root: Path) -> None:
    made = root / "deploy/bundle/make.sh"
    with locked("bundle"):
        first, second = (made_for_x86_64(made).split()[-1] for _ in range(2))
        [packed] = (BUILD / "dist").glob("mask-kiosk-*-offline-x86_64.tar.gz")
        with tarfile.open(packed) as entries:
            assert {entry.uid for entry in entries} == {0}
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert second == first
