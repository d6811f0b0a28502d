import json

import pytest

from edge_app.errors import OutputError
from training.evaluation.report import percent, problems_text, table, write_report


def test_a_table_is_markdown():
    assert table(["a", "b"], [("x", 1)]) == "| a | b |\n| :-- | --: |\n| x | 1 |\n"


def test_percent():
    assert percent(0.9314, {"low": 0.91, "high": 0.948}) == "93.1 (91.0-94.8)"
    assert percent(0.5) == "50.0"
    assert percent(None) == "-"


def test_long_lists_of_problems_are_cut_and_say_so():
    problems = [{"file": f"{i}", "reason": "r", "severity": "error"} for i in range(23)]
    lines = problems_text(problems).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "- and 3 more, in the JSON report"


def test_a_report_is_json_and_markdown_and_nothing_else(tmp_path):
    paths = write_report(tmp_path / "new", "x", {"a": 1}, "# x\n")
    assert [path.name for path in paths] == ["x.json", "x.md"]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["x.json", "x.md"]
    assert json.loads(paths[0].read_text()) == {"a": 1}


def test_a_page_is_written_beside_them(tmp_path):
    paths = write_report(tmp_path, "x", {}, "", "<p>é</p>")
    assert [path.name for path in paths] == ["x.json", "x.md", "x.html"]
    assert paths[2].read_bytes() == "<p>é</p>".encode()


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make this folder"):
        write_report(tmp_path / "file", "x", {}, "")
