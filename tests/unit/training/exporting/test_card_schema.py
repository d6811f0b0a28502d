"""The schema accepts what is exported, refuses what is not a card, and explains every key."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

pytest.importorskip("jsonschema")

from training.exporting.card_schema import SCHEMA, violations


@pytest.fixture(params=["mask_classifier", "face_detector"])
def card(request, root: Path) -> dict:
    return json.loads((root / f"edge_app/models/{request.param}.json").read_text())


def test_the_shipped_cards_keep_to_it(card: dict) -> None:
    assert violations(card) == []
    del card["metrics"]
    assert violations(card) == [], "a card before its evaluation"


@pytest.mark.parametrize("key", ["sha256", "input", "thresholds", "parity", "training"])
def test_a_missing_key_is_named(card: dict, key: str) -> None:
    del card[key]
    assert f"card: {key!r} is a required property" in violations(card)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("schema", 2, "schema: 1 was expected"),
        ("name", "a/b", "name: 'a/b' does not match"),
        ("sha256", "12", "sha256: '12' does not match"),
        ("input.width", 8, "input.width: 8 is less than the minimum of 16"),
        ("input.colour", "BGR", "input.colour: 'RGB' was expected"),
        ("training.epochs", -1, "training.epochs: -1 is less than the minimum of 0"),
        ("training.data.kaggle853.licence", 5, "licence: 5 is not of type"),
        ("metrics.split", "train", "metrics.split: 'train' is not one of"),
        ("surprise", 1, "Additional properties are not allowed ('surprise' was unexpected)"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_place(card: dict, where, value, message) -> None:
    *folders, key = where.split(".")
    inner = card
    for folder in folders:
        inner = inner[folder]
    inner[key] = value
    lines = violations(card)
    assert len(lines) == 1
    assert message in lines[0]
    assert "\n" not in lines[0]
    assert len(lines[0]) < 250


def test_a_classifier_has_no_strides_and_a_detector_no_labels(root: Path) -> None:
    cards = [
        json.loads((root / f"edge_app/models/{name}.json").read_text())
        for name in ("mask_classifier", "face_detector")
    ]
    for mine, other in (cards, cards[::-1]):
        mixed = copy.deepcopy(mine)
        mixed["task"] = other["task"]
        assert violations(mixed), "another task asks for other keys"


def test_it_explains_every_key_of_the_card() -> None:
    schema = json.loads(SCHEMA.read_text())
    parts = [schema, schema["properties"]["input"], schema["properties"]["metrics"]]
    unsaid = [
        key
        for part in parts
        for key, about in part["properties"].items()
        if "description" not in about and "$ref" not in about
    ]
    assert unsaid == []
