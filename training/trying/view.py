"""The page of ``python -m training try``. Streamlit runs this file for every visit and upload."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import altair
import pandas
import streamlit as st

from edge_app.domain import Face, MaskState
from edge_app.errors import BundleNotFoundError, KioskError
from edge_app.settings import Settings, load_settings, replace_settings
from edge_app.sources.images import IMAGE_SUFFIXES
from edge_app.timeline import Span
from edge_app.vision.annotate import SIGNAL_COLOURS, describe
from edge_app.vision.bundle import Card, find_bundle, read_card
from training.evaluation.subject import find_subject
from training.fit import RUNS
from training.try_page import add_model_options
from training.trying.heat import HeatMaps
from training.trying.judge import CLIP_SUFFIXES, JudgedClip, JudgedPicture, judge

TITLE = "Try the mask models"

TEXT_COLOURS = {
    MaskState.WITH_MASK: "green",
    MaskState.INCORRECT_MASK: "orange",
    MaskState.WITHOUT_MASK: "red",
    None: "gray",
}
"""Streamlit's colour words; each stands beside the verdict in words."""

HEAT_NOTE = (
    "Heat map: Grad-CAM of the float model; red speaks most for the named label. "
    "It hints at what the model looked at; it proves nothing."
)

CHART_HEIGHT, BAR_SIZE = 150, 30
"""Of the signals over time, in CSS pixels: the chart with its legend and axis, the bar in it."""

_heat_maps: Any = st.cache_resource(show_spinner="Loading the float model ...")(HeatMaps)
"""Keras loads a model in seconds: once for all visitors."""

STYLE = "<style>[data-testid=stMainBlockContainer] { padding-top: 3rem; }</style>"
"""Streamlit leaves a tenth of the window free above the title."""


def show_page(settings: Settings) -> None:
    """The whole page: what it is, the upload, and what the models say of it."""
    st.set_page_config(page_title=TITLE, page_icon="😷", layout="wide")
    st.html(STYLE)
    st.title(TITLE)
    classifier = read_card(find_bundle(settings.classifier.bundle))
    detector = read_card(find_bundle(settings.detector.bundle))
    st.caption(
        f"Detector **{detector.name}** ({_size(detector)}), classifier **{classifier.name}** "
        f"({_size(classifier)}), with the code that runs on the kiosk. "
        "What you drop here stays on this machine and is not kept."
    )
    upload = st.file_uploader(
        "Drop a picture or a clip",
        type=[suffix.removeprefix(".") for suffix in (*IMAGE_SUFFIXES, *CLIP_SUFFIXES)],
    )
    if upload is None:
        return
    bar = st.empty()
    try:
        bar.progress(0.0, "Judging ...")
        result = judge(upload.getvalue(), upload.name, settings, lambda done: _tell(bar, done))
    except KioskError as error:
        st.error(str(error), icon=":material/error:")
        return
    finally:
        bar.empty()
    if isinstance(result, JudgedPicture):
        show_picture(result, settings)
    else:
        show_clip(result)


def show_picture(result: JudgedPicture, settings: Settings) -> None:
    """The annotated picture beside a card for every face."""
    picture, cards = st.columns([3, 2], gap="large")
    picture.image(result.annotated, width="stretch")
    faces = result.observation.faces
    with cards:
        if not faces:
            st.info("No face was found in this picture.")
            return
        heat, note = _find_heat_maps(settings.classifier.bundle)
        for number, face in enumerate(faces, 1):
            with st.container(border=True):
                _show_face(number, face, result, heat)
        st.caption(note)


def show_clip(result: JudgedClip) -> None:
    """The annotated clip beside the signals over time."""
    clip, signals = st.columns([3, 2], gap="large")
    clip.video(result.content, format="video/webm", autoplay=True, muted=True)
    spans = result.replay.spans
    rows = [
        {"seconds": f"{s.start:.2f} to {s.end:.2f}", "signal": s.signal.value, "reason": s.reason}
        for s in spans
    ]
    with signals:
        st.subheader("What the light shows")
        st.altair_chart(_timeline_chart(spans), width="stretch")
        st.table(pandas.DataFrame(rows).set_index("seconds"))


def _show_face(number: int, face: Face, result: JudgedPicture, heat: HeatMaps | None) -> None:
    """One face: its verdict, the crop, the heat map where there is one, the probabilities."""
    verdict, crop = face.verdict, result.crop(face)
    colour = TEXT_COLOURS[None if verdict is None else verdict.state]
    st.markdown(f"**Face {number}:** :{colour}[**{describe(face)}**]")
    seen, explained, figures = st.columns([2, 2, 3] if heat else [2, 0.01, 3], gap="small")
    seen.image(crop, caption="as judged", width="stretch")
    if verdict is None:
        return
    if heat is not None:
        best = max(result.card.labels, key=verdict.probabilities.__getitem__)
        coloured = heat.overlay(crop, result.card.labels.index(best))
        explained.image(coloured, caption=f"for {_words(best)}", width="stretch")
    for label, probability in verdict.probabilities.items():
        figures.progress(probability, f"{_words(label)} {probability:.1%}")


def _words(state: MaskState) -> str:
    return state.value.replace("_", " ")


def _find_heat_maps(bundle: str) -> tuple[HeatMaps | None, str]:
    """What draws the heat maps, if there is a float model, and a note for below the faces."""
    try:
        subject = find_subject(bundle, None)
        card, model = subject.card, subject.model
        return _heat_maps(card, model, model.stat().st_mtime), HEAT_NOTE
    except BundleNotFoundError:
        name = find_bundle(bundle).stem
        return None, f"No heat map: there is no float model of {name} in {RUNS / name}."
    except KioskError as error:
        return None, f"No heat map: {error}"


def _timeline_chart(spans: list[Span]) -> altair.Chart:
    """One bar, coloured as the light was."""
    rows = pandas.DataFrame(
        [
            {"start": s.start, "end": s.end, "signal": s.signal.value, "reason": s.reason}
            for s in spans
        ]
    )
    shown = list(dict.fromkeys(span.signal for span in spans))
    colours = [f"rgb{SIGNAL_COLOURS[signal]}" for signal in shown]
    return (
        altair.Chart(rows, height=CHART_HEIGHT)
        .mark_bar(size=BAR_SIZE)
        .encode(
            x=altair.X("start:Q", title="seconds"),
            x2="end:Q",
            color=altair.Color(
                "signal:N",
                scale=altair.Scale(domain=[s.value for s in shown], range=colours),
                legend=altair.Legend(orient="top", title=None),
            ),
            tooltip=["signal", "reason", "start", "end"],
        )
    )


def _tell(bar: Any, done: float) -> None:
    bar.progress(done, f"Judging ... {done:.0%}")


def _size(card: Card) -> str:
    return f"INT8, {card.input_width}x{card.input_height}"


def _settings(arguments: list[str]) -> Settings:
    parser = argparse.ArgumentParser()
    add_model_options(parser)
    args = parser.parse_args(arguments)
    changes = {"detector.bundle": args.detector, "classifier.bundle": args.classifier}
    return replace_settings(load_settings(None), changes)


if __name__ == "__main__":
    show_page(_settings(sys.argv[1:]))
