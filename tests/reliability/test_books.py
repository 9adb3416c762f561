"""What `make fuzz` checks of charts in the database."""

from reliability.fuzz.books import _CHARTS
from tests.support.books import query
from tests.support.charts import expire, factory_with, numbered, pack
from tests.support.service import Service

CHART = numbered(range(10, 510, 10))


async def faults_of(service: Service, factory_id: str) -> list[str]:
    """Return the faults of a chart, whose factory has other numbers of sprockets than it counts."""
    statement = f"SELECT fault FROM ({_CHARTS}) AS charts WHERE id = :id"  # noqa: S608  # our own constant
    rows = await query(service, statement, id=factory_id)
    return [fault for (fault,) in rows if fault and fault != "counts its sprockets wrong"]


async def test_a_chart_whose_older_entries_have_expired_has_no_gap_but_one_that_lacks_others_has(
    service: Service,
) -> None:
    for expires_before, packs in ((300, True), (300, False), (470, True)):
        factory_id = await factory_with(service, CHART)
        if packs:
            await pack(service, factory_id, 10, 3)
        assert await expire(service, factory_id, expires_before)
        assert await faults_of(service, factory_id) == []
        await query(service, "DELETE FROM chart_entry WHERE factory_id = :id AND sequence = 49", id=factory_id)
        assert await faults_of(service, factory_id) == ["has gaps in its chart"]


async def test_a_chart_that_begins_later_than_it_says_has_a_gap(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    await expire(service, factory_id, 300)
    await query(service, "DELETE FROM chart_entry WHERE factory_id = :id AND sequence < 40", id=factory_id)
    assert await faults_of(service, factory_id) == ["has gaps in its chart"]
