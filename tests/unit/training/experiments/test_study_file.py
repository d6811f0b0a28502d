"""A damaged study is refused in one line, and left as it is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge_app.errors import OutputError, RecipeError
from training.experiments.study_file import check_study_file, readable_study

optuna = pytest.importorskip("optuna", reason="tune's package is not installed")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """The file of a study with one trial."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = tmp_path_factory.mktemp("whole") / "study.sqlite"
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    optuna.create_study(storage=storage).enqueue_trial({"x": 1})
    storage.engine.dispose()
    return path.read_bytes()


DAMAGES = {
    "truncated": lambda whole: whole[: len(whole) // 2],
    "cut in its first page": lambda whole: whole[:50],
    "garbage": lambda whole: b"x" * 5000,
    "text": lambda whole: b"{}\n",
    "a page of zeros in it": lambda whole: whole[:8192] + bytes(4096) + whole[12288:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_one_line_and_stays(whole: bytes, damage, tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    path.write_bytes(damage(whole))
    with pytest.raises(RecipeError) as caught:
        check_study_file(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: not the file of a study, or damaged (")
    assert len(said.splitlines()) == 1
    assert path.read_bytes() == damage(whole)
    assert [p.name for p in tmp_path.iterdir()] == ["study.sqlite"]


def test_a_folder_in_its_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "study.sqlite").mkdir()
    with pytest.raises(RecipeError, match=r"study\.sqlite: not the file of a study"):
        check_study_file(tmp_path / "study.sqlite")


def test_a_whole_one_passes_in_a_folder_of_any_name_and_so_does_none(whole, tmp_path) -> None:
    path = tmp_path / "what? #1 100%" / "study.sqlite"
    check_study_file(path)
    path.parent.mkdir()
    check_study_file(path)
    path.write_bytes(whole)
    check_study_file(path)


def test_what_the_storage_says_later_is_one_line(tmp_path: Path) -> None:
    """Somebody writes over the file while a search is running."""
    path = tmp_path / "study.sqlite"
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    study = optuna.create_study(storage=storage)
    storage.engine.dispose()
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE trials")
    with pytest.raises(OutputError) as caught, readable_study(path):
        study.ask()
    assert str(caught.value).startswith(f"{path}: cannot be used: no such table: trials")
    assert len(str(caught.value).splitlines()) == 1
