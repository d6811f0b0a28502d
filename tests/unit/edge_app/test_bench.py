import io
import json
from pathlib import Path

import pytest

from edge_app.bench import STAGES, WARM_UP_FRAMES, percentiles, run_bench, table
from edge_app.domain import MaskState
from edge_app.errors import SourceNotFoundError
from edge_app.recording import write_picture
from edge_app.settings import Settings, replace_settings
from edge_app.vision.interpreter import runtime_name

FRAMES = 12


@pytest.fixture
def settings(tiny_settings: Settings, tmp_path: Path, paint) -> Settings:
    """Two images with three faces: the source has to be opened many times."""
    write_picture(tmp_path / "photos" / "a.png", paint({(6, 6): MaskState.WITH_MASK}))
    crowd = {(3, 6): MaskState.WITH_MASK, (11, 6): MaskState.WITHOUT_MASK}
    write_picture(tmp_path / "photos" / "b.png", paint(crowd))
    return replace_settings(tiny_settings, {"source.uri": str(tmp_path / "photos")})


def test_table_and_json_tell_every_stage_machine_runtime_and_threads(
    settings: Settings, tmp_path: Path
) -> None:
    out = io.StringIO()
    path = tmp_path / "deep" / "bench.json"
    assert run_bench(settings, FRAMES, path, out) == 0
    figures = json.loads(path.read_text())
    assert figures["frames"] == FRAMES
    assert figures["warm_up_frames"] == WARM_UP_FRAMES
    assert figures["runtime"] == runtime_name()
    assert figures["threads"]["detect"] == settings.detector.threads
    assert figures["threads"]["classify"] == settings.classifier.threads
    assert figures["machine"]
    assert figures["source"] == {"name": "photos", "width": 128, "height": 96}
    assert set(figures["stages_ms"]) == set(STAGES)
    # One face in every second frame, two in the others; none of those of the warm-up.
    counts = {stage: row["count"] for stage, row in figures["stages_ms"].items()}
    assert counts == {"detect": 12, "classify": 18, "track": 12, "total": 12}
    for row in figures["stages_ms"].values():
        assert 0 < row["p50"] <= row["p95"] <= row["p99"]
    printed = out.getvalue()
    for words in (*STAGES.values(), runtime_name(), "threads", "12 frames after 30", str(path)):
        assert words in printed


def test_percentiles_of_known_values() -> None:
    assert percentiles([float(v) for v in range(101)]) == {
        "count": 101,
        "p50": 50.0,
        "p95": 95.0,
        "p99": 99.0,
    }


def test_without_faces_there_is_a_dash_and_no_zero(
    settings: Settings, tmp_path: Path, paint
) -> None:
    write_picture(tmp_path / "empty" / "a.png", paint({}))
    empty = replace_settings(settings, {"source.uri": str(tmp_path / "empty")})
    run_bench(empty, 2, tmp_path / "bench.json", io.StringIO())
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert figures["stages_ms"]["classify"] == {"count": 0, "p50": None, "p95": None, "p99": None}
    (row,) = [line for line in table(figures) if line.startswith(STAGES["classify"])]
    assert row.split()[-4:] == ["-", "-", "-", "0"]


def test_a_missing_clip_is_said(settings: Settings) -> None:
    with pytest.raises(SourceNotFoundError):
        run_bench(replace_settings(settings, {"source.uri": "no.mp4"}), 1, None, io.StringIO())
