"""Optuna's file of a study: what is wrong with it is said in one line, and nothing is deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from edge_app.errors import OutputError, RecipeError

WHOLE = "ok"
"""What SQLite's integrity check answers for a file that is whole."""


def check_study_file(path: Path) -> None:
    """Refuse a file that is no whole SQLite database; none at all is a new study.

    Optuna reads only some of the file when it opens it: damage further on would end a search of
    days in the middle.

    Raises:
        RecipeError: It is damaged, or something else.
    """
    if not path.exists():
        return
    try:
        # Of a URI, SQLite opens what is there and makes nothing new.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as database:
            found = str(database.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        found = str(error)
    if found != WHOLE:
        raise RecipeError(
            f"{path}: not the file of a study, or damaged ({' '.join(found.split())}): "
            "put a whole copy there, give --out another folder, or remove this one"
        )


@contextmanager
def readable_study(path: Path) -> Iterator[None]:
    """One line for what Optuna's storage says while the study at ``path`` is used.

    Raises:
        OutputError: The file cannot be read or written any more (a full disk, say).
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = getattr(cause, "orig", None) or cause or error
        said = " ".join(str(reason).split())
        raise OutputError(f"{path}: cannot be used: {said}; the same command goes on") from None
