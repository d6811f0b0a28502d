from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge_app.domain import Observation, Signal
from edge_app.timeline import Span, describe, timeline

FRAME = 0.04


def observations(signals: list[Signal]) -> list[Observation]:
    return [
        Observation(frame_index=i, time=i * FRAME, signal=signal, reason=f"frame {i}")
        for i, signal in enumerate(signals)
    ]


def test_nothing_seen_gives_no_spans() -> None:
    assert timeline([], FRAME) == []


def test_a_span_ends_where_the_next_signal_begins_and_keeps_its_first_reason() -> None:
    seen = observations([Signal.IDLE, Signal.IDLE, Signal.NO_MASK])
    assert timeline(seen, FRAME) == [
        Span(0.0, 2 * FRAME, Signal.IDLE, "frame 0"),
        Span(2 * FRAME, 3 * FRAME, Signal.NO_MASK, "frame 2"),
    ]


@given(st.lists(st.sampled_from(list(Signal)), min_size=1, max_size=60))
def test_spans_tile_the_clip_and_say_of_each_frame_what_it_showed(signals: list[Signal]) -> None:
    seen = observations(signals)
    spans = timeline(seen, FRAME)
    assert spans[0].start == 0
    assert spans[-1].end == seen[-1].time + FRAME
    for left, right in pairwise(spans):
        assert left.end == right.start
        assert left.signal is not right.signal
    for one in seen:
        (span,) = [s for s in spans if s.touches(one.time, one.time)]
        assert span.signal is one.signal


def test_a_span_touches_its_start_but_not_its_end() -> None:
    span = Span(1.0, 2.0, Signal.IDLE, "")
    assert span.touches(0.0, 1.0)
    assert span.touches(1.9, 5.0)
    assert not span.touches(2.0, 3.0)
    assert not span.touches(0.0, 0.99)


def test_the_line_for_people_holds_times_signal_and_reason() -> None:
    line = describe(Span(0.5, 12.25, Signal.NO_MASK, "1 person without a mask"))
    assert " ".join(line.split()) == "0.50 - 12.25 s NO_MASK 1 person without a mask"
