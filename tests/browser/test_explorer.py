"""The explorer calls: examples are accepted, commands run in a shell, errors explain themselves, and streams stop."""

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sprocket_grpc.auth.permissions import REQUIRED
from tests.browser.conftest import NewPage
from tests.support.browser import Problems
from tests.support.explorer import ANSWERED, Explorer, run_in_shell
from tests.support.grpcurl import Command, call, parse_command
from tests.support.http import post
from tests.support.site import Site
from tests.support.waiting import until
from tests.support.web import FACTORIES

if TYPE_CHECKING:
    from playwright.async_api import Route

pytestmark = pytest.mark.slow

METHODS = [path.removeprefix("/sprocket.v1.") for path in REQUIRED]
CLIPBOARD = ["clipboard-read", "clipboard-write"]
COMMANDS = [
    ("curl", "FactoryService/ListFactories", "displayName"),
    ("curl", "LocationService/UpdateLocation", '"displayName"'),
    ("curl", "FactoryService/GetFactoryChart", "resumeToken"),
    ("buf curl", "FactoryService/GetFactoryChart", "resumeToken"),
    ("buf curl", "SprocketService/CreateSprocket", '"factoryId"'),
]


@pytest.fixture
async def explorer(new_page: NewPage, site: Site) -> Explorer:
    """The explorer, on a page that may use the clipboard."""
    return Explorer(await new_page(permissions=CLIPBOARD), site.url)


async def ask(site: Site, method: str, message: Any) -> Any:
    """Call a method by HTTP, and return its response."""
    return (await post(site.url.removeprefix("http://"), f"{FACTORIES}/{method}", message)).json


async def test_a_sprocket_is_created_and_counted_in_its_factory(explorer: Explorer, site: Site) -> None:
    await explorer.open("SprocketService/CreateSprocket")
    request = json.loads(await explorer.request())
    assert request["validateOnly"] is True
    factory = {"id": request["sprocket"]["factoryId"]}
    before = (await ask(site, "GetFactory", factory))["factory"]["sprocketProductionActual"]
    await explorer.write(json.dumps({"sprocket": request["sprocket"]}))
    await explorer.request_area.press("Control+Enter")
    await explorer.answered("OK")
    assert request["sprocket"]["factoryId"] in await explorer.messages.inner_text()
    after = (await ask(site, "GetFactory", factory))["factory"]["sprocketProductionActual"]
    assert int(after) == int(before) + 1


async def test_a_write_is_a_dry_run_until_the_reader_decides_otherwise(explorer: Explorer, site: Site) -> None:
    await explorer.open("LocationService/CreateLocation")
    request = json.loads(await explorer.request())
    assert await explorer.send_button.inner_text() == "Send dry run"
    await explorer.write(json.dumps(request | {"validateOnly": False}))
    assert await explorer.send_button.inner_text() == "Send"
    assert "changes data" in await explorer.effect.inner_text()
    await explorer.write("{")
    assert "not JSON" in await explorer.effect.inner_text()
    await explorer.send_button.click()
    assert "CreateLocation" not in site.log


async def test_the_example_of_every_method_is_accepted(explorer: Explorer, problems: Problems) -> None:
    problems.allow("status of 400")  # of what is in use, and asked to be deleted
    refused = {}
    for method in METHODS:
        await explorer.open(method)
        await explorer.send_button.click()
        status = await explorer.answered(ANSWERED)
        in_use = "Delete" in method and "ERROR_REASON_RESOURCE_IN_USE" in await explorer.error.inner_text()
        if not status.startswith(("OK", "The stream is open")) and not in_use:
            refused[method] = status, await explorer.error.inner_text()
    assert refused == {}


async def test_a_stream_that_cannot_be_read_ends_with_an_error_and_can_be_sent_again(explorer: Explorer) -> None:
    async def break_once(route: "Route") -> None:
        await route.fulfill(content_type="application/connect+json", body=b"\0\0\0\0\1{")

    await explorer.open("FactoryService/GetFactoryChart")
    await explorer.page.route("**/sprocket.v1.FactoryService/GetFactoryChart", break_once, times=1)
    await explorer.send_button.click()
    await explorer.answered("UNAVAILABLE")
    await explorer.send_button.click()
    await explorer.answered("OK")


