"""Page tokens are encrypted and authenticated, and valid for one method only."""

import asyncio
import base64
import re
import uuid

import pytest

from tests.conformance.promises import INVALID_PAGE_TOKEN, invalid
from tests.conformance.rows import create_several
from tests.support.resources import CASES, LOCATION, Case
from tests.support.service import Service, running_service

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"  # pragma: allowlist secret


async def token_of(service: Service, case: Case) -> str:
    """Create three resources, and return the token after the first one."""
    await create_several(service, case, 3)
    _, token = await case.page(service, page_size=1)
    return token


async def assert_refused(service: Service, case: Case, tokens: list[str]) -> None:
    """Check that all tokens are refused."""
    calls = (invalid(case.page(service, page_token=token), INVALID_PAGE_TOKEN) for token in tokens)
    refused = await asyncio.gather(*calls)
    assert refused == [["page_token"]] * len(tokens)


def flipped(token: str) -> list[str]:
    """Return copies with one changed character: with another lowest bit (unused in the last one), or not in base64."""
    pairs = [(index, ALPHABET[ALPHABET.index(it) ^ 1]) for index, it in enumerate(token)]
    pairs += [(index, chr(ord(it) ^ 0x40)) for index, it in enumerate(token)]
    return [f"{token[:index]}{other}{token[index + 1 :]}" for index, other in pairs]


@every_resource
async def test_a_token_with_any_one_character_changed_is_refused(service: Service, case: Case) -> None:
    await assert_refused(service, case, flipped(await token_of(service, case)))


@every_resource
async def test_a_truncated_or_extended_token_is_refused(service: Service, case: Case) -> None:
    token = await token_of(service, case)
    truncated = [token[:length] for length in range(1, len(token))] + [
        token[start:] for start in range(1, len(token), 9)
    ]
    extended = [f"{token[:9]}{middle}{token[9:]}" for middle in ("A", "\n", " ", "=", ".", "\0", "\u00e4")]
    extended += [f"{token}{end}" for end in ("A", "\n", " ", "\0", "%", token)]
    await assert_refused(service, case, [*truncated, *extended, f" {token}"])


async def test_a_token_with_base64_padding_is_refused(service: Service) -> None:
    token = await token_of(service, LOCATION)
    await assert_refused(service, LOCATION, [token + "=" * count for count in range(1, 5)])


@every_resource
async def test_a_made_up_token_is_refused(service: Service, case: Case) -> None:
    offset = base64.urlsafe_b64encode(b"50").decode()
    identifier = (await case.create(service)).id
    words = ["0", "1", "50", offset, "nonsense", " ", "\0", "=", "\u00e4", "\N{GRINNING FACE}", identifier, "A" * 228]
    await assert_refused(service, case, [*words, "A" * 1_000_000])


@every_resource
async def test_a_token_of_another_method_is_refused(service: Service, case: Case) -> None:
    tokens = [await token_of(service, other) for other in CASES if other is not case]
    await assert_refused(service, case, tokens)


@every_resource
async def test_a_token_is_url_safe_and_does_not_reveal_its_content(service: Service, case: Case) -> None:
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
async def test_a_token_is_valid_repeatedly_and_on_every_server_of_the_database(
    service: Service, database_url: str, case: Case
) -> None:
    created = await create_several(service, case, 3)
    _, token = await case.page(service, page_size=1)
    async with running_service(database_url) as other:
        for server in (other, service, other):
            assert await case.page(server, page_token=token) == (created[1:], "")
