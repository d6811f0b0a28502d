"""Several processes, on one machine or on many, that train one model together.

PyTorch's collective operations over TCP (``torch.distributed`` with gloo) carry what the workers
tell each other: gradients at every step, batch statistics and the state of the run at every
epoch. Values travel as plain bytes, never pickled.

Keras 3.15 itself trains on several machines on JAX only (``keras.distribution``); on PyTorch it
leaves this to the program, see https://keras.io/guides/distributed_training_with_torch and
https://github.com/keras-team/keras/issues/23418.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self, TypeVar

import numpy as np

from edge_app.errors import RecipeError, UsageError, WorkerLostError
from training.recipe import Recipe

log = logging.getLogger(__name__)

SILENCE_S = 900
"""A worker that was not heard of for so long is lost: longer than any epoch's validation.

One that dies is noticed at once, because its connections close; this is for a machine that
lost its power or its network.
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """One worker's place in a team, as the command line has it.

    Attributes:
        number: From 1; the first writes the run's folder, validates and tells the progress.
        count: Of the workers.
        host: Where the first worker listens for the others.
        port: TCP port there.
    """

    number: int
    count: int
    host: str
    port: int

    def __str__(self) -> str:
        return f"worker {self.number}/{self.count}"


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--worker`` and ``--meet`` to a command's options."""
    parser.add_argument(
        "--worker",
        metavar="NUMBER/COUNT",
        help="train together with other machines, each with this command: 1/2 on the first, which "
        "keeps the run's folder, 2/2 on the second (PyTorch backend)",
    )
    parser.add_argument(
        "--meet", metavar="HOST:PORT", help="with --worker: where worker 1 listens for the others"
    )


def place_of(worker: str | None, meet: str | None, recipe: Recipe) -> Place | None:
    """The place that the command line gives this process; None without ``--worker``.

    Raises:
        UsageError: One option without the other, a malformed one, or a recipe that cannot
            be divided.
    """
    if worker is None and meet is None:
        return None
    if worker is None or meet is None:
        raise UsageError("--worker NUMBER/COUNT and --meet HOST:PORT belong together: give both")
    number, _, count = worker.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(f"--worker {worker}: give NUMBER/COUNT, e.g. 1/2 on the first of two")
    host, _, port = meet.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise UsageError(f"--meet {meet}: give HOST:PORT, e.g. 192.168.1.10:29500")
    if recipe.task != "classify":
        raise UsageError(
            f"--worker: {recipe.path} trains a detector, and only classifiers are trained by "
            "several workers: run it on one machine, without --worker"
        )
    if recipe.batch % int(count):
        raise UsageError(
            f"--worker {worker}: {int(count)} workers cannot share the batch of {recipe.batch} in "
            f"{recipe.path} evenly: take another number of workers, or change batch"
        )
    return Place(int(number), int(count), host, int(port))


