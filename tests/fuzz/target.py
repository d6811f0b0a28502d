"""What a target of the fuzzer is: something that makes bad input, and judges what it does."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import ClassVar

import hypothesis
from hypothesis.strategies import SearchStrategy

MESSAGE_LIMIT = 1000
"""Characters of an error message: it stands in one line of a log."""

Visit = Callable[[bytes], None]


class Violation(AssertionError):  # noqa: N818 - a finding, not a mistake of this program
    """Input was handled in a way that must not be; ``kind`` groups such cases."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


class Target:
    """One kind of input; lives in the child process that it may crash.

    Attributes:
        name: On the command line.
        suffix: Of files with failing inputs.
        contained: Stages (see :meth:`enter`) in which the process may die or hang, because
            the kiosk does that work in a process of its own.
    """

    name: ClassVar[str]
    suffix: ClassVar[str] = ".bin"
    contained: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        self.enter: Callable[[str], None] = lambda stage: None

    def open(self) -> None:
        """Prepare, in the child."""

    def close(self) -> None:
        """Tidy up, in the child, when it has lived that long."""

    def cases(self, seed: int, start: int, count: int, visit: Visit) -> None:
        """Call ``visit`` with ``count`` inputs, the same ones for the same arguments."""
        raise NotImplementedError

    def judge(self, content: bytes) -> str:
        """What became of an input, in a word or two.

        Raises:
            Violation: Something that must not be. So is any other exception.
        """
        raise NotImplementedError

    def confirm(self, content: bytes) -> None:
        """Prove, in the parent, that input which killed a child becomes an error of the kiosk's.

        Raises:
            Violation: It does not.
        """


def mutated(
    make: Callable[[random.Random], bytes], seed: int, start: int, count: int, visit: Visit
) -> None:
    """Inputs that each depend on their own number only."""
    for index in range(start, start + count):
        visit(make(random.Random(f"{seed}:{index}")))


def generated(
    strategy: SearchStrategy[bytes], seed: int, start: int, count: int, visit: Visit
) -> None:
    """Inputs that hypothesis makes, a row of them from each number that a batch starts at."""
    made = 0

    class EnoughError(Exception):
        pass

    def test(content: bytes) -> None:
        nonlocal made
        if made == count:
            raise EnoughError
        made += 1
        visit(content)

    while made < count:
        key = hashlib.sha256(f"{seed}:{start}:{made}".encode()).digest()
        run = hypothesis.given(strategy)(test)
        run = hypothesis.settings(
            max_examples=count - made,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )(run)
        hypothesis.seed(int.from_bytes(key[:8], "big"))(run)()


def checked_message(error: Exception) -> str:
    """The kind of a regular refusal, after a look at its message.

    Raises:
        Violation: The message is empty, long, or more than one line.
    """
    message = str(error)
    kind = type(error).__name__
    if not message.strip():
        raise Violation(f"{kind} without a message")
    if len(message.splitlines()) > 1:
        raise Violation(f"{kind} of several lines", repr(message[:500]))
    if len(message) >= MESSAGE_LIMIT:
        raise Violation(f"{kind} of {MESSAGE_LIMIT} characters and more", repr(message[:500]))
    if not message.isprintable():
        raise Violation(f"{kind} with control characters", repr(message[:500]))
    return f"refused: {kind}"
