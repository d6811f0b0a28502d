import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpiozero.pins.mock import MockFactory

from edge_app import cli
from edge_app.settings import Settings


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """The command line sets up logging for its own process; here that is the tests'."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def toml(tmp_path: Path, tiny_settings: Settings) -> Path:
    path = tmp_path / "kiosk.toml"
    path.write_text(
        f'[detector]\nbundle = "{tiny_settings.detector.bundle}"\n'
        f'[classifier]\nbundle = "{tiny_settings.classifier.bundle}"\n'
        '[indicator]\npins = "none"\n'
    )
    path.chmod(0o600)
    return path


def failing(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and the one error line."""
    code = cli.main(arguments)
    (line,) = [x for x in capsys.readouterr().err.splitlines() if not x.startswith("INFO:")]
    assert line.startswith("mask-kiosk: error: ")
    return code, line


@pytest.mark.parametrize("command", ["run", "demo", "check", "bench"])
def test_a_missing_settings_file_is_an_error_everywhere(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    code, line = failing(capsys, command, "--settings", "nowhere.toml")
    assert code == 2
    assert "nowhere.toml: cannot read the settings file" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replay", "nowhere.mp4"], "nowhere.mp4: there is no such file"),
        (["replay", "a.mp4", "--expect", "no.json"], "no.json: cannot be read"),
        (["replay", "a.mp4", "b.mp4", "--annotate", "out.mp4"], "name a folder"),
        (["bench", "--threads", "99"], "detector.threads = 99 must be"),
        (["bench", "--source", "nowhere.mp4"], "nowhere.mp4"),
        (["run", "--source", ""], "source.uri"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    toml: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, line = failing(capsys, *arguments, "--settings", str(toml))
    assert code == 2
    assert words in line


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["replay"],
        ["run", "--frames", "3"],
        ["bench", "--frames", "0"],
        ["bench", "--frames", "three"],
        ["bench", "--threads", "two"],
    ],
)
def test_bad_usage_exits_with_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_the_command_line_wins_over_the_file(
    toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(["check", "--settings", str(toml), "--source", "nowhere.mp4", "--mock-pins"])
    printed = capsys.readouterr().out
    assert code == 1
    assert "nowhere.mp4: there is no such file" in printed
    assert "pretend pins (mock)" in printed


def test_what_the_file_says_holds_without_options(
    toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["check", "--settings", str(toml), "--source", "nowhere.mp4"])
    assert 'indicator.pins is "none"' in capsys.readouterr().out


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
def test_a_kiosk_at_work_refuses_settings_that_are_open_to_others(
    toml: Path, capsys: pytest.CaptureFixture[str], command: str, mode: int
) -> None:
    toml.chmod(mode)
    code, line = failing(capsys, command, "--settings", str(toml), "--source", "nowhere.mp4")
    assert code == 2
    assert f"(mode {mode:04o})" in line
    assert "chmod 6" in line


@pytest.mark.parametrize(
    "arguments", [["replay", "nowhere.mp4"], ["bench", "--source", "nowhere.mp4"]]
)
def test_a_developer_s_commands_take_any_settings_file(
    toml: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    toml.chmod(0o644)
    _, line = failing(capsys, *arguments, "--settings", str(toml))
    assert "nowhere.mp4: there is no such file" in line


def test_off_switches_every_pin_off(
    mock_factory: MockFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pins = [mock_factory.pin(number) for number in (17, 27, 22, 23)]
    for pin in pins:
        pin.function = "output"
        pin.state = True
    monkeypatch.setattr("edge_app.sinks.indicator._pi_factory", lambda: mock_factory)
    assert cli.main(["off"]) == 0
    assert [pin.states[-1].state for pin in pins] == [False] * 4
