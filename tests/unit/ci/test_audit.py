from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

CLEAN = {"name": "numpy", "version": "2.4.6", "vulns": []}
SKIPPED = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}
BAD = {
    "name": "jinja2",
    "version": "3.1.2",
    "vulns": [
        {"id": "PYSEC-1", "fix_versions": ["3.1.3"], "aliases": [], "description": "..."},
        {"id": "PYSEC-2", "fix_versions": [], "aliases": [], "description": "..."},
    ],
}
"""As pip-audit 2.10 prints them with --format json."""


@pytest.fixture(scope="session")
def audit(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", root / ".ci/audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_asked_and_none_vulnerable_is_a_pass(audit: ModuleType) -> None:
    assert audit.verdict([CLEAN, CLEAN]) == (["audited 1 of 1 packages: 0 vulnerable"], 0)


def test_a_package_that_nobody_was_asked_about_is_no_pass(audit: ModuleType) -> None:
    lines, code = audit.verdict([CLEAN, SKIPPED])
    assert code == audit.NOT_ASKED
    assert lines[0] == "audited 1 of 2 packages: 0 vulnerable"
    assert lines[1].startswith("NOT AUDITED: 1,")
    assert lines[2] == "  torch: Dependency not found on PyPI"


def test_a_vulnerable_one_fails_whatever_else_is(audit: ModuleType) -> None:
    lines, code = audit.verdict([CLEAN, SKIPPED, BAD])
    assert code == audit.VULNERABLE
    said = "PYSEC-1 (fixed in: 3.1.3); PYSEC-2 (fixed in: no release yet)"
    assert lines[0] == f"VULNERABLE: jinja2 3.1.2: {said}"


def test_without_a_network_nothing_counts_as_asked(
    audit: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("pip_audit", reason="the linters' packages are not installed")
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: nobody listens
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    packages = audit.pip_audit(root / "deploy/requirements-network.txt")
    lines, code = audit.verdict(packages)
    assert code == audit.NOT_ASKED
    assert lines[0].startswith("audited 0 of ")
