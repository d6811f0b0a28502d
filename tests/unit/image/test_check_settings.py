"""A mistake in kiosk.toml: its line, for people who have never seen TOML."""

from __future__ import annotations

from pathlib import Path

import pytest

import check_settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n[indicator]\nred = 99\n", "line 3: indicator.red = 99 must be"),
        ("[source]\nfps = 10\n\n[indicater]\nred = 1\n", "line 4: there is no section 'indicater'"),
        ("[indicator]\r\n\r\nrde = 1\r\n", "line 3: there is no setting 'indicator.rde'"),
        ("[indicator]\nred = 17\namber = 17\n", "line 3: indicator.amber = 17 must differ"),
        ("[source]\nuri = picamera\n", "line 2: not valid TOML"),
        ("indicator.red = 99\n", "line 1: indicator.red = 99"),
    ],
)
def test_it_names_the_line(
    tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kiosk.toml"
    file.write_bytes(text.encode())
    assert check_settings.main([str(file)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"kiosk.toml, {said}")
    assert error.count("\n") == 1


def test_no_line_where_there_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_settings.main([str(tmp_path / "kiosk.toml")]) == 2
    assert capsys.readouterr().err == "kiosk.toml: cannot be read: No such file or directory\n"


def test_a_password_in_an_address_is_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kiosk.toml"
    file.write_text(f'[source]\nuri = "rtsp://me:s3cret@cam/{"x" * 2000}"\n', encoding="utf-8")
    assert check_settings.main([str(file)]) == 2
    assert "s3cret" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 1),
        ('[mqtt]\nhost = "broker"\n', 0),
        ("[web]\nenabled = true\n", 0),
        ('[source]\nuri = "rtsp://cam/1"\n', 0),
    ],
)
def test_which_settings_need_the_network(tmp_path: Path, text: str, code: int) -> None:
    file = tmp_path / "kiosk.toml"
    file.write_text(text, encoding="utf-8")
    assert check_settings.main(["--network", str(file)]) == code
    assert check_settings.main([str(file)]) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        ("[web]\nenabled = true\n", "http://127.0.0.1:8080/\n"),
        ('[web]\nenabled = true\nhost = "0.0.0.0"\nport = 80\n', "http://door.local:80/\n"),
    ],
)
def test_the_address_of_the_status_page(
    tmp_path: Path,
    text: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "door")
    file = tmp_path / "kiosk.toml"
    file.write_text(text, encoding="utf-8")
    assert check_settings.main(["--page", str(file)]) == 0
    assert capsys.readouterr().out == said


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_settings.main([]) == 2
    assert "usage" in capsys.readouterr().err
