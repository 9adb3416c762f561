"""The fuzzer itself: it repeats a seed, and notices what it is there to notice."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import text

from reliability.fuzz.books import faults
from reliability.fuzz.calls import Outcome, Request
from reliability.fuzz.judge import Judge, tracebacks
from reliability.fuzz.plan import Plan
from reliability.fuzz.port import Port
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from tests.support.resources import create_factory, create_sprocket
from tests.support.service import Service

NUMBERS = range(200)
GET = "/sprocket.v1.LocationService/GetLocation"


async def port_of(service: Service) -> Port:
    """Ask the reflection of the server in this process, which needs the event loop meanwhile."""
    return await asyncio.to_thread(Port, service.address, ())


async def found(service: Service, url: str) -> list[str]:
    """Check the books of the server in this process."""
    port = await port_of(service)
    return await asyncio.to_thread(lambda: list(faults(url, service.address, port, ())))


async def test_reflection_finds_every_service_of_the_port(service: Service) -> None:
    services = {path.split("/")[1] for path in (await port_of(service)).methods}
    assert {"grpc.health.v1.Health", "sprocket.v1.AuditService", "sprocket.v1.SprocketService"} <= services
    assert any(name.startswith("grpc.reflection.") for name in services)


async def test_a_seed_stands_for_the_same_calls_in_any_order(service: Service) -> None:
    port = await port_of(service)
    first, second, other = (Plan(seed, port, [()]) for seed in (1, 1, 2))
    expected = [first.requests(number) for number in NUMBERS]
    assert [second.requests(number) for number in reversed(NUMBERS)] == expected[::-1]
    assert [other.requests(number) for number in NUMBERS] != expected


async def test_what_the_server_issued_changes_no_other_part_of_a_call(service: Service) -> None:
    port = await port_of(service)
    plan, learned = Plan(1, port, [()]), Plan(1, port, [()])
    learned.world.tokens.append("token")
    kinds = [[(each.name, each.method) for each in every.requests(7)] for every in (plan, learned)]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize(
    ("outcome", "is_defect"),
    [
        (Outcome("OK", "", 0), False),
        (Outcome("INVALID_ARGUMENT", "location.display_name: expected 1 to 63 characters", 0), False),
        (Outcome("INTERNAL", "Compression bit set but no encoding configured", 0), False),
        (Outcome("INTERNAL", "the service has a defect", 0), True),
        (Outcome("UNKNOWN", "", 0), True),
        (Outcome("UNIMPLEMENTED", "", 0), True),
        (Outcome("HANG", "", 20), True),
        (Outcome("INVALID_ARGUMENT", "Unexpected <class 'ValueError'>", 0), True),
        (Outcome("OK", "", 0, [bytes(5 << 20)]), True),
    ],
)
async def test_an_answer_that_no_request_may_get_is_a_defect(
    service: Service, outcome: Outcome, *, is_defect: bool, tmp_path: Path
) -> None:
    judge = Judge(await port_of(service))
    judge.judge(Request("1 fields", judge.port.methods[GET], ()), outcome)
    assert judge.codes[GET][outcome.code] == 1
    assert judge.write(tmp_path) == len(judge.defects) == int(is_defect)


@pytest.mark.parametrize("indent", ["", "    "])
def test_tracebacks_in_a_log_are_counted_by_what_was_raised(indent: str) -> None:
    lines = ["Traceback (most recent call last):", '  File "a.py", line 1, in f', "    g()", "a.BrokenError: it broke"]
    logged = "".join(f"{indent}{line}\n" for line in lines)
    log = f"INFO a line\nERROR it failed\n{logged}ERROR it failed\n{logged}"
    assert list(tracebacks(log)) == ["2 x a.BrokenError in the server's log, with a traceback; the first in line 3"]
    assert list(tracebacks("INFO a line\n")) == []


def test_a_traceback_of_any_other_form_is_noticed_too() -> None:
    assert list(tracebacks('{"exception": "Traceback (most recent call last):\\n  File"}')) == [
        "1 tracebacks in the server's log"
    ]


BROKEN = {
    "has gaps": ["UPDATE chart_entry SET sequence = 9 WHERE sequence = 2"],
    "times go back": ["UPDATE chart_entry SET time_micros = 1 WHERE sequence = 2"],
    "changes nothing": [
        "UPDATE chart_entry SET (sprocket_production_goal, sprocket_production_actual) = (5, 5)",
        "UPDATE factory SET (sprocket_production_goal, sprocket_production_actual) = (5, 5)",
    ],
    "ends with other numbers": ["UPDATE factory SET sprocket_production_goal = 99"],
    "counts its sprockets wrong": ["DELETE FROM sprocket"],
    "has no chart": ["DELETE FROM chart_entry"],
    "refer to no": ["DELETE FROM location"],
    "display_name": [
        "ALTER TABLE factory DROP CONSTRAINT ck_factory_display_name",
        "UPDATE factory SET display_name = ''",
    ],
    "the audit log says": ["DELETE FROM location"],
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_database_that_breaks_a_promise_is_noticed(service: Service, database_url: str, fault: str) -> None:
    factory = await create_factory(service)
    await create_sprocket(service, factory_id=factory.id)
    assert await found(service, database_url) == []
    tamper(database_url, BROKEN[fault])
    assert any(fault in line for line in await found(service, database_url))


def tamper(url: str, statements: Sequence[str]) -> None:
    """Change the database without triggers and foreign keys."""
    with create_plain_engine(url).begin() as connection:
        for statement in ("SET session_replication_role = replica", *statements):
            connection.execute(text(statement))
