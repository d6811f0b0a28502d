"""What a ``.tflite`` file costs and whether it is integer throughout, read from its graph."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edge_app.errors import ExportError
from training.exporting.input_conversion import is_lossless_pair, kind

_NAMES: dict[int, str] = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}
_FLOATS = {schema.TensorType.FLOAT16, schema.TensorType.FLOAT32, schema.TensorType.FLOAT64}
_NOT_COUNTED = {
    "BATCH_MATMUL",
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "CONV_3D",
    "CONV_3D_TRANSPOSE",
    "CUSTOM",
    "LSTM",
    "RNN",
    "SVDF",
    "TRANSPOSE_CONV",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
}
"""Operators that multiply but that :func:`multiply_adds` has no rule for: refused, so that
no model looks cheaper than it is."""


def multiply_adds(model: bytes) -> int:
    """Multiply-accumulate operations of one inference.

    Counts convolutions, depthwise convolutions and fully connected layers, as published
    figures do (MobileNetV2 1.0 at 224: 300 million); additions of biases, activations,
    pooling, element-wise operators and softmax are left out.

    Args:
        model: Content of a ``.tflite`` file with fixed shapes (but for the batch).

    Raises:
        ExportError: Not a TFLite model, a shape is not fixed, or it holds an operator that
            multiplies and cannot be counted.
    """
    total = 0
    for name, operator, tensors in _operators(_read(model)):
        if name in _NOT_COUNTED:
            raise ExportError(f"cannot count the multiply-adds of operator {name}")
        if name not in {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}:
            continue
        weights = _shape(tensors[operator.inputs[1]], name)
        values = math.prod(_shape(tensors[operator.outputs[0]], name))
        # Weights are (out, height, width, in), (1, height, width, out) and (out, in).
        per_value = weights[1:3] if name == "DEPTHWISE_CONV_2D" else weights[1:]
        total += values * math.prod(per_value)
    return total


def float_operators(model: bytes) -> list[str]:
    """Operators that read or write floating-point activations, as ``NAME -> output tensor``.

    Empty for a fully integer model. Constants (weights) do not count: an operator with
    float activations is listed whatever its weights are. The two operators that only change the
    input's type (:mod:`training.exporting.input_conversion`) compute nothing and are not listed.

    Args:
        model: Content of a ``.tflite`` file.

    Raises:
        ExportError: Not a TFLite model.
    """
    found = []
    graph = _read(model)
    for name, operator, tensors in _operators(graph):
        activations = [
            tensors[i] for i in operator.inputs if i >= 0 and not _constant(graph, tensors[i])
        ]
        activations += [tensors[i] for i in operator.outputs]
        is_float = any(tensor.type in _FLOATS for tensor in activations)
        if is_float and not is_lossless_pair(graph, operator):
            found.append(f"{name} -> {_text(tensors[operator.outputs[0]].name)}")
    return found


def _operators(graph: Any) -> Iterator[tuple[str, Any, Any]]:
    for subgraph in graph.subgraphs:
        for operator in subgraph.operators:
            number = kind(graph, operator)
            yield _NAMES.get(number, f"operator {number}"), operator, subgraph.tensors


def _read(model: bytes) -> Any:
    if model[4:8] != b"TFL3":
        raise ExportError("not a TFLite model: the file identifier TFL3 is missing")
    return schema.ModelT.InitFromPackedBuf(model, 0)


def _shape(tensor: Any, name: str) -> list[int]:
    shape = [int(n) for n in tensor.shape]
    signature = tensor.shapeSignature
    # An open batch size does not matter: the shape then holds 1, as in one inference.
    if signature is not None and any(int(n) < 0 for n in signature[1:]):
        raise ExportError(f"{name}: tensor {_text(tensor.name)} has no fixed shape")
    return shape


def _constant(graph: Any, tensor: Any) -> bool:
    data = graph.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def _text(name: bytes | str) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name
