"""Every link from a page of the documentation to something in the repository leads there."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.links import Link, anchors, links, with_targets

PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]


def dead(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    found = []
    for link in links(page.read_text(encoding="utf-8")):
        there = page.parent / link.path if link.path else page
        if not there.exists() or (
            link.anchor and link.anchor not in anchors(there.read_text(encoding="utf-8"))
        ):
            found.append(f"{page.name}:{link.line}: {link.path}#{link.anchor}")
    return found


def test_every_link_leads_somewhere(root: Path) -> None:
    pages = [*(root / name for name in PAGES), *sorted((root / "docs").glob("*.md"))]
    assert len(pages) > 15
    assert sum(len(links(page.read_text(encoding="utf-8"))) for page in pages) > 80
    assert not [where for page in pages for where in dead(page)]


def test_nothing_links_out_of_the_repository(root: Path) -> None:
    for page in (root / "docs").glob("*.md"):
        for link in links(page.read_text(encoding="utf-8")):
            assert (page.parent / link.path).resolve().is_relative_to(root), (page, link)


def test_a_dead_link_and_a_dead_anchor_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Here\n[a](#here) [b](#there) [c](gone.md)\n`[d](code.md)`\n")
    assert dead(page) == ["page.md:2: #there", "page.md:2: gone.md#"]


def test_links_are_found_in_prose_alone() -> None:
    text = (
        "See [one `code`](one.md#a) and ![picture](images/two.png).\n"
        "```sh\n[no](no.md)\n```\n"
        "[![badge](b.svg)](three.md) `[no](no.md)` [away](https://example.org) [x](mailto:a@b.c)\n"
    )
    assert links(text) == [
        Link(1, "one.md", "a"),
        Link(1, "images/two.png", ""),
        Link(5, "three.md", ""),
    ]


def test_only_targets_in_prose_change() -> None:
    text = (
        "[one `[x](y)`](one.md) `[no](no.md)`\n```\n[no](no.md)\n```\n[up](https://example.org)\n"
    )
    changed = with_targets(text, lambda target: f"new/{target}")
    assert changed == text.replace("(one.md)", "(new/one.md)")


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Quick start", "quick-start"),
        ("Train, then export", "train-then-export"),
        ("What is `--expect`?", "what-is---expect"),
        ("A [link](x.md) in it", "a-link-in-it"),
    ],
)
def test_an_anchor_is_github_s(heading: str, anchor: str) -> None:
    assert anchors(f"## {heading}\n") == {anchor}


def test_equal_headings_are_numbered_and_code_has_none() -> None:
    assert anchors("# A\n## A\n```\n# not this\n```\n") == {"a", "a-1"}
