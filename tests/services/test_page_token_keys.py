"""Page tokens open on every replica that shares a key, whatever is rotated."""

import grpc
from pydantic import SecretStr

from sprocket_grpc.config.settings import Settings
from tests.support.errors import fails
from tests.support.resources import CASES, create_location
from tests.support.service import running_service

LOCATIONS = CASES[0]
OLD, NEW = "old" * 11, "new" * 11


async def first_token(url: str, settings: Settings) -> str:
    """Return the token of the first of two pages, from a server of its own."""
    async with running_service(url, settings) as service:
        for _ in range(2):
            await create_location(service)
        _, token = await LOCATIONS.page(service, page_size=1)
    return token


async def second_page_size(url: str, settings: Settings, token: str) -> int:
    """Return how many locations another server finds behind a token."""
    async with running_service(url, settings) as service:
        page, _ = await LOCATIONS.page(service, page_token=token)
    return len(page)


def sealed_by(*keys: str) -> Settings:
    return Settings(page_token_keys=SecretStr(",".join(keys)))


async def test_without_keys_in_the_settings_replicas_share_the_one_in_the_database(database_url: str) -> None:
    token = await first_token(database_url, Settings())
    assert await second_page_size(database_url, Settings(), token) == 1


async def test_an_old_key_opens_tokens_while_a_new_one_seals(database_url: str) -> None:
    token = await first_token(database_url, sealed_by(OLD))
    assert await second_page_size(database_url, sealed_by(NEW, OLD), token) == 1
    assert await second_page_size(database_url, sealed_by(OLD, NEW), token) == 1


async def test_a_token_of_a_key_that_is_gone_is_refused(database_url: str) -> None:
    token = await first_token(database_url, sealed_by(NEW, OLD))
    with fails(grpc.StatusCode.INVALID_ARGUMENT) as failure:
        await second_page_size(database_url, sealed_by(OLD), token)
    assert failure.info.reason == "ERROR_REASON_INVALID_PAGE_TOKEN"
