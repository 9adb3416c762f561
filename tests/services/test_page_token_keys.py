"""Page tokens are valid on every replica with the same key, also during a rotation of keys."""

import grpc
from pydantic import SecretStr

from sprocket_grpc.config.settings import Settings
from tests.support.errors import fails
from tests.support.resources import CASES, create_location
from tests.support.service import running_service

LOCATIONS = CASES[0]
OLD, NEW = "old" * 11, "new" * 11


async def first_token(url: str, settings: Settings) -> str:
    """Create two locations on a new server, and return the token after the first page."""
    async with running_service(url, settings) as service:
        for _ in range(2):
            await create_location(service)
        _, token = await LOCATIONS.page(service, page_size=1)
    return token


async def second_page_size(url: str, settings: Settings, token: str) -> int:
    """Return the number of locations on the page of a token, from another new server."""
    async with running_service(url, settings) as service:
        page, _ = await LOCATIONS.page(service, page_token=token)
    return len(page)


def with_keys(*keys: str) -> Settings:
    return Settings(page_token_keys=SecretStr(",".join(keys)))


async def test_replicas_without_configured_keys_share_the_key_in_the_database(database_url: str) -> None:
    token = await first_token(database_url, Settings())
    assert await second_page_size(database_url, Settings(), token) == 1


async def test_an_old_key_decrypts_tokens_while_a_new_key_encrypts(database_url: str) -> None:
    token = await first_token(database_url, with_keys(OLD))
    assert await second_page_size(database_url, with_keys(NEW, OLD), token) == 1
    assert await second_page_size(database_url, with_keys(OLD, NEW), token) == 1


async def test_a_token_of_a_removed_key_is_refused(database_url: str) -> None:
    token = await first_token(database_url, with_keys(NEW, OLD))
    with fails(grpc.StatusCode.INVALID_ARGUMENT) as failure:
        await second_page_size(database_url, with_keys(OLD), token)
    assert failure.info.reason == "ERROR_REASON_INVALID_PAGE_TOKEN"
