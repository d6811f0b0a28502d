from __future__ import annotations

import logging

from hypothesis import given
from hypothesis import strategies as st

from edge_app.daemon.delivery import BACKLOG, Delivery, Outbox
from edge_app.daemon.meter import Meter
from edge_app.domain import Frame, Observation, Signal, Vitals
from edge_app.errors import BrokerError

LOG = logging.getLogger("kiosk")


def seen(index: int, signal: Signal) -> Observation:
    return Observation(index, index / 10, signal, f"frame {index}")


@given(st.lists(st.sampled_from(list(Signal)), max_size=60))
def test_behind_or_not_every_change_arrives_in_order(signals: list[Signal]) -> None:
    outbox = Outbox()
    for index, signal in enumerate(signals):
        outbox.put(seen(index, signal), None)
    outbox.close()
    arrived = []
    while (item := outbox.take(0)) is not None:
        arrived.append(item[0])
    assert outbox.finished
    indices = [o.frame_index for o in arrived]
    assert indices == sorted(indices)
    changes = [i for i in range(len(signals)) if i == 0 or signals[i] is not signals[i - 1]]
    assert set(changes) <= set(indices), "the first of every stretch"
    last = [i for i in range(len(signals)) if i + 1 in [*changes[1:], len(signals)]]
    assert set(last) <= set(indices), "and the last"
    assert len(arrived) <= BACKLOG + 2 * len(changes)


def test_an_empty_outbox_is_waited_for_and_a_closed_one_is_not() -> None:
    outbox = Outbox()
    assert outbox.take(0.01) is None
    outbox.close()
    assert outbox.take(20) is None, "at once"


class Sink:
    def __init__(self, name: str, fails: bool = False) -> None:
        self.name = name
        self.fails = fails
        self.seen: list[int] = []
        self.reports: list[Vitals] = []
        self.closed = 0

    def handle(self, observation: Observation, frame: Frame | None) -> None:
        self.seen.append(observation.frame_index)
        if self.fails:
            raise BrokerError("refused")

    def report(self, vitals: Vitals) -> None:
        self.reports.append(vitals)
        if self.fails:
            raise BrokerError("still refused")

    def close(self) -> None:
        self.closed += 1
        if self.fails:
            raise BrokerError("cannot say goodbye")


def test_a_sink_in_trouble_gets_everything_and_leaves_the_others_alone() -> None:
    broken, whole = Sink("mqtt", fails=True), Sink("journal")
    outbox, meter = Outbox(), Meter(LOG, lambda: (None, None))
    for index in range(5):
        outbox.put(seen(index, Signal.IDLE), None)
    outbox.close()
    Delivery([broken, whole], outbox, meter, lambda: 7, LOG).run()
    assert broken.seen == whole.seen == [0, 1, 2, 3, 4]
    assert broken.closed == whole.closed == 1
    assert whole.reports[0].dropped == 7
    assert whole.reports[0].troubles == {"mqtt": "refused"}
    assert meter.trouble_of("mqtt") in ("refused", "still refused")
