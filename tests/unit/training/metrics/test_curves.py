"""Curves of one class against the others, on answers that are known."""

from __future__ import annotations

import numpy as np
import pytest

from edge_app.domain import MaskState
from training.metrics.curves import MAX_POINTS, one_vs_rest

WITH, WITHOUT, INCORRECT = MaskState


def given(*shares):
    return [dict(zip(MaskState, row, strict=True)) for row in shares]


def test_a_class_that_is_always_told_apart_has_full_areas():
    curves = one_vs_rest([WITH, WITHOUT], given((0.9, 0.1, 0), (0.2, 0.8, 0)))
    assert curves[WITH].roc_auc == 1.0
    assert curves[WITH].average_precision == 1.0
    assert curves[WITH].roc[0] == (0.0, 0.0)
    assert curves[WITH].roc[-1] == (1.0, 1.0)
    assert (1.0, 1.0) in curves[WITH].precision_recall


def test_one_wrong_order_of_four_costs_a_quarter_of_the_area():
    # Scores of the class: positives 0.8 and 0.4, negatives 0.6 and 0.2.
    shares = given((0.8, 0.2, 0), (0.4, 0.6, 0), (0.6, 0.4, 0), (0.2, 0.8, 0))
    curves = one_vs_rest([WITH, WITH, WITHOUT, INCORRECT], shares)
    assert (curves[WITH].positives, curves[WITH].negatives) == (2, 2)
    assert curves[WITH].roc_auc == pytest.approx(3 / 4)
    assert curves[WITH].average_precision == pytest.approx((1 + 2 / 3) / 2)


def test_a_class_without_positives_or_without_others_has_no_curve():
    curves = one_vs_rest([WITH, WITH], given((0.9, 0.1, 0), (0.8, 0.2, 0)))
    assert curves[WITH].roc_auc is None, "no others"
    assert curves[INCORRECT].average_precision is None, "no positives"
    assert curves[INCORRECT].roc == ()


def test_a_classifier_of_two_labels_has_two_curves():
    curves = one_vs_rest(
        [WITH, WITHOUT, INCORRECT],
        [{WITH: 0.9, WITHOUT: 0.1}, {WITH: 0.2, WITHOUT: 0.8}, {WITH: 0.5, WITHOUT: 0.5}],
    )
    assert list(curves) == [WITH, WITHOUT]
    assert curves[WITH].negatives == 2


def test_long_curves_are_thinned_and_keep_their_ends_and_areas():
    rng = np.random.default_rng(0)
    scores = rng.random(3000)
    truths = [WITH if score + rng.normal() > 0.5 else WITHOUT for score in scores]
    shares = [{WITH: score, WITHOUT: 1 - score} for score in scores]
    curve = one_vs_rest(truths, shares)[WITH]
    assert len(curve.roc) <= MAX_POINTS
    assert len(curve.precision_recall) <= MAX_POINTS
    assert (curve.roc[0], curve.roc[-1]) == ((0.0, 0.0), (1.0, 1.0))
    x, y = np.array(curve.roc).T
    assert np.trapezoid(y, x) == pytest.approx(curve.roc_auc, abs=0.01)


def test_nothing_to_judge_is_refused():
    with pytest.raises(ValueError, match="0 truths and 1 predictions"):
        one_vs_rest([], given((1, 0, 0)))
