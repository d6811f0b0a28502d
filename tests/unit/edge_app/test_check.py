import io
from pathlib import Path

import pytest
from gpiozero.pins.mock import MockFactory

from edge_app import check
from edge_app.check import (
    check_kernels,
    check_model,
    check_pins,
    check_source,
    judge_temperature,
    judge_throttling,
    run_check,
    walk,
)
from edge_app.recording import write_picture
from edge_app.settings import Settings, replace_settings
from edge_app.sinks.indicator import Indicator
from edge_app.vision.bundle import load_bundle

PI = "Raspberry Pi 4 Model B Rev 1.5"


@pytest.fixture
def ready(tiny_settings: Settings, tmp_path: Path, paint, monkeypatch) -> Settings:
    """Settings with which every check passes, and no waiting."""
    write_picture(tmp_path / "a.png", paint({}))
    monkeypatch.setattr(check, "LAMP_SECONDS", 0.0)
    return replace_settings(tiny_settings, {"source.uri": str(tmp_path / "a.png")})


def lines(settings: Settings) -> tuple[int, dict[str, str]]:
    out = io.StringIO()
    code = run_check(settings, out)
    *found, last = out.getvalue().splitlines()
    assert last == ("all well" if code == 0 else "1 failed")
    return code, {line[9:28].strip(): line for line in found}


def test_everything_in_order_is_one_line_per_check_and_exit_code_0(ready: Settings) -> None:
    code, found = lines(ready)
    assert code == 0
    assert list(found) == [
        "runtime",
        "detector bundle",
        "detector kernels",
        "classifier bundle",
        "classifier kernels",
        "installed models",
        "model keys",
        "source",
        "pins",
        "network",
        "journal",
        "MQTT",
        "status page",
        "temperature",
        "throttling",
    ]
    assert "128x96" in found["source"]
    assert "pretend pins (mock)" in found["pins"]


def test_a_failed_check_gives_exit_code_1_and_the_others_still_run(ready: Settings) -> None:
    settings = replace_settings(ready, {"source.uri": "nowhere.mp4"})
    code, found = lines(settings)
    assert code == 1
    assert found["source"].startswith("FAIL")
    assert "nowhere.mp4: there is no such file" in found["source"]
    assert found["pins"].startswith("ok")


def test_a_damaged_bundle_fails_its_check(tiny: Path, tmp_path: Path) -> None:
    for suffix in (".tflite", ".json"):
        content = (tiny / "tiny_detector").with_suffix(suffix).read_bytes()
        (tmp_path / "tiny_detector").with_suffix(suffix).write_bytes(content)
    model = tmp_path / "tiny_detector.tflite"
    assert [r.status for r in check_model("detector", "detect", str(model), 1)] == ["ok", "ok"]
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    (result,) = check_model("detector", "detect", str(model), 1)
    assert result.status == "FAIL"
    assert "sha256" in result.detail


def test_missing_xnnpack_fails_where_the_runtime_should_bring_it(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = load_bundle(tiny / "tiny_detector.tflite", "detect")
    own = [op for op in bundle.interpreter.operators() if op["op_name"] != "DELEGATE"]
    monkeypatch.setattr(type(bundle.interpreter), "operators", lambda _: own)
    bundle.interpreter.runtime = "ai-edge-litert"
    assert check_kernels("kernels", bundle).status == "FAIL"
    bundle.interpreter.runtime = "tflite-runtime"
    result = check_kernels("kernels", bundle)
    assert (result.status, result.advice) == ("ok", "slower: ai-edge-litert would use XNNPACK")
    assert "XNNPACK for none" in result.detail


def test_the_walk_lights_each_output_alone_and_leaves_all_dark(
    tiny_settings: Settings, mock_factory: MockFactory
) -> None:
    pins = tiny_settings.indicator
    numbers = [pins.red, pins.amber, pins.green, pins.buzzer]
    lit: list[list[int]] = []

    def look(_: float) -> None:
        lit.append([n for n in numbers if mock_factory.pin(n).state])

    indicator = Indicator(pins, mock_factory)
    assert walk(indicator, look) == ["red", "amber", "green", "buzzer"]
    assert lit == [[number] for number in numbers]
    assert not any(mock_factory.pin(number).state for number in numbers)


def test_a_buzzer_that_is_not_fitted_is_not_walked(
    tiny_settings: Settings, mock_factory: MockFactory
) -> None:
    silent = replace_settings(tiny_settings, {"indicator.buzzer_enabled": False}).indicator
    assert walk(Indicator(silent, mock_factory), lambda _: None) == ["red", "amber", "green"]


def test_no_light_is_skipped_and_real_pins_elsewhere_fail(ready: Settings) -> None:
    without = replace_settings(ready, {"indicator.pins": "none"})
    assert check_pins(without).status == "skipped"
    if check.pi_health.raspberry_pi_model() is None:
        result = check_pins(replace_settings(ready, {"indicator.pins": "gpio"}))
        assert result.status == "FAIL"
        assert "mock" in result.detail


def test_an_empty_folder_is_no_source(ready: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = check_source(replace_settings(ready, {"source.uri": str(tmp_path / "empty")}))
    assert result.status == "FAIL"
    assert "no images" in result.detail


@pytest.mark.parametrize(
    ("celsius", "status"), [(45.0, "ok"), (79.9, "ok"), (80.0, "FAIL"), (None, "FAIL")]
)
def test_temperature(celsius: float | None, status: str) -> None:
    result = judge_temperature(PI, celsius)
    assert result.status == status
    assert PI in str(result)
    assert bool(result.advice) == (status == "FAIL")


@pytest.mark.parametrize(
    ("flags", "status", "advice"),
    [
        ([], "ok", ""),
        (["under-voltage since boot"], "FAIL", "power supply"),
        (["throttled now"], "FAIL", "cooler"),
        (None, "FAIL", "vcgencmd"),
    ],
)
def test_throttling(flags: list[str] | None, status: str, advice: str) -> None:
    result = judge_throttling(flags)
    assert result.status == status
    assert advice in result.advice
    assert all(flag in result.detail for flag in flags or [])


def test_on_a_pi_both_are_looked_at(ready: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check.pi_health, "raspberry_pi_model", lambda: PI)
    monkeypatch.setattr(check.pi_health, "temperature", lambda: 51.25)
    monkeypatch.setattr(check.pi_health, "throttling", lambda: ["throttled now"])
    code, found = lines(ready)
    assert code == 1
    assert f"ok       temperature        {PI}: 51.2 degrees C" == found["temperature"]
    assert found["throttling"].startswith("FAIL")
