"""What can be read beside the calls."""

import gzip
import hashlib
from collections.abc import Awaitable, Callable
from functools import cache

from sprocket_grpc.web.app import Page
from sprocket_grpc.web.compression import accepts_gzip
from sprocket_grpc.web.connect_errors import encode_json
from sprocket_grpc.web.exchange import Exchange, Headers

_TEXT = [("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store")]

_INDEX = """\
sprocket-grpc: the API by HTTP, as Connect and gRPC-Web

  curl {origin}/sprocket.v1.FactoryService/ListFactories -H 'content-type: application/json' -d '{{}}'

{origin}/                in a browser: the factories and their charts, if reflection is on
{origin}/docs            in a browser: the methods, to read and to try, likewise
{origin}/openapi.json    the contract as OpenAPI 3.1, if reflection is on
{origin}/healthz/ready   whether this server should get calls
{origin}/healthz/live    whether it runs
"""


async def index_page(exchange: Exchange) -> None:
    """Say what is here."""
    await exchange.respond(200, [*_TEXT, ("vary", "accept")], _INDEX.format(origin=exchange.origin).encode())


def health_page(is_serving: Callable[[], Awaitable[bool]]) -> Page:
    """Return a page with status 200 while a service is SERVING, and otherwise 503, as probes by HTTP expect."""

    async def page(exchange: Exchange) -> None:
        status, text = (200, b"SERVING\n") if await is_serving() else (503, b"NOT_SERVING\n")
        await exchange.respond(status, _TEXT, text)

    return page


def json_page(content: Callable[[], object]) -> Page:
    """Return a page with JSON that is made at the first request, and does not change."""
    return fixed_page("application/json", lambda: encode_json(content()))


def fixed_page(content_type: str, content: Callable[[], bytes], always: Headers = ()) -> Page:
    """Return a page whose content is made and compressed at the first request, and does not change.

    Browsers ask each time whether they have the present content, so that a page never runs with the scripts of another
    version.

    Args:
        content_type: Its media type.
        content: Makes it.
        always: Headers of every response.
    """

    @cache
    def made() -> tuple[bytes, bytes, str]:
        data = content()
        return data, gzip.compress(data, mtime=0), f'W/"{hashlib.sha256(data).hexdigest()[:32]}"'

    async def page(exchange: Exchange) -> None:
        data, compressed, etag = made()
        headers = [*always, ("etag", etag), ("cache-control", "no-cache"), ("vary", "accept, accept-encoding")]
        kind = ("content-type", content_type)
        if etag in exchange.headers.get("if-none-match", ""):
            await exchange.respond(304, headers)
        elif accepts_gzip(exchange.headers, "accept-encoding"):
            await exchange.respond(200, [*headers, kind, ("content-encoding", "gzip")], compressed)
        else:
            await exchange.respond(200, [*headers, kind], data)

    return page
