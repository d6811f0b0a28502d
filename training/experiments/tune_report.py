"""What ``tune`` found: table of trials, importance of the settings, the best recipe as TOML."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_app.errors import MissingPackageError, RecipeError
from edge_app.recording import write_atomically
from training.evaluation.report import percent, table
from training.experiments.overrides import override
from training.experiments.search_space import as_overrides
from training.experiments.study import ERROR, INTERRUPTED, MULTIPLY_ADDS
from training.recipe import Recipe
from training.recipe_file import load_recipe


def write(study: Any, recipe: Recipe, out: Path, max_mmac: float) -> tuple[str, list[Path]]:
    """Write the report, the plot and the best recipe; returns the Markdown and the files.

    Args:
        study: From :func:`training.tune.tune`.
        recipe: As its file says it, with all its epochs.
        out: Folder.
        max_mmac: The limit, in million multiply-adds.

    Raises:
        RecipeError: No trial came to its end.
        OutputError: A file cannot be written.
    """
    trials = [t for t in study.trials if t.state.is_finished() and INTERRUPTED not in t.user_attrs]
    if not any(trial.value is not None for trial in trials):
        reasons = [trial.user_attrs.get(ERROR) for trial in trials]
        said = next((reason for reason in reasons if reason), f"all are over {max_mmac:g} million")
        raise RecipeError(f"{out}: none of {len(trials)} trials came to its end: {said}")
    best, shares = study.best_trial, importances(study)
    report = {
        "recipe": recipe.name,
        "max_mmac": max_mmac,
        "inputs": study.user_attrs["inputs"],
        "best": {"trial": best.number, "balanced_accuracy": best.value, "values": best.params},
        "importance": shares,
        "trials": [
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                "balanced_accuracy": trial.value,
                "values": trial.params,
                **trial.user_attrs,
            }
            for trial in trials
        ],
    }
    tuned = out / f"{recipe.name}_tuned.toml"
    text = markdown(report, tuned.name)
    contents = {
        tuned: best_recipe(recipe, best.params).encode(),
        out / "tune.json": (json.dumps(report, indent=1) + "\n").encode(),
        out / "tune.md": text.encode(),
    }
    if shares:
        contents[out / "importance.png"] = importance_plot(shares, recipe.name)
    for path, content in contents.items():
        write_atomically(path, content)
    load_recipe(tuned)  # what was written can be used
    return text, list(contents)


def importances(study: Any) -> dict[str, float]:
    """Share of each setting in what made trials good (Optuna's PED-ANOVA), largest first.

    Empty while there are too few different trials to tell.
    """
    import optuna

    with warnings.catch_warnings():
        # So Optuna says that all settings will be called equally important.
        warnings.filterwarnings("error", ".*importances will be equal", UserWarning)
        try:
            return dict(optuna.importance.get_param_importances(study))
        except UserWarning:
            return {}


def importance_plot(shares: Mapping[str, float], title: str) -> bytes:
    """A bar per setting, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1 + 0.35 * len(shares)), layout="constrained")
    axis = figure.add_subplot()
    names = list(shares)[::-1]
    axis.barh(names, [shares[name] for name in names])
    axis.set_xlabel("importance for the balanced accuracy")
    axis.set_title(title)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    return content.getvalue()


def best_recipe(recipe: Recipe, values: Mapping[str, Any]) -> str:
    """The recipe's own TOML with a trial's values and the name ``NAME_tuned``.

    Raises:
        MissingPackageError: tomlkit is not installed.
    """
    try:
        import tomlkit
    except ImportError:
        raise MissingPackageError("tune needs the package tomlkit: pip install tomlkit") from None
    changed = {"name": f"{recipe.name}_tuned", **as_overrides(values)}
    override(recipe, changed)  # checks the values
    document: Any = tomlkit.parse(recipe.path.read_text(encoding="utf-8"))
    for key, value in changed.items():
        *way, last = key.split(".")
        at = document
        for word in way:
            at = at[int(word)] if word.isdecimal() else at[word]
        at[last] = value
    return str(tomlkit.dumps(document))


def markdown(report: Mapping[str, Any], tuned: str) -> str:
    """The report for people, best trial first."""
    keys = list(dict.fromkeys(key for trial in report["trials"] for key in trial["values"]))

    def shown(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value) or "all"

    def order(trial: Mapping[str, Any]) -> tuple[bool, float]:
        value = trial["balanced_accuracy"]
        return value is None, -(value or 0.0)

    rows = [
        [
            trial["trial"],
            trial["state"],
            percent(trial["balanced_accuracy"]),
            f"{trial[MULTIPLY_ADDS] / 1e6:.1f}" if MULTIPLY_ADDS in trial else "-",
            *(shown(trial["values"][key]) if key in trial["values"] else "-" for key in keys),
        ]
        for trial in sorted(report["trials"], key=order)
    ]
    names = [key.removeprefix("model.") for key in keys]
    importance = report["importance"]
    said = ", ".join(f"{key} {100 * share:.0f} %" for key, share in importance.items())
    best = report["best"]
    return "\n".join(
        [
            f"# Search for {report['recipe']}\n",
            f"Best: trial {best['trial']}, {percent(best['balanced_accuracy'])} % balanced "
            f"accuracy on the validation faces, which chose it: measure `{tuned}` on the test "
            f"faces. Limit: {report['max_mmac']:g} million multiply-adds; `pruned` trials are "
            "over it and were not trained.\n",
            table(["trial", "state", "balanced accuracy", "million multiply-adds", *names], rows),
            f"Importance: {said}.\n" if said else "Too few trials to tell what matters.\n",
        ]
    )
