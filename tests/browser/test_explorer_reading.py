"""The explorer is read: everything can be found, linked and read by anyone, on any screen."""

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import NewPage
from tests.support.browser import Problems, accessibility_violations, screenshot
from tests.support.explorer import Explorer
from tests.support.site import Site

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.slow

VIEWS = [
    "",
    "FactoryService",
    "FactoryService/GetFactoryChart",
    "SprocketService/CreateSprocket",
    "Factory",
    "ErrorReason",
]
SCREENS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True},
}


@pytest.fixture
def explorer(page: "Page", site: Site) -> Explorer:
    """The explorer."""
    return Explorer(page, site.url)


async def test_what_a_comment_says_is_found_and_opened_by_keys(explorer: Explorer) -> None:
    await explorer.open("")
    await explorer.page.keyboard.press("/")
    await explorer.page.keyboard.type("downsampled selection spikes")
    await explorer.page.get_by_text("1 result", exact=True).wait_for()
    await explorer.page.keyboard.press("Enter")
    await explorer.page.get_by_role("heading", level=1, name="GetFactoryChartRequest").wait_for()
    assert "keeps the shape of the curves" in await explorer.page.locator(".field:focus").inner_text()


@pytest.mark.parametrize("query", ["createSprocket", "create sprocket", "CREATE_SPROCKET"])
async def test_a_method_is_found_before_what_mentions_it(explorer: Explorer, query: str) -> None:
    await explorer.open("")
    await explorer.page.get_by_role("searchbox").fill(query)
    results = explorer.page.get_by_role("navigation", name="Contract").get_by_role("listitem")
    assert (await results.first.inner_text()).startswith("SprocketService/CreateSprocket")
    await explorer.page.keyboard.press("ArrowDown")
    await explorer.page.keyboard.press("Enter")
    await explorer.page.get_by_role("heading", level=1, name="CreateSprocket").wait_for()
    await explorer.page.get_by_role("searchbox").press("Escape")
    assert await results.first.inner_text() != ""


async def test_links_lead_from_a_method_to_its_types_and_back(explorer: Explorer) -> None:
    await explorer.open("FactoryService/CreateFactory")
    await explorer.page.get_by_role("link", name="CreateFactoryResponse", exact=True).first.click()
    await explorer.page.get_by_role("link", name="Factory", exact=True).first.click()
    await explorer.page.get_by_role("heading", level=1, name="Factory").wait_for()
    await explorer.page.locator("article").get_by_role("link", name="FactoryService/CreateFactory").click()
    await explorer.page.get_by_role("heading", level=1, name="CreateFactory").wait_for()
    await explorer.page.go_back()
    await explorer.page.get_by_role("heading", level=1, name="Factory").wait_for()


async def test_a_comment_has_its_paragraphs_lists_code_and_links(explorer: Explorer) -> None:
    await explorer.open("FactoryService/GetFactory")
    errors = explorer.page.locator("article > ul > li")
    assert await errors.all_inner_texts() == [
        "INVALID_ARGUMENT: The id is not a UUID.",
        "NOT_FOUND: No factory has this id.",
    ]
    assert await errors.locator("code").all_inner_texts() == ["INVALID_ARGUMENT", "NOT_FOUND"]
    await explorer.open("ErrorReason.ERROR_REASON_INTERNAL")
    value = explorer.page.locator(".field:focus")
    assert '{\n  "reason": "ERROR_REASON_INTERNAL",' in await value.locator("pre").inner_text()
    await explorer.open("FactoryService")
    await explorer.page.locator("article").get_by_role("link", name="ErrorReason", exact=True).click()
    await explorer.page.get_by_role("heading", level=1, name="ErrorReason").wait_for()


@pytest.mark.parametrize("link", ["Factory.location_id", "ErrorReason.ERROR_REASON_INTERNAL"])
async def test_a_link_to_a_field_or_value_shows_it(explorer: Explorer, link: str) -> None:
    await explorer.open(link)
    assert link.split(".")[1] in await explorer.page.locator(".field:focus").inner_text()


async def test_a_link_to_nothing_says_so(explorer: Explorer) -> None:
    await explorer.page.goto(f"{explorer.url}/docs#%E0%A4%A")
    await explorer.page.get_by_text("The contract has no").wait_for()
    await explorer.page.goto(f"{explorer.url}/docs#constructor")
    await explorer.page.get_by_text("The contract has no constructor.").wait_for()


async def test_what_was_typed_is_there_after_a_look_elsewhere(explorer: Explorer) -> None:
    await explorer.open("FactoryService/GetFactory")
    await explorer.write('{"id": "mine"}')
    await explorer.page.get_by_role("link", name="GetFactoryRequest").first.click()
    await explorer.page.get_by_role("heading", level=1, name="GetFactoryRequest").wait_for()
    await explorer.page.go_back()
    await explorer.page.get_by_role("heading", level=1, name="GetFactory").wait_for()
    assert await explorer.request() == '{"id": "mine"}'


@pytest.mark.parametrize("screen", SCREENS)
async def test_every_view_is_accessible_and_fits_the_screen(
    new_page: NewPage, site: Site, problems: Problems, screen: str
) -> None:
    problems.allow("status of 400")
    explorer = Explorer(await new_page(**SCREENS[screen]), site.url)
    for view in VIEWS:
        await explorer.open(view)
        await check(explorer.page)
        await screenshot(explorer.page, f"explorer-{screen}-{re.sub('[/]', '-', view) or 'start'}")
    await explorer.open("SprocketService/CreateSprocket")
    await explorer.write("{}")
    await explorer.send_button.click()
    await explorer.answered("INVALID_ARGUMENT")
    await check(explorer.page)
    await screenshot(explorer.page, f"explorer-{screen}-error")


async def test_on_a_phone_the_contents_open_and_close_above_the_page(new_page: NewPage, site: Site) -> None:
    explorer = Explorer(await new_page(**SCREENS["phone"]), site.url)
    await explorer.open("Factory")
    method = explorer.page.get_by_role("navigation", name="Contract").get_by_role("link", name="GetFactory read")
    assert not await method.is_visible()
    await explorer.page.get_by_role("button", name="Contents", expanded=False).click()
    await method.click()
    await explorer.page.get_by_role("heading", level=1, name="GetFactory").wait_for()
    assert not await method.is_visible()


async def check(page: "Page") -> None:
    """Assert that nobody is shut out, and that the page does not scroll sideways."""
    assert await accessibility_violations(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
