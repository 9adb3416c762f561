"""The server that commands call."""

from typing import NamedTuple

import grpc


class Server(NamedTuple):
    """A server that commands call.

    Attributes:
        address: Its address.
        channel: The channel to it.
        api_key: The API key or token that is sent with every call, if any.
        uses_tls: Whether the channel uses TLS.
    """

    address: str
    channel: grpc.Channel
    api_key: str | None = None
    uses_tls: bool = False
