from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from edge_app.errors import DatasetError, UsageError
from training.recipe_file import load_recipe
from training.tracking import check_uri, code_revision, parameters, record_run

SUMMARY: dict[str, Any] = {
    "recipe": "mask_classifier.toml",
    "recipe_sha256": "aa",
    "store_sha256": "bb",
    "start_weights": {"name": "none", "sha256": None},
    "best_epoch": 3,
    "data": {"door": {"sha256": "cc", "pictures": 4}},
    "versions": {"keras": "3.15.1"},
}


def test_parameters_hold_hashes_and_every_setting_of_the_recipe() -> None:
    recipe = load_recipe("mask_classifier")
    found = parameters(SUMMARY, recipe)
    assert found["data.door.sha256"] == "cc"
    assert found["store_sha256"] == "bb"
    assert found["version.keras"] == "3.15.1"
    assert found["recipe.model.width"] == recipe.model.width
    assert found["recipe.phases.0.learning_rate"] == recipe.phases[0].learning_rate
    assert found["recipe.labels"] == "with_mask, without_mask, incorrect_mask"
    assert "recipe.path" not in found


def test_parameters_without_a_recipe_are_those_of_the_summary() -> None:
    found = parameters(SUMMARY, None)
    assert not [name for name in found if name.startswith("recipe.")]
    assert found["recipe_sha256"] == "aa"


def test_a_data_set_may_have_any_name() -> None:
    summary = SUMMARY | {"data": {"door (2) & b": {"sha256": "cc"}}}
    assert parameters(summary, None)["data.door _2_ _ b.sha256"] == "cc"


@pytest.mark.parametrize("uri", ["", "5000", "127.0.0.1:5000", "ftp://host/x", "mlruns"])
def test_what_is_no_address_of_a_server_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="must begin with http://, https://, sqlite://"):
        check_uri(uri)


def test_a_folder_without_a_finished_run_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    with pytest.raises(DatasetError, match="no finished run here"):
        record_run(tmp_path, "sqlite:///unused.db")
    (tmp_path / "fit.json").write_text("{ half")
    with pytest.raises(DatasetError, match="no finished run here"):
        record_run(tmp_path, "sqlite:///unused.db")


def test_the_code_revision_is_the_commit_and_whether_files_changed(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    assert code_revision(tmp_path) == {}
    git("init")
    (tmp_path / "code.py").write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    tags = code_revision(tmp_path)
    assert tags["mlflow.source.git.commit"] == git("rev-parse", "HEAD")
    assert tags["mask_kiosk.code_changed"] == "False"
    (tmp_path / "code.py").write_text("2")
    assert code_revision(tmp_path)["mask_kiosk.code_changed"] == "True"
