"""Makes the two tiny bundles that the tests of bundles, pipeline and daemon run, and one more.

    PYTHONPATH=. python tests/data/make_tiny.py

Their weights are set by hand, so what they say can be foreseen. `tiny_detector` (128x96,
strides 8 and 16) sees a face, 4 cells wide, around every cell with a bright colour.
`tiny_classifier` (16x16) takes a green face for a correct mask, a red one for no mask, a
blue one for an incorrect mask and a grey one for nothing in particular. INT8 inside, uint8
in and out, like the models that ship. `every_byte` gives back the 256 bytes that it gets, by
way of int8.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flatbuffers
import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from training.exporting.input_conversion import by_real_numbers

HERE = Path(__file__).resolve().parent
DETECTOR_WIDTH, DETECTOR_HEIGHT, STRIDES = 128, 96, (8, 16)
CLASSIFIER_SIZE = 16


def detector() -> Any:
    """Brightness of each cell -> score; all box codes 0."""
    image = keras.Input((DETECTOR_HEIGHT, DETECTOR_WIDTH, 3), batch_size=1)
    scores, codes = [], []
    for stride in STRIDES:
        grid = keras.layers.AveragePooling2D(stride)(image)
        score = fixed_conv(grid, [[12 / 255]] * 3, [-6.0], "sigmoid")
        code = fixed_conv(grid, [[0.01 / 255] * 4] * 3, [0.0] * 4, None)
        scores.append(keras.layers.Reshape((-1, 1))(score))
        codes.append(keras.layers.Reshape((-1, 4))(code))
    outputs = [keras.layers.Concatenate(axis=1)(part) for part in (scores, codes)]
    return keras.Model(image, outputs)


def classifier() -> Any:
    """Mean colour -> logits of with_mask, without_mask, incorrect_mask."""
    image = keras.Input((CLASSIFIER_SIZE, CLASSIFIER_SIZE, 3), batch_size=1)
    mean = keras.layers.AveragePooling2D(CLASSIFIER_SIZE)(image)
    # Rows are the colours red, green, blue.
    weights = np.array([[-1, 2, -1], [2, -1, -1], [-1, -1, 2]]) * 3 / 255
    logits = fixed_conv(mean, weights, [0.0] * 3, None)
    return keras.Model(image, keras.layers.Reshape((3,))(logits))


def fixed_conv(inputs: Any, weights: Any, bias: list[float], activation: str | None) -> Any:
    """A 1x1 convolution with the given weights (channels in, channels out)."""
    layer = keras.layers.Conv2D(len(bias), 1, activation=activation)
    result = layer(inputs)
    layer.set_weights([np.array(weights, np.float32)[None, None], np.array(bias, np.float32)])
    return result


def convert(model: Any) -> bytes:
    """INT8 inside, uint8 in and out."""
    shape = tuple(model.inputs[0].shape)

    def samples() -> Iterator[list[np.ndarray[Any, Any]]]:
        for colour in np.random.default_rng(0).integers(0, 256, (100, 3)):
            yield [np.full(shape, colour, np.float32)]
        for extreme in ([0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]):
            yield [np.full(shape, extreme, np.float32)]

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
        return bytes(converter.convert())


def every_byte() -> bytes:
    """uint8 -> int8 -> uint8 on the scale of pixels: two operators and nothing else."""
    graph, main = schema.ModelT(), schema.SubGraphT()
    kinds = (schema.TensorType.UINT8, schema.TensorType.INT8, schema.TensorType.UINT8)
    main.tensors = []
    for kind, zero in zip(kinds, (127, -1, 127), strict=True):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = b"t", [1, 256], kind, 0
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [2 / 255], [zero]
        main.tensors.append(tensor)
    main.operators = []
    for at in (0, 1):
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = 0, [at], [at + 1]
        main.operators.append(operator)
    main.inputs, main.outputs = [0], [2]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
    code.version = 1
    graph.version, graph.operatorCodes, graph.subgraphs = 3, [code], [main]
    graph.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(graph.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def write(name: str, model: Any, card: dict[str, Any]) -> None:
    """The .tflite and its card."""
    content = convert(model)
    _, height, width, _ = model.inputs[0].shape
    (HERE / f"{name}.tflite").write_bytes(content)
    card = {
        "schema": 1,
        "name": name,
        **card,
        "input": {"width": width, "height": height, "colour": "RGB"},
        "sha256": hashlib.sha256(content).hexdigest(),
        "made_by": "python tests/data/make_tiny.py",
    }
    (HERE / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    (HERE / "every_byte.tflite").write_bytes(every_byte())
    (HERE / "every_byte_by_real_numbers.tflite").write_bytes(by_real_numbers(every_byte()))
    write(
        "tiny_detector",
        detector(),
        {
            "task": "detect",
            "strides": list(STRIDES),
            "thresholds": {"score": 0.5, "nms_iou": 0.2},
        },
    )
    write(
        "tiny_classifier",
        classifier(),
        {
            "task": "classify",
            "labels": ["with_mask", "without_mask", "incorrect_mask"],
            "crop_margin": 0.0,
            "temperature": 1.0,
            "thresholds": {"confidence_floor": 0.6},
        },
    )
