"""Asks pip-audit whether any pinned package has a known vulnerability.

python .ci/audit.py

Exit codes: 0 every package was asked about and none is vulnerable, 1 at least one is, 3 the
question could not be asked for some packages. The last is not a pass: pip-audit itself says "No
known vulnerabilities found" of a package that its service does not know, and returns 0.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

VULNERABLE = 1
NOT_ASKED = 3

SERVICE_TIMEOUT_S = 15
"""For one answer of the service."""

SHOWN = 5
"""So many are named of those that nobody answered about."""


def main() -> int:
    """Audit every file of pins in the repository; print what was found and what could not be."""
    lines, code = verdict([package for path in requirements() for package in pip_audit(path)])
    print("\n".join(lines))
    return code


def requirements() -> list[Path]:
    """The files of pins, none of those in virtual environments and other folders made here."""
    return sorted(
        path
        for folder in (ROOT, ROOT / "deploy", ROOT / "tests")
        for path in folder.glob("requirements*.txt")
    )


def pip_audit(path: Path) -> list[dict[str, Any]]:
    """What pip-audit reports on each package of a file; as "skipped" what it failed to ask."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--format", "json"),
            # The file names everything, so nothing needs to be resolved.
            *("--disable-pip", "--no-deps", "--timeout", str(SERVICE_TIMEOUT_S), "-r", str(path)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        why = done.stderr.strip().splitlines() or [f"pip-audit ended with {done.returncode}"]
        return [{"name": str(path.relative_to(ROOT)), "skip_reason": why[-1]}]
    return packages


def verdict(packages: Sequence[dict[str, Any]]) -> tuple[list[str], int]:
    """What to print about pip-audit's findings, and the exit code."""
    skipped = {p["name"]: p["skip_reason"] for p in packages if "skip_reason" in p}
    asked = {f"{p['name']} {p['version']}": p["vulns"] for p in packages if "vulns" in p}
    found = {name: vulnerabilities for name, vulnerabilities in asked.items() if vulnerabilities}
    lines = [f"VULNERABLE: {name}: {_words(found[name])}" for name in sorted(found)]
    total = len(asked) + len(skipped)
    lines.append(f"audited {len(asked)} of {total} packages: {len(found)} vulnerable")
    if skipped:
        lines += _not_audited(skipped)
    if found:
        return lines, VULNERABLE
    return lines, NOT_ASKED if skipped else 0


def _words(vulnerabilities: Sequence[dict[str, Any]]) -> str:
    return "; ".join(
        f"{one['id']} (fixed in: {', '.join(one['fix_versions']) or 'no release yet'})"
        for one in vulnerabilities
    )


def _not_audited(skipped: dict[str, str]) -> Iterator[str]:
    yield (
        f"NOT AUDITED: {len(skipped)}, because the vulnerability service did not answer about "
        "them. This is not a pass: run `make audit` where it can be reached."
    )
    for name in sorted(skipped)[:SHOWN]:
        yield f"  {name}: {skipped[name]}"
    if len(skipped) > SHOWN:
        yield f"  ... and {len(skipped) - SHOWN} more"


if __name__ == "__main__":
    sys.exit(main())
