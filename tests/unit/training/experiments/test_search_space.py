from __future__ import annotations

import pytest

from training.experiments.overrides import override
from training.recipe import Recipe
from training.recipe_file import load_recipe

pytest.importorskip("optuna", reason="Optuna is not installed")

from training.experiments.search_space import SIZE, as_overrides, own_values, search_space

BASE = load_recipe("mask_classifier_base")


def with_backbone(name: str) -> Recipe:
    return override(BASE, {"model.backbone": name})


@pytest.mark.parametrize("weights", ["none", "imagenet", "base.weights.h5", "run/model.keras"])
@pytest.mark.parametrize("backbone", ["mobilenet_v2", "mobilenet_v1", "vgg16", "mlp"])
def test_the_recipe_itself_lies_in_its_space(backbone: str, weights: str) -> None:
    recipe = with_backbone(backbone)
    space = search_space(recipe, weights)
    own = own_values(recipe, space)
    assert set(own) == set(space)
    for key, values in space.items():
        assert values._contains(values.to_internal_repr(own[key])), key
    assert override(recipe, as_overrides(own)) == recipe


def test_every_corner_of_the_space_is_a_recipe() -> None:
    space = search_space(BASE, "none")
    for end in (0, -1):
        corner = {
            key: values.choices[end]
            if hasattr(values, "choices")
            else (values.low, values.high)[end]
            for key, values in space.items()
        }
        changed = override(BASE, as_overrides(corner))
        assert changed.model.width == changed.model.height == corner[SIZE]


def test_weights_of_one_shape_fix_what_they_are_of() -> None:
    assert {"model.alpha", "model.dense"} <= set(search_space(BASE, "imagenet"))
    of_one_width = search_space(BASE, "base.weights.h5")
    assert "model.alpha" not in of_one_width
    assert "model.dense" in of_one_width
    whole = search_space(BASE, "run/model.keras")
    assert not {"model.alpha", "model.dense"} & set(whole)


def test_only_what_the_network_has_is_varied() -> None:
    assert "phases.1.unfreeze_from" in search_space(BASE, "none")
    assert "phases.0.unfreeze_from" not in search_space(BASE, "none"), "that phase is frozen"
    assert "phases.1.unfreeze_from" not in search_space(with_backbone("mlp"), "none")
    assert "model.alpha" not in search_space(with_backbone("vgg16"), "none")
    sizes = search_space(with_backbone("inception_v3"), "none")[SIZE].choices
    assert min(sizes) >= 75, "Inception takes no smaller input"
