import io
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.domain import MaskState, Signal
from edge_app.errors import (
    BundleNotFoundError,
    ExpectationsError,
    SourceNotFoundError,
    SourceUnreadableError,
    UsageError,
)
from edge_app.recording import VideoRecorder, write_picture
from edge_app.replay_command import Wishes, annotation_targets, run_replay
from edge_app.settings import Settings, replace_settings

FPS = 10
SECONDS = 2

Clips = Callable[[str, MaskState | None], Path]


@pytest.fixture
def clip(tmp_path: Path, paint) -> Clips:
    """Makes a clip of one person who stands still."""

    def make(name: str, state: MaskState | None) -> Path:
        path = tmp_path / name
        with VideoRecorder(path, FPS) as recorder:
            for _ in range(FPS * SECONDS):
                recorder.add(paint({(6, 6): state}))
        return path

    return make


def expect(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "expected.json"
    path.write_text(json.dumps(content))
    return path


def run(settings: Settings, *uris: Path, **wishes: object) -> tuple[int, list[str]]:
    out = io.StringIO()
    code = run_replay([str(uri) for uri in uris], settings, Wishes(**wishes), out)
    return code, out.getvalue().splitlines()


def test_prints_the_timeline_of_every_clip_each_from_a_fresh_pipeline(
    tiny_settings: Settings, clip: Clips
) -> None:
    masked, bare = clip("in.mp4", MaskState.WITH_MASK), clip("out.mp4", MaskState.WITHOUT_MASK)
    code, lines = run(tiny_settings, masked, bare, masked)
    assert code == 0
    assert [line for line in lines if not line.startswith(" ")] == [
        str(masked),
        str(bare),
        str(masked),
    ]
    words = [line.split()[4] for line in lines if line.startswith(" ")]
    # Each begins idle: nothing of the clip before is remembered.
    assert words == ["IDLE", "COMPLIANT", "IDLE", "NO_MASK", "IDLE", "COMPLIANT"]
    assert lines[-1].split()[:4] == ["0.20", "-", "2.00", "s"]


def test_expectations_that_are_met(tiny_settings: Settings, clip: Clips, tmp_path: Path) -> None:
    masked, other = clip("in.mp4", MaskState.WITH_MASK), clip("other.mp4", None)
    wanted = {
        "what": "a remark",
        "in.mp4": [{"throughout": [1, 1.9], "signal": "COMPLIANT"}],
        "absent.mp4": [{"reached": [0, 1], "signal": "IDLE"}],
    }
    path = expect(tmp_path, wanted)
    code, lines = run(tiny_settings, masked, other, expect=path)
    assert code == 0
    assert lines[-3:] == [
        f"{other}: not in {path}, only printed",
        "absent.mp4: not replayed",
        f"{path}: 1 of 1 clips as expected",
    ]


def test_expectations_that_fail_give_exit_code_1_and_a_diff_of_every_item(
    tiny_settings: Settings, clip: Clips, tmp_path: Path
) -> None:
    masked, bare = clip("in.mp4", MaskState.WITH_MASK), clip("out.mp4", MaskState.WITHOUT_MASK)
    wanted = {
        "in.mp4": [
            {"throughout": [1, 1.9], "signal": "NO_MASK"},
            {"reached": [0, 0.1], "signal": "COMPLIANT"},
        ],
        "out.mp4": [{"throughout": [1, 5], "signal": "NO_MASK"}],
    }
    path = expect(tmp_path, wanted)
    code, lines = run(tiny_settings, masked, bare, expect=path)
    assert code == 1
    begin = lines.index(f"{masked}:")
    diff = [" ".join(line.split()) for line in lines[begin:]]
    person = "1 person wears the mask correctly (of 1 in view)"
    assert diff == [
        f"{masked}:",
        "- wanted 1.00 - 1.90 s throughout NO_MASK",
        f"+ shown 0.20 - 2.00 s COMPLIANT {person}",
        "- wanted 0.00 - 0.10 s reached COMPLIANT",
        "+ shown 0.00 - 0.20 s IDLE 1 person in view, none certain yet",
        f"{bare}:",
        "- wanted 1.00 - 5.00 s throughout NO_MASK (the clip ends at 2.00 s)",
        f"{path}: 0 of 2 clips as expected",
    ]


def test_the_expectations_themselves_may_be_among_the_recordings(
    tiny_settings: Settings, clip: Clips, tmp_path: Path
) -> None:
    masked = clip("in.mp4", MaskState.WITH_MASK)
    path = expect(tmp_path, {"in.mp4": []})
    code, lines = run(tiny_settings, path, masked, expect=path)
    assert code == 0
    assert lines[0] == f"{path}: holds the expectations, not replayed"
    with pytest.raises(UsageError, match="no recording to replay"):
        run(tiny_settings, path, expect=path)
    with pytest.raises(SourceUnreadableError):
        run(tiny_settings, path)


def test_images_cannot_have_spans_of_time(tiny_settings: Settings, paint, tmp_path: Path) -> None:
    write_picture(tmp_path / "photos" / "a.png", paint({}))
    path = expect(tmp_path, {"photos": []})
    with pytest.raises(ExpectationsError, match="these are images"):
        run(tiny_settings, tmp_path / "photos", expect=path)


def test_a_folder_of_images_is_printed_and_annotated_image_by_image(
    tiny_settings: Settings, paint, tmp_path: Path
) -> None:
    photos, drawn = tmp_path / "photos", tmp_path / "drawn"
    write_picture(photos / "a.png", paint({(6, 6): MaskState.WITHOUT_MASK}))
    write_picture(photos / "b.png", paint({}))
    code, lines = run(tiny_settings, photos, annotate=drawn, report=tmp_path / "out.json")
    assert code == 0
    assert lines == [
        str(photos),
        "  a.png  NO_MASK  1 person without a mask (of 1 in view)",
        "  b.png  IDLE  nobody in view",
        f"  annotated: {drawn}",
        f"report: {tmp_path / 'out.json'}",
    ]
    assert sorted(path.name for path in drawn.iterdir()) == ["a.png", "b.png"]
    assert cv2.imread(str(drawn / "a.png")).shape == (96, 128, 3)
    frames = json.loads((tmp_path / "out.json").read_text())["frames"]
    assert [frame["file"] for frame in frames] == ["a.png", "b.png"]
    assert [len(frame["faces"]) for frame in frames] == [1, 0]


def test_the_annotated_clip_has_every_frame_and_a_red_box(
    tiny_settings: Settings, clip: Clips, tmp_path: Path
) -> None:
    bare = clip("out.mp4", MaskState.WITHOUT_MASK)
    report = tmp_path / "report.json"
    run(tiny_settings, bare, annotate=tmp_path / "drawn.mp4", report=report)
    video = cv2.VideoCapture(str(tmp_path / "drawn.mp4"))
    frames = []
    while (read := video.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB).astype(int))
    video.release()
    assert len(frames) == FPS * SECONDS
    entries = json.loads(report.read_text())["frames"]
    assert [round(entry["time"] * FPS) for entry in entries] == list(range(FPS * SECONDS))
    (face,) = entries[-1]["faces"]
    x0, y0, _, y1 = face["box"]
    edge = frames[-1][round((y0 + y1) / 2), round(x0)]
    assert edge[0] > 150
    assert edge[0] > 2 * max(edge[1:]), edge


