from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.errors import DatasetError
from training.data.splits import TEST_FRACTION, Split, assign_splits, read_splits

MANY = [f"free/{i}.jpg" for i in range(3000)]


def share(splits: list[Split], which: Split) -> float:
    return splits.count(which) / len(splits)


def test_listed_pictures_are_test_and_their_twins_excluded() -> None:
    files = ["a/1", "a/2", "b/3", "a/4"]
    groups = ["a/1", "a/1", "a/1", "a/4"]
    splits = assign_splits(files, groups, frozenset({"a/2"}), 0.0, 0)
    assert splits == [Split.EXCLUDED, Split.TEST, Split.EXCLUDED, Split.TRAIN]


def test_a_data_set_with_a_list_gets_no_other_test_pictures() -> None:
    files = ["a/test.jpg"] + [f"a/{i}.jpg" for i in range(500)]
    splits = assign_splits(files, files, frozenset({"a/test.jpg"}), 0.1, 0)
    assert splits.count(Split.TEST) == 1


def test_fractions_hold_where_nothing_is_listed() -> None:
    splits = assign_splits(MANY, MANY, frozenset({"other/x"}), 0.1, 0)
    assert share(splits, Split.TEST) == pytest.approx(TEST_FRACTION, abs=0.03)
    assert share(splits, Split.VAL) == pytest.approx(0.1 * (1 - TEST_FRACTION), abs=0.02)
    assert Split.EXCLUDED not in splits


def test_the_seed_changes_the_division_and_nothing_else_does() -> None:
    first = assign_splits(MANY, MANY, frozenset(), 0.1, 0)
    assert assign_splits(MANY, MANY, frozenset(), 0.1, 0) == first
    assert assign_splits(MANY[::-1], MANY[::-1], frozenset(), 0.1, 0)[::-1] == first
    assert assign_splits(MANY[:100], MANY[:100], frozenset(), 0.1, 0) == first[:100]
    assert assign_splits(MANY, MANY, frozenset(), 0.1, 1) != first


@given(
    pictures=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.booleans()), max_size=40
    ),
    val_fraction=st.floats(0, 0.9),
    seed=st.integers(0, 9),
)
def test_no_group_straddles_two_splits(
    pictures: list[tuple[str, int, bool]], val_fraction: float, seed: int
) -> None:
    files = [f"{dataset}/{i}" for i, (dataset, _, _) in enumerate(pictures)]
    groups = [str(group) for _, group, _ in pictures]
    listed = frozenset(
        file for file, (_, _, is_test) in zip(files, pictures, strict=True) if is_test
    )
    splits = assign_splits(files, groups, listed, val_fraction, seed)
    for group in set(groups):
        used = {s for s, g in zip(splits, groups, strict=True) if g == group} - {Split.EXCLUDED}
        assert len(used) == 1  # every group is used for something, and for one thing only
    for file, split in zip(files, splits, strict=True):
        if file in listed:
            assert split is Split.TEST


def test_read_splits(tmp_path: Path) -> None:
    path = tmp_path / "splits.json"
    path.write_text(json.dumps({"what": "x", "test": ["a/1.jpg", "b/2.jpg"]}), "utf-8")
    assert read_splits(path) == frozenset({"a/1.jpg", "b/2.jpg"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "key 'test' must be a list"),
        ('{"test": [1]}', "key 'test' must be a list"),
        ('{"what": "x"}', "key 'test' must be a list"),
    ],
)
def test_unusable_split_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "splits.json"
    path.write_text(text, "utf-8")
    with pytest.raises(DatasetError, match=message):
        read_splits(path)


def test_a_missing_split_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_splits(tmp_path / "none.json")
