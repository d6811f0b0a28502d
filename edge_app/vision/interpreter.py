"""One face for the two TFLite runtimes: ai-edge-litert, else tflite-runtime.

Both expose the same ``Interpreter`` class; this module picks one, keeps the tensors'
shapes and quantisation, and says which runtime and kernels are in use.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_app.errors import InterpreterMissingError

RUNTIMES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}
"""Package on PyPI -> module that holds ``Interpreter``, in order of preference."""

RUNTIME_VARIABLE = "MASK_KIOSK_RUNTIME"
"""Environment variable that forces one of :data:`RUNTIMES` (tests and comparisons)."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A model input or output: real value = (stored - zero_point) * scale."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


class Interpreter:
    """A loaded model. Not safe for use from two threads at once."""

    def __init__(self, engine: Any, runtime: str) -> None:
        self._engine = engine
        self.runtime = runtime
        engine.allocate_tensors()
        self.inputs = tuple(_tensor(d) for d in engine.get_input_details())
        self.outputs = tuple(_tensor(d) for d in engine.get_output_details())

    @property
    def input(self) -> Tensor:
        """The first input."""
        return self.inputs[0]

    def operators(self) -> list[dict[str, Any]]:
        """The runtime's own list of operators: ``op_name``, tensor indices ``inputs``, ``outputs``.

        Operators that a delegate took over stay listed; one ``DELEGATE`` operator per group
        that it took stands at the end.
        """
        return list(self._engine._get_ops_details())

    def run(self, batch: NDArray[Any]) -> list[NDArray[Any]]:
        """Run the model once on its first input; outputs as stored, in :attr:`outputs` order."""
        self._engine.set_tensor(self.input.index, batch)
        self._engine.invoke()
        return [self._engine.get_tensor(output.index) for output in self.outputs]

    def run_real(self, batch: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Like :meth:`run`, with quantised outputs turned into real values (float32)."""
        return [
            dequantize(value, output)
            for value, output in zip(self.run(batch), self.outputs, strict=True)
        ]


def dequantize(stored: NDArray[Any], tensor: Tensor) -> NDArray[np.float32]:
    """Real values of a tensor's stored integers; float tensors pass unchanged."""
    if tensor.scale == 0:
        return stored.astype(np.float32)
    return (stored.astype(np.float32) - tensor.zero_point) * np.float32(tensor.scale)


def quantize(value: float, tensor: Tensor) -> float:
    """Where a real value lies on a tensor's stored scale, not rounded; as is for a float one."""
    return value if tensor.scale == 0 else value / tensor.scale + tensor.zero_point


def load_interpreter(model: bytes, threads: int = 1) -> Interpreter:
    """Open a model from memory.

    Args:
        model: Content of a ``.tflite`` file.
        threads: Worker threads for the kernels.

    Raises:
        InterpreterMissingError: No runtime is installed, or it cannot be imported.
        ValueError, RuntimeError: From the runtime, when it cannot read the model.
    """
    runtime, module = _runtime_module()
    return Interpreter(module.Interpreter(model_content=model, num_threads=threads), runtime)


def runtime_name() -> str:
    """The runtime in use with its version, e.g. ``ai-edge-litert 2.1.0``."""
    package, _ = _runtime_module()
    return f"{package} {importlib.metadata.version(package)}"


def _runtime_module() -> tuple[str, Any]:
    forced = os.environ.get(RUNTIME_VARIABLE)
    if forced and forced not in RUNTIMES:
        raise InterpreterMissingError(
            f"{RUNTIME_VARIABLE}={forced!r} must be one of: {', '.join(RUNTIMES)}"
        )
    for package in [forced] if forced else RUNTIMES:
        try:
            return package, importlib.import_module(RUNTIMES[package])
        except ModuleNotFoundError as error:
            if error.name != RUNTIMES[package].partition(".")[0]:
                raise InterpreterMissingError(
                    f"{package} is installed but lacks the module {error.name}: install that"
                ) from None
        except ImportError as error:
            raise InterpreterMissingError(
                f"{package} is installed but cannot be imported: {error}"
            ) from None
    wanted = forced or " or ".join(RUNTIMES)
    raise InterpreterMissingError(f"no TFLite runtime: pip install {wanted}")


def _tensor(detail: dict[str, Any]) -> Tensor:
    scale, zero_point = detail["quantization"]
    return Tensor(
        index=int(detail["index"]),
        name=str(detail["name"]),
        shape=tuple(int(n) for n in detail["shape"]),
        dtype=np.dtype(detail["dtype"]).name,
        scale=float(scale),
        zero_point=int(zero_point),
    )
