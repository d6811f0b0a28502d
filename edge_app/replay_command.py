"""The ``replay`` command: timelines, expectations, annotated copies, report, window."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from edge_app.domain import Frame, Observation
from edge_app.errors import ExpectationsError, UsageError
from edge_app.expectations import Expectation, check, load_expectations
from edge_app.recording import VIDEO_SUFFIX, VideoRecorder, write_atomically, write_picture
from edge_app.replay import (
    Replay,
    Viewer,
    describe_bundles,
    replay,
    replay_pipeline,
    report_text,
)
from edge_app.settings import Settings
from edge_app.sources import open_source
from edge_app.sources.images import IMAGE_SUFFIXES
from edge_app.timeline import describe
from edge_app.vision.annotate import annotate
from edge_app.window import Window


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asks for beside the timelines."""

    expect: Path | None = None
    annotate: Path | None = None
    report: Path | None = None
    show: bool = False


class ClipAnnotator:
    """Writes the annotated frames of a clip to a video."""

    def __init__(self, recorder: VideoRecorder) -> None:
        self._recorder = recorder

    def add(self, frame: Frame, observation: Observation) -> bool:
        self._recorder.add(annotate(frame.image, observation))
        return True


class PictureAnnotator:
    """Writes annotated images under their own names to a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, frame: Frame, observation: Observation) -> bool:
        name = frame.name or f"{frame.index}.jpg"
        write_picture(self._folder / name, annotate(frame.image, observation))
        return True


class WindowViewer:
    """Shows the annotated frames at the recording's own speed.

    Args:
        window: Where to show them.
        seconds: How long a frame stays; 0 for a camera, which sets its own pace.
    """

    def __init__(self, window: Window, seconds: float) -> None:
        self._window = window
        self._seconds = seconds
        self._begin: float | None = None

    def add(self, frame: Frame, observation: Observation) -> bool:
        picture = annotate(frame.image, observation)
        if not self._seconds:
            return self._window.show(picture)
        now = time.monotonic()
        if self._begin is None:
            self._begin = now - frame.time
        return self._window.show(picture, self._begin + frame.time + self._seconds - now)


def run_replay(uris: Sequence[str], settings: Settings, wishes: Wishes, out: TextIO) -> int:
    """Replay recordings one after the other, each through a fresh pipeline.

    Returns:
        0, or 1 if a recording did not show what was expected.

    Raises:
        KioskError: Bad usage, an unreadable recording, or a result that cannot be written.
    """
    expected = load_expectations(wishes.expect) if wishes.expect else {}
    uris = _without_expectations(uris, wishes.expect, out)
    _require_clips(uris, expected)
    targets = annotation_targets(uris, wishes.annotate)
    _protect_inputs(uris, wishes, targets)
    done: list[Replay] = []
    with ExitStack() as whole:
        window = whole.enter_context(Window()) if wishes.show else None
        for uri in uris:
            done.append(_replay_one(uri, settings, targets.get(uri), window))
            print_timeline(done[-1], out)
            if uri in targets:
                print(f"  annotated: {targets[uri]}", file=out)
    if wishes.report:
        write_atomically(wishes.report, report_text(done, describe_bundles(settings)).encode())
        print(f"report: {wishes.report}", file=out)
    if wishes.expect is None:
        return 0
    return 0 if compare(done, expected, str(wishes.expect), out) else 1


def print_timeline(done: Replay, out: TextIO) -> None:
    """The signals of a clip with their times, or of a folder image by image."""
    print(done.source, file=out)
    if done.pictures:
        for seen in done.observations:
            print(f"  {seen.name}  {seen.signal}  {seen.reason}", file=out)
    else:
        for span in done.spans:
            print(f"  {describe(span)}", file=out)
    out.flush()


def compare(
    done: Sequence[Replay],
    expected: Mapping[str, Sequence[Expectation]],
    where: str,
    out: TextIO,
) -> bool:
    """Print how the recordings compare with ``expected.json``; True if all are as expected."""
    names = [clip_name(one.source) for one in done]
    checked = {
        one.source: check(expected[name], one.spans)
        for one, name in zip(done, names, strict=True)
        if name in expected
    }
    for clip, failures in checked.items():
        if failures:
            print(
                "\n".join([f"{clip}:", *(line for f in failures for line in f.lines())]), file=out
            )
    for one, name in zip(done, names, strict=True):
        if name not in expected:
            print(f"{one.source}: not in {where}, only printed", file=out)
    for name in expected:
        if name not in names:
            print(f"{name}: not replayed", file=out)
    wrong = sum(bool(failures) for failures in checked.values())
    print(f"{where}: {len(checked) - wrong} of {len(checked)} clips as expected", file=out)
    return wrong == 0


def clip_name(uri: str) -> str:
    """The name under which ``expected.json`` knows a recording: its file name."""
    return Path(uri).name


def annotation_targets(uris: Sequence[str], wanted: Path | None) -> dict[str, Path]:
    """Where each recording's annotated copy goes.

    One recording: the path itself, an ``.mp4`` for a clip and a folder for images. Several:
    inside that folder, ``NAME-annotated.mp4`` for a clip, ``NAME-annotated/`` for images.

    Raises:
        UsageError: Two recordings would get the same name, or the path does not fit.
    """
    if wanted is None:
        return {}
    if len(uris) == 1:
        return {uris[0]: wanted}
    if wanted.suffix.lower() == VIDEO_SUFFIX:
        raise UsageError(f"--annotate {wanted}: for several recordings, name a folder")
    targets: dict[str, Path] = {}
    for uri in uris:
        ending = "-annotated" if _is_pictures(uri) else f"-annotated{VIDEO_SUFFIX}"
        target = wanted / f"{Path(uri).stem}{ending}"
        if uri in targets or target in targets.values():
            raise UsageError(f"--annotate {wanted}: two recordings would be written to {target}")
        targets[uri] = target
    return targets


def _replay_one(uri: str, settings: Settings, target: Path | None, window: Window | None) -> Replay:
    with ExitStack() as stack:
        source = stack.enter_context(open_source(uri, settings.source))
        if source.live and window is None:
            raise UsageError(f"{uri}: is a live camera; watch it with --show, or use run")
        pipeline = replay_pipeline(settings)
        viewers: list[Viewer] = []
        if target is not None and _is_pictures(uri):
            viewers.append(PictureAnnotator(target))
        elif target is not None:
            recorder = stack.enter_context(VideoRecorder(target, source.fps))
            viewers.append(ClipAnnotator(recorder))
        if window is not None:
            viewers.append(WindowViewer(window, 0.0 if source.live else 1 / source.fps))
        return replay(source, pipeline, viewers)


def _without_expectations(uris: Sequence[str], expect: Path | None, out: TextIO) -> list[str]:
    """The recordings without the ``--expect`` file, which ``VIDEOS/*`` often includes."""
    kept = [uri for uri in uris if expect is None or not _same_file(Path(uri), expect)]
    if len(kept) < len(uris):
        print(f"{expect}: holds the expectations, not replayed", file=out)
    if not kept:
        raise UsageError("no recording to replay: only the file of --expect was given")
    return kept


def _require_clips(uris: Sequence[str], expected: Mapping[str, Sequence[Expectation]]) -> None:
    for uri in uris:
        if clip_name(uri) in expected and _is_pictures(uri):
            raise ExpectationsError(f"{uri}: expectations are spans of time, but these are images")


def _protect_inputs(uris: Sequence[str], wishes: Wishes, targets: Mapping[str, Path]) -> None:
    inputs = [Path(uri) for uri in uris] + ([wishes.expect] if wishes.expect else [])
    outputs = [*targets.values()] + ([wishes.report] if wishes.report else [])
    for output in outputs:
        if any(_same_file(output, given) for given in inputs):
            raise UsageError(f"{output}: would be written over one of the inputs")


def _is_pictures(uri: str) -> bool:
    path = Path(uri)
    return path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES


def _same_file(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)
