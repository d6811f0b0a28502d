"""What is scored is what ``prepare`` called test, near-duplicates in other data sets included."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.errors import DatasetError, UsageError
from edge_app.vision.bundle import Card, read_card
from training import pipeline
from training.cli import main
from training.data.store import open_store
from training.evaluation.division import picker_for
from training.evaluation.options import add_data_options
from training.recipe_file import load_recipe

PICTURES = 20


def save(path: Path, seed: int, mirrored: bool = False) -> None:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[:, ::-1] if mirrored else image)


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets, each with a mirrored twin of every picture of the other, and rooms."""
    folder = tmp_path_factory.mktemp("months")
    for i in range(PICTURES):
        save(folder / "may/with_mask" / f"{i}.png", i)
        save(folder / "april/with_mask" / f"{i}_again.png", i, mirrored=True)
        save(folder / "rooms" / f"{i}.png", PICTURES + i)
    return folder


Prepare = Callable[..., tuple[Path, dict[str, set[str]], Card]]


@pytest.fixture(scope="module")
def prepare(months: Path, root: Path) -> Prepare:
    """Prepare some of them: the store, its pictures by split, and a card that tells of it."""

    def run(name: str, *names: str, options: tuple[str, ...] = ()) -> tuple[Path, dict, Card]:
        store = months / "stores" / name
        words = [str(months / one) for one in names]
        assert main(["prepare", *words, *options, "--out", str(store)]) == 0
        data = open_store(store)
        splits: dict[str, set[str]] = {}
        for record in data.records:
            splits.setdefault(str(record.split), set()).add(record.file)
        card = read_card(root / "tests/data/tiny_classifier.tflite")
        made = {"data": dict.fromkeys(names), "prepare_arguments": data.manifest["arguments"]}
        return store, splits, replace(card, raw={**(card.raw or {}), "training": made})

    return run


