"""What decides a run is in the fingerprint, and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge_app.domain import MaskState
from training.data.camera import CameraRanges
from training.recipe import ModelSettings, Phase, Placement, Recipe, Sampling


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        name="faces",
        task="classify",
        seed=1,
        batch=8,
        steps_per_epoch=2,
        phases=(Phase(2, 1e-3),),
        model=ModelSettings(64, 64),
        labels=(MaskState.WITH_MASK, MaskState.WITHOUT_MASK),
        sampling=Sampling(0.4, 16.0, 0.6, {"street": 1.0, "portraits": 0.5}),
    )


def test_the_data_sets_are_those_with_a_weight(recipe: Recipe) -> None:
    assert recipe.datasets == ("street", "portraits")
    placed = dataclasses.replace(recipe, sampling=None, placement=Placement({"yard": 1.0}))
    assert placed.datasets == ("yard",)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"phases": (Phase(2, 1e-3, frozen=True),)},
        {"model": ModelSettings(96, 96)},
        {"labels": (MaskState.WITHOUT_MASK, MaskState.WITH_MASK)},
        {"sampling": Sampling(0.5, 16.0, 0.6, {"street": 1.0, "portraits": 0.5})},
    ],
)
def test_another_value_is_another_run(recipe: Recipe, change: dict[str, object]) -> None:
    assert dataclasses.replace(recipe, **change).fingerprint != recipe.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"path": Path("elsewhere.toml")},
        {"licences": {"street": "CC0"}},
        {"thresholds": {"confidence_floor": 0.6}},
    ],
)
def test_what_only_the_card_says_does_not_matter(recipe: Recipe, change: dict[str, object]) -> None:
    assert dataclasses.replace(recipe, **change).fingerprint == recipe.fingerprint


def test_a_default_that_is_written_down_does_not_matter(recipe: Recipe) -> None:
    written = dataclasses.replace(recipe, patience=8, camera=CameraRanges(gamma=1.8))
    assert written.fingerprint == recipe.fingerprint