@pytest.mark.parametrize(("program", "method", "answer"), COMMANDS, ids=[f"{each[0]} {each[1]}" for each in COMMANDS])
async def test_a_copied_command_answers_in_a_shell(explorer: Explorer, program: str, method: str, answer: str) -> None:
    await explorer.open(method)
    await explorer.choose(program)
    command = await explorer.copied("Copy command")
    assert command.startswith((program, "printf"))
    assert answer in await run_in_shell(command)


@pytest.mark.parametrize("method", ["FactoryService/GetFactory", "FactoryService/UpdateFactory"])
async def test_a_copied_command_of_grpcurl_answers(explorer: Explorer, tmp_path: Path, method: str) -> None:
    await explorer.open(method)
    command = await grpcurl_command(explorer)
    answer = await asyncio.to_thread(call, command, tmp_path)
    assert answer.messages[0]["factory"]["display_name"]


async def test_grpcurl_gets_a_field_mask_as_the_list_that_it_accepts(explorer: Explorer) -> None:
    await explorer.open("LocationService/UpdateLocation")
    await explorer.write('{"updateMask": "displayName,postalCode", "location": {"city": "\\"updateMask\\":\\"a\\""}}')
    command = await grpcurl_command(explorer)
    assert json.loads(dict(command.options)["-d"]) == {
        "update_mask": {"paths": ["display_name", "postal_code"]},
        "location": {"city": '"updateMask":"a"'},
    }


async def grpcurl_command(explorer: Explorer) -> Command:
    """Copy the command of grpcurl, and return what a shell makes of it."""
    await explorer.choose("grpcurl")
    copied = await explorer.copied("Copy command")
    return parse_command(shlex.split(copied.replace("\\\n", "")))


async def test_a_quote_in_a_request_ends_no_word_of_the_command(explorer: Explorer, tmp_path: Path) -> None:
    await explorer.open("FactoryService/ListFactories")
    touched = tmp_path / "touched"
    request = {"filter": f'display_name = "it\'s $(touch {touched}) `touch {touched}`; é"'}
    await explorer.write(json.dumps(request))
    assert json.loads(await run_in_shell(await explorer.copied("Copy command"))) == {}
    assert not touched.exists()


async def test_each_field_that_is_wrong_leads_to_its_documentation(explorer: Explorer, problems: Problems) -> None:
    problems.allow("status of 400")
    await explorer.open("FactoryService/CreateFactory")
    await explorer.write('{"factory": {"displayName": " ", "locationId": "none", "sprocketProductionGoal": -3}}')
    await explorer.send_button.click()
    await explorer.answered("INVALID_ARGUMENT")
    links = explorer.error.locator("table a")
    fields = ["factory.display_name", "factory.location_id", "factory.sprocket_production_goal"]
    assert await links.all_inner_texts() == fields
    assert "ERROR_REASON_INVALID_FIELD" in await explorer.error.inner_text()
    for index, field in enumerate(fields):
        await links.nth(index).click()
        focused = explorer.page.locator(".field:focus")
        assert field.removeprefix("factory.") in await focused.inner_text()
        assert "Required." in await focused.inner_text() or "Optional." in await focused.inner_text()


async def test_a_reference_to_nothing_leads_to_its_field_too(explorer: Explorer, problems: Problems) -> None:
    problems.allow("status of 400")
    await explorer.open("SprocketService/BatchCreateSprockets")
    request = json.loads(await explorer.request())
    request["sprockets"][0]["factoryId"] = "00000000-0000-4000-8000-000000000000"
    await explorer.write(json.dumps(request))
    await explorer.send_button.click()
    await explorer.answered("FAILED_PRECONDITION")
    await explorer.error.get_by_role("link", name="sprockets[0].factory_id").click()
    assert "The factory must exist" in await explorer.page.locator(".field:focus").inner_text()