def options(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_data_options(parser)
    return parser.parse_args([str(word) for word in words])


def chosen(args: argparse.Namespace, *cards: Card) -> set[str]:
    picker = picker_for(args, cards)
    return {sample.file for root in args.data for sample in picker.choose(root).samples}


@pytest.fixture
def nothing_listed(tmp_path: Path) -> Path:
    path = tmp_path / "splits.json"
    path.write_text('{"test": []}')
    return path


def test_twins_in_another_data_set_are_divided_with_it(months, prepare, nothing_listed) -> None:
    _, splits, card = prepare("both", "may", "april")
    alone = {r.file for r in open_store(prepare("one", "may")[0]).records if r.split == "test"}
    assert alone & splits["train"], "divided alone, May would be tested on what was trained on"
    both = options("--data", months / "may", months / "april", "--splits", nothing_listed)
    assert chosen(both, card) == splits["test"]


def test_a_store_says_what_is_test_whatever_is_given_beside(months, prepare, tmp_path) -> None:
    store, splits, card = prepare("both", "may", "april")
    may = {file for file in splits["test"] if file.startswith("may/")}
    assert chosen(options("--data", months / "may", "--prepared", store), card) == may
    listed = tmp_path / "listed.json"
    listed.write_text(json.dumps({"test": ["rooms/1.png"]}))
    words = ("--data", months / "may", months / "rooms", "--prepared", store, "--splits", listed)
    assert chosen(options(*words), card) == may | {"rooms/1.png"}
    drawn, splits, card = prepare("drawn", "may", "april", options=("--random-split",))
    both = options("--data", months / "may", months / "april", "--prepared", drawn)
    assert chosen(both, card) == splits["test"]


def test_a_twin_of_a_listed_picture_is_not_test(months, prepare, tmp_path) -> None:
    listed = tmp_path / "splits.json"
    listed.write_text(json.dumps({"test": ["may/with_mask/3.png"]}))
    words = ("--data", months / "may", months / "april", months / "rooms", "--splits", listed)
    _, splits, card = prepare("listed", "may", "april", "rooms", options=("--splits", str(listed)))
    picker = picker_for(options(*words), [card])
    rooms = {s.file for s in picker.choose(months / "rooms").samples}
    assert rooms == {file for file in splits["test"] if file.startswith("rooms/")}
    assert {s.file for s in picker.choose(months / "may").samples} == {"may/with_mask/3.png"}
    with pytest.raises(ValueError, match="april: none of its pictures is in the test split"):
        picker.choose(months / "april")


def test_what_cannot_be_known_is_refused(months, prepare, nothing_listed) -> None:
    store, _, card = prepare("both", "may", "april")
    alone = ("--data", months / "may", "--splits", nothing_listed)
    with pytest.raises(UsageError, match=r"may: was divided with april when .* --prepared DIR"):
        picker_for(options(*alone), [card])
    both = ("--data", months / "may", months / "april", "--splits", nothing_listed)
    with pytest.raises(UsageError, match=r"may: was divided with --seed 0 when"):
        picker_for(options(*both, "--seed", 1), [card])
    with pytest.raises(UsageError, match="--split all looks at every picture"):
        picker_for(options("--data", months / "may", "--prepared", store, "--split", "all"), [card])


def test_a_model_of_other_data_sets_sets_no_condition(months, prepare, nothing_listed) -> None:
    _, splits, card = prepare("one", "may")
    both = options("--data", months / "may", months / "april", "--splits", nothing_listed)
    picker = picker_for(both, [card])
    assert {s.file for s in picker.choose(months / "may").samples} == splits["test"]
    assert picker.choose(months / "april").samples


def test_the_pipeline_judges_on_the_store_s_test_pictures(
    months, prepare, tmp_path, tiny_recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "door.toml").write_text(tiny_recipe.replace("people", "may"))
    save(months / "tiny/with_mask/a.png", 1000)
    store, splits, card = prepare("three", "may", "april", "tiny")
    given = argparse.Namespace(
        data=[months / "may", months / "april", months / "tiny"],
        negatives=[months / "rooms"], boxes=None, detector=None,
    )  # fmt: skip
    words = pipeline._judged_on(load_recipe(tmp_path / "door.toml"), given, open_store(store))
    assert chosen(options(*words), card) == splits["test"]
    assert "tiny/with_mask/a.png" not in splits["test"]
    assert f"no test picture, so not judged on: {months / 'tiny'}" in capsys.readouterr().out


def test_a_detector_s_pipeline_judges_on_boxes_and_on_rooms(months, prepare) -> None:
    street = months / "street"
    for i in range(PICTURES):
        save(street / "images" / f"{i}.png", 2000 + i)
        (street / "labels").mkdir(exist_ok=True)
        (street / "labels" / f"{i}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (street / "classes.txt").write_text("with_mask\n")
    rooms = ("--negatives", str(months / "rooms"))
    store, splits, card = prepare("detector", "street", "may", options=rooms)
    given = argparse.Namespace(
        data=[street, months / "may"], negatives=[months / "rooms"], boxes=None, detector=None
    )
    recipe = load_recipe("face_detector")
    words = pipeline._judged_on(recipe, given, open_store(store))
    assert words == [
        *("--prepared", str(store), "--data", str(street)),
        *("--negatives", str(months / "rooms")),
    ]
    picker = picker_for(options(*words[:4]), [card], given.negatives)
    for root in (street, months / "rooms"):
        mine = {file for file in splits["test"] if file.startswith(f"{root.name}/")}
        assert {sample.file for sample in picker.choose(root).samples} == mine != set()
    given.data, given.negatives = [months / "may"], []
    with pytest.raises(DatasetError, match="no test picture to judge a detect recipe on"):
        pipeline._judged_on(recipe, given, open_store(store))


def test_rooms_need_no_faces_beside_them(months, prepare, nothing_listed) -> None:
    """A model of faces and rooms: the rooms' test pictures are known without the faces."""
    options_of = ("--negatives", str(months / "rooms"))
    _, splits, card = prepare("faces_and_rooms", "may", options=options_of)
    args = argparse.Namespace(data=[], split="test", splits=nothing_listed, prepared=None, seed=0)
    picker = picker_for(args, [card], [months / "rooms"])
    chosen_rooms = {sample.file for sample in picker.choose(months / "rooms").samples}
    assert chosen_rooms == {file for file in splits["test"] if file.startswith("rooms/")}
