"""One HTML file that shows an evaluation: nothing outside it is needed to read it.

Charts are SVG and faces JPEG inside the file; no script, no font, no address is loaded.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2

from edge_app.domain import Image, MaskState
from edge_app.errors import OutputError
from training.evaluation import charts, report
from training.metrics.classification import LABELS

STYLE = Path(__file__).with_name("page.css")

SHOWN_FACES = 24
"""Mistakes shown as pictures."""

JPEG_QUALITY = 88

SHADE = "0, 114, 178"
SHADE_FULL = 0.55
"""Colour of a confusion matrix, and how opaque it is where all faces of a row are: dark text
stays readable on it."""


def evaluation_page(content: Mapping[str, Any], faces: Sequence[Image] = ()) -> str:
    """The whole page.

    Args:
        content: What goes into the JSON report.
        faces: Crops of the first engine's worst mistakes, in the order of ``content``.

    Raises:
        OutputError: A face cannot be encoded.
    """
    name = content["bundle"]["name"]
    sections: list[tuple[str, str]] = []
    if "classification" in content:
        sections += _classifier_sections(content, faces)
    if "end_to_end" in content:
        sections.append(("End to end", _end_to_end(content["end_to_end"]["figures"])))
    if "detection" in content:
        sections.append(("Detection", _table(*report.detector_rows(content["detection"]))))
    if "false_alarms" in content:
        rows = report.negatives_rows(content["false_alarms"])
        sections.append(("False alarms", _table(*rows)))
    sections.append(("Data", _data(content)))
    links = "".join(
        f'<a href="#s{i}">{escape(title)}</a> ' for i, (title, _) in enumerate(sections)
    )
    body = "".join(
        f'<section><h2 id="s{i}">{escape(title)}</h2>{text}</section>'
        for i, (title, text) in enumerate(sections)
    )
    style = STYLE.read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(name)}: evaluation</title><style>{style}</style></head>"
        f"<body><h1>{escape(name)}</h1>{_summary(content)}<nav>{links}</nav>{body}</body></html>\n"
    )


def _summary(content: Mapping[str, Any]) -> str:
    engines = ", ".join(f"{name} by {runtime}" for name, runtime in content["engines"].items())
    sets = ", ".join(content["data"])
    text = (
        f"<p>{escape(content['bundle']['task'].capitalize())} bundle "
        f"<code>{content['bundle']['sha256'][:12]}</code>; {escape(engines)}.</p>"
        f'<p class="quiet">{escape(content["split"].capitalize())} pictures of {escape(sets)}. '
        "Percent with 95 % intervals: Wilson for shares, bootstrap over groups of near-duplicates "
        "for balanced accuracy and average precision.</p>"
    )
    if "milliseconds" in content:
        text += f"<p>{escape(report.time_text(content['milliseconds']))}</p>"
    return text


def _classifier_sections(
    content: Mapping[str, Any], faces: Sequence[Image]
) -> list[tuple[str, str]]:
    by_engine = content["classification"]
    names = list(next(iter(by_engine.values())))
    head = [*report.CLASSIFIER_HEAD, "calibration error"]
    overview = ""
    for engine, pools in by_engine.items():
        rows = [[*report.classifier_row(n, p), report.error_percent(p)] for n, p in pools.items()]
        overview += f"<h3>{escape(engine)}</h3>" + _table(head, rows)
    sections = [("Overview", overview)]
    sections += [
        (f"Faces: {name}", _pool({engine: pools[name] for engine, pools in by_engine.items()}))
        for name in names
    ]
    engine, mistakes = next(iter(content["worst_mistakes"].items()))
    shown = f"Worst mistakes ({engine})"
    sections.append((shown, _mistakes(mistakes, faces)))
    return sections


def _pool(pools: charts.Pools) -> str:
    """Everything about one set of faces, all engines beside each other."""
    drawn = [
        ("ROC curves, each class against the others", charts.roc_chart(pools)),
        ("Precision and recall, each class against the others",
         charts.precision_recall_chart(pools)),
        ("Reliability: is 80 % right four times in five?", charts.reliability_chart(pools)),
        ("Accuracy by size of the face", charts.size_chart(pools)),
    ]  # fmt: skip
    matrices = "".join(
        f"<div><h3>Confusion, {escape(engine)}</h3>{_matrix(pool['confusion'])}</div>"
        for engine, pool in pools.items()
    )
    figures = "".join(_figure(svg, "image/svg+xml", title, title) for title, svg in drawn)
    text = f'<div class="grid">{matrices}</div>'
    for engine, pool in pools.items():
        head, rows = report.by_class_table(pool)
        shown = len(head) - len(LABELS)  # the confusion matrix has the rest
        text += f"<h3>By class, {escape(engine)}</h3>"
        text += _table(head[:shown], [row[:shown] for row in rows])
    text += f'<div class="grid charts">{figures}</div>'
    for engine, pool in pools.items():
        rows = [report.classifier_row(size, some) for size, some in pool["by_size"].items()]
        head = ["short side", *report.CLASSIFIER_HEAD[1:]]
        text += f"<h3>By size of the face, {escape(engine)}</h3>" + _table(head, rows)
    return text


def _matrix(confusion: Sequence[Sequence[int]]) -> str:
    names = [label.replace("_", " ") for label in LABELS]
    head = "".join(f'<th scope="col">said {escape(name)}</th>' for name in names)
    rows = ""
    for name, counts in zip(names, confusion, strict=True):
        total = sum(counts)
        cells = ""
        for count in counts:
            share = count / total if total else 0.0
            opacity = f"{SHADE_FULL * share:.3f}"
            words = f"{100 * share:.1f} %" if total else "-"
            cells += (
                f'<td style="background: rgba({SHADE}, {opacity})">{count}'
                f"<small>{words}</small></td>"
            )
        rows += f'<tr><th scope="row">is {escape(name)}</th>{cells}</tr>'
    return (
        f'<div class="wide"><table class="matrix"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _mistakes(mistakes: Sequence[Mapping[str, Any]], faces: Sequence[Image]) -> str:
    if not mistakes:
        return "<p>None: every face was judged right.</p>"
    shown = "".join(
        _figure(
            _jpeg(face),
            "image/jpeg",
            f"face in {mistake['file']}",
            f"is {_spaced(mistake['truth'])}, said {_spaced(mistake['said'])} "
            f"{mistake['confidence']:.0%}; {mistake['file']}",
        )
        for mistake, face in zip(mistakes, faces, strict=True)
    )
    return (
        '<p class="quiet">What the classifier saw, and was surest of while it was wrong.</p>'
        f'<div class="grid faces">{shown}</div>'
    )


def _end_to_end(figures: Mapping[str, Mapping[str, Any]]) -> str:
    text = ""
    for engine, pools in figures.items():
        text += f"<h3>{escape(engine)}</h3>" + _table(*report.end_to_end_rows(pools))
        for name, pool in pools.items():
            text += f"<h3>{escape(engine)}, {escape(name)}: what became of each face</h3>"
            text += _table(*report.outcome_rows(pool))
    return text


def _data(content: Mapping[str, Any]) -> str:
    lines = []
    for name, about in content["data"].items():
        line = f"{name} ({about['kind']}): {about['pictures']} of {about['of']} pictures"
        for reason, number in about.get("left_out", {}).items():
            line += f", {number} faces left out ({reason})"
        lines.append(line)
    machine = "; ".join(f"{key} {value}" for key, value in content["environment"].items())
    problems = [f"{p['severity']}: {p['file']}: {p['reason']}" for p in content["problems"]]
    text = _list(lines) + f'<p class="quiet">{escape(machine)}; seed {content["seed"]}.</p>'
    if problems:
        shown = problems[: report.SHOWN_PROBLEMS]
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more, in the JSON report")
        text += "<h3>What was wrong with the data</h3>" + _list(shown)
    return text


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    columns = "".join(f'<th scope="col">{escape(_spaced(word))}</th>' for word in head)
    lines = "".join(
        f'<tr><th scope="row">{escape(_row_name(row[0]))}</th>'
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{columns}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _row_name(word: object) -> str:
    """A row's label as people read it; a data set's name stays as it is."""
    return _spaced(word) if str(word) in list(MaskState) else str(word)


def _spaced(word: object) -> str:
    """A label as people read it; also lets a narrow column break it."""
    return str(word).replace("_mask", " mask")


def _figure(content: bytes, kind: str, alternative: str, caption: str) -> str:
    data = base64.b64encode(content).decode()
    return (
        f"<figure><figcaption>{escape(caption)}</figcaption>"
        f'<img src="data:{kind};base64,{data}" alt="{escape(alternative)}"></figure>'
    )


def _jpeg(image: Image) -> bytes:
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise OutputError("OpenCV cannot encode a face as JPEG for the HTML report")
    return content.tobytes()
