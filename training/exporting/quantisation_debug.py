"""Where quantisation hurts: the error of every layer, float against INT8.

Both files come from one conversion, so their tensors have the same names, with batch
normalisation already folded in. Both run in the interpreter that the device has, on the same
pictures, with every tensor kept; no second, instrumented conversion stands in for the file
that ships (as TensorFlow's QuantizationDebugger would need, with an interpreter that
TensorFlow has announced to drop).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.report import table

DROP_LIMIT = 0.005
"""An INT8 model that loses more than this (half a point of balanced accuracy or average
precision) gets its layers looked at."""

DEBUG_PICTURES = 32
"""Pictures that the layers are compared on; a layer gives thousands of values for each."""

SHOWN_LAYERS = 10
"""Layers in the table, the worst first."""


@dataclass(frozen=True, slots=True)
class LayerError:
    """How far one layer's INT8 output is from its float output.

    Attributes:
        layer: Name of the layer's output.
        operator: What computes it.
        scale: One INT8 step, in the units of the float output.
        low: Smallest float value seen.
        high: Largest float value seen.
        error: Root of the mean squared difference, as a share of the float output's own
            root mean square.
        added: What this layer adds to the largest ``error`` among its inputs; where it is
            large, the loss begins.
        clipped: Share of the float values outside of what the INT8 tensor can hold.
    """

    layer: str
    operator: str
    scale: float
    low: float
    high: float
    error: float
    added: float
    clipped: float


def layer_errors(
    float_model: bytes, int8_model: bytes, pictures: NDArray[np.uint8]
) -> list[LayerError]:
    """Compare every layer of two files made by one conversion.

    Args:
        float_model: ``.tflite`` content with float32 input in -1..1.
        int8_model: ``.tflite`` content with uint8 input.
        pictures: uint8 (N, height, width, 3), at least one.

    Returns:
        In the order in which the layers run; each layer's output once.
    """
    exact, stored = _Watched(float_model), _Watched(int8_model)
    names = [name for name in stored.layers if name in exact.layers]
    sums = {name: _Sums() for name in names}
    for picture in pictures:
        exact.run(picture[None].astype(np.float32) / 127.5 - 1)
        stored.run(picture[None])
        for name in names:
            sums[name].add(exact.value(name), stored.value(name), stored.limits(name))
    errors: dict[str, float] = {}
    reached: dict[str, float] = {}
    for name, inputs in stored.inputs.items():
        reached[name] = max((errors.get(i, 0.0) for i in inputs), default=0.0)
        # A tensor that only the INT8 file has (a change of type) passes its input's error on.
        errors[name] = sums[name].error if name in sums else reached[name]
    return [
        LayerError(
            layer=name,
            operator=stored.layers[name],
            scale=stored.scale(name),
            low=sums[name].low,
            high=sums[name].high,
            error=errors[name],
            added=errors[name] - reached[name],
            clipped=sums[name].clipped / sums[name].count,
        )
        for name in names
    ]


def worst_layers(errors: Sequence[LayerError]) -> list[dict[str, Any]]:
    """The layers that add most, the worst first, ready for JSON with four digits."""
    chosen = sorted(errors, key=lambda e: -e.added)[:SHOWN_LAYERS]
    return [
        {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in asdict(e).items()}
        for e in chosen
    ]


def layers_table(worst: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table of :func:`worst_layers`."""
    head = ["layer", "operator", "adds %", "error %", "step", "float range", "clipped %"]
    rows = [
        (
            _short(e["layer"]), e["operator"], f"{100 * e['added']:.2f}", f"{100 * e['error']:.2f}",
            f"{e['scale']:.3g}", f"{e['low']:.3g}..{e['high']:.3g}", f"{100 * e['clipped']:.2f}",
        )
        for e in worst
    ]  # fmt: skip
    return table(head, rows)


def _short(name: str) -> str:
    """The converter joins the names of fused operations by semicolons; the first one says it."""
    return name.split(";")[0].replace("|", "/")


class _Sums:
    """Running sums over pictures of one layer's values."""

    def __init__(self) -> None:
        self.count, self.clipped = 0, 0
        self.low, self.high = np.inf, -np.inf
        self._square_error, self._square = 0.0, 0.0

    def add(
        self,
        exact: NDArray[np.float32],
        stored: NDArray[np.float32],
        limits: tuple[float, float],
    ) -> None:
        self.count += exact.size
        self.clipped += int(np.count_nonzero((exact < limits[0]) | (exact > limits[1])))
        self.low, self.high = min(self.low, float(exact.min())), max(self.high, float(exact.max()))
        self._square_error += float(np.sum((stored - exact) ** 2, dtype=np.float64))
        self._square += float(np.sum(exact**2, dtype=np.float64))

    @property
    def error(self) -> float:
        """Relative error; 0 for a layer that is all zeros in both."""
        if self._square_error == 0:
            return 0.0
        return float(np.sqrt(self._square_error / max(self._square, np.finfo(np.float64).tiny)))


class _Watched:
    """A model whose every tensor can be read after a run, by the name of the tensor."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        with warnings.catch_warnings():
            # The runtime warns that keeping all tensors is for debugging. It is.
            warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors.*", UserWarning)
            self._engine = Interpreter(
                model_content=content,
                # A delegate would keep what it computes inside to itself.
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
        self._engine.allocate_tensors()
        self._input = self._engine.get_input_details()[0]["index"]
        self._details = {d["index"]: d for d in self._engine.get_tensor_details()}
        self._index: dict[str, int] = {}
        self.layers: dict[str, str] = {}
        self.inputs: dict[str, list[str]] = {}
        for operator in self._engine._get_ops_details():
            for output in operator["outputs"]:
                name = self._details[output]["name"]
                self._index[name] = output
                self.layers[name] = operator["op_name"]
                self.inputs[name] = [
                    self._details[i]["name"] for i in operator["inputs"] if i in self._details
                ]

    def run(self, batch: NDArray[Any]) -> None:
        self._engine.set_tensor(self._input, batch)
        self._engine.invoke()

    def scale(self, name: str) -> float:
        return float(self._details[self._index[name]]["quantization"][0])

    def value(self, name: str) -> NDArray[np.float32]:
        stored = self._engine.get_tensor(self._index[name]).astype(np.float32)
        scale, zero = self._details[self._index[name]]["quantization"]
        real = stored if scale == 0 else (stored - zero) * np.float32(scale)
        return np.asarray(real, np.float32)

    def limits(self, name: str) -> tuple[float, float]:
        """Smallest and largest real value that the tensor can hold."""
        detail = self._details[self._index[name]]
        scale, zero = detail["quantization"]
        if scale == 0:
            return -np.inf, np.inf
        held = np.iinfo(detail["dtype"])
        half = scale / 2  # what rounds to the last step is held, not clipped
        return (held.min - zero) * scale - half, (held.max - zero) * scale + half
