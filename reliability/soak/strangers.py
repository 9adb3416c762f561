"""What the service has to bear: bad requests, wrong keys, broken bytes, and connections that come and go."""

import secrets
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from reliability.methods import methods_on
from reliability.soak.activities import Activity
from reliability.soak.user import User
from sprocket.v1 import sprocket_pb2

if TYPE_CHECKING:
    import grpc

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_PATIENCE_SECONDS = 5

_BAD_REQUESTS = (
    ("GetSprocket", sprocket_pb2.GetSprocketRequest(id="no id")),
    ("GetSprocket", sprocket_pb2.GetSprocketRequest(id="01937f2e-7d1c-7a40-8a53-0c7f5b1b9d55")),
    ("ListSprockets", sprocket_pb2.ListSprocketsRequest(filter="display_name = = 1")),
    ("ListSprockets", sprocket_pb2.ListSprocketsRequest(page_token="no-token")),  # noqa: S106  # not a password
    ("ListSprockets", sprocket_pb2.ListSprocketsRequest(order_by="nothing")),
    ("CreateSprocket", sprocket_pb2.CreateSprocketRequest()),
    ("UpdateSprocket", sprocket_pb2.UpdateSprocketRequest(sprocket=sprocket_pb2.Sprocket(id="no id"))),
    ("BatchGetSprockets", sprocket_pb2.BatchGetSprocketsRequest(ids=["x" * 100] * 100)),
)


async def ask_badly(user: User) -> None:
    """Make a request that is refused."""
    await user.call(*user.draw.choice(_BAD_REQUESTS))


async def come_without_key(user: User) -> None:
    """Call with a key that does not exist, or with none."""
    async with user.new_channel() as channel:
        key = f"sprocket_{secrets.token_hex(16)}_{secrets.token_hex(32)}"
        for metadata in ((("authorization", f"Bearer {key}"),), ()):
            call = methods_on(channel)["ListSprockets"](
                sprocket_pb2.ListSprocketsRequest(), metadata=metadata, timeout=_PATIENCE_SECONDS
            )
            await user.noted("ListSprockets", call)


async def send_malformed(user: User) -> None:
    """Send bytes that are no message, and call a method that does not exist."""
    for path, body in (("/sprocket.v1.SprocketService/GetSprocket", b"\xff\xff"), ("/none.Service/None", b"")):
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = user.channel.unary_unary(path)
        await user.noted(path, method(body, metadata=user.metadata, timeout=_PATIENCE_SECONDS))


async def connect_anew(user: User) -> None:
    """Open a connection, ask for the health, and close it."""
    async with user.new_channel() as channel:
        health: Any = HealthStub(channel)  # its types support the blocking client only
        await user.noted("Check", health.Check(HealthCheckRequest(), timeout=_PATIENCE_SECONDS))


async def watch_health(user: User) -> None:
    """Watch the health for a moment."""
    health: Any = HealthStub(user.channel)  # as above
    call = health.Watch(HealthCheckRequest())
    await call.read()
    await user.pause(1)
    call.cancel()


async def hang_up(user: User) -> None:
    """Connect by TCP, send nothing, something else than HTTP/2, or its first bytes, and hang up."""
    host, _, port = user.address.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(user.draw.choice((b"", b"GET / HTTP/1.1\r\n\r\n", _PREFACE, _PREFACE + bytes(9))))
        await user.pause(0.5)


STRANGERS: Mapping[Activity, int] = {
    ask_badly: 8,
    come_without_key: 3,
    send_malformed: 3,
    connect_anew: 4,
    watch_health: 2,
    hang_up: 3,
}
"""These activities, and how often each is drawn in relation to the others."""
