from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_app.vision.bundle import MODELS_DIR
from edge_app.vision.interpreter import load_interpreter
from training.exporting.flops import float_operators
from training.exporting.input_conversion import by_real_numbers

DATA = Path(__file__).resolve().parents[3] / "data"


def changed(model: bytes, change: Callable[[Any], None]) -> bytes:
    graph = schema.ModelT.InitFromPackedBuf(model, 0)
    change(graph)
    builder = flatbuffers.Builder(1024)
    builder.Finish(graph.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("name", ["tiny_classifier", "tiny_detector"])
def test_the_outputs_are_bit_for_bit_the_same(name: str) -> None:
    model = (DATA / f"{name}.tflite").read_bytes()
    new = by_real_numbers(model)
    assert new != model
    before, after = load_interpreter(model), load_interpreter(new)
    assert after.input == before.input
    generator = np.random.default_rng(0)
    for _ in range(50):
        picture = generator.integers(0, 256, before.input.shape, dtype=np.uint8)
        for old, value in zip(before.run(picture), after.run(picture), strict=True):
            assert (old == value).all()


@pytest.mark.parametrize("name", ["face_detector", "mask_classifier"])
def test_the_shipped_models_have_it_and_it_is_done_once(name: str) -> None:
    model = (MODELS_DIR / f"{name}.tflite").read_bytes()
    assert by_real_numbers(model) == model
    assert "DEQUANTIZE" in {op["op_name"] for op in load_interpreter(model).operators()}
    assert float_operators(model) == []


def test_a_model_without_such_an_operator_stays_as_it_is() -> None:
    model = (DATA / "crashing_classifier.tflite").read_bytes()
    assert by_real_numbers(model) == model


def test_a_pair_that_loses_something_is_float() -> None:
    model = by_real_numbers((DATA / "every_byte.tflite").read_bytes())
    assert float_operators(model) == []

    def coarser(graph: Any) -> None:
        graph.subgraphs[0].tensors[1].quantization.scale = [4 / 255]

    assert len(float_operators(changed(model, coarser))) == 2


def test_real_numbers_that_something_else_reads_too_are_float() -> None:
    model = by_real_numbers((DATA / "every_byte.tflite").read_bytes())

    def second_reader(graph: Any) -> None:
        main = graph.subgraphs[0]
        other = schema.OperatorT()
        other.opcodeIndex = main.operators[1].opcodeIndex
        other.inputs, other.outputs = main.operators[1].inputs, [2]
        main.operators.append(other)

    assert float_operators(changed(model, second_reader)) != []
