"""``pipeline``: from data sets to a bundle that may ship, in one command.

    python -m training pipeline door.toml --data door --detector face_detector --weights FILE

Runs prepare, fit, export, evaluate, gate and card one after the other, stops at the first
that fails, and returns its exit code (1: the gate refused the bundle). Everything lies below one
folder (``build/pipeline/NAME``): ``data``, ``runs``, ``bundles``, ``evaluation``, ``gate`` and
the card as ``NAME.md``. The same command again skips what is done and goes on where it was
stopped, kill -9 included; when data or recipe changed, what depends on them is made again.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.errors import BundleError, DatasetError
from training.recipe_file import load_recipe
from training.steps import Step, file_hash, folder_hash, run_steps

if TYPE_CHECKING:
    from training.data.store import Store
    from training.recipe import Recipe

OUT = Path("build/pipeline")
"""Where everything goes, in a folder of the recipe's name, unless ``--out`` says otherwise."""

SHIPPED = {"classify": "mask_classifier", "detect": "face_detector"}
"""The bundle that a new one is compared with unless ``--against`` says otherwise."""


def add_parser(subparsers: Any) -> None:
    """Add ``pipeline`` to the command line."""
    parser = subparsers.add_parser(
        "pipeline",
        help="prepare, fit, export, evaluate, gate and card in one command",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help="a recipe's name (see training/recipes) or a .toml path")
    parser.add_argument(
        "--data", nargs="+", type=Path, required=True, metavar="DIR", help="data sets, as prepare's"
    )
    parser.add_argument(
        "--splits",
        type=Path,
        metavar="FILE",
        help="JSON that lists the test pictures (default: none is listed, so that a fifth is test)",
    )
    parser.add_argument("--boxes", type=Path, metavar="FILE", help="as prepare's")
    parser.add_argument("--detector", metavar="BUNDLE", help="as prepare's")
    parser.add_argument("--landmarks", type=Path, metavar="FILE", help="as prepare's")
    parser.add_argument(
        "--negatives",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="folders of pictures without any face",
    )
    parser.add_argument("--val-fraction", default="0.1", help="as prepare's (default: 0.1)")
    parser.add_argument("--weights", default="imagenet", help="as fit's (default: imagenet)")
    parser.add_argument(
        "--against", metavar="BUNDLE", help="the bundle to beat (default: the one that ships)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default build/pipeline/NAME")
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Entry point of ``pipeline``: 0, or the exit code of the step that failed."""
    from training.cli import main

    recipe = load_recipe(args.recipe)
    require_usable(recipe, args)
    out = args.out or OUT / recipe.name
    code = run_steps(pipeline_steps(recipe, args, out), out / "steps", main)
    if code == 0:
        print(f"may ship: {out / 'bundles' / recipe.name}.tflite and .json; read {recipe.name}.md")
    return code


def require_usable(recipe: Recipe, args: argparse.Namespace) -> None:
    """Open all files that an option names, so that a mistake is not noticed after hours.

    Raises:
        KioskError: One is missing, or not what the option takes.
        RecipeError: The recipe needs teachers.
    """
    from edge_app.vision.bundle import load_bundle
    from training.data.boxes import read_boxes
    from training.data.landmarks import Landmarker
    from training.data.splits import read_splits
    from training.fit import refuse_distillation
    from training.fitting.start import start_weights

    refuse_distillation(recipe, "pipeline")
    start_weights(args.weights)
    load_bundle(_against(recipe, args), recipe.task)
    if args.splits is not None:
        read_splits(args.splits)
    if args.boxes is not None:
        read_boxes(args.boxes)
    if args.detector is not None:
        load_bundle(args.detector, "detect")
    if args.landmarks is not None:
        Landmarker(args.landmarks)


def pipeline_steps(recipe: Recipe, args: argparse.Namespace, out: Path) -> Iterator[Step]:
    """The steps, each made when the one before it is done.

    Args:
        recipe: What to train.
        args: The command line's options.
        out: Folder of everything.

    Raises:
        DatasetError: A data set or file that a step reads is missing.
        BundleError, BundleNotFoundError: The bundle to beat, or the detector, cannot be read.
    """
    from training.data.store import open_store

    sources = _sources(args)
    store = out / "data"
    yield Step(
        "prepare",
        (
            "prepare", *map(str, args.data), *_options(args, "boxes", "detector", "landmarks"),
            *(word for root in args.negatives for word in ("--negatives", str(root))),
            *_options(args, "splits"), "--val-fraction", args.val_fraction, "--out", str(store),
        ),
        (store / "manifest.json", store / "records.json"),
        sources,
        lambda: open_store(store),
    )  # fmt: skip
    prepared = open_store(store)
    data, judged = prepared.sha256, _judged_on(recipe, args, prepared)
    trains = {"recipe": recipe.fingerprint, "data": data, "weights": _weights(args.weights)}
    made = Step("fit", (), (), trains).key[:8]
    folder = out / "runs" / f"{recipe.name}-{made}"
    float_model = folder / "model.keras"
    yield Step(
        "fit",
        (
            "fit", args.recipe, "--data", str(store), "--run", str(folder),
            "--weights", args.weights,
        ),
        (float_model, folder / "fit.json"),
        trains,
    )  # fmt: skip
    bundles = out / "bundles"
    model, card = bundles / f"{recipe.name}.tflite", bundles / f"{recipe.name}.json"
    yield Step(
        "export",
        (
            "export", args.recipe, "--data", str(store), "--run", str(folder),
            "--out", str(bundles),
        ),
        (model,),
        {"model": file_hash(float_model), "recipe file": file_hash(recipe.path), "data": data},
        lambda: _require_whole(model),
    )  # fmt: skip
    yield Step(
        "evaluate",
        ("evaluate", str(model), *judged, "--record", "--out", str(out / "evaluation")),
        (*_report(out / "evaluation", recipe.name), card),
        {"bundle": file_hash(model), "data": data, **sources},
    )
    against = _against(recipe, args)
    yield Step(
        "gate",
        ("gate", str(model), "--against", against, *judged, "--out", str(out / "gate")),
        _report(out / "gate", recipe.name),
        {
            "bundle": _bundle_hash(str(model)),
            "against": _bundle_hash(against),
            "data": data,
            **sources,
        },
    )
    page = out / f"{recipe.name}.md"
    yield Step(
        "card",
        ("card", str(model), "--out", str(page)),
        (page,),
        {"card": file_hash(card)},
    )


def _sources(args: argparse.Namespace) -> dict[str, str]:
    """Hashes of all that the user gave."""
    files = [path for path in (args.splits, args.boxes, args.landmarks) if path is not None]
    hashes = {str(root): folder_hash(root) for root in [*args.data, *args.negatives]}
    hashes |= {str(path): file_hash(path) for path in files}
    if args.detector is not None:
        hashes["detector"] = _bundle_hash(args.detector)
    return hashes


def _judged_on(recipe: Recipe, args: argparse.Namespace, store: Store) -> list[str]:
    """Options that evaluate and gate share: the store's test pictures that suit the task.

    Raises:
        DatasetError: There are none.
    """
    from training.data.readers import Kind
    from training.data.splits import Split

    tests = Counter(record.dataset for record in store.records if record.split is Split.TEST)
    held = store.manifest["datasets"]
    boxed = {str(Kind.VOC), str(Kind.YOLO)}
    words = ["--prepared", str(store.path)]
    found = 0
    for option, roots in (("--data", args.data), ("--negatives", args.negatives)):
        names = {root: root.resolve().name for root in roots}
        if recipe.task == "classify":
            suit = roots if option == "--data" else []
        else:
            suit = [
                root for root in roots if option != "--data" or held[names[root]]["kind"] in boxed
            ]
        used = [str(root) for root in suit if tests[names[root]]]
        if used != [str(root) for root in suit]:
            left = [str(root) for root in suit if str(root) not in used]
            print(f"no test picture, so not judged on: {', '.join(left)}", flush=True)
        found += len(used)
        words += [option, *used] if used else []
    if not found:
        raise DatasetError(
            f"{store.path}: no test picture to judge a {recipe.task} recipe on: give more data"
        )
    if recipe.task == "classify":
        words += _options(args, "boxes", "detector")
    return words


def _options(args: argparse.Namespace, *names: str) -> list[str]:
    given = ((f"--{name}", getattr(args, name)) for name in names)
    return [word for option, value in given if value is not None for word in (option, str(value))]


def _weights(weights: str) -> str:
    """What start weights are: the file's hash, or the word that stands for others."""
    return weights if weights in ("imagenet", "none") else file_hash(Path(weights))


def _against(recipe: Recipe, args: argparse.Namespace) -> str:
    return args.against or SHIPPED[recipe.task]


def _bundle_hash(bundle: str) -> str:
    from edge_app.vision.bundle import card_path, find_bundle

    model = find_bundle(bundle)
    return file_hash(model) + file_hash(card_path(model))


def _require_whole(model: Path) -> None:
    from edge_app.vision.bundle import load_bundle, read_card
    from edge_app.vision.selftest import selftest_path

    card = load_bundle(model, read_card(model).task).card
    test = selftest_path(model)
    if not test.is_file() or file_hash(test) != card.selftest_sha256:
        raise BundleError(f"{test}: is missing or not the one that the card names")


def _report(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.json", folder / f"{name}.md"
