from __future__ import annotations

import pytest

from edge_app.settings_rules import show, without_password


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rtsp://admin:hunter2@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:p@ss@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:hun/ter2@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:hun?ter2@cam/live", "rtsp://***@cam/live"),
        ("rtsp://hunter2@cam/live", "rtsp://***@cam/live"),
        ("rtsp://cam:554/live?user=admin&password=hunter2", "rtsp://cam:554/live?***"),
        ("http://admin:hunter2@cam/v?token=hunter2", "http://***@cam/v?***"),
        ("rtsp://cam:554/live", "rtsp://cam:554/live"),
        ("/dev/video0", "/dev/video0"),
        ("is this @home?", "is this @home?"),
    ],
)
def test_an_address_is_shown_without_what_opens_it(uri: str, shown: str) -> None:
    assert without_password(uri) == shown


def test_a_refused_value_is_shown_without_its_password() -> None:
    """A line break from copying, say."""
    assert "hunter2" not in show("rtsp://admin:hun\nter2hunter2@cam/live")
    assert show("rtsp://admin:hunter2@cam/live\n") == r"'rtsp://***@cam/live\n'"
