"""Invalid requests for charts: all invalid fields are reported together, and missing factories are named."""

import uuid
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ResourceInfo

from tests.conformance.promises import RESOURCE_NOT_FOUND, invalid, refuses
from tests.support.books import query
from tests.support.charts import INVALID_RESUME_TOKEN, entries_of, factory_with, follow, moment, numbered, read
from tests.support.errors import Failure
from tests.support.production import delete_factory
from tests.support.resources import MISSING_ID, create_factory
from tests.support.service import Service

CHART = numbered([10, 20, 30])
YEAR_1, YEAR_10000 = -62_135_596_800, 253_402_300_800
OUT_OF_RANGE = {
    "before year 1": Timestamp(seconds=YEAR_1 - 1, nanos=999_999_999),
    "year 10000": Timestamp(seconds=YEAR_10000),
    "least seconds": Timestamp(seconds=-(2**63)),
    "most seconds": Timestamp(seconds=2**63 - 1),
    "negative nanos": Timestamp(seconds=1, nanos=-1),
    "too many nanos": Timestamp(seconds=1, nanos=1_000_000_000),
    "least nanos": Timestamp(nanos=-(2**31)),
    "most nanos": Timestamp(nanos=2**31 - 1),
}
FIRST, LAST = Timestamp(seconds=YEAR_1), Timestamp(seconds=YEAR_10000 - 1, nanos=999_999_999)
MALFORMED = ["", "7", MISSING_ID.upper(), f"{MISSING_ID} ", f"{{{MISSING_ID}}}", MISSING_ID.replace("-", ""), "\0"]
BAD_TOKEN = {"resume_token": "nonsense"}


