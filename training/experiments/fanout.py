"""Independent jobs, one after the other or spread over a Ray cluster.

A job leaves its own result on disk and, run again, goes on from what it finds there. So it
does not matter where it runs or how often it is killed: on a cluster, Ray starts the job of
a dead worker again (https://docs.ray.io/en/latest/ray-core/fault_tolerance/tasks.html),
and only that one is held up.

The repository, the prepared data and the output folder must lie at the same paths on every
node (a network folder). Ray starts a job on every free processor.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_app.errors import KioskError, MissingPackageError, UsageError, WorkerLostError

log = logging.getLogger(__name__)

RETRIES = 3
"""Ray runs a job again at most so often after its worker died."""

BACKEND = "KERAS_BACKEND"
"""Environment variable that chooses what Keras runs on; workers get that of this process."""

WEIGHT_WORDS = ("none", "imagenet")
"""What ``--weights`` may say other than a file."""

REPOSITORY = Path(__file__).resolve().parents[2]
"""Where a worker finds ``training`` and ``edge_app``."""


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work that needs nothing of the others.

    Attributes:
        name: For messages.
        work: A function of a module, so that another process finds it; its result travels
            back, so it must be picklable.
        arguments: For ``work``; picklable, paths absolute.
    """

    name: str
    work: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: its result, or the error that ended it."""

    name: str
    result: Any = None
    error: KioskError | None = None


def add_ray_option(parser: Any) -> None:
    """Add ``--ray`` to a command's options."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run jobs on this Ray cluster (HOST:PORT, or 'auto' for the one of this machine); "
        "default: one after the other",
    )


def require_ray(address: str | None) -> None:
    """Check before long work that ``--ray`` can be followed.

    Raises:
        MissingPackageError: Ray is not installed.
    """
    if address is not None:
        _ray()


def run_jobs(jobs: Sequence[Job], address: str | None = None) -> list[Outcome]:
    """Run all jobs; one that fails with a :class:`KioskError` does not stop the others.

    Args:
        jobs: What to do.
        address: Of a Ray cluster; None runs them here, one after the other.

    Returns:
        One outcome per job, in the order of the jobs.

    Raises:
        MissingPackageError: Ray is needed and not installed.
        UsageError: The cluster cannot be reached.
    """
    if address is None:
        return [_tell(_guarded(job), i, len(jobs)) for i, job in enumerate(jobs, 1)]
    return _run_on_ray(jobs, address)


def results(outcomes: Sequence[Outcome]) -> list[Any]:
    """The results of jobs that all had to succeed.

    Raises:
        KioskError: The first job's error, where any failed.
    """
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return [outcome.result for outcome in outcomes]


def portable(weights: str) -> str:
    """A ``--weights`` that means the same in any working directory."""
    return weights if weights in WEIGHT_WORDS else str(Path(weights).resolve())


def read_result(file: Path, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a finished job left, if it was made from the same inputs; else None.

    Results are written at once or not at all, so a file that is not JSON is no leftover of a
    kill but damaged: the job is done again then, too.
    """
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return held if isinstance(held, dict) and held.get("inputs") == inputs else None


def file_sha256(file: Path) -> str:
    """Hash of a file's content, as hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _guarded(job: Job) -> Outcome:
    began = time.monotonic()
    log.info("%s: begins", job.name)
    try:
        outcome = Outcome(job.name, job.work(*job.arguments))
    except KioskError as error:
        outcome = Outcome(job.name, error=error)
    log.info("%s: %.0f s", job.name, time.monotonic() - began)
    return outcome


def _tell(outcome: Outcome, number: int, total: int) -> Outcome:
    what = "done" if outcome.error is None else f"failed: {outcome.error}"
    log.info("job %d of %d, %s: %s", number, total, outcome.name, what)
    return outcome


def _run_on_ray(jobs: Sequence[Job], address: str) -> list[Outcome]:
    ray = _ray()
    began = not ray.is_initialized()
    if began:
        _connect(ray, address)
    try:
        guarded = ray.remote(num_cpus=1, max_retries=RETRIES)(_guarded)
        waiting = {guarded.options(name=job.name).remote(job): job for job in jobs}
        order = list(waiting)
        outcomes: dict[Any, Outcome] = {}
        while waiting:
            (ready,), _ = ray.wait(list(waiting), num_returns=1)
            outcome = _fetch(ray, ready, waiting.pop(ready))
            outcomes[ready] = _tell(outcome, len(outcomes) + 1, len(jobs))
        return [outcomes[reference] for reference in order]
    finally:
        if began:
            ray.shutdown()


def _fetch(ray: Any, reference: Any, job: Job) -> Outcome:
    try:
        outcome: Outcome = ray.get(reference)
    except ray.exceptions.RayTaskError:
        raise  # a bug in the job's own code
    except ray.exceptions.RayError as raised:
        reason = str(raised).strip().splitlines()[0]
        lost = f"{job.name}: its worker died {RETRIES + 1} times, or did not start ({reason})"
        error = WorkerLostError(f"{lost}; the same command goes on from there")
        return Outcome(job.name, error=error)
    return outcome


def _connect(ray: Any, address: str) -> None:
    variables = {"PYTHONPATH": str(REPOSITORY)}
    if BACKEND in os.environ:
        variables[BACKEND] = os.environ[BACKEND]
    environment = {"env_vars": variables}
    try:
        ray.init(address=address, runtime_env=environment, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(
            f"--ray {address}: cannot be reached ({reason}); start it with: ray start --head"
        ) from None


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise MissingPackageError("--ray needs the package Ray: pip install ray") from None
    return ray
