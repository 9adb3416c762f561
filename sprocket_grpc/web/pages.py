"""What can be read beside the calls."""

import hashlib
from collections.abc import Awaitable, Callable
from functools import cache

from sprocket_grpc.web.app import Page
from sprocket_grpc.web.compression import accepts_gzip, deflate
from sprocket_grpc.web.connect_errors import encode_json
from sprocket_grpc.web.exchange import Exchange

_TEXT = [("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store")]

_JSON = [("content-type", "application/json")]

_INDEX = """\
sprocket-grpc: the API by HTTP, as Connect and gRPC-Web

  curl {origin}/sprocket.v1.FactoryService/ListFactories -H 'content-type: application/json' -d '{{}}'

{origin}/openapi.json    the contract as OpenAPI 3.1, if reflection is on
{origin}/healthz/ready   whether this server should get calls
{origin}/healthz/live    whether it runs
"""


async def index_page(exchange: Exchange) -> None:
    """Say what is here."""
    await exchange.respond(200, _TEXT, _INDEX.format(origin=exchange.origin).encode())


def health_page(is_serving: Callable[[], Awaitable[bool]]) -> Page:
    """Return a page with status 200 while a service is SERVING, and otherwise 503, as probes by HTTP expect."""

    async def page(exchange: Exchange) -> None:
        status, text = (200, b"SERVING\n") if await is_serving() else (503, b"NOT_SERVING\n")
        await exchange.respond(status, _TEXT, text)

    return page


def json_page(content: Callable[[], object]) -> Page:
    """Return a page with JSON that is made at the first request, and does not change."""

    @cache
    def made() -> tuple[bytes, bytes, str]:
        data = encode_json(content())
        return data, deflate(data), f'W/"{hashlib.sha256(data).hexdigest()[:32]}"'

    async def page(exchange: Exchange) -> None:
        data, compressed, etag = made()
        headers = [("etag", etag), ("cache-control", "no-cache"), ("vary", "accept-encoding")]
        if etag in exchange.headers.get("if-none-match", ""):
            await exchange.respond(304, headers)
        elif accepts_gzip(exchange.headers, "accept-encoding"):
            await exchange.respond(200, [*headers, *_JSON, ("content-encoding", "gzip")], compressed)
        else:
            await exchange.respond(200, [*headers, *_JSON], data)

    return page
