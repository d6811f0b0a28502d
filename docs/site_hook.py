"""Puts into the site what lies outside ``docs/``: the README and every file that a page links to.

On GitHub a page may link to ``../deploy/kiosk.example.toml``; the site has no such file. So each
linked file becomes a page with its text, a linked folder a page that lists its files, and the
links are turned to them. A link to something that does not exist is left as it is: MkDocs says so
and, with ``--strict``, fails.
"""

from __future__ import annotations

import posixpath
from functools import partial
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel

from docs.links import links, with_targets

ROOT = Path(__file__).resolve().parent.parent

OWN_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages of the repository's root, and what they are called in the site."""

SHOWN_AS = {".toml": "toml", ".service": "ini", ".conf": "ini", ".py": "python", ".json": "json"}
"""How a file's text is coloured."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of what lies outside ``docs/``."""
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in OWN_PAGES}
    for file in files.documentation_pages():
        texts[f"docs/{file.src_uri}"] = file.content_string
    for path, name in OWN_PAGES.items():
        moved = with_targets(texts[path], partial(_in_site, page=path))
        files.append(_generated(config, name, moved, shown=True))
    wanted = {
        _in_repository(link.path, page) for page, text in texts.items() for link in links(text)
    }
    for path in sorted(wanted):
        if (ROOT / path).exists():
            _add(files, config, path)
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Turn the links of a page in ``docs/`` to the pages made here."""
    if page.file.generated_by is not None:
        return markdown
    source = f"docs/{page.file.src_uri}"
    return with_targets(markdown, partial(_in_site, page=source))


def _in_repository(target: str, page: str) -> str:
    """A link's path seen from the repository's root."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) if target else page


def _in_site(target: str, page: str) -> str:
    """Where a link of a page of the repository leads in the site; relative to the page there."""
    path, hash_mark, anchor = target.partition("#")
    meant = _in_repository(path, page)
    if not path or not (ROOT / meant).exists():
        return target
    here = posixpath.dirname(OWN_PAGES.get(page, page.removeprefix("docs/")))
    return posixpath.relpath(_name(meant), here or ".") + hash_mark + anchor


def _name(path: str) -> str:
    """What a file or folder of the repository is called in the site."""
    if path in OWN_PAGES:
        return OWN_PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"files/{path}.md"


def _add(files: Files, config: MkDocsConfig, path: str) -> None:
    """The page of a file or folder outside ``docs/``, unless there is one."""
    name, there = _name(path), ROOT / path
    if not name.startswith("files/") or files.get_file_from_path(name) is not None:
        return
    if there.is_dir():
        inside = sorted(f for f in there.iterdir() if f.is_file() and not f.name.startswith("."))
        rows = "".join(f"- [{f.name}]({there.name}/{f.name}.md)\n" for f in inside)
        files.append(_generated(config, name, f"# {path}\n\n{rows}"))
        for file in inside:
            _add(files, config, f"{path}/{file.name}")
        return
    text = there.read_text(encoding="utf-8")
    fence = "`" * 5
    shown = SHOWN_AS.get(there.suffix, "text")
    files.append(_generated(config, name, f"# {path}\n\n{fence}{shown}\n{text}\n{fence}\n"))


def _generated(config: MkDocsConfig, name: str, text: str, shown: bool = False) -> File:
    # Files of the repository belong to no menu.
    level = InclusionLevel.UNDEFINED if shown else InclusionLevel.NOT_IN_NAV
    return File.generated(config, name, content=text, inclusion=level)
