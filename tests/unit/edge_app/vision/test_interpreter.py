from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.errors import InterpreterMissingError
from edge_app.vision.interpreter import (
    RUNTIME_VARIABLE,
    RUNTIMES,
    Interpreter,
    Tensor,
    dequantize,
    load_interpreter,
    runtime_name,
)


@pytest.fixture(scope="module")
def classifier(tiny: Path) -> Interpreter:
    return load_interpreter((tiny / "tiny_classifier.tflite").read_bytes())


def test_tensors_are_described(classifier: Interpreter) -> None:
    assert classifier.input.shape == (1, 16, 16, 3)
    assert classifier.input.dtype == "uint8"
    assert [output.shape for output in classifier.outputs] == [(1, 3)]
    assert classifier.outputs[0].scale > 0


@pytest.mark.parametrize("name", ["every_byte", "every_byte_by_real_numbers"])
def test_every_pixel_value_reaches_int8_unchanged(name: str, tiny: Path) -> None:
    """Whichever operators turn uint8 into int8 (training.exporting.input_conversion)."""
    there_and_back = load_interpreter((tiny / f"{name}.tflite").read_bytes())
    every = np.arange(256, dtype=np.uint8)[None]
    assert (there_and_back.run(every)[0] == every).all()


def test_real_values_are_the_stored_ones_on_their_scale(classifier: Interpreter) -> None:
    red = np.zeros((1, 16, 16, 3), np.uint8)
    red[..., 0] = 255
    (stored,) = classifier.run(red)
    (real,) = classifier.run_real(red)
    output = classifier.outputs[0]
    assert stored.dtype == np.uint8
    assert real.dtype == np.float32
    np.testing.assert_allclose(
        real, (stored.astype(float) - output.zero_point) * output.scale, rtol=1e-6
    )
    # The weights of make_tiny.py: -3, 6, -3 for red.
    np.testing.assert_allclose(real[0], [-3, 6, -3], atol=0.1)


def test_a_result_is_not_overwritten_by_the_next_run(classifier: Interpreter) -> None:
    black, white = np.zeros((1, 16, 16, 3), np.uint8), np.zeros((1, 16, 16, 3), np.uint8)
    white[..., 1] = 255
    (first,) = classifier.run(black)
    before = first.copy()
    (second,) = classifier.run(white)
    assert (first == before).all()
    assert (second != first).any()


@pytest.mark.parametrize("shape", [(1, 8, 8, 3), (16, 16, 3)])
def test_a_picture_of_the_wrong_size_is_refused(
    shape: tuple[int, ...], classifier: Interpreter
) -> None:
    with pytest.raises(ValueError, match=r"[Dd]imension"):
        classifier.run(np.zeros(shape, np.uint8))


@given(st.floats(1e-4, 10), st.integers(0, 255), st.integers(0, 255))
def test_dequantize(scale: float, zero_point: int, stored: int) -> None:
    tensor = Tensor(0, "t", (1,), "uint8", scale, zero_point)
    (value,) = dequantize(np.array([stored], np.uint8), tensor)
    assert value == pytest.approx((stored - zero_point) * scale, rel=1e-5)


def test_float_tensors_pass_unchanged() -> None:
    tensor = Tensor(0, "t", (2,), "float32", 0.0, 0)
    values = np.array([0.25, -3.5], np.float32)
    assert (dequantize(values, tensor) == values).all()


def test_the_runtime_is_named_with_its_version() -> None:
    name, _, version = runtime_name().partition(" ")
    assert name in RUNTIMES
    assert version[0].isdigit()


def test_an_unknown_runtime_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUNTIME_VARIABLE, "torch")
    with pytest.raises(InterpreterMissingError, match="must be one of: ai-edge-litert, tflite"):
        runtime_name()


@pytest.fixture
def no_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forgets the runtimes that were imported, and afterwards those that the test made."""

    def loaded() -> list[str]:
        return [
            m for m in sys.modules if m.partition(".")[0] in ("ai_edge_litert", "tflite_runtime")
        ]

    for name in loaded():
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delenv(RUNTIME_VARIABLE, raising=False)
    yield
    for name in loaded():
        del sys.modules[name]


@pytest.mark.usefixtures("no_runtime")
def test_without_a_runtime_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(InterpreterMissingError, match="pip install ai-edge-litert or tflite-run"):
        load_interpreter(b"")


@pytest.mark.usefixtures("no_runtime")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import a_module_that_is_missing", "lacks the module a_module_that_is_missing"),
        ("raise ImportError('GLIBC_9.9 not found')", "cannot be imported: GLIBC_9.9"),
    ],
)
def test_a_broken_runtime_is_not_passed_over_for_the_other(
    content: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "ai_edge_litert"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InterpreterMissingError, match=message):
        load_interpreter(b"")
