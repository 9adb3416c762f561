"""Listens for browsers and curl, in the event loop of the server."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import uvicorn

from sprocket_grpc.config.addresses import AddressInUseError, split
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.config.web import web_addresses
from sprocket_grpc.web.app import WebApp
from sprocket_grpc.web.connection import connections
from sprocket_grpc.web.connection_limit import ConnectionLimit
from sprocket_grpc.web.tls import RenewedCertificate

_BACKLOG = 512

_START_SECONDS = 30

_HANDSHAKE_SECONDS = 10
"""How long a client may take for the handshake of TLS. The default of asyncio is a minute."""

_IDLE_SECONDS = 65
"""How long a connection stays open between requests: longer than the 60 s of load balancers, which would otherwise use
one that the server is about to close."""

_HEADERS = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
]
"""The headers of every response: it is not what a page of another site may embed or guess the type of."""


class _Server(uvicorn.Server):
    """A server whose signals are those of its process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, as uvicorn does, but with a limit of time for TLS, for which it has no setting."""
        await self.lifespan.startup()
        loop, tls = asyncio.get_running_loop(), self.config.ssl
        self.servers = [
            await loop.create_server(
                self._connection,
                sock=each,
                ssl=tls,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS if tls else None,
                backlog=_BACKLOG,
            )
            for each in sockets or ()
        ]
        self.started = True
        self.has_started.set()

    def _connection(self) -> asyncio.Protocol:
        protocol: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return protocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


class WebListener:
    """The listener.

    Attributes:
        port: Its port.
    """

    def __init__(self, app: WebApp, settings: Settings, *, shares_port: bool = False) -> None:
        """Listen. Connections wait until it starts.

        Raises:
            AddressInUseError: The address is in use, or is not an address of this machine.
        """
        self._socket = _bind(web_addresses(settings), shares_port=shares_port)
        self.port: int = self._socket.getsockname()[1]
        self._server = _Server(_config(app, settings))
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to answer requests."""
        self._serving = asyncio.create_task(self._server.serve([self._socket]))
        async with asyncio.timeout(_START_SECONDS):
            started = asyncio.create_task(self._server.has_started.wait())
            await asyncio.wait({self._serving, started}, return_when=asyncio.FIRST_COMPLETED)
        if self._serving.done():
            started.cancel()
            self._serving.result()  # it has failed

    async def stop(self, seconds: float) -> None:
        """Accept no more connections, give the requests in flight some time to finish, and close all connections."""
        self._server.should_exit = True
        if self._serving is None:
            self._socket.close()
            return
        await asyncio.wait({self._serving}, timeout=seconds)
        self._server.force_exit = True
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await self._serving


def _config(app: WebApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=connections(
            settings.call_timeout_seconds,
            ConnectionLimit(settings.web_connection_limit),
            partial(app.refuse_connection, settings.web_connection_limit),
        ),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # what clients do wrong is no error of the server
        access_log=False,
        server_header=False,
        headers=_HEADERS,
        proxy_headers=settings.web_proxies is not None,
        forwarded_allow_ips=settings.web_proxies,
        timeout_keep_alive=_IDLE_SECONDS,
        ssl_context_factory=_tls(settings),
    )


def _tls(settings: Settings) -> Callable[..., ssl.SSLContext] | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    renewed = RenewedCertificate(settings.tls_certificate, settings.tls_key)
    return lambda *_: renewed.context


def _bind(addresses: Sequence[str], *, shares_port: bool) -> socket.socket:
    """Listen on the first address that is free.

    Raises:
        AddressInUseError: None is.
    """
    for address in addresses:
        with suppress(OSError):
            return _listen(address, shares_port=shares_port)
    raise AddressInUseError(addresses[0], "SPROCKET_WEB_LISTEN")


def _listen(address: str, *, shares_port: bool) -> socket.socket:
    host, port = split(address)
    family, _, _, _, found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
    is_any = host == "[::]" and socket.has_dualstack_ipv6()
    return socket.create_server(
        found[:2],
        family=family,
        backlog=_BACKLOG,
        reuse_port=shares_port,
        dualstack_ipv6=is_any,
    )
