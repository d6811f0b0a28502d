"""Which pictures a model never saw: told by the prepared data, a list, or ``prepare``'s rule.

``prepare`` divides all of its data sets together: a group of near-duplicates may reach over
several of them. So without the store a data set that no list mentions can only be divided again
with the same data sets beside it; the card of the judged model says which these were.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_app.errors import UsageError
from edge_app.vision.bundle import Card
from training.data.readers import Dataset, Kind, read_dataset
from training.data.splits import Split
from training.data.store import open_store
from training.evaluation.pictures import Picker, listed_pictures, randomly_divided


@dataclass(frozen=True, slots=True)
class Prepared:
    """What ``prepare`` divided before a model's training.

    Attributes:
        datasets: Names of the data sets with people.
        negatives: Names of those without.
        seed: Of the division.
    """

    datasets: frozenset[str]
    negatives: frozenset[str]
    seed: int

    @property
    def names(self) -> frozenset[str]:
        """All of them."""
        return self.datasets | self.negatives


def picker_for(
    args: argparse.Namespace, cards: Sequence[Card], negatives: Sequence[Path] = ()
) -> Picker:
    """The picker of a command that has ``--data`` and the options of ``add_split_options``.

    Args:
        args: The command line.
        cards: Of the models that are judged; the first one's division counts.
        negatives: Its folders of pictures without people.

    Raises:
        UsageError: Which pictures are test cannot be known.
        DatasetError: A data set, the splits file or the store cannot be used.
    """
    if args.prepared is not None and args.split == "all":
        raise UsageError(
            "--split all looks at every picture, --prepared at test pictures: give one"
        )
    roots = [*args.data, *negatives]
    listed = listed_pictures(args.split, args.splits, roots, args.prepared)
    picker = Picker(listed, args.seed, randomly_divided(*cards))
    if args.prepared is not None:
        picker.stored = stored_tests(args.prepared)
    if listed is not None:
        known = {name.split("/", 1)[0] for name in listed} | set(picker.stored) | picker.randomly
        if any(root.resolve().name not in known for root in roots):
            given = [read_dataset(root) for root in args.data]
            given += [read_dataset(root, Kind.NEGATIVES) for root in negatives]
            picker.beside = {
                dataset.name: _divided_with(dataset, given, cards, args.seed)
                for dataset in given
                if dataset.name not in known
            }
    return picker


def stored_tests(store: Path) -> dict[str, frozenset[str]]:
    """The test pictures of a prepared store, by data set.

    Raises:
        DatasetError: It cannot be opened.
    """
    data = open_store(store)
    tests = [record for record in data.records if record.split is Split.TEST]
    return {
        name: frozenset(record.file for record in tests if record.dataset == name)
        for name in data.manifest["datasets"]
    }


def _divided_with(
    dataset: Dataset, given: Sequence[Dataset], cards: Sequence[Card], seed: int
) -> tuple[Dataset, ...]:
    """The other data sets that an unlisted one is divided together with.

    A model that never saw the data set sets no condition. One that did was trained after a
    ``prepare`` which must be repeated: with its seed and all its data sets. Only folders without
    people may be missing: what they hold is no near-duplicate of a face.
    """
    others = [other for other in given if other.name != dataset.name]
    made = next((p for card in cards if (p := _prepared(card)) and dataset.name in p.names), None)
    if made is None:
        return tuple(others)
    kin = made.negatives if dataset.name in made.negatives else made.datasets
    missing = sorted(kin - {one.name for one in given})
    if missing or made.seed != seed:
        why = f"with {', '.join(missing)}" if missing else f"with --seed {made.seed}"
        raise UsageError(
            f"{dataset.root}: was divided {why} when the model was made, so which of its pictures "
            "are test is not known here: give the data that it was trained on, --prepared DIR"
        )
    return tuple(other for other in others if other.name in made.names)


def _prepared(card: Card) -> Prepared | None:
    arguments = ((card.raw or {}).get("training") or {}).get("prepare_arguments")
    if not arguments or "datasets" not in arguments:
        return None
    datasets, negatives = (
        frozenset(Path(path).name for path in arguments.get(key, ()))
        for key in ("datasets", "negatives")
    )
    return Prepared(datasets, negatives, arguments.get("seed", 0))
