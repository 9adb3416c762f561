"""Resume tokens of charts are encrypted and authenticated, and valid for one stream only."""

import asyncio
import base64
import re
import struct
import uuid
from collections.abc import Awaitable, Mapping
from typing import Any

import pytest

from sprocket.v1.factory_pb2 import ListFactoriesRequest
from tests.conformance.promises import invalid
from tests.support.charts import INVALID_RESUME_TOKEN, factory_with, follow, moment, numbered, read
from tests.support.service import Service

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"  # pragma: allowlist secret
CHART = numbered(range(10, 40, 10))

RANGE = {"start_time": moment(10), "end_time": moment(30)}
OTHER_RANGES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "a start": ({}, {"start_time": moment(10)}),
    "the start of the chart": ({}, {"start_time": moment(0)}),
    "no start": ({"start_time": moment(0)}, {}),
    "an end": ({}, {"end_time": moment(40)}),
    "no end": ({"end_time": moment(40)}, {}),
    "a later start": (RANGE, RANGE | {"start_time": moment(10, 1)}),
    "an earlier start": (RANGE, RANGE | {"start_time": moment(9)}),
    "a later end": (RANGE, RANGE | {"end_time": moment(30, 1)}),
    "an earlier end": (RANGE, RANGE | {"end_time": moment(29)}),
    "the end as the start": ({"end_time": moment(20)}, {"start_time": moment(20)}),
}


async def token_of(service: Service, factory_id: str, **fields: Any) -> str:
    return (await read(service, factory_id, **fields))[-1].resume_token


async def token_of_follow(service: Service, factory_ids: list[str], **fields: Any) -> str:
    return (await follow(service, factory_ids, **fields))[-1].resume_token


async def assert_refused(service: Service, factory_id: str, *tokens: str, **fields: Any) -> None:
    """Check that both methods refuse all tokens."""
    methods: list[Awaitable[object]] = [read(service, factory_id, **fields, resume_token=token) for token in tokens]
    methods += [follow(service, [factory_id], resume_token=token) for token in tokens] if not fields else []
    refused = await asyncio.gather(*(invalid(each, INVALID_RESUME_TOKEN) for each in methods))
    assert refused == [["resume_token"]] * len(methods)


