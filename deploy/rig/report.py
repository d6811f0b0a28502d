"""The rig's findings: a line as each is made, a table at the end."""

from __future__ import annotations

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

    def __init__(self) -> None:
        self.findings: list[Finding] = []

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
        print(_line(finding), flush=True)

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
