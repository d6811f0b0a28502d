import cv2
import pytest

from edge_app.errors import UsageError
from edge_app.window import Window, require_window

WITH_WINDOWS = "  GUI:                           QT5\n    QT:       YES"
HEADLESS = "  GUI:                           NONE\n    VTK support:  NO"


@pytest.mark.parametrize("environment", [{}, {"DISPLAY": ""}, {"WAYLAND_DISPLAY": ""}])
def test_without_a_screen_the_error_names_what_is_missing(environment: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"no screen here.*--annotate") as caught:
        require_window(environment, WITH_WINDOWS)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_a_headless_opencv_is_named_as_the_reason(name: str) -> None:
    with pytest.raises(UsageError, match="opencv-python-headless"):
        require_window({name: ":0"}, HEADLESS)


@pytest.mark.parametrize("name", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_with_both_a_window_may_be_opened(name: str) -> None:
    require_window({name: ":0"}, WITH_WINDOWS)


def test_this_opencv_says_whether_it_has_windows() -> None:
    """The words that are looked for must exist in the real build information."""
    assert "GUI:" in cv2.getBuildInformation()
    with pytest.raises(UsageError):
        Window({})
