"""What ``tune`` varies in a recipe, and within which bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from training.models.backbones import BACKBONES
from training.recipe import Recipe

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SIZE = "model.size"
"""Stands for ``model.width`` and ``model.height``: a classifier's input is square."""

HIGHEST_DROPOUT = 0.6
RATE_SPAN = 10.0
"""Learning rates are searched from a tenth of the recipe's to ten times it."""

HIGHEST_RATE = 1.0
"""What a recipe may say at most."""

DENSE = (0, 64, 128, 256)
SIZES = (64, 96, 128, 160, 192, 224)
ALPHAS = (0.35, 0.5, 0.75, 1.0)
"""Widths that Keras has ImageNet weights for, in MobileNetV2 (V1 has no 0.35)."""

MOBILENET_V1_ALPHAS = (0.25, 0.5, 0.75, 1.0)

MOBILENET_V2_LAYERS = ("block_3_expand", "block_6_expand", "block_11_expand", "block_14_expand")
"""First layers of MobileNetV2's stages: where a second phase may begin to train."""


def search_space(recipe: Recipe, weights: str) -> dict[str, BaseDistribution]:
    """Dotted key -> what values it may take; the recipe's own are always among them.

    Args:
        recipe: A classifier's.
        weights: Start weights. A file is of one width, so ``model.alpha`` then stays; a whole
            model is also of one head, so ``model.dense`` stays, too.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    def choice(own: Any, *others: Any) -> CategoricalDistribution:
        return CategoricalDistribution(sorted({own, *others}))

    model, backbone = recipe.model, BACKBONES[recipe.model.backbone]
    highest = max(HIGHEST_DROPOUT, model.dropout)
    space: dict[str, BaseDistribution] = {"model.dropout": FloatDistribution(0.0, highest)}
    if not weights.endswith(".keras"):
        space["model.dense"] = choice(model.dense, *DENSE)
    if backbone.has_alpha and weights in ("none", "imagenet"):
        v1 = model.backbone == "mobilenet_v1"
        space["model.alpha"] = choice(model.alpha, *(MOBILENET_V1_ALPHAS if v1 else ALPHAS))
    space[SIZE] = choice(model.width, *(size for size in SIZES if size >= backbone.smallest))
    layers = MOBILENET_V2_LAYERS if model.backbone == "mobilenet_v2" else (backbone.fine_tune_from,)
    for i, phase in enumerate(recipe.phases):
        rate = phase.learning_rate
        highest = max(rate, min(HIGHEST_RATE, rate * RATE_SPAN))
        space[f"phases.{i}.learning_rate"] = FloatDistribution(rate / RATE_SPAN, highest, log=True)
        if not phase.frozen and any(layers):
            space[f"phases.{i}.unfreeze_from"] = choice(phase.unfreeze_from, "", *layers)
    return space


def own_values(recipe: Recipe, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """What the recipe itself says for every key of the space: the first trial."""
    own: dict[str, Any] = {
        "model.dropout": recipe.model.dropout,
        "model.dense": recipe.model.dense,
        "model.alpha": recipe.model.alpha,
        SIZE: recipe.model.width,
    }
    for i, phase in enumerate(recipe.phases):
        own[f"phases.{i}.learning_rate"] = phase.learning_rate
        own[f"phases.{i}.unfreeze_from"] = phase.unfreeze_from
    return {key: own[key] for key in space}


def as_overrides(values: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's values under the keys of a recipe."""
    changed = {key: value for key, value in values.items() if key != SIZE}
    if SIZE in values:
        changed |= {"model.width": values[SIZE], "model.height": values[SIZE]}
    return changed
