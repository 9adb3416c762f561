"""The ASGI application of the web listener: who may come in, and which protocol a call speaks."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from sprocket_grpc.errors import (
    ForeignPageError,
    MalformedRequestError,
    OverloadedError,
    SprocketError,
    UnsupportedRequestError,
)
from sprocket_grpc.web.codec import CODECS, MalformedError
from sprocket_grpc.web.connect_errors import encode_json, error_headers, error_json
from sprocket_grpc.web.connect_stream import ConnectStream
from sprocket_grpc.web.connect_unary import ConnectGet, ConnectUnary
from sprocket_grpc.web.exchange import Event, Exchange, Receive, Send
from sprocket_grpc.web.grpc_web import GrpcWeb, GrpcWebText
from sprocket_grpc.web.guard import Guard, respond_preflight
from sprocket_grpc.web.methods import Method
from sprocket_grpc.web.refusals import NO_METHOD, Refusals
from sprocket_grpc.web.transport import CallEnded, ClientGoneError, WebTransport, Wire

HEALTH = "/healthz/"
"""How the paths of health checks begin."""

Page: TypeAlias = Callable[[Exchange], Awaitable[None]]
"""Responds to GET and HEAD."""


class WebApp:
    """The application."""

    def __init__(
        self, methods: Mapping[str, Method], pages: Mapping[str, Page], guard: Guard, refusals: Refusals
    ) -> None:
        """Create it.

        Args:
            methods: The methods by their paths.
            pages: What else can be read, by its path.
            guard: Knows who may call.
            refusals: Refuses what is no call.
        """
        self._methods = methods
        self._pages = pages
        self._guard = guard
        self._refusals = refusals

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Respond to a request."""
        exchange = Exchange(scope, receive, send)
        if not self._guard.knows_host(exchange):
            await self._refuse(exchange, 421, ForeignPageError("host", "SPROCKET_WEB_HOSTS"))
        elif not self._guard.admits_origin(exchange):
            await self._refuse(exchange, 403, ForeignPageError("origin", "SPROCKET_WEB_ORIGINS"))
        else:
            exchange.always = self._guard.cors_headers(exchange)
            await self._respond(exchange)

    async def refuse_connection(self, limit: int, scope: Event, receive: Receive, send: Send) -> None:
        """Respond to a request on a connection over a limit. Health checks are answered: the process works."""
        exchange = Exchange(scope, receive, send)
        exchange.always = (*self._guard.cors_headers(exchange), ("connection", "close"))
        if exchange.path.startswith(HEALTH):
            await self._respond(exchange)
        else:
            await self._refuse(exchange, 429, OverloadedError(f"{limit} connections by HTTP"))

    async def _respond(self, exchange: Exchange) -> None:
        method, page = self._methods.get(exchange.path), self._pages.get(exchange.path)
        if method and exchange.method == "OPTIONS" and "origin" in exchange.headers:
            await respond_preflight(exchange)
        elif method:
            await self._call(method, exchange)
        elif page is None:
            await self._refuse(exchange, 404, UnsupportedRequestError("path", "that of a method or a page"))
        elif exchange.method in {"GET", "HEAD"}:
            await page(exchange)
        else:
            await self._refuse(exchange, 405, UnsupportedRequestError("HTTP method", "GET"), allow="GET, HEAD")

    async def _call(self, method: Method, exchange: Exchange) -> None:
        name = method.rpc.method
        if exchange.method not in method.allowed.split(", "):
            error = UnsupportedRequestError("HTTP method", method.allowed)
            await self._refuse(exchange, 405, error, name, allow=method.allowed)
            return
        wire = _wire(method, exchange)
        if wire is None:
            accepted = ", ".join(_connect_types(is_stream=method.rpc.is_stream)) + ", application/grpc-web"
            error = UnsupportedRequestError("content-type", accepted)
            await self._refuse(exchange, 415, error, name, accept_post=accepted)
        elif refused := _check(wire, name):
            await wire.fail(*await self._refusals.refuse(exchange, refused, name))
        else:
            await _answer(method, exchange, wire)

    async def _refuse(
        self, exchange: Exchange, http_status: int, error: SprocketError, method: str = NO_METHOD, **headers: str
    ) -> None:
        """Respond with a status of HTTP, and an error that clients of Connect understand."""
        status, trailers = await self._refusals.refuse(exchange, error, method)
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        every = [("content-type", "application/json"), *named, *error_headers(status), *trailers]
        await exchange.respond(http_status, every, encode_json(error_json(status)))


def _check(wire: Wire, method: str) -> SprocketError | None:
    """Return what is wrong with the headers of a call, if anything is."""
    try:
        wire.check()
    except MalformedError as error:
        return MalformedRequestError(method, str(error))
    except UnsupportedRequestError as error:
        return error
    return None


async def _answer(method: Method, exchange: Exchange, wire: Wire) -> None:
    transport = WebTransport(method.rpc, exchange, wire)
    try:
        response = await transport.run(method.answer)
        await wire.finish(response, transport.trailers)
    except CallEnded as ended:
        await wire.fail(ended.status, transport.trailers)
    except ClientGoneError:
        return
    finally:
        transport.end()


def _wire(method: Method, exchange: Exchange) -> Wire | None:
    """Return the protocol that a call speaks, or None if it is not known."""
    kind = exchange.content_type
    if exchange.method == "GET":
        return ConnectGet(exchange)
    if kind in _GRPC_WEB:
        return _GRPC_WEB[kind](exchange, CODECS["proto"])
    codec = _connect_types(is_stream=method.rpc.is_stream).get(kind)
    if codec is None:
        return None
    return ConnectStream(exchange, CODECS[codec]) if method.rpc.is_stream else ConnectUnary(exchange, CODECS[codec])


_GRPC_WEB = {
    "application/grpc-web": GrpcWeb,
    "application/grpc-web+proto": GrpcWeb,
    "application/grpc-web-text": GrpcWebText,
    "application/grpc-web-text+proto": GrpcWebText,
}


def _connect_types(*, is_stream: bool) -> dict[str, str]:
    """Return the names of codecs by the media types of Connect."""
    return {f"application/{'connect+' if is_stream else ''}{codec}": codec for codec in CODECS}
