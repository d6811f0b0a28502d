"""The rig's findings: a line as each is made, a table at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

WORDS = {True: "PASS", False: "FAIL", None: "none"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: The claim.
        passed: Whether it is true; None: there is nothing to look at.
        seconds: Time since the event that it answers; None: not a matter of time.
        detail: What was seen.
    """

    what: str
    passed: bool | None
    seconds: float | None
    detail: str


class Report:
    """Collects findings."""

    def __init__(self, device: str = "") -> None:
        """Begin a report.

        Args:
            device: Name of the device, said with each line as it is made.
        """
        self.findings: list[Finding] = []
        self._device = device

    @classmethod
    def joined(cls, reports: Iterable[Report]) -> Report:
        """All findings of several reports, one report after the other."""
        whole = cls()
        for report in reports:
            whole.findings += report.findings
        return whole

    def add(
        self,
        what: str,
        passed: bool | None,
        seconds: float | None = None,
        detail: object = "",
    ) -> None:
        """Note a finding and print it."""
        # A detail is one line, whatever the device said.
        text = " ".join(str(detail).split())
        finding = Finding(what, passed, seconds, text)
        self.findings.append(finding)
        print(f"{self._device:8} {_line(finding)}", flush=True)

    def tell(self, lines: Iterable[str]) -> None:
        """Print what helps to understand a finding that failed."""
        for line in lines:
            print(f"{self._device:8} | {line}", flush=True)

    def timed(
        self,
        what: str,
        moment: float | None,
        event: float,
        why: Callable[[], str],
        limit: float | None = None,
    ) -> None:
        """Note when something was first seen.

        Args:
            what: The claim.
            moment: When it was seen; None: never.
            event: What it answers, on the same clock.
            why: Called for the detail of a claim that failed.
            limit: It has to be seen within so many seconds.
        """
        seconds = None if moment is None else moment - event
        passed = seconds is not None and (limit is None or seconds <= limit)
        within = "" if limit is None else f"limit {limit:g} s "
        self.add(what, passed, seconds, within + ("" if passed else why()))

    @property
    def passed(self) -> bool:
        """Whether there are findings and none failed."""
        return bool(self.findings) and all(f.passed is not False for f in self.findings)

    def table(self) -> str:
        """All findings, in order."""
        head = f"{'':4}  {'s':>6}  what"
        return "\n".join((head, *(_line(finding) for finding in self.findings)))


def _line(finding: Finding) -> str:
    seconds = "" if finding.seconds is None else f"{finding.seconds:.2f}"
    detail = f" ({finding.detail})" if finding.detail else ""
    return f"{WORDS[finding.passed]}  {seconds:>6}  {finding.what}{detail}"
