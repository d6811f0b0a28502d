import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from training.metrics import (
    Detections,
    Matches,
    Truths,
    assign,
    average_precision,
    false_alarms,
    match,
)
from training.metrics.detection import FALSE_ALARM, IGNORED

FACE = (100, 100, 140, 150)
OTHER = (200, 100, 240, 150)
TINY = (10, 10, 22, 24)


def found(*rows):
    """Detections from (x0, y0, x1, y1, score) rows."""
    array = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(array[:, :4], array[:, 4])


def true(*boxes, difficult=()):
    return Truths(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([i in difficult for i in range(len(boxes))], bool),
    )


def fates(detections, truths, **limits):
    return assign(detections.boxes, truths, **limits).tolist()


def test_perfect_detections_score_one():
    assert average_precision([found((*FACE, 0.9), (*OTHER, 0.8))], [true(FACE, OTHER)]) == 1.0


def test_no_detections_score_zero():
    assert average_precision([found()], [true(FACE)]) == 0.0


def test_a_false_alarm_before_the_hit_halves_the_precision():
    assert average_precision([found((*OTHER, 0.9), (*FACE, 0.8))], [true(FACE)]) == 0.5


def test_a_false_alarm_after_the_last_hit_costs_nothing():
    assert average_precision([found((*OTHER, 0.2), (*FACE, 0.8))], [true(FACE)]) == 1.0


def test_precision_is_interpolated_from_the_right():
    # hit, alarm, hit: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1.
    value = average_precision(
        [found((*FACE, 0.9), (0, 0, 50, 50, 0.8), (*OTHER, 0.7))], [true(FACE, OTHER)]
    )
    assert value == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_a_second_detection_of_one_face_is_a_false_alarm():
    detections = found((*FACE, 0.9), (102, 100, 142, 150, 0.8))
    assert fates(detections, true(FACE)) == [0, FALSE_ALARM]


def test_a_detection_takes_the_free_face_that_it_overlaps_most():
    near = (110, 100, 150, 150)
    assert fates(found((*near, 0.9), (*near, 0.8)), true(FACE, near)) == [1, 0]


def test_overlap_at_the_limit_counts():
    # Two equal squares shifted by a third: 2/3 over 4/3 is one half.
    shifted = found((110, 100, 140, 130, 0.9))
    assert fates(shifted, true((100, 100, 130, 130)), iou_limit=0.5) == [0]
    assert fates(shifted, true((100, 100, 130, 130)), iou_limit=0.51) == [FALSE_ALARM]


def test_small_and_difficult_faces_cost_nothing_found_or_not():
    truths = true(FACE, TINY, OTHER, difficult=[2])
    assert match([found((*FACE, 0.9))], [truths]).faces == 1
    everything = found((*TINY, 0.99), (*OTHER, 0.98), (*FACE, 0.9))
    assert fates(everything, truths) == [IGNORED, IGNORED, 0]
    assert average_precision([everything], [truths]) == 1.0


def test_small_detections_on_nobody_are_ignored_and_large_ones_are_not():
    detections = found((300, 10, 312, 24, 0.9), (300, 10, 320, 34, 0.8), (*FACE, 0.7))
    assert fates(detections, true(FACE)) == [IGNORED, FALSE_ALARM, 0]


def test_a_small_detection_may_find_a_counted_face():
    small = (100, 100, 115, 120)
    assert fates(found((*small, 0.9)), true((100, 100, 117, 121))) == [0]


def test_no_countable_face_is_refused():
    with pytest.raises(ValueError, match="no face"):
        average_precision([found((*FACE, 0.9))], [true(TINY)])


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="1 pictures of detections, 2 of truths"):
        match([found()], [true(), true()])


def test_recall_and_alarms_at_a_threshold():
    matches = match([found((*FACE, 0.9), (0, 0, 50, 50, 0.6), (*OTHER, 0.4))], [true(FACE, OTHER)])
    assert (matches.recall(0.5), matches.false_alarms(0.5)) == (0.5, 1)
    assert (matches.recall(0.4), matches.false_alarms(0.4)) == (1.0, 1)
    assert (matches.recall(0.95), matches.false_alarms(0.95)) == (0.0, 0)