def test_several_recordings_give_a_list_and_a_folder(
    tiny_settings: Settings, clip: Clips, tmp_path: Path
) -> None:
    clips = [clip("a.mp4", None), clip("b.mp4", MaskState.WITH_MASK)]
    run(tiny_settings, *clips, annotate=tmp_path / "drawn", report=tmp_path / "out.json")
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [
        "a-annotated.mp4",
        "b-annotated.mp4",
    ]
    reports = json.loads((tmp_path / "out.json").read_text())
    assert [each["source"] for each in reports] == [str(path) for path in clips]
    assert {frame["signal"] for frame in reports[0]["frames"]} == {Signal.IDLE}


def test_where_annotated_copies_go(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    photos, out = str(tmp_path / "photos"), tmp_path / "out"
    assert annotation_targets(["a.mp4"], None) == {}
    assert annotation_targets(["a.mp4"], out) == {"a.mp4": out}
    assert annotation_targets(["x/a.mkv", photos], out) == {
        "x/a.mkv": out / "a-annotated.mp4",
        photos: out / "photos-annotated",
    }
    with pytest.raises(UsageError, match="name a folder"):
        annotation_targets(["a.mp4", "b.mp4"], tmp_path / "out.mp4")
    for twins in (["a.mp4", "a.mp4"], ["a.mp4", "a.mkv"]):
        with pytest.raises(UsageError, match=r"two recordings .*/a-annotated\.mp4"):
            annotation_targets(twins, out)


@pytest.mark.parametrize("wish", ["annotate", "report"])
def test_no_input_is_written_over(
    tiny_settings: Settings, clip: Clips, wish: str, tmp_path: Path
) -> None:
    path = clip("a.mp4", None)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="written over one of the inputs"):
        run(tiny_settings, path, **{wish: tmp_path / "." / "a.mp4"})
    assert path.read_bytes() == before
    wanted = expect(tmp_path, {})
    with pytest.raises(UsageError, match="written over one of the inputs"):
        run(tiny_settings, path, expect=wanted, report=wanted)


def test_what_is_missing_is_said_and_nothing_is_written(
    tiny_settings: Settings, clip: Clips, tmp_path: Path
) -> None:
    good, drawn = clip("a.mp4", None), tmp_path / "drawn"
    with pytest.raises(SourceNotFoundError, match=r"nowhere\.mp4"):
        run(tiny_settings, good, tmp_path / "nowhere.mp4", report=tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
    broken = replace_settings(tiny_settings, {"detector.bundle": "nothing_here"})
    with pytest.raises(BundleNotFoundError, match="nothing_here"):
        run(broken, good, annotate=drawn / "a.mp4")
    assert not drawn.exists()


def test_show_without_a_screen_is_one_line(
    tiny_settings: Settings, clip: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="there is no screen here"):
        run(tiny_settings, clip("a.mp4", None), show=True)


def test_the_painted_person_survives_the_video(clip: Clips) -> None:
    """Guards the tests above: compression must leave the colours that the models look at."""
    video = cv2.VideoCapture(str(clip("a.mp4", MaskState.WITH_MASK)))
    ok, frame = video.read()
    video.release()
    assert ok
    assert frame[50:54, 50:54, 1].mean() > 200
    assert np.ptp(frame[:20]) < 40
