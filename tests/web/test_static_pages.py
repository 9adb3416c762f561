"""The pages for browsers: served whole from the package, with a policy that lets them load nothing else."""

import gzip
import re
from importlib import resources

import pytest

from sprocket_grpc.config.settings import Settings
from tests.support.http import post, send
from tests.support.web import LOCATIONS, WebService, running_web_service

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
PAGES = ["/", "/docs"]
STATIC = resources.files("sprocket_grpc.web") / "static"
FILES = {each.name: each.read_text() for each in STATIC.iterdir()}
MOST_LINES = 300
MOST_BYTES_AT_FIRST = 80 << 10


def linked(text: str) -> set[str]:
    """Return the paths that a page or a file of it loads, wherever it names them."""
    return {*re.findall(r"""["'](/static/[^"']+)["']""", text)}


async def loaded(web: WebService, page: str) -> dict[str, bytes]:
    """Return all that a browser loads for a page, compressed, by its path."""
    found, waiting = {}, [page]
    while waiting:
        path = waiting.pop()
        answered = await send(web.web, "GET", path, accept=HTML, accept_encoding="gzip")
        assert (answered.status, answered.headers["content-encoding"]) == (200, "gzip")
        found[path] = answered.body
        waiting += linked(gzip.decompress(answered.body).decode()) - {*found, *waiting}
    return found


@pytest.mark.parametrize("path", PAGES)
async def test_a_browser_gets_a_page_that_may_load_and_call_this_server_alone(web: WebService, path: str) -> None:
    answered = await send(web.web, "GET", path, accept=HTML)
    assert (answered.status, answered.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answered.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "trusted-types 'none'"} <= {*policy}
    assert not any("unsafe" in each or "http" in each for each in policy)
    assert answered.headers["cross-origin-opener-policy"] == "same-origin"


async def test_curl_gets_text_at_the_path_where_browsers_get_a_page(web: WebService) -> None:
    for accept in ("*/*", "application/json"):
        answered = await send(web.web, "GET", "/", accept=accept)
        assert answered.headers["content-type"] == "text/plain; charset=utf-8"
        assert "accept" in answered.headers["vary"]


async def test_every_file_has_its_type_and_the_policy(web: WebService) -> None:
    types = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    for name in FILES.keys() - {"index.html", "docs.html"}:
        answered = await send(web.web, "GET", f"/static/{name}")
        assert answered.headers["content-type"].partition(";")[0] == types[name.rpartition(".")[2]]
        assert answered.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answered.headers["content-security-policy"]
        assert answered.body.decode() == FILES[name]


async def test_a_file_that_a_browser_has_is_not_sent_again(web: WebService) -> None:
    first = await send(web.web, "GET", "/static/app.css")
    again = await send(web.web, "GET", "/static/app.css", if_none_match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")


async def test_no_path_leads_out_of_the_folder(web: WebService) -> None:
    for path in ("/static/", "/static/../app.py", "/static/%2e%2e/app.py", "/static//app.css", "/static/index.html"):
        assert (await send(web.web, "GET", path)).status == 404


async def test_the_pages_are_served_where_reflection_is(database_url: str) -> None:
    async with running_web_service(database_url, Settings(reflection=False)) as web:
        for path in ("/docs", "/static/app.css"):
            assert (await send(web.web, "GET", path, accept=HTML)).status == 404
        assert (await send(web.web, "GET", "/", accept=HTML)).headers["content-type"].startswith("text/plain")
        assert (await post(web.web, f"{LOCATIONS}/ListLocations", {})).status == 200


@pytest.mark.parametrize("page", PAGES)
async def test_the_first_load_is_small_and_complete(web: WebService, page: str) -> None:
    files = await loaded(web, page)
    assert len(files) > 1
    assert sum(map(len, files.values())) < MOST_BYTES_AT_FIRST


@pytest.mark.parametrize(("page", "file"), [("/", "index.html"), ("/docs", "docs.html")])
async def test_modules_are_announced_by_the_page_so_that_they_load_at_once(
    web: WebService, page: str, file: str
) -> None:
    announced = {path for path in linked(FILES[file]) if path.endswith(".js")}
    assert {path for path in await loaded(web, page) if path.endswith(".js")} == announced


def test_no_file_has_more_than_300_lines() -> None:
    assert {name for name, text in FILES.items() if len(text.splitlines()) > MOST_LINES} == set()


def test_no_file_names_another_server_or_makes_html_of_text() -> None:
    for name, text in FILES.items():
        found = re.findall(r"https?://[^\s\"'`]*|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text)
        assert [each for each in found if each != "http://www.w3.org/2000/svg"] == [], name  # a namespace


def test_nothing_but_the_theme_is_stored() -> None:
    for name, text in FILES.items():
        assert {*re.findall(r"setItem\(([^,]+),|(document\.cookie|indexedDB|caches)\b", text)} <= {('"theme"', "")}, (
            name
        )