async def test_a_token_of_another_range_is_refused(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    for name, (made_for, brought_to) in OTHER_RANGES.items():
        token = await token_of(service, factory_id, **made_for)
        call = read(service, factory_id, **brought_to, resume_token=token)
        assert await invalid(call, INVALID_RESUME_TOKEN) == ["resume_token"], name
        await read(service, factory_id, **made_for, resume_token=token)


@pytest.mark.parametrize(("before", "after"), [(None, 10), (10, None), (10, 11)], ids=["new", "gone", "another"])
async def test_a_token_of_followed_charts_with_another_start_time_is_refused(
    service: Service, before: int | None, after: int | None
) -> None:
    factory_id = await factory_with(service, CHART)
    made_for, brought_to = [{} if each is None else {"start_time": moment(each)} for each in (before, after)]
    token = await token_of_follow(service, [factory_id], **made_for)
    call = follow(service, [factory_id], **brought_to, resume_token=token)
    assert await invalid(call, INVALID_RESUME_TOKEN) == ["resume_token"]


async def test_a_token_of_another_factory_is_refused(service: Service) -> None:
    one, other = [await factory_with(service, CHART) for _ in range(2)]
    token = await token_of(service, one)
    assert await invalid(read(service, other, resume_token=token), INVALID_RESUME_TOKEN) == ["resume_token"]


@pytest.mark.parametrize("fields", [{}, {"start_time": moment(15)}], ids=["all", "from a start"])
async def test_tokens_of_get_factory_chart_and_follow_factory_charts_are_not_interchangeable(
    service: Service, fields: dict[str, Any]
) -> None:
    factory_id = await factory_with(service, CHART)
    of_get, of_follow = await token_of(service, factory_id, **fields), await token_of_follow(service, [factory_id])
    calls = [
        read(service, factory_id, **fields, resume_token=of_follow),
        read(service, factory_id, **fields, resume_token=of_follow, follow=True),
        follow(service, [factory_id], **fields, resume_token=of_get),
    ]
    for call in calls:
        assert await invalid(call, INVALID_RESUME_TOKEN) == ["resume_token"]


async def test_a_page_token_is_refused_as_a_resume_token(service: Service) -> None:
    ids = [await factory_with(service, CHART) for _ in range(2)]
    token = (await service.factories.ListFactories(ListFactoriesRequest(page_size=1))).next_page_token
    assert token
    await assert_refused(service, ids[0], token)


async def test_a_resume_token_is_refused_as_a_page_token(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    for token in (await token_of(service, factory_id), await token_of_follow(service, [factory_id])):
        call = service.factories.ListFactories(ListFactoriesRequest(page_token=token))
        assert await invalid(call, "ERROR_REASON_INVALID_PAGE_TOKEN") == ["page_token"]


async def test_a_made_up_token_is_refused(service: Service) -> None:
    words = ["0", "2", "nonsense", " ", "\0", "=", "\u00e4", "\N{GRINNING FACE}", "A" * 228, "A" * 1_000_000]
    await assert_refused(service, await factory_with(service, CHART), *words)


async def test_an_unencrypted_id_or_position_is_refused(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    content = uuid.UUID(factory_id).bytes + struct.pack(">q", 2)
    await assert_refused(service, factory_id, factory_id, base64.urlsafe_b64encode(content).decode())


async def test_a_token_with_any_one_character_changed_is_refused(service: Service) -> None:
    """The change is the lowest bit, which is unused in the last character, or a character that is not in base64."""
    factory_id = await factory_with(service, CHART)
    token = await token_of(service, factory_id)
    others = [ALPHABET[ALPHABET.index(it) ^ 1] for it in token], [chr(ord(it) ^ 0x40) for it in token]
    changed = [token[:at] + other[at] + token[at + 1 :] for other in others for at in range(len(token))]
    await assert_refused(service, factory_id, *changed, max_points=6)


async def test_a_truncated_padded_or_extended_token_is_refused(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    token = await token_of(service, factory_id)
    truncated = [token[:length] for length in range(1, len(token), 3)] + [token[start:] for start in range(1, 20)]
    extended = [f"{token}{end}" for end in ("A", "=", "==", "===", "\n", " ", "\0", "%", token)]
    extended += [f"{before}{token}" for before in (" ", "A", "=")]
    await assert_refused(service, factory_id, *truncated, *extended, max_points=6)


async def test_a_changed_truncated_or_padded_token_of_followed_charts_is_refused(service: Service) -> None:
    ids = [await factory_with(service, CHART) for _ in range(2)]
    token = await token_of_follow(service, ids)
    middle = len(token) // 2
    changed = token[:middle] + ALPHABET[ALPHABET.index(token[middle]) ^ 1] + token[middle + 1 :]
    for each in (changed, token[:-1], token[1:], f"{token}=", f"{token}A", token * 2):
        assert await invalid(follow(service, ids, resume_token=each), INVALID_RESUME_TOKEN) == ["resume_token"]


async def test_a_token_is_url_safe_and_reveals_neither_factory_nor_position(service: Service) -> None:
    entries = 12_345
    factory_id = await factory_with(service, numbered(range(entries)))
    for token in (await token_of(service, factory_id), await token_of_follow(service, [factory_id])):
        assert re.fullmatch(r"[A-Za-z0-9_~.-]+", token)
        decoded = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        secrets = [
            *encodings(factory_id),
            str(entries).encode(),
            struct.pack(">i", entries),
            struct.pack("<i", entries),
        ]
        for part in secrets:
            assert part not in token.encode()
            assert part not in decoded
            assert base64.urlsafe_b64encode(part).rstrip(b"=")[:-1] not in token.encode()


def encodings(identifier: str) -> list[bytes]:
    """Return an id in different encodings."""
    parsed = uuid.UUID(identifier)
    return [identifier.encode(), parsed.hex.encode(), parsed.bytes, parsed.bytes_le]
