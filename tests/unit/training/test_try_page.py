from __future__ import annotations

import argparse

import pytest

from training.try_page import PAGE, add_parser, server_command


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return parser.parse_args(["try", *arguments])


def test_the_page_is_served_on_this_machine_alone_unless_told() -> None:
    command = server_command(parsed())
    assert "--server.address=127.0.0.1" in command
    assert "--server.port=7860" in command
    assert "--browser.gatherUsageStats=false" in command
    assert command[command.index("run") + 1] == str(PAGE)
    assert PAGE.is_file()


def test_the_page_is_told_which_models() -> None:
    command = server_command(parsed("--classifier", "door.tflite", "--port", "81"))
    assert command[command.index("--") + 1 :] == [
        "--detector", "face_detector", "--classifier", "door.tflite",
    ]  # fmt: skip
    assert "--server.port=81" in command


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x", "80.0"])
def test_a_port_that_cannot_be_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parsed(f"--port={port}")
    assert left.value.code == 2
    assert "is not a port, 1..65535" in capsys.readouterr().err
