"""Links and headings of a Markdown text, for the site's hook and for the test that follows them.

Only what these pages use: inline links and images; code, fenced or inline, holds none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
INLINE_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")
LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]*)\)")
HIDDEN = re.compile("\0(\\d+)\0")
HEADING = re.compile(r"^#{1,6} +(.*?) *#*$")

ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:")
"""Begins a link that leaves the repository: ``https:``, ``mailto:``."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link to something in this repository.

    Attributes:
        line: Where it stands, from 1.
        path: The file or folder, relative to the page; empty: the page itself.
        anchor: What follows ``#``; empty: the whole page.
    """

    line: int
    path: str
    anchor: str


def _prose(text: str) -> Iterator[tuple[int, str, bool]]:
    """Every line with its number, and whether it is prose rather than code."""
    fence = ""
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        found = FENCE.match(line)
        if fence:
            yield number, line, False
            if found and found[1].startswith(fence) and not line.strip(" `~\n"):
                fence = ""
        elif found:
            fence = found[1]
            yield number, line, False
        else:
            yield number, line, True


def links(text: str) -> list[Link]:
    """All links of a page that stay in this repository."""
    found: list[Link] = []
    for number, line, is_prose in _prose(text):
        if not is_prose:
            continue
        # Code between brackets is part of a link's words: it is blanked, not cut out.
        bare = INLINE_CODE.sub(lambda code: "x" * len(code[0]), line)
        for link in LINK.finditer(bare):
            if not ELSEWHERE.match(link["target"]):
                path, _, anchor = link["target"].partition("#")
                found.append(Link(number, path, anchor))
    return found


def with_targets(text: str, change: Callable[[str], str]) -> str:
    """A page with the target of every link that stays in this repository changed."""

    def moved(link: re.Match[str]) -> str:
        if ELSEWHERE.match(link["target"]):
            return link[0]
        return f"{link['image']}[{link['text']}]({change(link['target'])})"

    def changed(line: str) -> str:
        # Code is taken out and put back: brackets in it are no link, but it may be a link's words.
        codes = [code[0] for code in INLINE_CODE.finditer(line)]
        numbers = iter(range(len(codes)))
        hidden = INLINE_CODE.sub(lambda _: f"\0{next(numbers)}\0", line)
        return HIDDEN.sub(lambda code: codes[int(code[1])], LINK.sub(moved, hidden))

    return "".join(changed(line) if is_prose else line for _, line, is_prose in _prose(text))


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    words = LINK.sub(lambda link: link["text"], heading).lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """The anchors of all headings of a page; of equal ones the second ends with ``-1``."""
    found: set[str] = set()
    seen: dict[str, int] = {}
    for _, line, is_prose in _prose(text):
        heading = HEADING.match(line.rstrip("\n")) if is_prose else None
        if heading is None:
            continue
        name = slug(heading[1])
        seen[name] = seen.get(name, -1) + 1
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
    return found
