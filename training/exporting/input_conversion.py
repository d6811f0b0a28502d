"""How a picture's bytes become the model's own integers: a step that costs more than it should.

A bundle takes uint8, its network computes in int8, so the converter puts one QUANTIZE operator
at the input. XNNPACK does not take that operator: the runtime's own kernel does it, one number at
a time on x86-64, which was a fifth of our detector's time. XNNPACK does take each half of the same
way, uint8 to real numbers and real numbers to int8, with vector instructions. So the
operator is replaced by these two. Nothing is lost: every one of the 256 values arrives at the same
int8 as before (a test runs them all on both runtimes), and no layer computes in real numbers.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

UINT8_TO_INT8 = 128
"""Difference of the zero points when the same scale is kept."""

DEQUANTIZE_UINT8 = 2
"""Version of the operator that reads 8-bit integers."""

REAL_NAME = b"input_as_real"


def by_real_numbers(model: bytes) -> bytes:
    """Replace the uint8-to-int8 operator at a model's input by two that XNNPACK runs.

    Args:
        model: Content of a ``.tflite`` file.

    Returns:
        The new content; ``model`` itself where no such operator is at its input.
    """
    graph = schema.ModelT.InitFromPackedBuf(model, 0)
    main = graph.subgraphs[0]
    quantize = next((op for op in main.operators if _is_input_conversion(graph, op)), None)
    if quantize is None:
        return model
    picture = main.tensors[quantize.inputs[0]]
    real = schema.TensorT()
    real.name, real.type, real.buffer = REAL_NAME, schema.TensorType.FLOAT32, 0
    real.shape, real.shapeSignature = picture.shape, picture.shapeSignature
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = DEQUANTIZE_UINT8
    first = schema.OperatorT()
    first.opcodeIndex = len(graph.operatorCodes)
    first.inputs, first.outputs = [int(quantize.inputs[0])], [len(main.tensors)]
    first.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    first.builtinOptions = schema.DequantizeOptionsT()
    main.operators.insert(main.operators.index(quantize), first)
    quantize.inputs = [len(main.tensors)]
    main.tensors.append(real)
    graph.operatorCodes.append(code)
    builder = flatbuffers.Builder(len(model))
    builder.Finish(graph.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def is_lossless_pair(graph: Any, operator: Any) -> bool:
    """Whether an operator is one of the two that :func:`by_real_numbers` puts at an input.

    Args:
        graph: The whole model (``ModelT``).
        operator: One of the operators of its first subgraph.
    """
    main = graph.subgraphs[0]
    makers = {int(t): op for op in main.operators for t in op.outputs}
    if kind(graph, operator) == schema.BuiltinOperator.DEQUANTIZE:
        users = [op for op in main.operators if operator.outputs[0] in list(op.inputs)]
        return len(users) == 1 and is_lossless_pair(graph, users[0])
    first = makers.get(int(operator.inputs[0])) if len(operator.inputs) == 1 else None
    return (
        first is not None
        and kind(graph, operator) == schema.BuiltinOperator.QUANTIZE
        and kind(graph, first) == schema.BuiltinOperator.DEQUANTIZE
        and int(first.inputs[0]) in [int(i) for i in main.inputs]
        and _is_shift(main.tensors[first.inputs[0]], main.tensors[operator.outputs[0]])
    )


def _is_input_conversion(graph: Any, operator: Any) -> bool:
    main = graph.subgraphs[0]
    return (
        kind(graph, operator) == schema.BuiltinOperator.QUANTIZE
        and int(operator.inputs[0]) in [int(i) for i in main.inputs]
        and _is_shift(main.tensors[operator.inputs[0]], main.tensors[operator.outputs[0]])
    )


def _is_shift(before: Any, after: Any) -> bool:
    """Whether uint8 becomes int8 with nothing but the zero point moved."""
    if (before.type, after.type) != (schema.TensorType.UINT8, schema.TensorType.INT8):
        return False
    old, new = before.quantization, after.quantization
    return bool(
        old.scale[0] == new.scale[0] and old.zeroPoint[0] - new.zeroPoint[0] == UINT8_TO_INT8
    )


def kind(graph: Any, operator: Any) -> int:
    """An operator's number in ``BuiltinOperator``."""
    code = graph.operatorCodes[operator.opcodeIndex]
    # Files before 2020 keep the code in an 8-bit field; the larger one is right.
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))
