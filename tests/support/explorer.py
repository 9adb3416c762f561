"""The explorer at /docs as a person uses it."""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

ANSWERED = re.compile(r"^(OK|OK: .*|The stream is open\.|[A-Z_]{4,})$")
"""The status after a call has ended, or a stream has sent a message."""

PATIENCE_MS = 60_000


class Explorer:
    """The explorer on a page.

    Attributes:
        page: The page.
        url: Of the server.
        request_area: The editor of the request.
        effect: What the request would do.
        send_button: Sends it.
        status: How the call has ended, or that it has not.
        facts: How long it took.
        error: What the server says about an error.
        messages: What the server has answered.
    """

    def __init__(self, page: "Page", url: str) -> None:
        self.url = url
        self.page = page
        self.request_area: Locator = page.get_by_label("Request as JSON")
        self.effect: Locator = page.locator("#effect")
        self.send_button: Locator = page.locator("button.send")
        response = page.get_by_role("region", name="Response")
        self.status: Locator = response.get_by_role("status")
        self.facts: Locator = response.locator(".facts")
        self.error: Locator = response.locator(".error")
        self.messages: Locator = response.get_by_role("list", name="Messages")

    async def open(self, link: str) -> None:
        """Open what a link such as `FactoryService/GetFactory` names, and wait for its example if it is a method."""
        await self.page.goto(f"{self.url}/docs#{link}")
        name = link.partition("/")[2] or link.partition(".")[0] or "Methods"
        await self.page.get_by_role("heading", level=1, name=re.compile(f"^{name}( |$)")).wait_for()
        if "/" in link:
            await self.page.locator("#effect:not(:empty)").wait_for(timeout=PATIENCE_MS)

    async def request(self) -> str:
        """Return the request in the editor."""
        text: str = await self.request_area.input_value()
        return text

    async def write(self, request: str) -> None:
        """Replace the request in the editor."""
        await self.request_area.fill(request)

    async def choose(self, program: str) -> None:
        """Show the command for a program."""
        await self.page.get_by_role("group", name="Program").get_by_role("button", name=program, exact=True).click()

    async def copied(self, button: str) -> str:
        """Press a button that copies, and return what the clipboard has then."""
        await self.page.evaluate("navigator.clipboard.writeText('')")
        await self.page.get_by_role("button", name=button).click()
        copied = await self.page.wait_for_function("() => navigator.clipboard.readText()", timeout=PATIENCE_MS)
        text: str = await copied.json_value()
        return text

    async def answered(self, status: str | re.Pattern[str]) -> str:
        """Wait for a status, and return it."""
        await self.status.filter(has_text=status).wait_for(timeout=PATIENCE_MS)
        text: str = await self.status.inner_text()
        return text


async def run_in_shell(command: str, shell: str = "sh", **environment: str) -> str:
    """Run a command as a person does who has pasted it, with variables in its environment, and return its output."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *(shell, "-c", command), env=os.environ | {"PATH": path} | environment, stdin=nothing, stdout=pipe, stderr=pipe
    )
    async with asyncio.timeout(PATIENCE_MS / 1000):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors
    return output.decode(errors="replace")
