"""Jobs here and on a real cluster of two nodes on this machine's loopback."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge_app.errors import DatasetError, UsageError
from training.experiments.fanout import Job, file_sha256, portable, read_result, results, run_jobs

TIME_LIMIT = 300


def shout(word: str) -> str:
    if word == "bad":
        raise DatasetError("bad: no such data")
    return word.upper()


def broken(word: str) -> str:
    raise ZeroDivisionError(word)


def backend() -> str | None:
    return os.environ.get("KERAS_BACKEND")


def wait_for_go(folder: Path, name: str) -> str:
    """Say who runs it, wait to be let go on; like a run, it tells what it found when it began."""
    import ray

    began = folder / f"{name}.began"
    before = began.read_text().splitlines() if began.exists() else []
    node = ray.get_runtime_context().get_node_id()
    with began.open("a") as stream:
        stream.write(json.dumps([os.getpid(), node]) + "\n")
    while not (folder / "go").exists():
        time.sleep(0.05)
    return f"{name} after {len(before)}"


def until(seen: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not seen():
        assert time.monotonic() - began < TIME_LIMIT
        time.sleep(0.05)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two nodes with one processor each; gives the address."""
    pytest.importorskip("ray", reason="Ray is not installed")
    from ray.cluster_utils import Cluster

    nodes = {"num_cpus": 1, "object_store_memory": 80 * 1024 * 1024, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("KERAS_BACKEND", raising=False)  # its workers would have it from the nodes
        patch.setenv("RAY_worker_register_timeout_seconds", "600")  # a busy machine starts slowly
        cluster = Cluster(initialize_head=True, head_node_args=nodes)
        cluster.add_node(**{key: nodes[key] for key in ("num_cpus", "object_store_memory")})
        yield cluster.address
        cluster.shutdown()


def test_jobs_run_in_order_and_one_failure_does_not_stop_the_others() -> None:
    outcomes = run_jobs([Job(word, shout, (word,)) for word in ("a", "bad", "c")])
    assert [outcome.name for outcome in outcomes] == ["a", "bad", "c"]
    assert [outcome.result for outcome in outcomes] == ["A", None, "C"]
    assert str(outcomes[1].error) == "bad: no such data"
    with pytest.raises(DatasetError, match="no such data"):
        results(outcomes)
    assert results([outcomes[0], outcomes[2]]) == ["A", "C"]


def test_a_bug_is_not_taken_for_a_failed_job() -> None:
    with pytest.raises(ZeroDivisionError):
        run_jobs([Job("x", broken, ("x",))])


def test_a_cluster_gives_what_one_process_gives(cluster: str) -> None:
    jobs = [Job(word, shout, (word,)) for word in ("a", "bad", "c", "d")]
    here, there = run_jobs(jobs), run_jobs(jobs, cluster)
    assert [(o.name, o.result) for o in there] == [(o.name, o.result) for o in here]
    assert isinstance(there[1].error, DatasetError)
    assert str(there[1].error) == str(here[1].error)


@pytest.mark.parametrize("name", ["torch", None])
def test_a_worker_has_the_backend_of_this_process(
    cluster: str, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if name is not None:
        monkeypatch.setenv("KERAS_BACKEND", name)
    assert results(run_jobs([Job("a", backend)], cluster)) == [name]


def test_a_worker_killed_in_the_middle_loses_only_its_own_job(cluster: str, tmp_path: Path) -> None:
    jobs = [Job(name, wait_for_go, (tmp_path, name)) for name in ("left", "right")]
    files = [tmp_path / "left.began", tmp_path / "right.began"]

    def beginnings(file: Path) -> list[list[object]]:
        return [json.loads(line) for line in file.read_text().splitlines()]

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_jobs, jobs, cluster)
        try:
            until(lambda: all(file.is_file() and beginnings(file) for file in files))
            (left,), (right,) = beginnings(files[0]), beginnings(files[1])
            assert left[1] != right[1], "both nodes work"
            os.kill(int(str(left[0])), signal.SIGKILL)
            until(lambda: len(beginnings(files[0])) == 2)
        finally:
            (tmp_path / "go").touch()
        outcomes = running.result(TIME_LIMIT)
    assert results(outcomes) == ["left after 1", "right after 0"]
    assert beginnings(files[1]) == [right]


def test_an_address_where_no_cluster_is_is_one_line() -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.raises(UsageError, match="--ray nonsense: cannot be reached") as raised:
        run_jobs([Job("a", shout, ("a",))], "nonsense")
    assert len(str(raised.value).splitlines()) == 1


def test_results_on_disk_count_only_when_whole_and_of_the_same_inputs(tmp_path: Path) -> None:
    file, inputs = tmp_path / "row.json", {"model": "a"}
    assert read_result(file, inputs) is None
    file.write_text(json.dumps({"inputs": inputs, "figure": 1}))
    assert read_result(file, inputs) == {"inputs": inputs, "figure": 1}
    assert read_result(file, {"model": "b"}) is None
    file.write_text('{"inputs": {"model"')
    assert read_result(file, inputs) is None


def test_weights_mean_the_same_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert portable("none") == "none"
    assert portable("imagenet") == "imagenet"
    assert portable("base.h5") == str(tmp_path / "base.h5")
    (tmp_path / "base.h5").write_bytes(b"abc")
    assert file_sha256(tmp_path / "base.h5").startswith("ba7816bf")
