import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from edge_app.domain import MaskState
from training.metrics import classifier_figures, confusion_matrix, wilson

WITH, WITHOUT, INCORRECT = MaskState

pairs = st.lists(
    st.tuples(st.sampled_from(list(MaskState)), st.sampled_from(list(MaskState))),
    min_size=1,
    max_size=60,
)


def test_rows_are_truth_and_columns_are_verdicts():
    counts = confusion_matrix([WITH, WITH, WITHOUT], [WITH, INCORRECT, WITH])
    assert counts.tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 0]]


def test_figures_of_a_case_worked_by_hand():
    truths = [WITH] * 8 + [WITHOUT] * 4 + [INCORRECT] * 2
    verdicts = [WITH] * 6 + [INCORRECT] * 2 + [WITHOUT] * 3 + [WITH] + [INCORRECT, WITH]
    figures = classifier_figures(truths, verdicts)
    assert figures.balanced_accuracy == pytest.approx((6 / 8 + 3 / 4 + 1 / 2) / 3)
    assert figures.accuracy == pytest.approx(10 / 14)
    worn = figures.classes[WITH]
    assert (worn.support, worn.recall, worn.precision) == (8, 6 / 8, 6 / 8)
    assert figures.classes[INCORRECT].f1 == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))


def test_a_class_that_does_not_occur_has_no_recall_and_does_not_count():
    figures = classifier_figures([WITH, WITH, WITHOUT], [WITH, INCORRECT, WITHOUT])
    absent = figures.classes[INCORRECT]
    assert (absent.support, absent.recall, absent.recall_interval) == (0, None, None)
    assert absent.precision == 0.0
    assert figures.balanced_accuracy == pytest.approx(0.75)


def test_a_class_that_is_never_said_has_no_precision():
    assert classifier_figures([WITH], [WITHOUT]).classes[WITH].precision is None


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
@given(pairs)
def test_agrees_with_scikit_learn(judged):
    truths, verdicts = [str(t) for t, _ in judged], [str(v) for _, v in judged]
    figures = classifier_figures([t for t, _ in judged], [v for _, v in judged], rounds=5)
    assert figures.balanced_accuracy == pytest.approx(balanced_accuracy_score(truths, verdicts))
    assert figures.accuracy == pytest.approx(accuracy_score(truths, verdicts))


def test_the_bootstrap_depends_on_the_seed_alone():
    rng = np.random.default_rng(1)
    truths = list(rng.choice(list(MaskState), 80))
    verdicts = [t if rng.random() < 0.8 else WITH for t in truths]
    first = classifier_figures(truths, verdicts, seed=7)
    assert first == classifier_figures(truths, verdicts, seed=7)
    assert first.balanced_accuracy_interval != (
        classifier_figures(truths, verdicts, seed=8).balanced_accuracy_interval
    )
    low, high = first.balanced_accuracy_interval.low, first.balanced_accuracy_interval.high
    assert low < first.balanced_accuracy < high


def test_the_bootstrap_has_the_binomial_spread():
    # One class, independent samples: the balanced accuracy is a proportion.
    hits, total = 80, 100
    interval = classifier_figures(
        [WITH] * total, [WITH] * hits + [WITHOUT] * (total - hits)
    ).balanced_accuracy_interval
    spread = 1.96 * (0.8 * 0.2 / total) ** 0.5
    assert interval.low == pytest.approx(0.8 - spread, abs=0.015)
    assert interval.high == pytest.approx(0.8 + spread, abs=0.015)


def test_samples_of_one_group_make_the_interval_wider():
    truths = [WITH] * 100
    verdicts = [WITH] * 80 + [WITHOUT] * 20
    alone = classifier_figures(truths, verdicts)
    joined = classifier_figures(truths, verdicts, [i // 20 for i in range(100)])
    assert (alone.groups, joined.groups) == (100, 5)

    def width(figures):
        interval = figures.balanced_accuracy_interval
        return interval.high - interval.low

    assert width(joined) > 2 * width(alone)


def test_a_rare_class_missing_from_a_resample_does_not_raise_the_figure():
    # One sample of the rare class, always wrong: the balanced accuracy can never pass 1/2.
    figures = classifier_figures([WITH] * 30 + [INCORRECT], [WITH] * 31)
    assert figures.balanced_accuracy_interval.high <= 0.5


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_published_intervals(hits, total, low, high):
    interval = wilson(hits, total)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize(
    ("truths", "verdicts", "groups"),
    [([], [], None), ([WITH], [], None), ([WITH], [WITH], ["a", "b"])],
)
def test_unequal_or_empty_input_is_refused(truths, verdicts, groups):
    with pytest.raises(ValueError, match="equally many"):
        classifier_figures(truths, verdicts, groups)
