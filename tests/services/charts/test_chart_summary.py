"""Downsampled charts (`max_points`): few entries that keep the shape and all extremes of both curves."""

import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sprocket.v1.factory_pb2 import GetFactoryChartRequest
from tests.support.books import query
from tests.support.charts import (
    Entry,
    begun_before,
    entries_by_factory,
    entries_of,
    factory_with,
    follow,
    moment,
    read,
    write_chart,
)
from tests.support.production import update_factory
from tests.support.service import Service

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("layout")]

MANY = 10_000
POINTS = 100
PARTS = 16  # the number of intervals with 6 entries each that fit into 100
NOON = 1_772_280_000_000_000  # on 2026-02-28
LEVEL = 1000
SPIKE, DIP = 2 * LEVEL, 0


def wandering(entries: int, seed: int = 0) -> list[Entry]:
    """Make a chart with random steps up and down, and with bursts of entries, some at the same time."""
    draw = random.Random(seed)  # noqa: S311  # no secret
    micros, goal, actual = NOON, 10**6, 10**6
    chart = []
    for _ in range(entries):
        micros += draw.choice([0, 0, 1, 7, 10**6])
        goal, actual = goal + draw.randint(-5, 5), actual + draw.choice([-1, 1])
        chart.append(Entry(micros, goal, actual))
    return chart


def level(entries: int) -> list[Entry]:
    """Make a nearly constant chart with entries at equal intervals."""
    return [Entry(NOON + 1000 * n, LEVEL + n % 3, LEVEL + n % 5) for n in range(entries)]


async def summary(service: Service, factory_id: str, max_points: int) -> list[Entry]:
    return entries_of(await read(service, factory_id, max_points=max_points))


def assert_selected(selected: Sequence[Entry], chart: Sequence[Entry], max_points: int) -> None:
    """Check that entries are a summary of a chart: a subset in order, with the first and the last entry."""
    assert len(selected) <= max_points
    rest = iter(chart)
    assert all(each in rest for each in selected), "not in the chart, duplicate, or out of order"
    assert (selected[0], selected[-1]) == (chart[0], chart[-1])


def bounds(entries: Iterable[Entry]) -> list[tuple[int, int]]:
    """Return the minimum and maximum of the goal and of the actual."""
    return [(min(column), max(column)) for column in list(zip(*entries, strict=True))[1:]]


async def test_a_summary_has_at_most_max_points_entries_and_the_bounds_of_both_curves(service: Service) -> None:
    chart = wandering(20_001)
    factory_id = await factory_with(service, chart)
    for max_points in (6, 7, 11, 12, POINTS, 9_999, 20_000):
        selected = await summary(service, factory_id, max_points)
        assert_selected(selected, chart, max_points)
        assert bounds(selected) == bounds(chart)


async def test_only_a_chart_with_more_than_max_points_entries_is_downsampled(service: Service) -> None:
    factory_id = await factory_with(service, wandering(1))
    for entries in (1, 6, 7, POINTS - 1, POINTS, POINTS + 1):
        chart = wandering(entries)
        await write_chart(service, factory_id, chart)
        selected = await summary(service, factory_id, POINTS)
        assert selected == chart or entries > POINTS
        assert_selected(selected, chart, POINTS)
        assert await summary(service, factory_id, 0) == chart


async def test_a_chart_of_the_largest_max_points_is_complete(service: Service) -> None:
    chart = wandering(20_000)
    assert await summary(service, await factory_with(service, chart), 20_000) == chart


POSITIONS = st.lists(st.integers(1, MANY), min_size=4, max_size=4, unique=True)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example restores the chart
)
@given(positions=POSITIONS)
@example(positions=[1, 2, 3, 4])
@example(positions=[4, 1, 2, 3])
@example(positions=[MANY, MANY - 1, MANY - 2, MANY - 3])
@example(positions=[5_000, 5_001, 5_002, 5_003])
async def test_a_summary_keeps_a_single_spike_and_dip_of_each_curve_at_any_position(
    service: Service, positions: list[int]
) -> None:
    factory_id = await the_only_factory(service)
    chart = level(MANY)
    for position, column, value in zip(positions, ["goal", "goal", "actual", "actual"], [SPIKE, DIP] * 2, strict=True):
        chart[position - 1] = chart[position - 1]._replace(**{column: value})
    await write_chart(service, factory_id, chart)
    selected = await summary(service, factory_id, POINTS)
    assert_selected(selected, chart, POINTS)
    assert {chart[position - 1] for position in positions} <= set(selected)


async def the_only_factory(service: Service) -> str:
    """Return the id of the only factory."""
    found = await query(service, "SELECT id::text FROM factory")
    return str(found[0][0]) if found else await factory_with(service, level(MANY))