def test_detections_of_equal_score_count_together_in_any_order_of_pictures():
    pictures = [(found((*FACE, 0.5)), true(FACE)), (found((*OTHER, 0.5)), true(FACE))]
    forward = average_precision(*zip(*pictures, strict=True))
    backward = average_precision(*zip(*reversed(pictures), strict=True))
    assert forward == backward == pytest.approx(0.5 * 0.5)


scored = st.lists(
    st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans()), min_size=1, max_size=40
)


@given(scored, st.integers(0, 10))
def test_agrees_with_scikit_learns_curve(rows, missed):
    rows = sorted(rows, key=lambda row: -row[0])
    scores, hits = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    faces = int(hits.sum()) + missed
    if faces == 0 or not hits.any():
        return
    matches = Matches(scores, hits, np.zeros(len(rows), np.intp), np.array([faces]))
    precision, recall, _ = precision_recall_curve(hits, scores)
    # scikit-learn knows of the hits alone: faces that were missed scale its recall.
    recall = recall * hits.sum() / faces
    envelope = np.maximum.accumulate(precision[:-1])
    expected = float((envelope * -np.diff(recall)).sum())
    assert matches.average_precision() == pytest.approx(expected)


def brute_force_fates(boxes, truths, iou_limit, min_side):
    """The rule, written the slow way."""

    def overlap(a, b):
        width = min(a[2], b[2]) - max(a[0], b[0])
        height = min(a[3], b[3]) - max(a[1], b[1])
        common = max(0, width) * max(0, height)
        areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
        return common / (sum(areas) - common)

    def side(box):
        return min(box[2] - box[0], box[3] - box[1])

    counted = [
        not d and side(b) >= min_side for b, d in zip(truths.boxes, truths.difficult, strict=True)
    ]
    taken, result = set(), []
    for box in boxes:
        overlaps = [overlap(box, b) for b in truths.boxes]
        free = [
            i for i in range(len(counted))
            if counted[i] and i not in taken and overlaps[i] >= iou_limit
        ]  # fmt: skip
        if free:
            best = max(free, key=lambda i: overlaps[i])
            taken.add(best)
            result.append(best)
        elif side(box) < min_side or any(
            o >= iou_limit and not c for o, c in zip(overlaps, counted, strict=True)
        ):
            result.append(IGNORED)
        else:
            result.append(FALSE_ALARM)
    return result


rectangles = st.tuples(
    st.integers(0, 40), st.integers(0, 40), st.integers(8, 40), st.integers(8, 40)
).map(lambda r: (r[0], r[1], r[0] + r[2], r[1] + r[3]))


@given(
    st.lists(rectangles, max_size=8),
    st.lists(st.tuples(rectangles, st.booleans()), max_size=6),
)
def test_the_rule_agrees_with_a_slow_oracle(boxes, people):
    truths = true(*(b for b, _ in people), difficult=[i for i, p in enumerate(people) if p[1]])
    array = np.array(boxes, np.float32).reshape(-1, 4)
    # 0.4123 lies between the overlaps that whole numbers give, so rounding decides nothing.
    expected = brute_force_fates(array, truths, 0.4123, 16)
    assert assign(array, truths, 0.4123, 16).tolist() == expected


def test_the_interval_depends_on_the_seed_alone_and_holds_the_figure():
    rng = np.random.default_rng(3)
    truths = [true(FACE, OTHER) for _ in range(40)]
    said = [
        found(
            *[(*box, rng.random()) for box in (FACE, OTHER, (0, 0, 40, 40)) if rng.random() < 0.8]
        )
        for _ in range(40)
    ]
    matches = match(said, truths)
    interval = matches.average_precision_interval(seed=1, rounds=200)
    assert interval == matches.average_precision_interval(seed=1, rounds=200)
    assert interval.low < matches.average_precision() < interval.high
    joined = matches.average_precision_interval([i // 10 for i in range(40)], seed=1, rounds=200)
    assert joined != interval


def test_false_alarms_are_counted_at_and_above_the_threshold():
    scores = [np.array(s, np.float32) for s in ([], [0.5, 0.9], [0.4], [])]
    alarms = false_alarms(scores, 0.5)
    assert (alarms.pictures, alarms.alarms, alarms.alarmed_pictures) == (4, 2, 1)
    assert alarms.per_hundred == 50.0


def test_false_alarms_need_pictures():
    with pytest.raises(ValueError, match="no pictures"):
        false_alarms([], 0.5)
