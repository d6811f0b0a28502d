from __future__ import annotations

from edge_app.sinks.web.limits import CLIENTS, Bucket, ClientBuckets, Limits, Rate


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate() -> None:
    bucket = Bucket(Rate(per_second=2, burst=3), now=10.0)
    assert [bucket.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait(10.0) == 0.5
    assert bucket.take(10.5)
    assert not bucket.take(10.5)


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket = Bucket(Rate(per_second=2, burst=3), now=0.0)
    assert [bucket.take(1e6) for _ in range(4)] == [True, True, True, False]


def test_every_client_has_a_bucket_of_its_own() -> None:
    clients = ClientBuckets(Rate(per_second=1, burst=1))
    assert clients.take("a", 0.0)
    assert not clients.take("a", 0.0)
    assert clients.take("b", 0.0)
    assert clients.wait("a", 0.0) == 1.0
    assert clients.wait("c", 0.0) == 0.0


def test_only_so_many_clients_are_remembered_the_latest_ones() -> None:
    clients = ClientBuckets(Rate(per_second=1e-9, burst=1))
    assert clients.take("kept", 0.0)
    assert clients.take("forgotten", 0.0)
    for number in range(CLIENTS - 1):
        clients.take("kept", 0.0)
        assert clients.take(f"client {number}", 0.0)
    assert not clients.take("kept", 0.0)
    assert clients.take("forgotten", 0.0), "a fresh bucket"


def test_the_limits_leave_room_for_some_open_pages_and_for_little_else() -> None:
    limits = Limits()
    page = 3  # requests a second: the status and two pictures
    assert limits.requests_per_client.per_second >= 4 * page
    assert limits.requests_per_client.burst >= 6, "a page with all its files"
    assert limits.requests.per_second <= 50
    assert limits.accepts.per_second >= limits.requests.per_second
