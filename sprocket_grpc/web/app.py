"""The ASGI application of the web listener: who may come in, and which protocol a call speaks."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from google.rpc.status_pb2 import Status

from sprocket_grpc.interceptors.status import Code
from sprocket_grpc.web.codec import CODECS
from sprocket_grpc.web.connect_errors import encode_json, error_json
from sprocket_grpc.web.connect_stream import ConnectStream
from sprocket_grpc.web.connect_unary import ConnectGet, ConnectUnary
from sprocket_grpc.web.exchange import Event, Exchange, Receive, Send
from sprocket_grpc.web.grpc_web import GrpcWeb, GrpcWebText
from sprocket_grpc.web.guard import Guard, respond_preflight
from sprocket_grpc.web.methods import Method
from sprocket_grpc.web.transport import CallEnded, ClientGoneError, WebTransport, Wire

_FOREIGN_HOST = "this server does not answer to this name; SPROCKET_WEB_HOSTS lists its names"
_FOREIGN_ORIGIN = "pages of this origin may not call this server; SPROCKET_WEB_ORIGINS lists those that may"


Page: TypeAlias = Callable[[Exchange], Awaitable[None]]
"""Responds to GET and HEAD."""


class WebApp:
    """The application."""

    def __init__(self, methods: Mapping[str, Method], pages: Mapping[str, Page], guard: Guard) -> None:
        """Create it.

        Args:
            methods: The methods by their paths.
            pages: What else can be read, by its path.
            guard: Knows who may call.
        """
        self._methods = methods
        self._pages = pages
        self._guard = guard

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Respond to a request."""
        exchange = Exchange(scope, receive, send)
        if not self._guard.knows_host(exchange):
            await _refuse(exchange, 421, Code.PERMISSION_DENIED, _FOREIGN_HOST)
        elif not self._guard.admits_origin(exchange):
            await _refuse(exchange, 403, Code.PERMISSION_DENIED, _FOREIGN_ORIGIN)
        else:
            exchange.always = self._guard.cors_headers(exchange)
            await self._respond(exchange)

    async def _respond(self, exchange: Exchange) -> None:
        method, page = self._methods.get(exchange.path), self._pages.get(exchange.path)
        if method and exchange.method == "OPTIONS" and "origin" in exchange.headers:
            await respond_preflight(exchange)
        elif method:
            await _call(method, exchange)
        elif page is None:
            await _refuse(exchange, 404, Code.UNIMPLEMENTED, "there is nothing at this path")
        elif exchange.method in {"GET", "HEAD"}:
            await page(exchange)
        else:
            await _refuse(exchange, 405, Code.UNIMPLEMENTED, "expected GET", allow="GET, HEAD")


async def _refuse(exchange: Exchange, http_status: int, code: Code, message: str, **headers: str) -> None:
    """Respond with a status of HTTP, and an error that clients of Connect understand."""
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    body = encode_json(error_json(Status(code=code, message=message)))
    await exchange.respond(http_status, [("content-type", "application/json"), *named], body)


async def _call(method: Method, exchange: Exchange) -> None:
    if exchange.method not in method.allowed.split(", "):
        await _refuse(exchange, 405, Code.UNIMPLEMENTED, f"expected {method.allowed}", allow=method.allowed)
        return
    wire = _wire(method, exchange)
    if wire is None:
        accepted = ", ".join(_connect_types(is_stream=method.rpc.is_stream)) + ", application/grpc-web"
        await _refuse(exchange, 415, Code.UNIMPLEMENTED, f"content-type: expected {accepted}", accept_post=accepted)
        return
    try:
        wire.check()
    except CallEnded as ended:
        await wire.fail(ended.status, [])
        return
    await _answer(method, exchange, wire)


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
