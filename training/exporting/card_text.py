"""A card as Markdown: what a person should know before trusting a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from training.evaluation.report import percent, table
from training.exporting.quantisation_debug import layers_table

LIMITS = {
    "classify": (
        "It judges the crop of one face, not whether there is a face, and not who it is.",
        "Anything in front of the mouth that was not in its data (a scarf, a hand, a cup) may be "
        "taken for a mask; visors and niqabs were not looked at.",
        "Its figures hold for faces of at least 24 pixels, and for pictures like those of the data "
        "sets below; a door with another camera or light needs figures of its own.",
    ),
    "detect": (
        "It finds faces; it does not say whose they are, and not how a mask is worn.",
        "Its figures hold for faces of at least 16 pixels in a picture letterboxed to 320x240, "
        "and for pictures like those of the data sets below.",
    ),
}
"""What every model of a task is not for."""

COMMON_LIMITS = (
    "Differences between groups of people (skin, age, head covering) were not measured: the data "
    "sets do not tell.",
    "It is an aid to people at a door. It must not refuse anybody entry by itself.",
)
"""What no model of this project is for."""


def card_markdown(card: Mapping[str, Any]) -> str:
    """A valid card as Markdown, with what cannot be known said as such."""
    size = f"{card['input']['width']}x{card['input']['height']}"
    what = "judges how a mask is worn" if card["task"] == "classify" else "finds faces"
    parts = [
        f"# {card['name']}\n",
        f"An INT8 TFLite model that {what}: input {size} RGB, "
        f"{card['multiply_adds'] / 1e6:.1f} million multiply-adds, {card['parameters']:,} "
        f"parameters, {card['bytes'] / 1024:.0f} KiB.\n",
        table(["", "value"], _facts(card)),
        "## Figures\n",
        *_figures(card),
        "## What quantisation changed\n",
        *_parity(card["parity"]),
        "## Data\n",
        *_data(card["training"]),
        "## How it was made\n",
        _commands(card),
        "## Limits of use\n",
        "".join(f"- {line}\n" for line in (*LIMITS[card["task"]], *COMMON_LIMITS)),
    ]
    return "\n".join(parts)


def _facts(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("task", card["task"])]
    if card["task"] == "classify":
        rows += [
            ("labels", ", ".join(card["labels"])),
            ("crop margin", f"{card['crop_margin']:g}"),
            ("temperature", f"{card['temperature']:g}"),
        ]
    else:
        rows.append(("strides", ", ".join(map(str, card["strides"]))))
    rows += [(f"threshold {name}", f"{v:g}") for name, v in card["thresholds"].items()]
    return [*rows, ("sha256 of the model", f"`{card['sha256']}`")]


def _figures(card: Mapping[str, Any]) -> Iterator[str]:
    metrics = card.get("metrics")
    if metrics is None:
        yield "None yet: run `python -m training evaluate ... --record`.\n"
        return
    yield (
        f"INT8 in the device's interpreter, {metrics['split']} pictures, percent with 95 % "
        "intervals.\n"
    )
    if "classification" in metrics:
        labels = card["labels"]
        head = ["faces of", "number", "balanced accuracy", "accuracy"]
        yield table(
            [*head, *(f"recall {label}" for label in labels)],
            [
                (
                    name, f["samples"],
                    percent(f["balanced_accuracy"], f["balanced_accuracy_interval"]),
                    percent(f["accuracy"]), *(percent(f["recall"].get(x)) for x in labels),
                )
                for name, f in metrics["classification"].items()
            ],
        )  # fmt: skip
    if "detection" in metrics:
        yield table(
            ["faces of, short side from", "number", "average precision", "recall"],
            [
                (
                    f"{name}, {size}", f["faces"],
                    percent(f["average_precision"], f["average_precision_interval"]),
                    percent(f["recall"]),
                )
                for name, sizes in metrics["detection"].items()
                for size, f in sizes.items()
            ],
        )  # fmt: skip
    if "false_alarms" in metrics:
        yield table(
            ["pictures without people", "number", "false alarms in a hundred"],
            [
                (name, f["pictures"], f"{f['per_hundred']:.1f}")
                for name, f in metrics["false_alarms"].items()
            ],
        )


def _parity(parity: Mapping[str, Any]) -> Iterator[str]:
    if "int8" in parity:
        before, after = (parity[k]["balanced_accuracy"] for k in ("float", "int8"))
        yield (
            f"On {parity['faces']} validation faces: balanced accuracy {percent(before)} in float, "
            f"{percent(after)} in INT8; the same verdict on {percent(parity['same_verdict'])} %.\n"
        )
    else:
        score = parity["mean_score_difference"]
        said = "no face was seen" if score is None else f"scores differ by {score:.4f} on average"
        yield f"On {parity['pictures']} validation pictures {said}.\n"
    if "layers" in parity:
        yield "The layers that change most:\n"
        yield layers_table(parity["layers"])


def _data(training: Mapping[str, Any]) -> Iterator[str]:
    yield from _data_of(training, "This run saw")
    for role, model in _models_before(training):
        yield from _data_of(model["made_by"], f"{role} `{model['name']}`, which saw")


def _models_before(made: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The models that a run went on or learnt from, and so on; each once, the last one first."""
    seen: set[str] = set()
    waiting = [("It went on from", made["start_weights"])]
    waiting += [("It learnt from", teacher) for teacher in made.get("teachers", ())]
    while waiting:
        role, model = waiting.pop(0)
        if "made_by" not in model or model["made_by"]["command"] in seen:
            continue
        seen.add(model["made_by"]["command"])
        yield role, model
        waiting.append(("That went on from", model["made_by"]["start_weights"]))
        waiting += [("That learnt from", t) for t in model["made_by"].get("teachers", ())]


def _data_of(made: Mapping[str, Any], intro: str) -> Iterator[str]:
    yield f"{intro}:\n"
    yield table(
        ["data set", "licence", "pictures", "train", "val", "test", "sha256"],
        [
            (
                name, d["licence"] or "not stated", d["pictures"],
                *(d["stored"].get(split, 0) for split in ("train", "val", "test")),
                f"`{d['sha256'][:12]}`",
            )
            for name, d in made["data"].items()
        ],
    )  # fmt: skip


def _commands(card: Mapping[str, Any]) -> str:
    training = card["training"]
    before = [model["made_by"]["command"] for _, model in _models_before(training)]
    steps = [*reversed(before), training["command"], card["export_command"]]
    start = training["start_weights"]
    while "made_by" in start:
        start = start["made_by"]["start_weights"]
    digest = f", sha256 `{start['sha256'][:12]}`" if start["sha256"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in training["versions"].items())
    return (
        "```sh\n" + "\n".join(steps) + "\n```\n\n"
        f"From the weights `{start['name']}`{digest}; recipe `{training['recipe']}` "
        f"(`{training['recipe_sha256'][:12]}`), seed {training['seed']}, best epoch "
        f"{training['best_epoch']} of {training['epochs']}, "
        f"{training['seconds'] / 60:.0f} minutes; {versions}.\n"
    )
