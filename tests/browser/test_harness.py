"""What fails the tests of pages: each kind of problem is noticed, and only what a test allows is not."""

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Problems, accessibility_violations
from tests.support.site import Site
from tests.support.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.slow


async def open_page(page: "Page", site: Site, content: str = "", **headers: str) -> None:
    """Open a page of the origin of the server whose content is the test's own."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = f"<!doctype html><link rel=icon href=data:,>{content}"
    await page.route(f"{site.url}/", lambda route: route.fulfill(headers=named, content_type="text/html", body=body))
    await page.goto(site.url)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("console.error('wrong')", "console: wrong"),
        ("setTimeout(() => { throw new Error('thrown') })", "exception: .*thrown"),
        ("setTimeout(() => Promise.reject(new Error('rejected')))", "exception: .*rejected"),
        ("fetch('http://127.0.0.1:1/').catch(() => 0)", "failed: http://127.0.0.1:1/"),
        ("fetch('/nothing')", "console: Failed to load resource: .* 404"),
        ("fetch('http://far.example/').catch(() => 0)", "leaves this machine: http://far.example/"),
    ],
    ids=["console", "exception", "rejection", "failed request", "error status", "another machine"],
)
async def test_each_kind_of_problem_is_noticed(
    page: "Page", problems: Problems, site: Site, script: str, problem: str
) -> None:
    await open_page(page, site)
    await page.evaluate(f"() => {{ {script} }}")
    await until(lambda: any(re.search(problem, each) for each in problems.unexpected))
    problems.allow(problem, "Failed to load resource: net::", "failed: http://far.example/", "CORS")
    assert problems.unexpected == []


async def test_a_violation_of_the_security_policy_is_noticed(page: "Page", problems: Problems, site: Site) -> None:
    policy = "default-src 'none'; img-src data:"
    await open_page(page, site, "<script>1</script>", content_security_policy=policy)
    await until(lambda: any("CSP: script-src-elem forbids inline" in each for each in problems.unexpected))
    problems.allow("CSP: ", "Content Security Policy")
    assert problems.unexpected == []


async def test_what_a_screen_reader_cannot_say_is_a_violation(page: "Page", site: Site) -> None:
    await open_page(page, site, "<button></button>")
    assert any(each.startswith("button-name: ") for each in await accessibility_violations(page))
