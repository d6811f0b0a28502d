"""The card of Raspberry Pi Imager, prepared at the desk."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

import prepare_card
import sd_card


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def prepare(*arguments: object) -> int:
    return prepare_card.main([str(argument) for argument in arguments])


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert prepare(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def test_trixie_gets_a_folder_and_one_file_and_keeps_all_of_imagers(
    trixie: Path, bundle: Path, settings: Path
) -> None:
    before = snapshot(trixie)
    assert prepare(trixie, bundle, "--settings", settings) == 0
    after = snapshot(trixie)
    assert {name: after[name] for name in before} == before
    new = {name for name in after if name not in before}
    assert new == {
        "vendor-data",
        "mask-kiosk/SHA256SUMS",
        "mask-kiosk/check_settings.py",
        "mask-kiosk/first-boot.sh",
        "mask-kiosk/hook.sh",
        "mask-kiosk/kiosk.toml",
        "mask-kiosk/mask-kiosk-0.1.0-offline-arm64.tar.gz",
        "mask-kiosk/mask-kiosk-first-boot.service",
    }
    assert after["vendor-data"].startswith(b"#cloud-boothook\n#!/bin/sh\n")


def test_the_checksums_are_those_of_the_files(trixie: Path, bundle: Path) -> None:
    prepare(trixie, bundle)
    lines = (trixie / "mask-kiosk" / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 5
    for line in lines:
        digest, name = line.split("  ")
        content = (trixie / "mask-kiosk" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest


def test_bookworm_without_imagers_wishes_gets_its_own_firstrun(
    bookworm: Path, bundle: Path
) -> None:
    before = (bookworm / "cmdline.txt").read_text(encoding="utf-8")
    assert prepare(bookworm, bundle) == 0
    line = (bookworm / "cmdline.txt").read_text(encoding="utf-8")
    assert line.count("\n") == 1
    assert line.startswith(before.rstrip())
    assert "systemd.run=/boot/firmware/firstrun.sh" in line.split()
    assert b"hook.sh" in (bookworm / "firstrun.sh").read_bytes()


def test_imagers_firstrun_gets_a_few_lines_before_its_end(
    bookworm: Path, bundle: Path, imager: tuple[str, str]
) -> None:
    cmdline, firstrun = imager
    (bookworm / "cmdline.txt").write_text(cmdline, encoding="utf-8")
    (bookworm / "firstrun.sh").write_text(firstrun, encoding="utf-8")
    assert prepare(bookworm, bundle) == 0
    assert (bookworm / "cmdline.txt").read_text(encoding="utf-8") == cmdline
    text = (bookworm / "firstrun.sh").read_text(encoding="utf-8")
    assert sd_card.HOOK.sub("", text) == firstrun
    # Raspberry Pi OS cuts the script at the first such line and puts its own end there.
    kept = text[: text.index("rm -f /boot/firstrun.sh")]
    assert "hook.sh" in kept
    ours = sd_card.HOOK.search(text)
    assert ours is not None
    assert not [line for line in ours[0].splitlines() if line.endswith("firstrun.sh")]


def test_bytes_that_are_no_utf8_are_kept(
    bookworm: Path, bundle: Path, imager: tuple[str, str]
) -> None:
    cmdline, firstrun = imager
    (bookworm / "cmdline.txt").write_text(cmdline, encoding="utf-8")
    script = firstrun.encode().replace(b"set_hostname door", b"set_wlan caf\xe9")
    (bookworm / "firstrun.sh").write_bytes(script)
    assert prepare(bookworm, bundle) == 0
    assert b"set_wlan caf\xe9" in (bookworm / "firstrun.sh").read_bytes()


@pytest.mark.parametrize("kind", ["trixie", "bookworm", "imager"])
def test_again_changes_nothing(
    kind: str,
    request: pytest.FixtureRequest,
    bundle: Path,
    settings: Path,
    imager: tuple[str, str],
) -> None:
    folder = request.getfixturevalue("trixie" if kind == "trixie" else "bookworm")
    if kind == "imager":
        (folder / "cmdline.txt").write_text(imager[0], encoding="utf-8")
        (folder / "firstrun.sh").write_text(imager[1], encoding="utf-8")
    assert prepare(folder, bundle, "--settings", settings) == 0
    once = snapshot(folder)
    assert prepare(folder, bundle, "--settings", settings) == 0
    assert snapshot(folder) == once


def test_again_after_an_attempt_forgets_its_result_and_the_old_bundle(
    trixie: Path, bundle: Path
) -> None:
    folder = trixie / "mask-kiosk"
    folder.mkdir()
    (folder / "RESULT.txt").write_text("NOT INSTALLED", encoding="utf-8")
    (folder / "mask-kiosk-0.0.9-offline-arm64.tar.gz").write_bytes(b"old")
    (folder / "mask-kiosk-0.0.9-offline-arm64.tar.gz.new").write_bytes(b"half")
    assert prepare(trixie, bundle) == 0
    assert [path.name for path in folder.glob("*.tar.gz*")] == [bundle.name]
    assert not (folder / "RESULT.txt").exists()


def test_an_interrupted_copy_leaves_no_hook(
    trixie: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: Path | bytes) -> None:
        if path.name == "SHA256SUMS":
            raise OSError(28, "No space left on device", str(path))
        put(path, content)

    put = sd_card.put
    monkeypatch.setattr(sd_card, "put", full)
    assert prepare(trixie, bundle) == 2
    assert not (trixie / "vendor-data").exists()


@pytest.mark.parametrize("missing", ["cmdline.txt", "config.txt", "kernel8.img"])
def test_another_drive_is_refused(
    trixie: Path, bundle: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (trixie / missing).unlink()
    before = snapshot(trixie)
    assert missing in refusal(capsys, trixie, bundle)
    assert snapshot(trixie) == before


def test_no_such_drive(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such folder" in refusal(capsys, tmp_path / "E", bundle)


def test_a_mistake_in_the_settings_is_found_at_the_desk(
    trixie: Path, bundle: Path, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.write_text("[indicator]\n\nred = 99\n", encoding="utf-8")
    before = snapshot(trixie)
    said = refusal(capsys, trixie, bundle, "--settings", settings)
    assert "kiosk.toml, line 3: indicator.red = 99 must be a whole number, 0..27" in said
    assert snapshot(trixie) == before


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("mask-kiosk-0.1.0-offline-arm64.tar.gz", b"not a tar", "cannot be read"),
        ("bundle.tar.gz", b"", "is named"),
    ],
)
def test_what_is_no_bundle_is_refused(
    trixie: Path,
    tmp_path: Path,
    name: str,
    content: bytes,
    word: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / name).write_bytes(content)
    assert word in refusal(capsys, trixie, tmp_path / name)


def test_a_bundle_that_is_not_there(
    trixie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "mask-kiosk-9-offline-arm64.tar.gz"
    assert "no such file" in refusal(capsys, trixie, tmp_path / name)


def test_too_little_room(
    trixie: Path,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sd_card, "ROOM", 2**60)
    assert "MB are needed" in refusal(capsys, trixie, bundle)


def test_somebody_elses_hooks_are_left_alone(
    trixie: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (trixie / "vendor-data").write_text("#cloud-config\nbootcmd: [ls]\n", encoding="utf-8")
    assert "vendor-data" in refusal(capsys, trixie, bundle)


@pytest.mark.parametrize(
    ("cmdline", "firstrun"),
    [
        ("root=/dev/x systemd.run=/boot/other.sh", None),
        ("root=/dev/x systemd.run=/boot/firstrun.sh", None),
        ("root=/dev/x systemd.run=/boot/firstrun.sh", "#!/bin/sh\nexit 0\n"),
        ("root=/dev/x", "#!/bin/sh\nexit 0\n"),
        ("root=/dev/x\nsecond line", None),
        ("", None),
    ],
)
def test_what_only_a_person_can_judge_is_refused(
    bookworm: Path,
    bundle: Path,
    cmdline: str,
    firstrun: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (bookworm / "cmdline.txt").write_text(cmdline, encoding="utf-8")
    if firstrun is not None:
        (bookworm / "firstrun.sh").write_text(firstrun, encoding="utf-8")
    before = snapshot(bookworm)
    refusal(capsys, bookworm, bundle)
    assert snapshot(bookworm) == before


def test_a_secret_goes_along(
    trixie: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "mqtt-password"
    secret.write_text("s3cret\n", encoding="utf-8")
    assert prepare(trixie, bundle, "--secret", secret) == 0
    assert (trixie / "mask-kiosk" / "secrets" / "mqtt-password").read_bytes() == b"s3cret\n"
    assert "whoever" in capsys.readouterr().out


def test_the_archive_for_by_hand(trixie: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "card.zip"
    assert prepare("--zip", out, bundle) == 0
    with zipfile.ZipFile(out) as archive:
        archive.extractall(trixie)
    by_hand = snapshot(trixie)
    assert prepare(trixie, bundle) == 0
    assert {name: by_hand[name] for name in snapshot(trixie) if name in by_hand} == snapshot(trixie)
    # The settings to edit: the defaults, all of them in words.
    assert b"[indicator]" in by_hand["mask-kiosk/kiosk.toml"]
    first = out.read_bytes()
    assert prepare("--zip", out, bundle) == 0
    assert out.read_bytes() == first
