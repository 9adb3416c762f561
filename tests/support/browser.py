"""A real browser: what is wrong on its pages fails a test, and nothing of it leaves this machine."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests import ROOT

if TYPE_CHECKING:  # only `make browser` installs it
    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request

SCREENSHOTS = ROOT / ".cache" / "screenshots"

_FLAGS = [
    "--no-sandbox",  # as root, it has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]

_LOCAL = {"127.0.0.1", "localhost"}

_REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.effectiveDirective} forbids ${event.blockedURI} ${event.sample}`));
"""

_VIOLATIONS = """async () =>
  (await axe.run({ resultTypes: ["violations"] })).violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(" ")}`)
"""


class Problems:
    """What goes wrong on the pages of a test.

    These are errors on the console, exceptions, violations of the security policy, requests that fail, and requests to
    other machines.
    """

    def __init__(self) -> None:
        self._seen: list[str] = []
        self._allowed: list[str] = []

    def allow(self, *patterns: str) -> None:
        """Accept problems that match a regular expression: those that the test causes.

        A response with an error is a problem on the console: "console: Failed to load resource: ... status of 404".
        """
        self._allowed.extend(patterns)

    @property
    def unexpected(self) -> list[str]:
        """The problems that are not allowed, in their order."""
        return [each for each in self._seen if not any(re.search(pattern, each) for pattern in self._allowed)]

    def watch(self, context: "BrowserContext") -> None:
        """Note what goes wrong on all pages of a context."""
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self._seen.append(f"exception: {error.error}"))
        context.on("request", self._on_request)
        context.on("requestfailed", self._on_failed)

    def _on_console(self, message: "ConsoleMessage") -> None:
        if message.type in {"error", "assert"}:
            self._seen.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _on_request(self, request: "Request") -> None:
        url = urlsplit(request.url)
        if url.scheme not in {"data", "blob"} and url.hostname not in _LOCAL:
            self._seen.append(f"leaves this machine: {request.url}")

    def _on_failed(self, request: "Request") -> None:
        if request.failure != "net::ERR_ABORTED":  # by the page itself, or with it
            self._seen.append(f"failed: {request.url}: {request.failure}")


async def launch(playwright: "Playwright", program: str) -> "Browser":
    """Start a browser, with a new profile."""
    return await playwright.chromium.launch(executable_path=program, args=_FLAGS)


async def open_context(browser: "Browser", problems: Problems, options: Mapping[str, Any]) -> "BrowserContext":
    """Open a context, which shares neither storage nor connections with others, and watch its pages."""
    context = await browser.new_context(**options)
    problems.watch(context)
    await context.add_init_script(_REPORT_VIOLATIONS)
    return context


async def accessibility_violations(page: "Page") -> list[str]:
    """Return the serious and critical violations that axe-core finds on a page, in words."""
    from axe_playwright_python.base import AXE_FILE_PATH  # noqa: PLC0415  # a test is skipped without it

    await page.evaluate(AXE_FILE_PATH.read_text())
    violations: list[str] = await page.evaluate(_VIOLATIONS)
    return violations


async def screenshot(page: "Page", name: str) -> None:
    """Write a picture of a page to .cache/screenshots/NAME.png, for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
