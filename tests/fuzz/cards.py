"""Bundle cards: the shipped ones with changed, missing and added values, and damaged as bytes."""

from __future__ import annotations

import json
import math
import random
import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

from hypothesis import strategies as st

from edge_app.domain import MaskState
from edge_app.errors import BundleError
from edge_app.vision.bundle import MODELS_DIR, Card, read_card
from tests.fuzz.mutation import Mutator
from tests.fuzz.target import Target, Violation, Visit, checked_message, generated, mutated

NAMES = ("face_detector", "mask_classifier")

PATHS = (
    ("schema",), ("name",), ("task",), ("sha256",), ("input",), ("input", "width"),
    ("input", "height"), ("labels",), ("strides",), ("crop_margin",), ("temperature",),
    ("thresholds",), ("thresholds", "score"), ("thresholds", "nms_iou"),
    ("thresholds", "confidence_floor"), ("metrics",), ("new",),
)  # fmt: skip

RAW = "raw JSON that no Python value gives: "

ODD = (
    "NaN", "Infinity", "-Infinity", "1e999", "-0", "9" * 5000, "1e308", "[" * 3000, "{" * 50,
    "[" * 500 + "]" * 500, "[" * 950 + "]" * 950,
    '"\\ud800"', '"\\u0000"', '"' + "x" * 20_000 + '"', "[[1]]", "{}", "[]",
    '{"a":1,"a":2}', "01", "+1", "'a'", "tru", '"with_mask\n"', '"a\u2028b"', '"\x9b31m"',
)  # fmt: skip


# Made once: hypothesis takes longer to make a strategy than to draw from it.
_PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-1, 300)
    | st.floats()
    | st.floats(-0.5, 4)
    | st.text(max_size=20)
    | st.sampled_from(("detect", "classify", *NAMES, *MaskState))
    | st.sampled_from(ODD).map(lambda text: RAW + text)
)
VALUE = (
    _PLAIN
    | st.lists(st.sampled_from((*MaskState, "bare", 3)), max_size=5)
    | st.lists(st.sampled_from((8, 16, 32, 0, -8, 1, 8.0, True)), max_size=5)
    | st.lists(_PLAIN, max_size=4)
)
PATH = st.sampled_from(PATHS)
NUMBER = st.integers(0, len(NAMES) - 1)
UP_TO_2, UP_TO_6 = st.integers(0, 2), st.integers(0, 6)


@st.composite
def _card(draw: st.DrawFn) -> bytes:
    number = draw(NUMBER)
    card = json.loads(_SMALL[number])
    for _ in range(1 + draw(UP_TO_2)):
        *way, key = draw(PATH)
        holder = card
        for part in way:
            if not isinstance(holder.get(part), dict):
                holder[part] = {}
            holder = holder[part]
        if draw(UP_TO_6):
            holder[key] = draw(VALUE)
        else:
            holder.pop(key, None)
    text = json.dumps(card, ensure_ascii=False)
    for odd in ODD:
        text = text.replace(json.dumps(RAW + odd, ensure_ascii=False), odd)
    return bytes([number]) + text.encode("utf-8", "surrogatepass")


def _small(name: str) -> bytes:
    """A shipped card without what the device does not look at."""
    card = json.loads((MODELS_DIR / f"{name}.json").read_text(encoding="utf-8"))
    kept = {path[0] for path in PATHS} - {"metrics"}
    return json.dumps({key: value for key, value in card.items() if key in kept}).encode()


_SMALL = [_small(name) for name in NAMES]


class Cards(Target):
    """Reads each card the way the daemon does."""

    name: ClassVar[str] = "cards"
    suffix: ClassVar[str] = ".json"

    def open(self) -> None:
        words = [word.encode("utf-8", "surrogatepass") for word in ODD]
        words += [f'"{path[-1]}": '.encode() for path in PATHS] + [b"\xef\xbb\xbf", b"\xff", b"\0"]
        whole = [(MODELS_DIR / f"{name}.json").read_bytes() for name in NAMES]
        pairs = zip(_SMALL, whole, strict=True)
        self._mutators = [Mutator([small, small, all_of_it], words) for small, all_of_it in pairs]
        self._folder = Path(tempfile.mkdtemp())

    def close(self) -> None:
        shutil.rmtree(self._folder)

    def cases(self, seed: int, start: int, count: int, visit: Visit) -> None:
        """Half of them with values changed, half damaged."""
        generated(_card(), seed, start, count // 2, visit)
        mutated(self._make, seed, start, count - count // 2, visit)

    def _make(self, chance: random.Random) -> bytes:
        number = chance.randrange(len(NAMES))
        return bytes([number]) + self._mutators[number].damage(chance)

    def judge(self, content: bytes) -> str:
        """``content`` has one byte that says whose card it is, then the card."""
        name = NAMES[content[0] % len(NAMES)]
        model = self._folder / f"{name}.tflite"
        model.with_suffix(".json").write_bytes(content[1:])
        try:
            card = read_card(model)
        except BundleError as error:
            return checked_message(error)
        _check(card, name)
        return f"accepted as {card.task}"


def _check(card: Card, name: str) -> None:
    """What the device relies on, in other words than the parser's."""
    numbers = (
        *(card.input_width, card.input_height, card.crop_margin, card.temperature),
        *(card.confidence_floor, card.score_threshold, card.nms_iou, *card.strides),
    )
    if not all(type(n) in (int, float) and math.isfinite(n) for n in numbers):
        raise Violation("a number that is none", str(numbers))
    thresholds = (card.confidence_floor, card.score_threshold, card.nms_iou)
    if not all(0 <= n <= 1 for n in thresholds):
        raise Violation("a threshold outside 0..1", str(thresholds))
    if card.name != name or card.task not in ("detect", "classify"):
        raise Violation("another name or task", f"{card.name!r} {card.task!r}")
    if card.task == "classify" and (
        len(set(card.labels)) < 2 or not all(isinstance(n, MaskState) for n in card.labels)
    ):
        raise Violation("labels", str(card.labels))
    if card.task == "detect" and not card.strides:
        raise Violation("no strides")


TARGET = Cards
