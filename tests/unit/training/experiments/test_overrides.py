from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.domain import MaskState
from edge_app.errors import RecipeError
from training.cli import main
from training.experiments.overrides import as_tables, override, shortened
from training.recipe_file import RECIPES, load_recipe, recipe_of

SHIPPED = sorted(path.stem for path in RECIPES.glob("*.toml"))
BASE = load_recipe("mask_classifier_base")


@pytest.mark.parametrize("name", SHIPPED)
def test_tables_are_the_inverse_of_reading(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe_of(as_tables(recipe), recipe.path) == recipe


def test_values_change_where_the_key_says_and_nowhere_else() -> None:
    changed = override(
        BASE,
        {
            "model.dropout": 0.2,
            "phases.1.learning_rate": 1e-4,
            "sampling.dataset_weights.binary": 2,
            "labels": ["with_mask", "incorrect_mask"],
            "seed": 7,
        },
    )
    assert changed.model.dropout == 0.2
    assert [phase.learning_rate for phase in changed.phases] == [
        BASE.phases[0].learning_rate,
        1e-4,
    ]
    assert changed.sampling is not None
    assert changed.sampling.dataset_weights["binary"] == 2.0
    assert changed.labels == (MaskState.WITH_MASK, MaskState.INCORRECT_MASK)
    assert BASE.sampling is not None
    back = {
        "model.dropout": BASE.model.dropout,
        "phases.1.learning_rate": BASE.phases[1].learning_rate,
        "sampling.dataset_weights.binary": BASE.sampling.dataset_weights["binary"],
        "labels": [str(label) for label in MaskState],
        "seed": BASE.seed,
    }
    again = override(changed, back)
    assert again.fingerprint == override(BASE, {"labels": list(map(str, MaskState))}).fingerprint
    assert BASE.model.dropout != 0.2


@given(st.floats(0, 0.95), st.integers(1, 100))
def test_two_overrides_are_one(dropout: float, epochs: int) -> None:
    first, second = {"model.dropout": dropout}, {"phases.1.epochs": epochs + 2}
    assert override(override(BASE, first), second) == override(BASE, {**first, **second})


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("model.drop", "no key model.drop in this recipe: 'drop' must be one of: width, height"),
        ("models.dropout", "'models' must be one of: name, task"),
        ("phases.2.epochs", "'2' must be one of: 0, 1"),
        ("phases.first.epochs", "'first' must be one of: 0, 1"),
        ("sampling.dataset_weights.door", "must be one of: kaggle853, ilc2021, binary"),
        ("model.dropout.x", "model.dropout = 0.3 has no keys"),
        ("placement.rotation", "placement = None has no keys"),
        ("path", "'path' must be one of: name"),
        ("", "'' must be one of: name"),
    ],
)
def test_a_key_that_does_not_exist_names_the_known_ones(key: str, said: str) -> None:
    with pytest.raises(RecipeError) as raised:
        override(BASE, {key: 1})
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model.dropout", 1.5, "model.dropout = 1.5 is not within 0..0.95"),
        ("model.dropout", "much", "model.dropout = 'much' has the wrong type"),
        ("phases.1.epochs", 2.5, "phases[1].epochs = 2.5 has the wrong type"),
        ("phases.1.epochs", 1, "phases[1].warmup_epochs = 1.5 must be less than its epochs"),
        ("model.width", 64, "must be equal"),
        ("name", "a/b", "name = 'a/b' must be letters"),
    ],
)
def test_values_are_checked_as_those_of_a_file(key: str, value: object, said: str) -> None:
    with pytest.raises(RecipeError) as raised:
        override(BASE, {key: value})
    assert said in str(raised.value)
    assert "mask_classifier_base.toml" in str(raised.value)


def test_shortening_cuts_what_is_longer_and_keeps_the_share_of_the_warm_up() -> None:
    short = shortened(BASE, epochs=2, steps=3)
    assert [phase.epochs for phase in short.phases] == [
        min(2, phase.epochs) for phase in BASE.phases
    ]
    last, whole = short.phases[1], BASE.phases[1]
    assert last.warmup_epochs == pytest.approx(2 * whole.warmup_epochs / whole.epochs)
    assert short.steps_per_epoch == 3
    assert shortened(BASE, epochs=None, steps=None) == BASE
    assert shortened(BASE, epochs=1000, steps=1000) == BASE


@pytest.mark.parametrize(("epochs", "steps"), [(0, None), (None, 0), (-1, None)])
def test_shortening_to_nothing_is_refused(epochs: int | None, steps: int | None) -> None:
    with pytest.raises(RecipeError, match="is not within"):
        shortened(BASE, epochs, steps)


@pytest.mark.parametrize("command", ["compare", "crossval", "tune"])
def test_a_detector_s_recipe_is_refused_with_what_to_do_instead(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything else: there are no prepared data here."""
    if command == "tune":
        pytest.importorskip("optuna", reason="tune's package is not installed")
    out = tmp_path / "out"
    words = [command, "face_detector", "--data", str(tmp_path / "none"), "--out", str(out)]
    assert main(words) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("mask-kiosk: error: ")
    assert f"face_detector.toml: is a detector's recipe, and {command} takes" in line
    for instead in ("train it with 'fit'", "with 'evaluate'", "with 'gate'"):
        assert instead in line
    assert not out.exists()
