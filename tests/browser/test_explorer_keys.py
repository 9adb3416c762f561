"""The explorer at a server that requires API keys: it asks for one, and keeps it to itself."""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import NewPage
from tests.support.browser import Problems
from tests.support.callers import create_key
from tests.support.explorer import Explorer
from tests.support.site import Site, running_site

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.slow

EVERYTHING_KEPT = """() => ({
  url: location.href, name: window.name, cookie: document.cookie, history: JSON.stringify(history.state),
  local: JSON.stringify({ ...localStorage }), session: JSON.stringify({ ...sessionStorage }),
  page: document.documentElement.outerHTML,
  fields: [...document.querySelectorAll("input, textarea")].map((each) => each.value).join(),
})"""


@pytest.fixture
async def site(browser: "Browser", database_url: str) -> AsyncIterator[Site]:  # noqa: ARG001  # it may skip the test
    """A server that requires API keys."""
    async with running_site(database_url, api_keys="true") as site:  # pragma: allowlist secret
        yield site


@pytest.fixture
async def explorer(new_page: NewPage, site: Site, problems: Problems) -> Explorer:
    """The explorer, without a key at first."""
    problems.allow("status of 401")
    return Explorer(await new_page(permissions=["clipboard-read", "clipboard-write"]), site.url)


async def set_key(explorer: Explorer, button: str, key: str) -> None:
    """Set the key with the dialog that a button opens, and wait for the example that it allows."""
    await explorer.page.get_by_role("button", name=button).click()
    await explorer.page.get_by_label("API key or bearer token").fill(key)
    await explorer.page.get_by_role("button", name="Use").click()
    await explorer.page.wait_for_function("() => !document.querySelector('textarea').value.includes('\"\"')")


async def test_a_call_without_a_key_asks_for_it_and_the_example_follows(explorer: Explorer, site: Site) -> None:
    await explorer.open("FactoryService/GetFactory")
    assert json.loads(await explorer.request()) == {"id": ""}
    await explorer.send_button.click()
    await explorer.answered("UNAUTHENTICATED")
    await set_key(explorer, "Set a key", create_key(site.database_url, "read").text)
    assert json.loads(await explorer.request())["id"] != ""
    await explorer.send_button.click()
    await explorer.answered("OK")


async def test_the_key_is_sent_and_nowhere_else(explorer: Explorer, site: Site) -> None:
    key = create_key(site.database_url, "read").text
    await explorer.open("FactoryService/GetFactory")
    await set_key(explorer, "Key…", key)
    async with explorer.page.expect_request("**/GetFactory") as sent:
        await explorer.send_button.click()
    assert (await (await sent.value).all_headers())["authorization"] == f"Bearer {key}"
    await explorer.answered("OK")
    for program in ("grpcurl", "buf curl", "curl"):
        await explorer.choose(program)
        command = await explorer.copied("Copy command")
        assert '"authorization: Bearer $KEY"' in command
        assert key not in command
    assert key not in await explorer.copied("Copy link")
    assert await places_with(explorer.page, key) == []


async def places_with(page: "Page", key: str) -> list[str]:
    """Return where a page has a key, apart from the memory of its scripts."""
    kept: dict[str, str] = await page.evaluate(EVERYTHING_KEPT)
    return [place for place, content in kept.items() if key in content]
