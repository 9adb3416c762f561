"""What can be read beside the calls."""

from collections.abc import Awaitable, Callable

from sprocket_grpc.web.app import Page
from sprocket_grpc.web.exchange import Exchange

_TEXT = [("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store")]

_INDEX = """\
sprocket-grpc: the API by HTTP, as Connect and gRPC-Web

  curl {origin}/sprocket.v1.FactoryService/ListFactories -H 'content-type: application/json' -d '{{}}'

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
