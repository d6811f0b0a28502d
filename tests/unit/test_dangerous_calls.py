"""No pickle, eval, shell or the like: the linters' rules are on, and what they do not cover."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDERS = ("edge_app", "training", "deploy")

UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}

NEVER_EXCUSED = ("S102", "S301", "S302", "S306", "S307", "S506", "S602", "S604", "S605")
"""exec, pickle, marshal, mktemp, eval, yaml.load, and three ways to a shell."""

SAFE = {"allow_pickle": False, "safe_mode": True, "weights_only": True, "shell": False}
"""Arguments of numpy, Keras, PyTorch and subprocess that decide whether a file can run code."""


def trees(root: Path) -> Iterator[tuple[Path, ast.AST]]:
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def dangers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = []
        for name in names:
            if name.split(".")[0] in UNPICKLERS:
                yield f"line {node.lineno}: imports {name}"
        if isinstance(node, ast.keyword) and node.arg in SAFE:
            value = node.value
            if not (isinstance(value, ast.Constant) and value.value is SAFE[node.arg]):
                yield f"line {value.lineno}: {node.arg} is not {SAFE[node.arg]}"
        if isinstance(node, ast.Attribute) and node.attr == "enable_unsafe_deserialization":
            yield f"line {node.lineno}: {node.attr}"


def test_nothing_that_is_read_can_run(root: Path) -> None:
    found = [f"{path}: {danger}" for path, tree in trees(root) for danger in dangers(tree)]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "np.load(f, allow_pickle=True)",
        "np.load(f, allow_pickle=wish)",
        "keras.models.load_model(f, safe_mode=False)",
        "keras.config.enable_unsafe_deserialization()",
        "subprocess.run(x, shell=True)",
    ],
)
def test_a_danger_would_be_seen(code: str) -> None:
    assert list(dangers(ast.parse(code)))


def test_the_linters_look_and_nobody_talks_them_out_of_it(root: Path) -> None:
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    lint = settings["ruff"]["lint"]
    excused = [rule for rules in lint["per-file-ignores"].values() for rule in rules]
    assert "S" in lint["select"]
    assert not set(NEVER_EXCUSED) & {*lint["ignore"], *excused}
    assert settings["bandit"] == {"assert_used": {"skips": ["*training/*"]}}
    for path, _ in trees(root):
        text = path.read_text(encoding="utf-8")
        for line in re.findall(r".*noqa.*", text):
            assert not set(NEVER_EXCUSED) & set(re.findall(r"S\d+", line)), f"{path}: {line}"


def test_whatever_bandit_is_told_to_skip_says_why(root: Path) -> None:
    """In the words before "nosec", which names its rules."""
    for path, _ in trees(root):
        for line in re.findall(r".*# nosec.*", path.read_text(encoding="utf-8")):
            assert re.search(r"# .{15,} # nosec( B\d{3})+$", line), f"{path}: {line}"
