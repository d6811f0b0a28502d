import json
from pathlib import Path

import numpy as np
import pytest

from edge_app.domain import Box, Face, Frame, MaskState, Observation, Signal, Verdict
from edge_app.replay import Replay, describe_bundles, replay, replay_pipeline, report, report_text
from edge_app.settings import Settings, SourceSettings, replace_settings
from edge_app.sources import open_source
from edge_app.sources.images import ImagesSource

BUNDLES = {
    "detect": {"name": "d", "sha256": "0" * 64},
    "classify": {"name": "c", "sha256": "1" * 64},
}


class Stop:
    """A viewer that has seen enough after some frames."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.frames: list[int] = []

    def add(self, frame: Frame, observation: Observation) -> bool:
        assert frame.index == observation.frame_index
        self.frames.append(frame.index)
        return len(self.frames) < self.left


@pytest.fixture
def photos(tmp_path: Path, paint) -> Path:
    from edge_app.recording import write_picture

    folder = tmp_path / "photos"
    write_picture(folder / "a.png", paint({(6, 6): MaskState.WITH_MASK}))
    write_picture(folder / "b.png", paint({(6, 6): MaskState.WITHOUT_MASK}))
    write_picture(folder / "c.png", paint({(6, 6): None}))
    write_picture(folder / "d.png", paint({}))
    return folder


def test_images_are_judged_alone_whatever_came_before(
    photos: Path, tiny_settings: Settings
) -> None:
    with open_source(str(photos), SourceSettings()) as source:
        done = replay(source, replay_pipeline(tiny_settings))
    assert done.pictures
    assert [(seen.name, seen.signal) for seen in done.observations] == [
        ("a.png", Signal.COMPLIANT),
        ("b.png", Signal.NO_MASK),
        ("c.png", Signal.IDLE),
        ("d.png", Signal.IDLE),
    ]
    assert all(seen.tracks == () for seen in done.observations)


def test_any_viewer_can_end_a_replay_and_all_see_the_last_frame(
    photos: Path, tiny_settings: Settings
) -> None:
    first, second = Stop(after=2), Stop(after=9)
    with open_source(str(photos), SourceSettings()) as source:
        done = replay(source, replay_pipeline(tiny_settings), [first, second])
    assert first.frames == second.frames == [0, 1]
    assert len(done.observations) == 2


def test_no_face_is_left_out_for_lack_of_time(tiny_settings: Settings, paint) -> None:
    hurried = replace_settings(tiny_settings, {"classifier.budget_ms": 1})
    crowd = paint({(x, y): MaskState.WITH_MASK for x in (2, 7, 12) for y in (2, 8)})
    pipeline = replay_pipeline(hurried)
    for at in range(5):
        seen = pipeline.step(Frame(crowd, at / 10, at))
        assert len(seen.faces) == 6
        assert all(face.verdict is not None for face in seen.faces)


def test_the_bundles_are_named_with_the_hash_of_what_was_run(tiny_settings: Settings) -> None:
    import hashlib

    named = describe_bundles(tiny_settings)
    assert set(named) == {"detect", "classify"}
    content = Path(tiny_settings.detector.bundle).read_bytes()
    assert named["detect"] == {
        "name": "tiny_detector",
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def certain(state: MaskState | None) -> Verdict:
    return Verdict(
        {
            MaskState.WITH_MASK: 0.70000049,
            MaskState.WITHOUT_MASK: 0.2,
            MaskState.INCORRECT_MASK: 0.1,
        },
        state,
    )


def test_the_report_of_a_clip_is_exactly_as_documented() -> None:
    faces = (
        Face(Box(1.0, 2.004, 30.5, 40.25), 0.98765432, certain(MaskState.WITH_MASK)),
        Face(Box(50, 60, 70, 80), 0.5, certain(None)),
        Face(Box(5, 6, 7, 8), 0.25),
    )
    seen = [
        Observation(0, 100.0, Signal.IDLE, "nobody in view"),
        Observation(1, 100.1, Signal.COMPLIANT, "one", faces, timings={"total": 3.0}),
    ]
    probabilities = {"with_mask": 0.7, "without_mask": 0.2, "incorrect_mask": 0.1}
    assert report(Replay("door.mp4", 0.1, seen), BUNDLES) == {
        "source": "door.mp4",
        "bundles": BUNDLES,
        "frames": [
            {"index": 0, "time": 0.0, "signal": "IDLE", "faces": []},
            {
                "index": 1,
                "time": 0.1,
                "signal": "COMPLIANT",
                "faces": [
                    {
                        "box": [1.0, 2.0, 30.5, 40.25],
                        "score": 0.987654,
                        "state": "with_mask",
                        "probabilities": probabilities,
                    },
                    {
                        "box": [50, 60, 70, 80],
                        "score": 0.5,
                        "state": None,
                        "probabilities": probabilities,
                    },
                    {"box": [5, 6, 7, 8], "score": 0.25, "state": None, "probabilities": {}},
                ],
            },
        ],
    }


def test_the_report_of_images_names_files_instead_of_times() -> None:
    seen = [Observation(0, 0.0, Signal.IDLE, "nobody in view", name="a.png")]
    (frame,) = report(Replay("photos", 1.0, seen), BUNDLES)["frames"]
    assert frame == {"index": 0, "file": "a.png", "signal": "IDLE", "faces": []}


def test_one_recording_is_an_object_and_several_are_a_list() -> None:
    one, two = Replay("a", 1.0), Replay("b", 1.0)
    assert json.loads(report_text([one], BUNDLES))["source"] == "a"
    assert [each["source"] for each in json.loads(report_text([one, two], BUNDLES))] == ["a", "b"]


def test_two_replays_of_the_same_frames_are_equal(photos: Path, tiny_settings: Settings) -> None:
    reports = []
    for _ in range(2):
        files = sorted(photos.iterdir())
        done = replay(ImagesSource(files, "photos"), replay_pipeline(tiny_settings))
        reports.append(report_text([done], describe_bundles(tiny_settings)))
    assert reports[0] == reports[1]
    assert np.isfinite(json.loads(reports[0])["frames"][0]["faces"][0]["score"])