def with_a_spike_in_each_part(chart: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Return a chart with a spike of the goal and a dip of the actual in each interval, and these entries."""
    changed = list(chart)
    middles = [len(chart) * (2 * part + 1) // (2 * PARTS) for part in range(PARTS)]
    for position in middles:
        changed[position] = changed[position]._replace(goal=SPIKE)
        changed[position + 1] = changed[position + 1]._replace(actual=DIP)
    return changed, [changed[position + more] for position in middles for more in (0, 1)]


async def test_each_interval_of_a_summary_keeps_its_spikes(service: Service) -> None:
    chart, extremes = with_a_spike_in_each_part(level(MANY))
    selected = await summary(service, await factory_with(service, chart), POINTS)
    assert_selected(selected, chart, POINTS)
    assert set(extremes) <= set(selected)


async def test_intervals_of_a_summary_have_equal_durations_not_equal_numbers_of_entries(service: Service) -> None:
    crowd = level(MANY - 10)
    sparse = [Entry(NOON + hours * 3_600_000_000, LEVEL, LEVEL) for hours in range(1, 11)]
    selected = await summary(service, await factory_with(service, crowd + sparse), POINTS)
    assert_selected(selected, crowd + sparse, POINTS)
    assert selected[-10:] == sparse


@pytest.mark.parametrize("age_micros", [2, 3_600_000_000, NOON], ids=["just older", "an hour older", "from 1970"])
async def test_an_old_entry_in_force_does_not_reduce_the_detail_of_the_range(service: Service, age_micros: int) -> None:
    inside, extremes = with_a_spike_in_each_part(level(MANY))
    in_force = Entry(NOON - age_micros, LEVEL, LEVEL)
    older = Entry(NOON - age_micros, SPIKE, DIP)
    factory_id = await factory_with(service, [older, in_force, *inside])
    responses = await read(service, factory_id, start_time=moment(NOON - 1), max_points=POINTS)
    selected = entries_of(responses)
    assert responses[0].begins_before_start_time
    assert_selected(selected, [in_force, *inside], POINTS)
    assert set(extremes) <= set(selected)


async def test_the_entry_in_force_counts_as_one_of_the_points(service: Service) -> None:
    chart = level(POINTS + 1)
    factory_id = await factory_with(service, chart)
    responses = await read(service, factory_id, start_time=moment(chart[0].micros + 1), max_points=POINTS)
    assert responses[0].begins_before_start_time
    assert_selected(entries_of(responses), chart, POINTS)
    whole = await read(service, factory_id, start_time=moment(chart[1].micros + 1), max_points=POINTS)
    assert entries_of(whole) == chart[1:]


async def test_a_range_is_downsampled_without_regard_to_entries_outside(service: Service) -> None:
    chart = level(MANY)
    inside, extremes = with_a_spike_in_each_part(chart[2000:5000])
    whole = [*chart[:1999], chart[1999]._replace(goal=SPIKE), *inside, chart[5000]._replace(goal=SPIKE), *chart[5001:]]
    factory_id = await factory_with(service, whole)
    edges = {"start_time": moment(inside[0].micros), "end_time": moment(inside[-1].micros + 1)}
    selected = entries_of(await read(service, factory_id, **edges, max_points=POINTS))
    assert_selected(selected, inside, POINTS)
    assert set(extremes) <= set(selected)


async def test_entries_that_all_have_the_same_time_are_downsampled(service: Service) -> None:
    chart = [each._replace(micros=NOON) for each in level(1000)]
    chart[500] = chart[500]._replace(goal=SPIKE)
    chart[501] = chart[501]._replace(actual=DIP)
    factory_id = await factory_with(service, chart)
    for max_points in (6, 7, POINTS):
        selected = await summary(service, factory_id, max_points)
        assert_selected(selected, chart, max_points)
        assert {chart[500], chart[501]} <= set(selected)


async def test_entries_after_the_history_are_not_downsampled(service: Service) -> None:
    chart = wandering(1000)
    factory_id = await factory_with(service, chart)
    assert_selected(entries_of(await read(service, factory_id, max_points=6, follow=True)), chart, 6)
    added = await added_while_followed(service, factory_id, 8)
    assert [each.goal for each in added] == list(range(8))


async def added_while_followed(service: Service, factory_id: str, count: int) -> list[Entry]:
    """Follow a downsampled chart, change the goal `count` times, and return the entries after the history."""
    request = GetFactoryChartRequest(factory_id=factory_id, max_points=6, follow=True)
    call = service.factories.GetFactoryChart(request)
    added: list[Entry] = []
    async for response in call:
        if response.end_of_history:
            for goal in range(count):
                await update_factory(service, factory_id, sprocket_production_goal=goal)
        else:
            added.extend(entries_of([response]))
        if len(added) >= count:
            break
    call.cancel()
    return added


async def test_a_resumed_stream_downsamples_the_entries_added_in_between(service: Service) -> None:
    chart = wandering(2000)
    factory_id = await factory_with(service, chart[:1000])
    (response,) = await read(service, factory_id, max_points=POINTS)
    await write_chart(service, factory_id, chart)
    again = {"resume_token": response.resume_token}
    assert_selected(entries_of(await read(service, factory_id, **again, max_points=6)), chart[1000:], 6)
    assert entries_of(await read(service, factory_id, **again)) == chart[1000:]


async def test_each_followed_chart_is_downsampled_independently(service: Service) -> None:
    charts = {await factory_with(service, chart): chart for chart in (wandering(n, seed=n) for n in (3000, 7, 6, 2000))}
    responses = await follow(service, list(charts), max_points=6)
    selected = entries_by_factory(responses)
    for factory_id, chart in charts.items():
        assert_selected(selected[factory_id], chart, 6)
        assert len(chart) > 6 or selected[factory_id] == chart
    assert not begun_before(responses)


async def test_each_followed_chart_keeps_its_detail_after_an_old_entry(service: Service) -> None:
    inside, extremes = with_a_spike_in_each_part(level(MANY))
    in_force = [Entry(5, LEVEL, LEVEL)]
    ids = [await factory_with(service, [*older, *inside]) for older in (in_force, [])]
    responses = await follow(service, ids, max_points=POINTS, start_time=moment(NOON - 1))
    selected = entries_by_factory(responses)
    assert_selected(selected[ids[0]], in_force + inside, POINTS)
    assert_selected(selected[ids[1]], inside, POINTS)
    assert all(set(extremes) <= set(each) for each in selected.values())
    assert begun_before(responses) == set(ids[:1])
