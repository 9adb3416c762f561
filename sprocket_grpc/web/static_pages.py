"""The pages for browsers and what they load, all from files beside this module: nothing comes from elsewhere."""

from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable

from sprocket_grpc.web.app import Page
from sprocket_grpc.web.exchange import Exchange
from sprocket_grpc.web.pages import fixed_page

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)
"""What a page may do: load and call this server, and nothing else. Text never becomes HTML or a script."""

_HEADERS = [("content-security-policy", "; ".join(_POLICY))]

_PAGES = {"/": "index.html", "/docs": "docs.html"}


def static_pages() -> Mapping[str, Page]:
    """Return the pages and files for browsers, by their paths."""
    files = {each.name: _page(each) for each in _files()}
    return {f"/static/{name}": page for name, page in files.items() if not name.endswith(".html")} | {
        path: files[name] for path, name in _PAGES.items()
    }


def html_or_else(page: Page, other: Page) -> Page:
    """Return a page for clients that accept HTML, which is another one for those that do not, such as curl."""

    async def chosen(exchange: Exchange) -> None:
        wants_html = "text/html" in exchange.headers.get("accept", "")
        await (page if wants_html else other)(exchange)

    return chosen


def _files() -> Iterator[Traversable]:
    yield from (resources.files("sprocket_grpc.web") / "static").iterdir()


def _page(file: Traversable) -> Page:
    suffix = file.name[file.name.rindex(".") :]
    return fixed_page(_TYPES[suffix], file.read_bytes, _HEADERS)
