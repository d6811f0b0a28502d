"""Reads from the source what can stand in a failing line of ``check``."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

GAP = "…"
"""Stands for what is filled in when the message is made."""


Names = dict[str, list[ast.expr]]
"""Name -> all that is assigned to it."""


def texts(node: ast.expr | None, names: Names) -> Iterator[str]:
    """Every text that an expression may be, with :data:`GAP` for what is filled in."""
    match node:
        case ast.Name(id=name):
            for value in names.get(name, []):
                yield from texts(value, {})
        case ast.Constant(value=str(words)):
            yield words
        case ast.JoinedStr(values=parts):
            yield "".join(p.value if isinstance(p, ast.Constant) else GAP for p in parts)
        case ast.BoolOp(values=parts):
            for part in parts:
                yield from texts(part, names)
        case ast.IfExp(body=yes, orelse=no):
            yield from texts(yes, names)
            yield from texts(no, names)


def assigned(tree: ast.AST) -> Names:
    """What is assigned to plain names."""
    found: Names = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found.setdefault(name, []).append(value)
    return found


def scopes(tree: ast.Module) -> Iterator[tuple[ast.AST, Names]]:
    """Every function, and the names that it knows: its own and the module's."""
    top = assigned(ast.Module([n for n in tree.body if isinstance(n, ast.Assign)], []))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node, top | assigned(node)


def raised(tree: ast.Module, errors: set[str]) -> set[str]:
    """The messages of all errors of certain names that a module makes."""
    found: set[str] = set()
    for scope, names in scopes(tree):
        for node in ast.walk(scope):
            match node:
                case ast.Call(func=ast.Name(id=name), args=[message, *_]) if name in errors:
                    found.update(texts(message, names))
    return found


def failing(tree: ast.Module) -> set[str]:
    """Details and advice of every ``Result`` or tuple that says FAIL, and what it adds to them."""
    found: set[str] = set()
    for scope, names in scopes(tree):
        for node in ast.walk(scope):
            parts: list[ast.expr] = []
            match node:
                case ast.Call(func=ast.Name(id="Result"), args=args):
                    parts = args
                case ast.Tuple(elts=elements):
                    parts = elements
                case ast.Call(func=ast.Attribute(value=ast.Name(id="todo")), args=args):
                    found.update(text for arg in args for text in texts(arg, names))
            is_fail = [isinstance(p, ast.Constant) and p.value == "FAIL" for p in parts]
            if any(is_fail):
                after = parts[is_fail.index(True) + 1 :]
                found.update(text for part in after for text in texts(part, names))
    return found


def returned(tree: ast.Module) -> set[str]:
    """Every text that a function of a module returns."""
    return {
        text
        for scope, names in scopes(tree)
        for node in ast.walk(scope)
        if isinstance(node, ast.Return)
        for text in texts(node.value, names)
    }


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def error_names(root: Path) -> set[str]:
    """The names of all classes of the tree in ``errors.py``, and of those made from them."""
    names = {"KioskError"}
    trees = [parse(path) for path in sorted((root / "edge_app").rglob("*.py"))]
    grew = True
    while grew:
        new = {
            node.name
            for tree in trees
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            and any(isinstance(base, ast.Name) and base.id in names for base in node.bases)
        }
        grew = not new <= names
        names |= new
    return names
