"""A newcomer trains on photos of their own, with the very commands that README and docs print.

The photos are some of the real data under other names; the recipe is cut down as its own first
lines say, and the start weights are a file, because tests have no internet.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_app.vision.bundle import load_bundle

pytest.importorskip("tensorflow", reason="the training half's packages are not installed")
pytest.importorskip("jsonschema")

from training.cli import main

LABELS = ("with_mask", "without_mask")
"""The newcomer has no photos of badly worn masks."""

PHOTOS = 60
"""Of each label: enough for faces of both in every split."""

WEIGHTS = "weights/mobilenet_v2_0.35_no_top.weights.h5"
DOWNLOADS = {"fit", "pipeline"}
"""The commands that docs say take ``--weights FILE.weights.h5`` without internet."""

HOW_TO_CUT = "set `epochs` and `steps_per_epoch` to 1 and `batch` to 8"
WHAT_TO_TAKE_OUT = "`labels`, if you have no photos of one of them"


def section(page: Path, begin: str, end: str) -> str:
    text = page.read_text(encoding="utf-8")
    assert text.count(begin) == 1, f"{page.name} has no {begin!r} any more"
    return text.split(begin)[1].split(end)[0]


def commands(text: str) -> list[str]:
    """The lines of a section's shell blocks, continued ones joined."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines]


@pytest.fixture
def run(tmp_path, root, shared, monkeypatch) -> Callable[[str], int]:
    """Runs a printed command in a checkout that has the newcomer's folder ``door`` in it."""
    for name in ("training", "edge_app"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "FILE.weights.h5").symlink_to(shared / WEIGHTS)
    for label in LABELS:
        (tmp_path / "door" / label).mkdir(parents=True)
        for number, photo in enumerate(sorted((shared / "data/binary" / label).iterdir())[:PHOTOS]):
            shutil.copy(photo, tmp_path / "door" / label / f"IMG {number} (copy){photo.suffix}")
    monkeypatch.chdir(tmp_path)

    def run_line(line: str) -> int:
        if not line.startswith("python -m training "):
            done = subprocess.run(["bash", "-ec", line], check=False).returncode
            if line.startswith("cp "):
                edit_as_told(tmp_path / "door.toml")
            return done
        words = shlex.split(line, comments=True)[3:]
        if words[0] in DOWNLOADS:
            words += ["--weights", "FILE.weights.h5"]
        return main(words)

    return run_line


def edit_as_told(recipe: Path) -> None:
    """What the recipe's first lines say to change, and to set for a short try."""
    text = recipe.read_text(encoding="utf-8")
    told = " ".join(text.split("\n\nname")[0].replace("#", " ").split())
    assert HOW_TO_CUT in told
    assert WHAT_TO_TAKE_OUT in told
    for key, value in (("epochs", "1"), ("steps_per_epoch", "1"), ("batch", "8")):
        text, found = re.subn(rf"^{key} = .*", f"{key} = {value}", text, flags=re.MULTILINE)
        assert found
    assert text.count(', "incorrect_mask"]') == 1
    recipe.write_text(text.replace(', "incorrect_mask"]', "]"), encoding="utf-8")


def test_the_readme_s_commands_for_own_photos_work_as_printed(
    run, root, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One step of training teaches nothing: the gate may refuse, as README says it does."""
    lines = commands(section(root / "README.md", "**Your own photos.**", "\n## "))
    assert [line.split()[0] for line in lines] == ["cp", "python"]
    *first, last = [run(line) for line in lines]
    said = "".join(capsys.readouterr())
    assert first == [0]
    assert (last, "refused: " in said) in ((0, False), (1, True)), said
    bundle = load_bundle(tmp_path / "build/pipeline/door/bundles/door.tflite", "classify")
    assert bundle.card.labels == LABELS
    figures = bundle.card.raw["metrics"]["classification"]["door"]
    assert figures["samples"] >= PHOTOS * len(LABELS) / 10, "a fifth of the photos is test"


def test_the_docs_steps_for_own_photos_work_as_printed(run, root, tmp_path) -> None:
    lines = commands(section(root / "docs/training.md", "\n## Your own photos\n", "\n## "))
    told = [re.sub(r"^python -m training (\w+) .*", r"\1", line) for line in lines]
    assert told == [
        """echo '{"test": []}' > splits.json""",
        "prepare",
        "cp training/recipes/door.toml door.toml",
        *("fit", "export", "evaluate"),
    ]
    for line in lines:
        assert run(line) == 0, line
    bundle = load_bundle(tmp_path / "build/bundles/door.tflite", "classify")
    assert bundle.card.labels == LABELS
    assert (tmp_path / "build/evaluation/door.html").is_file()


def test_a_label_without_photos_is_said_with_what_to_do(
    run, root, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a newcomer sees who did not read the sentence about labels."""
    assert run("python -m training prepare door --detector face_detector --out build/door") == 0
    shutil.copy(root / "training/recipes/door.toml", tmp_path / "door.toml")
    assert run("python -m training fit door.toml --data build/door") == 2
    [line] = [x for x in capsys.readouterr().err.splitlines() if x.startswith("mask-kiosk:")]
    assert "no training face is labelled incorrect_mask" in line
    assert "take it out of labels in door.toml" in line
