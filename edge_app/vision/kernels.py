"""Says which kernels really run a model: XNNPACK's, or the runtime's built-in ones.

The runtimes announce XNNPACK only in a log line, once per process whatever the number of
models, and the line does not say how much of a model the delegate took. Therefore the
prepared graph itself is read: operators that a delegate took over hang between the tensors
of a ``DELEGATE`` operator. XNNPACK is the only delegate that the runtimes apply by themselves on a
processor, and this project adds no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_app.vision.interpreter import Interpreter

DELEGATE = "DELEGATE"
"""Name of the operator that stands for a group of operators which a delegate runs."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """How many of a model's operators XNNPACK runs; the rest run on built-in kernels."""

    xnnpack: int
    operators: int

    def __str__(self) -> str:
        if self.xnnpack == 0:
            return f"built-in kernels for all {self.operators} operators, XNNPACK for none"
        return f"XNNPACK for {self.xnnpack} of {self.operators} operators"


def kernels(interpreter: Interpreter) -> Kernels:
    """Count the operators that XNNPACK runs in a loaded model."""
    return count(interpreter.operators())


def count(operators: Sequence[Mapping[str, Any]]) -> Kernels:
    """Count from a runtime's operator list (see :meth:`Interpreter.operators`)."""
    own = [op for op in operators if op["op_name"] != DELEGATE]
    maker = {int(tensor): at for at, op in enumerate(own) for tensor in op["outputs"]}
    taken: set[int] = set()
    for group in operators:
        if group["op_name"] != DELEGATE:
            continue
        fed = {int(tensor) for tensor in group["inputs"]}
        open_ends = [int(tensor) for tensor in group["outputs"]]
        while open_ends:
            tensor = open_ends.pop()
            at = maker.get(tensor)
            if tensor in fed or at is None or at in taken:
                continue
            taken.add(at)
            open_ends += [int(tensor) for tensor in own[at]["inputs"]]
    return Kernels(xnnpack=len(taken), operators=len(own))
