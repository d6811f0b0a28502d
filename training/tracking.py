"""Experiment tracking: what a finished run is and how it went, on an MLflow server.

Off unless ``fit --mlflow URI`` asks for it. A run is recorded from its folder once it is finished,
so neither training nor its result depends on the server. Recording a run again changes nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import logging
import os
import re
import subprocess  # only asks git, without a shell # nosec B404
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge_app.errors import DatasetError, MissingPackageError, TrackingError, UsageError
from training.fitting.start import FLOAT_MODEL, SUMMARY
from training.recipe import Recipe

log = logging.getLogger(__name__)

MLFLOW_VERSION = "3.17.2"

EXPERIMENT = "mask-kiosk"
"""The experiment on the server that runs are recorded in."""

SCHEMES = ("http", "https", "sqlite")
"""Where records go: a server, or a database file for whoever is alone."""

FINGERPRINT = "mask_kiosk.fit_sha256"
"""Tag with the hash of ``fit.json``, by which a run that was recorded before is found."""

ARTEFACTS = (SUMMARY, "curves.png", FLOAT_MODEL)

BATCH_PARAMS, BATCH_METRICS = 100, 1000
"""More than so many at once the server refuses (MLflow's REST API, log-batch)."""

CLIENT_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""No statistics to MLflow's makers; a server that is down is said after seconds, not minutes.
What the environment says already stays."""

_ROOT = Path(__file__).resolve().parent.parent


def check_uri(uri: str) -> None:
    """Refuse before the training what cannot work after it.

    Raises:
        UsageError: It is no address of an MLflow server or database.
        MissingPackageError: MLflow is not installed.
    """
    scheme = urlsplit(uri).scheme
    if scheme not in SCHEMES:
        raise UsageError(
            f"--mlflow {uri}: must begin with {', '.join(f'{s}://' for s in SCHEMES)}, "
            "e.g. http://127.0.0.1:5000"
        )
    if importlib.util.find_spec("mlflow") is None:
        raise MissingPackageError(
            f"--mlflow needs MLflow's client: pip install mlflow-skinny=={MLFLOW_VERSION}"
        )


def record_run(folder: Path, uri: str, recipe: Recipe | None = None) -> str:
    """Record a finished run; one that is recorded already is left as it is.

    Logged are the recipe (as parameters and as its file, where ``recipe`` is given), the revision
    of the code in the checkout, hashes of data and start weights, every figure of every epoch, and
    ``fit.json``, ``curves.png`` and ``model.keras``.

    Args:
        folder: A finished run's.
        uri: Of the tracking server, or ``sqlite:///FILE``.
        recipe: What was trained.

    Returns:
        MLflow's id of the run.

    Raises:
        UsageError: Not an address of a server.
        MissingPackageError: MLflow is not installed.
        DatasetError: The folder holds no finished run.
        TrackingError: The server cannot be reached, or refuses.
    """
    check_uri(uri)
    summary, fingerprint = _read_summary(folder)
    for name, value in CLIENT_SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it tells each retry
    try:
        client = MlflowClient(tracking_uri=uri)
        experiment = _experiment(client)
        known = client.search_runs([experiment], f"tags.`{FINGERPRINT}` = '{fingerprint}'")
        for run in known:
            if run.info.status == "FINISHED":
                log.info("%s: recorded already in %s", folder, uri)
                return str(run.info.run_id)
            client.delete_run(run.info.run_id)  # recording it was interrupted
        return _record(client, experiment, folder, summary, fingerprint, recipe)
    except (MlflowException, OSError) as error:
        raise TrackingError(
            f"{uri}: the run is not recorded ({_reason(error)}); {folder} is whole: give the "
            "same command again when the server answers"
        ) from None


def _record(
    client: Any,
    experiment: str,
    folder: Path,
    summary: Mapping[str, Any],
    fingerprint: str,
    recipe: Recipe | None,
) -> str:
    from mlflow.entities import Metric, Param

    ended = int((folder / SUMMARY).stat().st_mtime * 1000)
    tags = {
        FINGERPRINT: fingerprint,
        "mlflow.source.name": summary["command"],
        **code_revision(_ROOT),
    }
    begun = ended - int(summary["seconds"] * 1000)
    run = client.create_run(experiment, start_time=begun, tags=tags, run_name=folder.name)
    run_id = str(run.info.run_id)
    params = [Param(key, str(value)) for key, value in parameters(summary, recipe).items()]
    for part in _parts(params, BATCH_PARAMS):
        client.log_batch(run_id, params=part)
    metrics = [
        Metric(key, float(value), ended, int(row["epoch"]))
        for row in summary["history"]
        for key, value in row.items()
        if key != "epoch"
    ]
    for part in _parts(metrics, BATCH_METRICS):
        client.log_batch(run_id, metrics=part)
    files = [folder / name for name in ARTEFACTS]
    if recipe is not None:
        files.append(recipe.path)
    for file in files:
        if file.is_file():
            client.log_artifact(run_id, str(file))
    client.set_terminated(run_id, "FINISHED", ended)
    return run_id


def parameters(summary: Mapping[str, Any], recipe: Recipe | None) -> dict[str, Any]:
    """What decided a run, as flat names and values.

    Args:
        summary: The content of ``fit.json``.
        recipe: Its settings are added as ``recipe.KEY``, in dotted form.
    """
    start = summary["start_weights"]
    found = {
        "recipe": summary["recipe"],
        "recipe_sha256": summary["recipe_sha256"],
        "store_sha256": summary["store_sha256"],
        "start_weights": start["name"],
        "start_weights_sha256": start["sha256"],
        "best_epoch": summary["best_epoch"],
        **{f"data.{_key(name)}.sha256": about["sha256"] for name, about in summary["data"].items()},
        **{f"version.{name}": version for name, version in summary["versions"].items()},
    }
    if recipe is not None:
        settings = dataclasses.asdict(recipe)
        settings.pop("path")
        found |= dict(_flat("recipe", settings))
    return found


def _key(name: str) -> str:
    """A data set's name without the characters that MLflow refuses in a key."""
    return re.sub(r"[^A-Za-z0-9_./\- ]", "_", name)


def code_revision(checkout: Path) -> dict[str, str]:
    """The git commit of a checkout and whether files differ from it, as MLflow tags.

    Empty where it is no checkout, or git is not installed.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(  # fixed words and a path, no shell # nosec B603 B607
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError) as error:
        log.info("no code revision to record: %s", error)
        return {}
    return {"mlflow.source.git.commit": commit, "mask_kiosk.code_changed": str(bool(changes))}


def _experiment(client: Any) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    return str(client.create_experiment(EXPERIMENT) if found is None else found.experiment_id)


def _read_summary(folder: Path) -> tuple[dict[str, Any], str]:
    """The content of ``fit.json`` and its hash."""
    try:
        content = (folder / SUMMARY).read_bytes()
        return json.loads(content), hashlib.sha256(content).hexdigest()
    except (OSError, ValueError) as error:
        raise DatasetError(f"{folder}: no finished run here ({error}); run fit first") from None


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Nested dicts and lists of dicts as dotted names."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(f"{prefix}.{_key(key)}", item)
    elif isinstance(value, Sequence) and any(isinstance(item, Mapping) for item in value):
        for i, item in enumerate(value):
            yield from _flat(f"{prefix}.{i}", item)
    elif isinstance(value, tuple):
        yield prefix, ", ".join(str(item) for item in value)
    else:
        yield prefix, value


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for i in range(0, len(items), size):
        yield items[i : i + size]


def _reason(error: Exception) -> str:
    """The innermost cause in one line: "Connection refused" rather than the client's retries."""
    text = " ".join(str(error).split())
    for words in ("Connection refused", "Name or service not known", "timed out", "No route to"):
        if words in text:
            return words
    return text