async def test_an_empty_or_reversed_range_is_refused(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    at = moment(20)
    for start, end in ((at, at), (at, moment(19, 999)), (moment(20, 1), at), (at, FIRST), (LAST, FIRST)):
        assert await invalid(read(service, factory_id, start_time=start, end_time=end)) == ["end_time"]


async def test_times_out_of_range_are_refused(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    for name, time in OUT_OF_RANGE.items():
        assert await invalid(read(service, factory_id, start_time=time)) == ["start_time"], name
        assert await invalid(read(service, factory_id, start_time=time, follow=True)) == ["start_time"], name
        assert await invalid(read(service, factory_id, end_time=time)) == ["end_time"], name
        assert await invalid(follow(service, [factory_id], start_time=time)) == ["start_time"], name
        both = await invalid(read(service, factory_id, start_time=time, end_time=time))
        assert sorted(both) == ["end_time", "start_time"], name


async def test_the_first_and_the_last_valid_timestamp_are_accepted(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    assert entries_of(await read(service, factory_id, start_time=FIRST, end_time=LAST)) == CHART
    assert entries_of(await read(service, factory_id, start_time=FIRST, follow=True)) == CHART
    assert entries_of(await read(service, factory_id, start_time=LAST, follow=True)) == CHART[-1:]
    assert await follow(service, [factory_id], start_time=FIRST)
    assert await follow(service, [factory_id], start_time=LAST)


async def test_a_summary_of_too_few_or_too_many_points_is_refused(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    for count in (1, 5, -1, 20_001, 2**31 - 1, -(2**31)):
        assert await invalid(read(service, factory_id, max_points=count)) == ["max_points"]
        assert await invalid(read(service, factory_id, max_points=count, follow=True)) == ["max_points"]
        assert await invalid(follow(service, [factory_id], max_points=count)) == ["max_points"]


async def test_an_end_time_is_refused_with_follow(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    for end in (moment(20), LAST, Timestamp(), Timestamp(nanos=-1)):
        assert await invalid(read(service, factory_id, end_time=end, follow=True)) == ["end_time"]


async def test_malformed_ids_are_refused_and_named_by_index(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    for malformed in MALFORMED:
        assert await invalid(read(service, malformed)) == ["factory_id"]
        assert await invalid(follow(service, [malformed])) == ["factory_ids[0]"]
        ids = [factory_id, malformed, MISSING_ID, f"{malformed}8"]
        assert await invalid(follow(service, ids)) == ["factory_ids[1]", "factory_ids[3]"]


async def test_duplicate_ids_are_refused_and_named_by_index(service: Service) -> None:
    one, other = [(await create_factory(service)).id for _ in range(2)]
    assert await invalid(follow(service, [one, one])) == ["factory_ids[1]"]
    assert await invalid(follow(service, [one, other, one, other, one])) == [f"factory_ids[{n}]" for n in (2, 3, 4)]
    assert await invalid(follow(service, [MISSING_ID, one, MISSING_ID])) == ["factory_ids[2]"]


async def test_an_empty_list_and_more_than_a_thousand_ids_are_refused(service: Service) -> None:
    assert await invalid(follow(service, [])) == ["factory_ids"]
    assert await invalid(follow(service, [str(uuid.uuid4()) for _ in range(1001)])) == ["factory_ids"]
    with refuses(grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND):
        await follow(service, [str(uuid.uuid4()) for _ in range(1000)])


async def test_the_errors_of_a_thousand_malformed_ids_fit_into_the_trailers(service: Service) -> None:
    """`invalid` checks the size of the trailers."""
    assert (await invalid(follow(service, ["\N{GRINNING FACE}" * 99] * 1000)))[0] == "factory_ids[0]"


async def test_an_unknown_factory_is_not_found(service: Service) -> None:
    await create_factory(service)
    requests: list[dict[str, Any]] = [{}, {"follow": True}, {"start_time": moment(5), "max_points": 6}]
    for fields in requests:
        with refuses(grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND) as failure:
            await read(service, MISSING_ID, **fields)
        assert failure.info.metadata == {"resource_type": "sprocket.v1.Factory", "id": MISSING_ID}
        assert named(failure) == [MISSING_ID]


async def test_up_to_20_unknown_factories_are_all_named(service: Service) -> None:
    known = [(await create_factory(service)).id for _ in range(2)]
    for missing in (1, 2, 20):
        unknown = [str(uuid.uuid4()) for _ in range(missing)]
        with refuses(grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND) as failure:
            await follow(service, [known[0], *unknown, known[1]])
        assert sorted(named(failure)) == sorted(unknown)
        assert failure.info.metadata["id"].split(",") == named(failure)


async def test_of_more_than_20_unknown_factories_20_are_named(service: Service) -> None:
    known = (await create_factory(service)).id
    unknown = [str(uuid.uuid4()) for _ in range(900)]
    with refuses(grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND) as failure:
        await follow(service, [*unknown, known])
    assert len(set(named(failure))) == len(named(failure)) == 20
    assert set(named(failure)) <= set(unknown)


async def test_all_factories_deleted_since_the_token_are_named(service: Service) -> None:
    ids = [(await create_factory(service)).id for _ in range(4)]
    token = (await follow(service, ids))[-1].resume_token
    for gone in ids[1:3]:
        await delete_factory(service, gone)
    with refuses(grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND) as failure:
        await follow(service, ids, resume_token=token)
    assert sorted(named(failure)) == sorted(ids[1:3])


def named(failure: Failure) -> list[str]:
    """Return the missing ids in the details of an error."""
    infos = [ResourceInfo() for _ in failure.status.details]
    return [info.resource_name for each, info in zip(failure.status.details, infos, strict=True) if each.Unpack(info)]


INVALID: dict[str, tuple[dict[str, Any], list[str]]] = {
    "followed": (
        {"factory_id": "7", "start_time": Timestamp(nanos=-1), "end_time": moment(1), "follow": True, "max_points": 5},
        ["end_time", "factory_id", "max_points", "start_time"],
    ),
    "range": (
        {"factory_id": "", "start_time": moment(20), "end_time": moment(10), "max_points": -1},
        ["end_time", "factory_id", "max_points"],
    ),
    "times": (
        {"factory_id": MISSING_ID, "start_time": Timestamp(seconds=2**62), "end_time": Timestamp(nanos=-1)},
        ["end_time", "start_time"],
    ),
}


async def test_all_invalid_fields_are_reported_together_with_an_invalid_token(service: Service) -> None:
    for name, (fields, paths) in INVALID.items():
        assert sorted(await invalid(read(service, **fields))) == paths, name
        assert sorted(await invalid(read(service, **fields, **BAD_TOKEN))) == sorted([*paths, "resume_token"]), name


async def test_all_invalid_fields_of_follow_factory_charts_are_reported_together(service: Service) -> None:
    factory_id = (await create_factory(service)).id
    fields: dict[str, Any] = {"start_time": Timestamp(seconds=YEAR_10000), "max_points": 20_001}
    call = follow(service, [factory_id, "7", MISSING_ID, factory_id], **fields, **BAD_TOKEN)
    listed = ["factory_ids[1]", "factory_ids[3]", "max_points", "resume_token", "start_time"]
    assert sorted(await invalid(call)) == listed
    assert sorted(await invalid(follow(service, [], **fields))) == ["factory_ids", "max_points", "start_time"]


async def test_a_token_of_another_range_is_reported_together_with_other_invalid_fields(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    token = (await read(service, factory_id, start_time=moment(10)))[-1].resume_token
    call = read(service, factory_id, start_time=moment(20), max_points=5, resume_token=token)
    assert sorted(await invalid(call)) == ["max_points", "resume_token"]


async def test_an_invalid_token_alone_has_its_own_reason_even_for_an_unknown_factory(service: Service) -> None:
    assert await invalid(read(service, MISSING_ID, **BAD_TOKEN), INVALID_RESUME_TOKEN) == ["resume_token"]
    assert await invalid(follow(service, [MISSING_ID], **BAD_TOKEN), INVALID_RESUME_TOKEN) == ["resume_token"]


async def test_an_invalid_request_is_refused_before_charts_are_read(service: Service) -> None:
    await query(service, "DROP TABLE chart_entry")
    assert await invalid(read(service, MISSING_ID, max_points=5)) == ["max_points"]
    assert await invalid(follow(service, [MISSING_ID], max_points=5)) == ["max_points"]
