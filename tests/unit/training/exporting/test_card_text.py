"""The card for people holds what its readers look for."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from training.cli import main
from training.exporting.card_text import card_markdown


@pytest.fixture
def classifier(root: Path) -> dict:
    return json.loads((root / "edge_app/models/mask_classifier.json").read_text())


@pytest.fixture
def detector(root: Path) -> dict:
    return json.loads((root / "edge_app/models/face_detector.json").read_text())


def test_a_classifiers_page(classifier: dict) -> None:
    text = card_markdown(classifier)
    for part in (
        "Figures",
        "What quantisation changed",
        "Data",
        "How it was made",
        "Limits of use",
    ):
        assert f"## {part}\n" in text
    assert classifier["sha256"] in text
    assert "| threshold confidence_floor | 0.5 |" in text
    pool = classifier["metrics"]["classification"]["ilc2021"]
    assert f"| ilc2021 | {pool['samples']} | {100 * pool['balanced_accuracy']:.1f} (" in text
    data = classifier["training"]["data"]["binary"]
    assert f"| binary | {data['licence']} |" in text
    assert data["sha256"][:12] in text
    assert classifier["training"]["command"] in text


def test_it_names_the_data_and_commands_of_every_run_before(classifier: dict) -> None:
    start = classifier["training"]["start_weights"]
    before = copy.deepcopy(start["made_by"])
    before["command"], before["data"] = (
        "python -m training fit first",
        {"secret": {**before["data"]["binary"], "licence": "unknown"}},
    )
    before["start_weights"] = {"name": "none", "sha256": None}
    start["made_by"]["start_weights"] = {"name": "first.keras", "sha256": None, "made_by": before}
    text = card_markdown(classifier)
    assert "| secret | unknown |" in text
    commands = text.split("```sh\n")[1].split("```")[0].splitlines()
    assert "python -m training fit first" in commands[:2]
    assert commands.index(start["made_by"]["command"]) > 1
    assert len(commands) == len(set(commands)) == 6


def test_it_names_the_data_and_commands_of_teachers(classifier: dict) -> None:
    [_, teacher] = classifier["training"]["teachers"]
    teacher["made_by"]["data"]["secret"] = teacher["made_by"]["data"]["binary"]
    text = card_markdown(classifier)
    assert "It learnt from `mask_teacher_b/model.keras`, which saw:" in text
    assert "| secret |" in text
    assert teacher["made_by"]["command"] in text
    assert text.count("It went on from `mask_teacher_a/model.keras`") == 1
    assert "It learnt from `mask_teacher_a/model.keras`" not in text


def test_a_detectors_page(detector: dict) -> None:
    text = card_markdown(detector)
    assert "finds faces" in text
    assert "| kaggle853, 16 px | 431 |" in text
    assert "| rooms | 174 |" in text
    detector["parity"]["mean_score_difference"] = None
    assert "no face was seen" in card_markdown(detector)


def test_a_card_without_figures_says_so(classifier: dict) -> None:
    del classifier["metrics"]
    assert "None yet: run `python -m training evaluate" in card_markdown(classifier)


def test_the_layers_are_listed_when_the_card_has_them(classifier: dict) -> None:
    layer = {"layer": "block_3;conv", "operator": "CONV_2D", "scale": 0.1, "low": -1.0, "high": 2.0}
    classifier["parity"]["layers"] = [{**layer, "error": 0.2, "added": 0.1, "clipped": 0.0}]
    assert "| block_3 | CONV_2D | 10.00 | 20.00 |" in card_markdown(classifier)


def test_the_command_prints_or_writes_it(capsys, tmp_path: Path) -> None:
    assert main(["card", "mask_classifier"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# mask_classifier\n")
    out = tmp_path / "sub" / "card.md"
    assert main(["card", "mask_classifier", "--out", str(out)]) == 0
    assert out.read_text() == printed


def test_the_command_says_what_is_wrong_with_a_card(capsys, root: Path) -> None:
    assert main(["card", str(root / "tests/data/tiny_classifier.tflite")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert any("tiny_classifier.json: card: 'training' is a required property" in x for x in lines)
    assert main(["card", "no_such_bundle"]) == 2
