from __future__ import annotations

from edge_app.backoff import Backoff


def test_pauses_double_from_1_to_30_seconds_and_begin_anew() -> None:
    backoff = Backoff()
    assert [backoff.failed() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    backoff.worked()
    assert backoff.failed() == 1
