"""The documentation as a site: it builds without a warning, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("material", reason="MkDocs Material is not installed: make docs")

LOADED = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)=\"?([^\"> ]+)")
STYLE_URL = re.compile(r"url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)")
PAGES = ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE")


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=root,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = build(root, folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_is_there(root: Path, site: Path) -> None:
    for page in (root / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").is_file()
    assert "A small light beside a door" in (site / "index.html").read_text(encoding="utf-8")


def test_it_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    loaded = {
        address for page in pages for address in LOADED.findall(page.read_text(encoding="utf-8"))
    }
    assert len(loaded) > 20
    assert not [address for address in loaded if "//" in address]
    for style in site.rglob("*.css"):
        found = STYLE_URL.findall(style.read_text(encoding="utf-8"))
        assert not [
            url for pair in found for url in pair if url.startswith(("http:", "https:", "//"))
        ]


def test_files_of_the_repository_became_pages(site: Path) -> None:
    text = (site / "files" / "deploy" / "kiosk.example.toml.html").read_text(encoding="utf-8")
    assert "min_face_px" in text
    assert 'href="files/deploy/kiosk.example.toml.html"' in (site / "install.html").read_text(
        "utf-8"
    )


def test_tools_are_not_published(site: Path) -> None:
    assert not list(site.rglob("*.py"))
    assert not list(site.rglob("requirements*"))


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_the_staff_page_is_one_sheet_of_paper(site: Path, tmp_path: Path) -> None:
    printed = tmp_path / "staff.pdf"
    options = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}/home",
    )
    subprocess.run(
        ["chromium", *options, f"--print-to-pdf={printed}", (site / "staff.html").as_uri()],
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes())) == 1


def test_each_dead_link_is_named_and_fails_the_build(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root / "docs", copy / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    for name in PAGES:
        shutil.copy(root / name, copy)
    for name in ("deploy", "edge_app", "systemd", "training"):
        (copy / name).symlink_to(root / name)
    assert build(copy, tmp_path / "whole").returncode == 0
    dead = ("gone.md", "staff.md#gone", "../gone.toml", "#nowhere")
    with (copy / "docs" / "rig.md").open("a", encoding="utf-8") as page:
        page.write("".join(f"\n[dead]({link})\n" for link in dead))
    built = build(copy, tmp_path / "site")
    assert built.returncode != 0
    assert not [link for link in dead if f"'{link}'" not in built.stdout + built.stderr]
