from __future__ import annotations

import inspect

import pytest

from edge_app import errors
from edge_app.errors import KioskError, Permanent, Temporary

CLASSES = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, KioskError) and value not in (KioskError, Permanent, Temporary)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_is_a_builtin_too_and_says_whether_to_retry(kind: type[KioskError]) -> None:
    builtin = [base for base in kind.__mro__ if base.__module__ == "builtins"]
    assert builtin[0] not in (Exception, BaseException, object)
    assert issubclass(kind, Temporary) != issubclass(kind, Permanent)
    assert str(kind("one line")) == "one line"


@pytest.mark.parametrize("kind", CLASSES)
def test_temporary_faults_exit_with_one_and_a_supervisor_may_retry(kind: type[KioskError]) -> None:
    # A camera that is not there may be a word mistyped on the command line.
    if issubclass(kind, Temporary) and kind is not errors.CameraMissingError:
        assert kind.exit_code == 1
    assert kind.exit_code in (1, 2)