async def test_a_reason_is_explained_and_its_delay_counts_down(explorer: Explorer, problems: Problems) -> None:
    problems.allow("status of 429")
    info = {"type": "google.rpc.ErrorInfo", "value": "", "debug": {"reason": "ERROR_REASON_RATE_LIMITED"}}
    retry = {"type": "google.rpc.RetryInfo", "value": "", "debug": {"retryDelay": "2.500s"}}
    error = {"code": "resource_exhausted", "message": "too many calls", "details": [info, retry]}
    await explorer.open("FactoryService/GetFactory")
    await explorer.page.route("**/GetFactory", lambda route: route.fulfill(status=429, json=error))
    await explorer.send_button.click()
    await explorer.answered("RESOURCE_EXHAUSTED")
    assert "The caller exceeds its rate limit" in await explorer.error.inner_text()
    await explorer.error.get_by_text(re.compile(r"Retry in \d s\.")).wait_for()
    await explorer.error.get_by_text("You can retry now.").wait_for()


async def test_stop_cancels_a_stream_on_the_server(explorer: Explorer, site: Site) -> None:
    await explorer.open("FactoryService/GetFactoryChart")
    request = json.loads(await explorer.request())
    await explorer.write(json.dumps(request | {"follow": True}))
    await explorer.send_button.click()
    await explorer.answered("open")
    assert "GetFactoryChart CANCELLED" not in site.log
    await explorer.page.get_by_role("button", name="Stop").click()
    await explorer.answered("Stopped")
    await until(lambda: "GetFactoryChart CANCELLED" in site.log)


async def test_a_stream_ends_when_its_page_is_left(explorer: Explorer, site: Site) -> None:
    await explorer.open("FactoryService/GetFactoryChart")
    request = json.loads(await explorer.request())
    await explorer.write(json.dumps(request | {"follow": True}))
    await explorer.send_button.click()
    await explorer.answered("open")
    await explorer.open("FactoryService/GetFactory")
    await until(lambda: "GetFactoryChart CANCELLED" in site.log)


async def test_a_long_stream_keeps_its_last_messages_only(explorer: Explorer) -> None:
    messages = [json.dumps({"resumeToken": str(number)}).encode() for number in range(200)]
    envelopes = [b"\0" + len(each).to_bytes(4, "big") + each for each in messages]
    body = b"".join(envelopes) + b"\2\0\0\0\2{}"
    await explorer.open("FactoryService/GetFactoryChart")
    await explorer.page.route(
        "**/GetFactoryChart", lambda route: route.fulfill(content_type="application/connect+json", body=body)
    )
    await explorer.send_button.click()
    await explorer.answered("ended")
    assert "200 messages, the last 50 are shown" in await explorer.facts.inner_text()
    assert await explorer.messages.locator("li").count() == 50
    assert '"199"' in await explorer.messages.locator("li").first.inner_text()


async def test_a_large_number_is_sent_as_it_is_written(explorer: Explorer) -> None:
    await explorer.open("FactoryService/CreateFactory")
    request = await explorer.request()
    await explorer.write(
        re.sub(r'"sprocketProductionGoal": "\d+"', '"sprocketProductionGoal": 9007199254740993', request)
    )
    await explorer.send_button.click()
    await explorer.answered("OK")
    assert '"9007199254740993"' in await explorer.messages.inner_text()
    assert "9007199254740993" in await explorer.copied("Copy command")


async def test_a_request_from_a_link_is_shown_and_not_sent(explorer: Explorer, site: Site) -> None:
    await explorer.open("LocationService/DeleteLocation")
    await explorer.write('{"id": "a+b %2F?#&=ü"}')
    link = await explorer.copied("Copy link")
    await explorer.page.goto("about:blank")
    await explorer.page.goto(link)
    await explorer.effect.get_by_text("From a link").wait_for()
    assert await explorer.request() == '{"id": "a+b %2F?#&=ü"}'
    assert "changes data" in await explorer.effect.inner_text()
    assert "DeleteLocation" not in site.log
    assert "%2F" not in site.log
