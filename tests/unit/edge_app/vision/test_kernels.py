from pathlib import Path
from typing import Any

import pytest

from edge_app.vision.bundle import load_bundle
from edge_app.vision.kernels import DELEGATE, Kernels, count, kernels


def op(name: str, inputs: list[int], outputs: list[int]) -> dict[str, Any]:
    return {"op_name": name, "inputs": inputs, "outputs": outputs}


CHAIN = [
    op("QUANTIZE", [0], [1]),
    op("CONV_2D", [1, 90, 91], [2]),
    op("ADD", [2, 1], [3]),
    op("SOFTMAX", [3], [4]),
]


def test_without_a_delegate_every_operator_is_built_in() -> None:
    assert count(CHAIN) == Kernels(xnnpack=0, operators=4)
    assert str(count(CHAIN)) == "built-in kernels for all 4 operators, XNNPACK for none"


def test_a_delegate_runs_what_lies_between_its_inputs_and_outputs() -> None:
    taken = count([*CHAIN, op(DELEGATE, [1, 90, 91], [3])])
    assert taken == Kernels(xnnpack=2, operators=4)
    assert str(taken) == "XNNPACK for 2 of 4 operators"


def test_two_groups_are_added_and_none_is_counted_twice() -> None:
    groups = [op(DELEGATE, [0, 90, 91], [1, 2, 3]), op(DELEGATE, [3], [4])]
    assert count([*CHAIN, *groups]) == Kernels(xnnpack=4, operators=4)


@pytest.mark.parametrize(
    ("name", "task"), [("tiny_detector", "detect"), ("tiny_classifier", "classify")]
)
def test_a_real_model_is_counted_with_its_real_runtime(tiny: Path, name: str, task: str) -> None:
    interpreter = load_bundle(tiny / f"{name}.tflite", task).interpreter
    found = kernels(interpreter)
    assert 0 <= found.xnnpack <= found.operators
    assert found.operators > 2
    delegated = any(o["op_name"] == DELEGATE for o in interpreter.operators())
    assert (found.xnnpack > 0) == delegated
    if interpreter.runtime == "ai-edge-litert":
        assert delegated, "this runtime brings XNNPACK"