class Team:
    """The workers that train together, as one of them sees it.

    Every method is called by all of them in the same order; each raises
    :class:`WorkerLostError` when another worker is gone.

    Args:
        place: This worker's.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.is_first = place.number == 1

    @classmethod
    def join(cls, place: Place) -> Self:
        """Wait for all workers.

        Raises:
            UsageError: Keras runs on another backend than PyTorch.
            WorkerLostError: The others did not come in time, or worker 1 cannot listen there.
        """
        import keras

        if (backend := keras.backend.backend()) != "torch":
            raise UsageError(
                f"--worker trains on PyTorch, and Keras runs on {backend}: set KERAS_BACKEND=torch "
                "in the environment of every worker"
            )
        import torch.distributed as dist

        # Ctrl-C ends the process at once: Python's handler would have its turn only when PyTorch,
        # which waits for the others, returns. What is on disk is whole at any instant.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        log.info("%s: waiting for all workers at %s:%d", place, place.host, place.port)
        try:
            dist.init_process_group(
                "gloo",
                init_method=f"tcp://{place.host}:{place.port}",
                rank=place.number - 1,
                world_size=place.count,
                timeout=timedelta(seconds=SILENCE_S),
            )
        except RuntimeError as error:
            raise WorkerLostError(
                f"{place}: the workers did not meet at {place.host}:{place.port} "
                f"({_first(error)}): start all of them, with the same --meet, a free port and an "
                "open firewall"
            ) from None
        log.info("%s: all are here", place)
        return cls(place)

    def leave(self) -> None:
        """Close the connections; the others then know that this worker is gone."""
        import torch.distributed as dist

        with suppress(RuntimeError):  # they may be broken already
            dist.destroy_process_group()

    def share(self, value: Any) -> Any:
        """What the first worker gives, for all of them.

        Args:
            value: A JSON value; that of the others does not matter.
        """
        payload = json.dumps(value).encode() if self.is_first else b""
        length = self._from_first(np.array([len(payload)], np.int64))
        text = np.frombuffer(payload, np.uint8).copy() if self.is_first else None
        if text is None:
            text = np.zeros(int(length[0]), np.uint8)
        return json.loads(self._from_first(text).tobytes())

    def require_same(self, inputs: Mapping[str, str]) -> None:
        """Make sure that all workers were given the same.

        Args:
            inputs: Name in plain words -> hash or version.

        Raises:
            RecipeError: They were not; on every worker.
        """
        first = self.share(dict(inputs))
        other = [name for name, value in inputs.items() if first.get(name) != value]
        anyone = self.mean([np.array([float(bool(other))])])[0][0] > 0
        if other:
            raise RecipeError(
                f"{self.place}: has another {' and another '.join(other)} than worker 1: "
                "give every worker the same"
            )
        if anyone:
            raise RecipeError(
                f"{self.place}: another worker was not given the same as worker 1; it says what"
            )

    def share_variables(self, variables: Iterable[Any]) -> None:
        """Give every worker the first one's values of Keras variables."""
        variables = list(variables)
        values = [_array(variable) for variable in variables]
        sent = self._from_first(np.concatenate([v.reshape(-1).view(np.uint8) for v in values]))
        parts = _cut(sent, [value.nbytes for value in values])
        for variable, value, part in zip(variables, values, parts, strict=True):
            variable.assign(part.copy().view(value.dtype).reshape(value.shape))

    def average_variables(self, variables: Iterable[Any]) -> None:
        """Give every worker the mean over the workers of Keras variables.

        The sum is taken in float64, so that what was equal everywhere stays as it is.
        """
        variables = list(variables)
        if variables:
            values = [_array(variable) for variable in variables]
            means = self.mean([value.astype(np.float64) for value in values])
            for variable, value, mean in zip(variables, values, means, strict=True):
                variable.assign(mean.astype(value.dtype))

    def average_gradients(self, optimizer: Any) -> None:
        """Let a Keras optimizer apply the mean of all workers' gradients.

        Done on the object, because on PyTorch ``keras.optimizers.AdamW()`` makes one of another
        class, with a fused update, which a subclass of AdamW would lose. Clipping and weight
        decay come after the mean, as in one process.
        """
        import torch

        apply: Callable[..., None] = optimizer.apply

        def apply_mean(grads: Sequence[Any], trainable_variables: Any = None) -> None:
            flat = torch.cat([grad.detach().reshape(-1) for grad in grads])
            summed = flat.cpu()
            self._sum(summed)
            parts = (summed / self.place.count).to(flat.device).split([g.numel() for g in grads])
            mean = [part.view_as(grad) for part, grad in zip(parts, grads, strict=True)]
            apply(mean, trainable_variables)

        optimizer.apply = apply_mean

    def mean(self, values: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """The mean over the workers of float64 arrays, which have the same shapes everywhere."""
        import torch

        flat = torch.from_numpy(np.concatenate([value.reshape(-1) for value in values]))
        self._sum(flat)
        parts = _cut(flat.numpy() / self.place.count, [value.size for value in values])
        return [part.reshape(value.shape) for part, value in zip(parts, values, strict=True)]

    def _sum(self, tensor: Any) -> None:
        """Add up a CPU tensor over all workers, in place."""
        import torch.distributed as dist

        self._together(lambda: dist.all_reduce(tensor))

    def _from_first(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The first worker's array; the others give one of the same shape and type."""
        import torch
        import torch.distributed as dist

        tensor = torch.from_numpy(array)
        self._together(lambda: dist.broadcast(tensor, 0))
        return array

    def _together(self, operation: Callable[[], T]) -> T:
        try:
            return operation()
        except RuntimeError as error:
            reason = _first(error).split(". ")[0]  # advice for programmers follows
            raise WorkerLostError(
                f"{self.place}: another worker is gone ({reason}): see what it said, then "
                "start every worker again with the same command; training goes on after the "
                "last whole epoch"
            ) from None


def _array(variable: Any) -> np.ndarray[Any, Any]:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(variable.value))


def _cut(flat: np.ndarray[Any, Any], sizes: Sequence[int]) -> list[np.ndarray[Any, Any]]:
    """The pieces of a flat array, one after the other."""
    ends = np.cumsum(sizes).tolist()
    return [flat[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _first(error: BaseException) -> str:
    """The part of a PyTorch message that is for people: its first line, without the source's."""
    line = (str(error).splitlines() or [""])[0]
    return line.rpartition("] ")[2] if line.startswith("[") else line
