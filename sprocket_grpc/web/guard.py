"""Which hosts and origins may call, so that web pages of others cannot use the server of their reader."""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from sprocket_grpc.web.exchange import Exchange

_ALLOWED = (
    "authorization, connect-accept-encoding, connect-content-encoding, connect-protocol-version, connect-timeout-ms, "
    "content-encoding, content-type, grpc-accept-encoding, grpc-encoding, grpc-timeout, traceparent, tracestate, "
    "x-grpc-web, x-request-id, x-user-agent"
)

_EXPOSED = (
    "connect-content-encoding, grpc-encoding, grpc-message, grpc-status, grpc-status-details-bin, retry-after, "
    "x-request-id"
)

_PREFLIGHT_SECONDS = 7200


class Guard:
    """Knows the names of the server, and the origins of the pages that may call it."""

    def __init__(self, hosts: Collection[str], origins: Collection[str]) -> None:
        """Create it.

        Args:
            hosts: The names of the server beside localhost and addresses.
            origins: The origins of pages that may call, such as `https://app.example`, beside the server's own.
        """
        self._hosts = hosts
        self._origins = origins

    def knows_host(self, exchange: Exchange) -> bool:
        """Return whether the client has asked for a name of this server.

        An address is accepted: only a name can lead a browser to another server than it did before (DNS rebinding).
        """
        try:
            parsed = urlsplit(f"//{exchange.headers.get('host', '')}")
            host = parsed.hostname or ""
        except ValueError:
            return False
        if parsed.username is not None or exchange.host_headers > 1:
            return False
        return host == "localhost" or host.endswith(".localhost") or host in self._hosts or _is_address(host)

    def admits_origin(self, exchange: Exchange) -> bool:
        """Return whether the page that calls may do so, or no page does."""
        origin = exchange.headers.get("origin")
        if origin is None:  # a browser leaves it out when a page of another site embeds a GET, such as an image
            return exchange.headers.get("sec-fetch-site") != "cross-site" or _is_navigation(exchange)
        return origin in self._origins or origin == exchange.origin

    def cors_headers(self, exchange: Exchange) -> tuple[tuple[str, str], ...]:
        """Return the headers that let a page of another origin read the response."""
        origin = exchange.headers.get("origin")
        if origin is None or origin not in self._origins:
            return (("vary", "origin"),)
        return (
            ("access-control-allow-origin", origin),
            ("access-control-expose-headers", _EXPOSED),
            ("vary", "origin"),
        )


async def respond_preflight(exchange: Exchange) -> None:
    """Say what a page of an origin that is listed may send."""
    headers = [
        ("access-control-allow-methods", "GET, POST"),
        ("access-control-allow-headers", _ALLOWED),
        ("access-control-max-age", str(_PREFLIGHT_SECONDS)),
    ]
    await exchange.respond(204, headers)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_navigation(exchange: Exchange) -> bool:
    return exchange.headers.get("sec-fetch-mode") == "navigate" and exchange.headers.get("sec-fetch-dest") == "document"
