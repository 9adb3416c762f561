"""What `make chaos` checks of calls and streams after a fault."""

import pytest
from grpc import StatusCode

from reliability.chaos.calls import RETRIED, Call, Calls, longest_outage
from reliability.chaos.checks import Fault, call_problems
from reliability.chaos.followers import Copy
from reliability.chaos.ledger import Entry
from reliability.chaos.pace import Pace
from sprocket.v1.factory_pb2 import FactoryChart

FAULT = Fault("fault", 10, 12)


def call(code: StatusCode = StatusCode.OK, began: float = 0, ended: float = 1, method: str = "GetSprocket") -> Call:
    return Call("reader", method, code, "", began, ended)


def chart(*actuals: int) -> FactoryChart:
    return FactoryChart(
        time_micros=actuals, sprocket_production_goal=[0] * len(actuals), sprocket_production_actual=actuals
    )


def entries(*actuals: int) -> list[Entry]:
    return [Entry(0, actual, 0, actual) for actual in actuals]


@pytest.mark.parametrize("code", set(StatusCode) - RETRIED - {StatusCode.OK}, ids=lambda code: code.name)
def test_a_status_that_no_fault_explains_is_a_problem(code: StatusCode) -> None:
    [problem] = call_problems([call(), call(code)], FAULT, 5, RETRIED)
    assert code.name in problem


def test_statuses_that_clients_retry_are_no_problem_unless_the_plan_is_stricter() -> None:
    calls = [call(code) for code in RETRIED]
    assert list(call_problems(calls, FAULT, 5, RETRIED)) == []
    assert len(list(call_problems(calls, FAULT, 5, {StatusCode.UNAVAILABLE}))) == len(RETRIED) - 1


def test_a_long_call_is_a_problem_only_beside_the_fault() -> None:
    during = call(began=9, ended=13)
    after = call(StatusCode.UNAVAILABLE, began=11, ended=18)
    stream = call(StatusCode.UNAVAILABLE, began=0, ended=100, method="GetFactoryChart")
    [problem] = call_problems([during, after, stream], FAULT, 5, RETRIED)
    assert "6.0 s" in problem


def test_a_client_has_recovered_with_a_fast_call_that_began_after_the_fault() -> None:
    calls = Calls()
    calls.add("reader", "GetSprocket", StatusCode.OK, "", 5)
    assert not calls.has_fast("reader", since=6, seconds=1e9)
    assert not calls.has_fast("writer", since=5, seconds=1e9)
    assert not calls.has_fast("reader", since=5, seconds=0)
    assert calls.has_fast("reader", since=5, seconds=1e9)


def test_the_outage_is_the_longest_time_of_any_client_without_an_answer() -> None:
    failed = call(StatusCode.UNAVAILABLE, 11, 12)
    assert longest_outage([call(began=9, ended=11), failed, call(began=15, ended=16)], since=10) == 5
    assert longest_outage([], since=10) == 0


def test_a_copy_that_has_the_entries_of_the_table_agrees_again_and_again() -> None:
    copy = Copy()
    copy.add(chart(1, 2))
    copy.add(chart())
    assert not copy.difference(entries(1, 2))
    copy.add(chart(3))
    assert copy.sequence == 3
    assert not copy.difference(entries(3))


@pytest.mark.parametrize("actuals", [(), (1,), (1, 1), (2, 1), (1, 2, 3)])
def test_a_copy_that_lacks_or_repeats_or_swaps_entries_does_not_agree(actuals: tuple[int, ...]) -> None:
    copy = Copy()
    copy.add(chart(*actuals))
    assert copy.difference(entries(1, 2))


def test_a_copy_that_begins_anew_skips_what_was_compared() -> None:
    copy = Copy()
    copy.add(chart(1, 2))
    assert not copy.difference(entries(1, 2))
    copy.add(chart(3))
    copy.begin_anew()
    for actual in (1, 2, 3, 4):
        copy.add(chart(actual))
    assert not copy.difference(entries(3, 4))


def test_a_copy_that_begins_anew_where_a_chart_begins_now_skips_what_was_compared_from_there() -> None:
    starts = dict[int, int]()
    copy = Copy(starts)
    copy.add(chart(1, 2, 3, 4))
    assert not copy.difference(entries(1, 2, 3, 4))
    copy.begin_anew()
    copy.add(chart(3), retained_from=3)
    assert copy.is_anew
    copy.add(chart(4, 5))
    assert copy.sequence == 4  # it is not known yet which sequence has that time
    starts |= {2: 2, 3: 3}
    assert copy.sequence == 5
    assert not copy.difference(entries(5))


@pytest.mark.parametrize(
    ("actuals", "retained_from"), [((4, 5), 3), ((3, 5), 3), ((3, 4, 4, 5), 3), ((3, 4, 5), None), ((3, 4), 3)]
)
def test_a_copy_that_begins_anew_elsewhere_or_lacks_or_repeats_entries_does_not_agree(
    actuals: tuple[int, ...], retained_from: int | None
) -> None:
    copy = Copy({3: 3})
    copy.add(chart(1, 2, 3, 4))
    assert not copy.difference(entries(1, 2, 3, 4))
    copy.begin_anew()
    copy.add(chart(*actuals), retained_from)
    assert copy.difference(entries(5))


def test_bounds_grow_with_the_duration_of_calls_without_a_fault_and_shrink_again() -> None:
    pace = Pace()
    assert pace.scale == 1
    pace.add([call(ended=0.001)] * 300)
    assert pace.scale == 1
    pace.add([call(ended=0.3)] * 300)
    assert pace.scale == pytest.approx(3)
    pace.add([call(ended=0.001)] * 300)
    assert pace.scale == 1
