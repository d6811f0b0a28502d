"""What is wrong with an option or the recipe is said before the first step."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the training half's packages are not installed")

from training.cli import main


@pytest.fixture
def words(tmp_path: Path, root: Path, tiny_recipe: str) -> list[str]:
    """A command line of which every option can be used."""
    picture = tmp_path / "people/with_mask/a.png"
    picture.parent.mkdir(parents=True)
    assert cv2.imwrite(str(picture), np.zeros((40, 40, 3), np.uint8))
    (tmp_path / "door.toml").write_text(tiny_recipe)
    models = root / "tests/data"
    given = [
        "pipeline", tmp_path / "door.toml", "--data", tmp_path / "people", "--weights", "none",
        "--against", models / "tiny_classifier.tflite", "--out", tmp_path / "out",
    ]  # fmt: skip
    return [str(word) for word in given]


def error_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 2
    written = capsys.readouterr()
    assert "python -m training prepare" not in written.out
    [line] = [row for row in written.err.splitlines() if row.startswith("mask-kiosk: error:")]
    return line


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--weights", "--weights TYPO: no such file"),
        ("--against", "no model bundle at"),
        ("--splits", "TYPO: cannot be read"),
        ("--boxes", "TYPO: cannot be read"),
        ("--landmarks", "--landmarks TYPO: no such file"),
        ("--detector", "no model bundle at"),
        ("--negatives", "TYPO: no such data set folder"),
        ("--data", "TYPO: no such data set folder"),
    ],
)
def test_a_mistyped_option_is_said_before_the_first_step(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], option, message
) -> None:
    typo = str(tmp_path / "typo")
    error = error_of([*words, option, typo], capsys)
    assert message.replace("TYPO", typo) in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "bundle", "message"),
    [
        ("--against", "tiny_detector", "is a 'detect' bundle, but a 'classify' one is needed"),
        ("--detector", "tiny_classifier", "is a 'classify' bundle, but a 'detect' one is needed"),
    ],
)
def test_a_bundle_of_the_other_kind_too(
    words: list[str], tmp_path, root, capsys, option, bundle, message
) -> None:
    other = str(root / f"tests/data/{bundle}.tflite")
    assert message in error_of([*words, option, other], capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["pipeline", "compare", "crossval", "tune"])
def test_a_recipe_that_needs_teachers_is_refused_by_who_takes_none(
    words: list[str], tmp_path: Path, tiny_recipe: str, capsys, command
) -> None:
    if command == "tune":
        pytest.importorskip("optuna")
    recipe = tmp_path / "door.toml"
    recipe.write_text(tiny_recipe.replace("seed = 3", "seed = 3\ndistillation = 0.5"))
    if command != "pipeline":
        words = [command, str(recipe), "--data", "nowhere", "--out", str(tmp_path / "out")]
    error = error_of(words, capsys)
    assert f"distillation = 0.5 needs teachers, which {command} does not take" in error
    assert "fit --teachers" in error
    assert not (tmp_path / "out").exists()
