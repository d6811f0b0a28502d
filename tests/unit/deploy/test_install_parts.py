"""Parts of install.sh by themselves, with stand-ins for what they ask of the system."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PARTS = """
set -euo pipefail
export LC_ALL=C
TREE=$1
for part in common refuse system release service uninstall; do
  . "$TREE/deploy/install/$part.sh"
done
"""


def run(root: Path, script: str) -> tuple[int, list[str]]:
    """Exit code and lines of a script that knows all parts.

    Started with nohup, or in the background, the tests would hand it ignored signals.
    """
    done = subprocess.run(
        ["env", "--default-signal=HUP,INT", "bash", "-c", PARTS + script, "parts", root],
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


ANOTHER_APT = """
sleep() { touch "$2/ended"; }
dpkg() {
  case $* in
    --audit) [[ -e $2/ended ]] || echo "half configured" ;;
    *) echo "dpkg: error: dpkg frontend lock was locked by another process with pid 7"; return 2 ;;
  esac
}
"""


def test_it_waits_for_another_apt(root: Path, tmp_path: Path) -> None:
    """Packages look half set up meanwhile, and dpkg cannot have the lock."""
    script = ANOTHER_APT.replace("$2", str(tmp_path)) + "repair_packages; echo goes on"
    code, lines = run(root, script)
    assert code == 0, lines
    assert lines[0].startswith("waiting        for another apt")
    assert lines[1:] == ["goes on"]


def test_another_apt_that_never_ends_is_one_line(root: Path, tmp_path: Path) -> None:
    script = ANOTHER_APT.replace("$2", str(tmp_path)) + "APT_WAIT_S=0; repair_packages"
    code, lines = run(root, script)
    assert code == 1
    assert "locked by another process" in lines[0]
    assert lines[-1].startswith("install.sh: Debian packages are half set up")


def test_a_broken_package_is_one_line(root: Path) -> None:
    script = "dpkg() { echo 'dpkg: error processing package x'; return 1; }\nrepair_packages"
    code, lines = run(root, script)
    assert code == 1
    assert lines[-1].startswith("install.sh: Debian packages are half set up")


@pytest.mark.parametrize(
    ("known", "wanted"),
    [("python3-picamera2 python3-lgpio libcamera-ipa", True), ("libcamera-ipa", False)],
)
def test_the_cameras_own_part_comes_with_picamera2_alone(
    root: Path, known: str, wanted: bool
) -> None:
    """Debian has it too, and no picamera2."""
    script = (
        "dpkg() { :; }; has_package() { [[ $1 == python3 ]]; }; require_python() { :; }\n"
        f"apt_knows() {{ [[ ' {known} ' == *\" $1 \"* ]]; }}; remember() {{ :; }}\n"
        "quiet_apt() { echo apt-get \"$@\"; }; install_packages ''"
    )
    code, lines = run(root, script)
    assert code == 0, lines
    [install] = [line for line in lines if line.startswith("apt-get install")]
    assert ("libcamera-ipa" in install.split()) == wanted


WEAK = "FAIL     throttling         under-voltage; use the official power supply"
BAD = "FAIL     classifier kernels  built-in; install ai-edge-litert again"


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        ([], [], None),
        ([WEAK, "1 failed"], [WEAK, "1 failed"], None),
        ([WEAK, "1 failed"], [WEAK, BAD, "2 failed"], "classifier kernels"),
        (["all well"], [BAD, WEAK, "2 failed"], "classifier kernels, throttling"),
        (["Traceback"], ["Traceback"], "it did not end"),
        (None, [BAD, "1 failed"], ""),
    ],
)
def test_only_what_fails_with_the_new_release_alone_counts(
    root: Path, before: list[str] | None, after: list[str], new: str | None
) -> None:
    says = {"new": after, "old": before or []}
    cases = "".join(
        f"*{name}) printf '%s\\n' {' '.join(map(repr, lines))}; return {int(bool(lines))} ;;\n"
        for name, lines in says.items()
    )
    old = "" if before is None else "/old"
    code, lines = run(
        root,
        f"check() {{ case $1 in {cases} esac; }}; is_whole() {{ [[ $1 ]]; }}; RELEASE=/new\n"
        f"mktemp() {{ command mktemp; }}; code=0; check_against '{old}'"
        ' || code=1; echo "$code $NEW_FAILS"',
    )
    assert code == 0, lines
    assert lines[-1] == ("0 " if new is None else f"1 {new}")
    assert lines[: len(after)] == after, "people read it"


@pytest.mark.parametrize("signal", ["HUP", "INT", "TERM"])
def test_cut_while_the_service_is_stopped_it_is_started_again(root: Path, signal: str) -> None:
    """The connection over which install.sh was started breaks, for example."""
    code, lines = run(
        root,
        "systemd_runs() { :; }; service_healthy() { :; }; current_release() { echo /old; }\n"
        'RELEASE=/new; systemctl() { echo systemctl "$@"; }\n'
        f"check_against() {{ kill -{signal} $$; sleep 1; }}; activate",
    )
    assert code != 0
    assert lines == [
        f"systemctl {what} mask-kiosk.service" for what in ("stop", "start --no-block")
    ]


def test_the_check_has_the_environment_of_the_service(root: Path, tmp_path: Path) -> None:
    """As systemd reads it: quotes are no part of a value, any name counts."""
    defaults = tmp_path / "defaults"
    defaults.write_text(
        '# A=1\n;B=2\n\nMASK_KIOSK_MODELS="/srv/my models"\nPLAIN=a b  \n  lower_2=\'x"y\'\n'
        "EMPTY=\nno setting\n2BAD=x\nLAST=end"
    )
    code, lines = run(root, f"DEFAULTS={defaults}; service_environment")
    assert code == 0, lines
    assert lines == [
        "MASK_KIOSK_MODELS=/srv/my models",
        "PLAIN=a b",
        'lower_2=x"y',
        "EMPTY=",
        "LAST=end",
    ]
    assert run(root, "DEFAULTS=/none; service_environment") == (0, [])
