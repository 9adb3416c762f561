"""Page tokens: nobody can read them, make one up, or take one elsewhere (rows 3 and 5)."""

import asyncio
import base64
import re
import uuid

import pytest

from tests.conformance.promises import INVALID_PAGE_TOKEN, invalid
from tests.conformance.rows import create_several
from tests.support.resources import CASES, Case
from tests.support.service import Service, running_service

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"  # pragma: allowlist secret


async def token_of(service: Service, case: Case) -> str:
    """Return a token that goes on after the first of several."""
    await create_several(service, case, 3)
    _, token = await case.page(service, page_size=1)
    return token


async def assert_refused(service: Service, case: Case, tokens: list[str]) -> None:
    """Check that none of these is taken."""
    calls = (invalid(case.page(service, page_token=token), INVALID_PAGE_TOKEN) for token in tokens)
    refused = await asyncio.gather(*calls)
    assert refused == [["page_token"]] * len(tokens)


def flipped(token: str) -> list[str]:
    """Change each character in turn: in its lowest bit, which in the last one may mean nothing, and beyond base64."""
    pairs = [(place, ALPHABET[ALPHABET.index(it) ^ 1]) for place, it in enumerate(token)]
    pairs += [(place, chr(ord(it) ^ 0x40)) for place, it in enumerate(token)]
    return [f"{token[:place]}{other}{token[place + 1 :]}" for place, other in pairs]


@every_resource
async def test_a_token_with_any_one_character_changed_is_refused(service: Service, case: Case) -> None:
    await assert_refused(service, case, flipped(await token_of(service, case)))


@every_resource
async def test_a_token_that_is_cut_or_has_more_in_it_is_refused(service: Service, case: Case) -> None:
    token = await token_of(service, case)
    cut = [token[:length] for length in range(1, len(token))] + [token[start:] for start in range(1, len(token), 9)]
    more = [f"{token[:9]}{middle}{token[9:]}" for middle in ("A", "\n", " ", "=", ".", "\0", "\u00e4")]
    more += [f"{token}{end}" for end in ("A", "\n", " ", "\0", "%", token)]
    await assert_refused(service, case, [*cut, *more, f" {token}"])


async def test_a_token_that_somebody_padded_is_refused(service: Service) -> None:
    token = await token_of(service, CASES[0])
    await assert_refused(service, CASES[0], [token + "=" * count for count in range(1, 5)])


@every_resource
async def test_a_token_that_was_never_made_is_refused(service: Service, case: Case) -> None:
    offset = base64.urlsafe_b64encode(b"50").decode()
    identifier = (await case.create(service)).id
    words = ["0", "1", "50", offset, "nonsense", " ", "\0", "=", "\u00e4", "\N{GRINNING FACE}", identifier, "A" * 228]
    await assert_refused(service, case, [*words, "A" * 1_000_000])


@every_resource
async def test_a_token_of_another_method_is_refused(service: Service, case: Case) -> None:
    tokens = [await token_of(service, other) for other in CASES if other is not case]
    await assert_refused(service, case, tokens)


@every_resource
async def test_a_token_is_safe_in_a_url_and_tells_nothing_about_where_it_goes_on(service: Service, case: Case) -> None:
    created = await create_several(service, case, 3)
    _, token = await case.page(service, page_size=1)
    assert re.fullmatch(r"[A-Za-z0-9_~.-]+", token)
    content = token.encode() + base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for message in created:
        identifier = uuid.UUID(message.id)
        parts = [str(identifier).encode(), identifier.hex.encode(), identifier.bytes, identifier.bytes_le]
        assert not [part for part in parts if part in content or base64.urlsafe_b64encode(part)[:-4] in content]
    assert not re.search(rb"(?i)select|order|offset|limit|where|sprocket|location|factory", content)


@every_resource
async def test_a_token_is_good_for_every_server_on_the_database_and_for_more_than_once(
    service: Service, database_url: str, case: Case
) -> None:
    created = await create_several(service, case, 3)
    _, token = await case.page(service, page_size=1)
    async with running_service(database_url) as other:
        for server in (other, service, other):
            assert await case.page(server, page_token=token) == (created[1:], "")
