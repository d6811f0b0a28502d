from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from edge_app.errors import SettingsError
from edge_app.private_files import MAX_BYTES, read_secret, require_private

KEY = "mqtt.password_file"


def secret(tmp_path: Path, content: bytes, mode: int = 0o600) -> Path:
    path = tmp_path / "the secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def complaint(path: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        read_secret(path, KEY)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{KEY} = {path}: ")
    return message


@pytest.mark.parametrize("content", [b"p 4 ss", b"p 4 ss\n", b"p 4 ss\r\n", b"\xef\xbb\xbfp 4 ss"])
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_the_line_is_the_secret_without_its_end(tmp_path: Path, content: bytes, mode: int) -> None:
    assert read_secret(secret(tmp_path, content, mode), KEY) == "p 4 ss"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o602, 0o666])
def test_a_file_open_to_others_is_refused_with_the_command_that_closes_it(
    tmp_path: Path, mode: int
) -> None:
    path = secret(tmp_path, b"hunter2\n", mode)
    message = complaint(path)
    assert f"(mode {mode:04o})" in message
    assert message.endswith(f"run: chmod 600 '{path}'")
    assert "hunter2" not in message


def test_the_file_behind_a_link_counts(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(secret(tmp_path, b"hunter2\n", 0o644))
    assert "other users may open this secret" in complaint(link)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    assert complaint(path).endswith(f"then run: chmod 600 {path}")


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "the file is empty" in complaint(secret(tmp_path, content))


def test_several_lines_are_refused_and_not_shown(tmp_path: Path) -> None:
    message = complaint(secret(tmp_path, b"hunter2\nhunter3\n"))
    assert message.endswith("must hold one line, not 2")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    assert complaint(secret(tmp_path, b"\xff\xfe")).endswith("not UTF-8 text")


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    assert read_secret(secret(tmp_path, b"x" * MAX_BYTES), KEY) == "x" * MAX_BYTES
    assert "this is no secret" in complaint(secret(tmp_path, b"x" * (MAX_BYTES + 1)))


def test_a_folder_or_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    assert complaint(tmp_path).endswith("this is not a file")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    assert complaint(pipe).endswith("this is not a file")


def test_a_path_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    below_a_file = secret(tmp_path, b"x") / "deeper"
    assert "cannot be read: Not a directory" in complaint(below_a_file)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o440, 0o400])
def test_a_settings_file_that_only_its_group_may_read_is_taken(tmp_path: Path, mode: int) -> None:
    require_private(secret(tmp_path, b"", mode), "settings file")


@pytest.mark.parametrize(
    ("mode", "verb"),
    [(0o644, "read"), (0o604, "read"), (0o601, "read"), (0o660, "change"), (0o602, "change")],
)
def test_a_settings_file_open_to_others_is_refused_with_a_command_that_helps(
    tmp_path: Path, mode: int, verb: str
) -> None:
    path = secret(tmp_path, b"", mode)
    with pytest.raises(SettingsError) as caught:
        require_private(path, "settings file")
    message = str(caught.value)
    assert f"other users may {verb} this settings file (mode {mode:04o})" in message
    command = message.partition("run: ")[2]
    subprocess.run(["sh", "-c", command.replace("sudo ", "")], check=True)
    require_private(path, "settings file")


def test_a_missing_settings_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere: cannot read the settings file: No such"):
        require_private(tmp_path / "nowhere", "settings file")
